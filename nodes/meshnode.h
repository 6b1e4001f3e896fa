// What the parts of the program meshnode share: options, the data directory, exit codes. Only meshnode*.cc include it.
#pragma once

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "broker/bus/keys.h"
#include "eventstore/model/result.h"
#include "nodes/agent.h"
#include "nodes/dataplane/dataplane.h"
#include "nodes/dataplane/tunnel_keys.h"
#include "nodes/identity.h"

namespace mesh {

inline constexpr std::string_view kProgramVersion = MESH_VERSION;

struct MeshnodeOptions {
  std::filesystem::path data;
  std::string token_file, node;       // join, adopt
  std::string controller;             // join without a token: HOST[:PORT] of its enrolment
  std::string controller_key, fingerprint;  // how it is known
  uint16_t hello_port = 0;            // where it tells its keys; 0 = the port after enrolment's
  int timeout_s = 60;                 // join, adopt
  std::string dataplane = "linux";    // run, leave, rollback: or "dry-run"
  std::filesystem::path run_dir = "/run/meshnode";  // the same: what belongs to the processes that outlive us
  std::filesystem::path allow = "/etc/meshnode/allow.toml";  // run, leave, rollback: see nodes/services/allow.h
  std::filesystem::path authorized_keys;  // the same; empty = root's
  bool once_synced = false;           // run
  std::string output = "table";       // "table" or "json"
  std::string version;                // rollback: "v3" or "3"; empty = the previous one
  std::vector<std::string> endpoints;  // endpoints set
  bool reset = false;                  // endpoints reset
  int recovery_after_s = 3600;         // run: without a controller for so long, it calls for recovery; 0 = never
};

/// One process at a time works on a data directory. Released by the kernel when the process ends, however it ends.
class DataLock {
 public:
  /// Who has the lock finds no adoption half done: it is gone on with first (adoption.h).
  /// Errors: conflict (another meshnode, with its pid), not_found (no such directory), not_permitted, io, exhausted.
  static Result<DataLock> take(const std::filesystem::path& data);
  DataLock(DataLock&& other) noexcept;
  ~DataLock();

 private:
  explicit DataLock(int fd) : fd_(fd) {}
  int fd_;
};

/// identity/: who this node is, and its secrets.
struct NodeKeys {
  SignSecret sign;
  BoxSecret box;
  TunnelKeys tunnels;
};
/// Errors: not_found (never joined), not_permitted (others may read it, with the chmod to run), corrupt, io.
Result<NodeIdentity> load_identity(const std::filesystem::path& data);
Status save_identity(const std::filesystem::path& data, const NodeIdentity& identity);
Result<NodeKeys> load_keys(const std::filesystem::path& data);
/// As load_keys, and makes what is missing.
Result<NodeKeys> make_keys(const std::filesystem::path& data);

/// Borrows `keys`.
AgentOptions agent_options(const NodeIdentity& identity, const NodeKeys& keys);

/// Another one after each boot of the machine; after each call, where the kernel does not tell.
std::string machine_boot_id();
/// System, kernel, processor and memory in one printable line of at most kMachineFactsMax bytes, for people.
std::string machine_facts();
inline constexpr size_t kMachineFactsMax = 200;
/// Since the machine booted, time asleep included: a suspended router prolongs no deadline, and nobody who sets the
/// clock moves one.
int64_t machine_now_ms();

/// The router behind `--dataplane`. Borrows `keys`.
Result<std::unique_ptr<Dataplane>> open_dataplane(const MeshnodeOptions& options, const NodeIdentity& identity,
                                                  const TunnelKeys& keys);

/// What is done on the machine beside its router (services.h); with `--dataplane dry-run` in DATA/dry-services.
struct MachineServices {
  std::unique_ptr<Files> machine;
  std::unique_ptr<Services> services;
};
MachineServices open_services(const MeshnodeOptions& options);

Status run_join(const MeshnodeOptions& options);
/// Leaves this node's log for that of the token in options.token_file.
Status run_adopt(const MeshnodeOptions& options);
Status run_node(const MeshnodeOptions& options);
Status show_status(const MeshnodeOptions& options);
Status run_leave(const MeshnodeOptions& options);
Status show_history(const MeshnodeOptions& options);
Status run_rollback(const MeshnodeOptions& options);
/// Shows, sets (options.endpoints) or resets where this node looks for its controller.
Status run_endpoints(const MeshnodeOptions& options);

}  // namespace mesh
