// The verbs of meshd. Each returns the process's exit code (README.md, "Exit codes").
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "broker/controller.h"
#include "eventstore/model/ids.h"
#include "eventstore/model/result.h"

namespace mesh::meshd {

inline constexpr std::string_view kProgramVersion = MESH_VERSION;

/// DATA/meshd.toml: where the controller listens.
struct Settings {
  std::vector<std::string> listen;   // main socket, at least one
  std::vector<std::string> enrol;    // enrolment socket, at least one
  std::vector<std::string> publish;  // what nodes and operators connect to
  std::string python;                // renders templates; empty = as TemplateRendererOptions
  std::string bird;                  // checks BIRD files; empty = that of PATH, "none" = nothing does
  std::vector<std::string> hello;    // where newcomers learn the public keys; empty = beside each of enrol, at port + 1
};
/// Errors: not_found (fix: meshd init), invalid.
Result<Settings> load_settings(const std::filesystem::path& data);
/// Replaces the file, durable on return.
Status save_settings(const std::filesystem::path& data, const Settings& settings);

/// DATA/orphans: entries of histories that were given up (orphans.h). Empty when there are none.
Bytes load_orphans(const std::filesystem::path& data);
/// Replaces the file, durable on return. Errors: io.
Status save_orphans(const std::filesystem::path& data, ByteView bytes);

struct InitOptions {
  std::filesystem::path data;
  std::string listen = "tcp://127.0.0.1:7400";
  std::string enrol = "tcp://127.0.0.1:7401";
  std::string publish;  // empty = listen
  std::string profile = "default";
  std::string admin = "admin";
  std::string output = "table";
};
int init(const InitOptions& options);
struct RunOptions {
  std::filesystem::path data;
  std::vector<std::string> listen, enrol, hello;  // instead of those of meshd.toml; empty = as they are
  std::string log_level = "info";
};
int run(const RunOptions& options);
/// `against`: files with checkpoints that were kept elsewhere.
int verify(const std::filesystem::path& data, const std::vector<std::filesystem::path>& against,
           const std::string& output);

struct RestoreOptions {
  std::filesystem::path data;    // to be made
  std::filesystem::path keys;    // holds log.key, controller.key and meshd.toml
  std::filesystem::path file;    // the backup
  std::string listen, enrol;     // instead of those of meshd.toml; empty = as they were
  std::string output = "table";
};
int restore(const RestoreOptions& options);
/// Whether DATA came from a backup, and where that ended. Errors: corrupt.
Result<std::optional<Restored>> load_restored(const std::filesystem::path& data);

/// Prints an error with its fix to stderr, as JSON when `output` is json; returns its exit code.
int report(const Error& error, const std::string& output);
/// The exit code of an error (cli: the table of exit codes).
int exit_code(Errc code);

std::filesystem::path log_path(const std::filesystem::path& data);
std::filesystem::path log_key_path(const std::filesystem::path& data);
std::filesystem::path controller_key_path(const std::filesystem::path& data);

/// "tcp://host:port" with another port. Errors: usage.
Result<std::string> with_port(const std::string& endpoint, uint16_t port);
Result<uint16_t> port_of(const std::string& endpoint);
/// A free TCP port of this machine. Errors: io.
Result<uint16_t> free_port();

}  // namespace mesh::meshd
