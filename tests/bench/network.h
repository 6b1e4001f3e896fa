// A controller to measure: its directory, the real meshd as a child process, and a quick way to
// fill its log.
#pragma once

#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "broker/bus/keys.h"
#include "broker/controller.h"
#include "eventstore/model/command.h"
#include "eventstore/model/result.h"
#include "schemas/message.h"

namespace mesh::bench {

/// A temporary directory, removed with the object.
class TemporaryDirectory {
 public:
  TemporaryDirectory();
  ~TemporaryDirectory();
  TemporaryDirectory(const TemporaryDirectory&) = delete;
  TemporaryDirectory& operator=(const TemporaryDirectory&) = delete;
  const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
};

/// What `meshd init` made.
struct Network {
  std::filesystem::path data;
  LogId log;
  BoxKey controller;
  SignKey log_key;
  std::string admin;
  SignSecret admin_sign;
  BoxSecret admin_box;
};
/// Runs `meshd init` in `data` on free loopback ports. Errors: io, and what meshd says.
Result<Network> make_network(const std::filesystem::path& data);
/// What an earlier make_network left in `data`. Errors: corrupt.
Result<Network> open_network(const std::filesystem::path& data);

/// A signed request of the administrator, as a frame. `based_on`: the newest sequence it knows.
Bytes submit_frame(const Network& network, uint64_t correlation, Sequence based_on,
                   std::vector<Command> commands);

/// Runs `meshd verify`: replays every entry and compares the root with the checkpoint. Returns the
/// number of entries. Errors: corrupt.
Result<uint64_t> verify_log(const Network& network);

/// Processor time so far of a process, all its threads.
double processor_seconds(int pid);

/// `meshd run`, from the folder of this program. The destructor ends it.
class ControllerProcess {
 public:
  static Result<std::unique_ptr<ControllerProcess>> start(const Network& network);
  ~ControllerProcess();
  ControllerProcess(const ControllerProcess&) = delete;
  ControllerProcess& operator=(const ControllerProcess&) = delete;

  const std::string& endpoint() const { return endpoint_; }
  int pid() const { return pid_; }
  /// Resident memory now.
  uint64_t resident_bytes() const;
  double processor_seconds() const { return bench::processor_seconds(pid_); }
  /// SIGTERM, and waits. Errors: io (it ended badly).
  Status stop();

 private:
  ControllerProcess(int pid, std::string endpoint) : pid_(pid), endpoint_(std::move(endpoint)) {}
  int pid_;
  std::string endpoint_;
};

struct NodeKeys {
  BoxSecret box;
  SignSecret sign;
};

/// The controller's own code over the same directory, without process and sockets: thousands of
/// entries in one group commit. While it exists, no meshd can run there.
class Filler {
 public:
  using Wrap = std::function<std::unique_ptr<EventLog>(std::unique_ptr<EventLog>)>;
  /// `wrap`, if any, puts something between the controller and its log.
  static Result<std::unique_ptr<Filler>> open(const Network& network, const Wrap& wrap = {});
  ~Filler();

  /// One entry for each list. Errors: what the controller refused.
  Status submit(std::vector<std::vector<Command>> requests);
  /// Adds `count` nodes to the new site `site` and enrols them with one token, as `meshnode join`
  /// does.
  Result<std::vector<NodeKeys>> enrol(const std::string& site, size_t count);
  Sequence head() const;
  Controller& controller();
  /// Bytes of all entries, headers and bodies.
  Result<uint64_t> entry_bytes() const;

 private:
  struct Impl;
  explicit Filler(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

/// A network of 1,024 sites, "s0" to "s1023".
std::vector<std::vector<Command>> add_sites();
/// Requests of `commands_each` SetAttribute, all of them to different keys, spread over those
/// sites; at most 16,384 keys. `round` makes the values new.
std::vector<std::vector<Command>> attribute_requests(size_t requests, size_t commands_each,
                                                     uint64_t round);

}  // namespace mesh::bench
