// `meshnode leave`.
#include <fmt/core.h>

#include <chrono>

#include "broker/bus/client.h"
#include "nodes/adoption.h"
#include "nodes/controller_dial.h"
#include "nodes/files.h"
#include "nodes/meshnode.h"
#include "nodes/meshnode_box.h"
#include "nodes/meshnode_socket.h"
#include "schemas/codec.h"

namespace mesh {

namespace {

using Clock = std::chrono::steady_clock;
constexpr auto kGoodbye = std::chrono::seconds(5);

/// A last word, so that the controller knows why the node falls silent. It may not be reachable: then it sees that.
bool say_goodbye(const MeshnodeOptions& options, const NodeIdentity& identity, const NodeKeys& keys) {
  PosixFiles files(options.data);
  ReplicaStore store(files);
  if (!store.open()) return false;
  ControllerEndpoints known(files, identity.endpoints);
  ControllerDial dial(known);
  ClientOptions client;
  for (const auto& address : dial.addresses(0, {})) client.endpoints.push_back({address, identity.controller_key});
  client.connect_ms = 2'000;
  auto bus = BusClient::open(keys.box, std::move(client));
  if (!bus) return false;
  const auto until = Clock::now() + kGoodbye;
  while (!(*bus)->connected() && Clock::now() < until) (void)(*bus)->poll(100);
  if (!(*bus)->connected()) return false;
  NodeStatus status;
  status.active = store.pointers().active;
  status.previous = store.pointers().previous;
  status.state = "left";
  status.problem = "meshnode leave was run on the box";
  status.program = kProgramVersion;
  return (*bus)->send(encode_message({0, std::move(status)})).has_value();
}

}  // namespace

Status run_leave(const MeshnodeOptions& options) {
  MESH_TRY(check_owner(options.data, "leave"));
  auto lock = DataLock::take(options.data);
  if (!lock) return std::unexpected(lock.error());
  auto identity = load_identity(options.data);
  if (!identity) return std::unexpected(identity.error());
  bool told = false;
  // An attempt that was never admitted has configured nothing, and may lack keys.
  if (identity->node != NodeId()) {
    auto keys = load_keys(options.data);
    if (!keys) return std::unexpected(keys.error());
    auto dataplane = open_dataplane(options, *identity, keys->tunnels);
    if (!dataplane) return std::unexpected(dataplane.error());
    // Before the tunnels go: the way to the controller may lead through them.
    told = say_goodbye(options, *identity, *keys);
    MESH_TRY((*dataplane)->remove_all());
    const auto machine = open_services(options);
    MESH_TRY(machine.services->remove_all());
  }
  // The identity last: after a failure the same command can go on.
  PosixFiles files(options.data);
  for (const auto* name : {"active", "previous", "pending", "held", "versions", "fetched", "replica", "overlay.json",
                           "outcomes.json", "journal", kInheritedLink, kBeforeDirectory, kAdoptDirectory, kAdoptingFile,
                           "controller_endpoints.json", "dry-run.json", "dry-services",
                           "peer_addresses", kStatusSocket, kControlSocket, "identity", "lock"}) {
    MESH_TRY(files.remove(name));
  }
  MESH_TRY(files.sync_dir("."));
  fmt::print("left{}; on the controller run: meshcli node revoke {}\n",
             told ? ", and the controller was told" : "; the controller could not be told",
             identity->fullname.empty() ? "NODE" : identity->fullname);
  return {};
}

}  // namespace mesh
