#include "nodes/meshnode_status.h"

#include <fmt/core.h>

#include <chrono>
#include <nlohmann/json.hpp>
#include <sstream>
#include <thread>

#include "nodes/dataplane/dry_run_dataplane.h"
#include "nodes/meshnode.h"
#include "nodes/meshnode_socket.h"
#include "schemas/json.h"

namespace mesh {

namespace {

using Json = nlohmann::ordered_json;

/// From the disk of a node that is not running.
Result<std::string> read_stopped(const MeshnodeOptions& options) {
  auto identity = load_identity(options.data);
  if (!identity) return std::unexpected(identity.error());
  PosixFiles files(options.data);
  ReplicaStore store(files);
  MESH_TRY(store.open());
  TunnelKeys keys;
  DryRunDataplane untouched(keys);
  AgentOptions agent_options;
  agent_options.history = {identity->log, identity->log_key, identity->node, identity->anchor};
  agent_options.deployment.log = identity->log;
  agent_options.deployment.node = identity->node;
  agent_options.fullname = identity->fullname;
  if (auto own = load_keys(options.data)) agent_options.deployment.sign_key = own->sign.public_key();
  const auto machine = open_services(options);
  agent_options.deployment.services = machine.services.get();
  Agent agent(std::move(agent_options), store, untouched);
  MESH_TRY(agent.peek(machine_now_ms()));
  auto status = agent.status();
  status.health = {};  // what the router does now, only a running meshnode looks at
  return status_json(status, "meshnode is not running", false);
}

std::string measured(const Json& link) {
  std::string out;
  if (const auto rtt_us = link["rtt_us"].get<int64_t>(); rtt_us >= 0) {
    out += fmt::format(", round trip {:.1f} ms", static_cast<double>(rtt_us) / 1000);
    if (const auto age_s = link["rtt_age_s"].get<int64_t>(); age_s > kRttFreshS) out += fmt::format(" {} s ago", age_s);
  }
  const auto mtu = link["mtu"].get<uint16_t>(), path_mtu = link["path_mtu"].get<uint16_t>();
  if (path_mtu != 0 && path_mtu < mtu)
    out += fmt::format(", packets above {} bytes do not get through, its MTU is {}", path_mtu, mtu);
  return out;
}

std::string table(const Json& json) {
  std::string out;
  for (const auto& [key, value] : json.items()) {
    if (value.is_structured()) continue;
    out += fmt::format("{:<18}{}\n", key, value.is_string() ? value.get<std::string>() : value.dump());
  }
  if (json["pending_activation"] != 0) {
    const auto left_s = json["pending_left_s"].get<int64_t>();
    out += fmt::format("v{} waits for the confirmation of activation {}: {}\n", json["pending"].get<uint32_t>(),
                       json["pending_activation"].get<uint64_t>(),
                       left_s > 0 ? fmt::format("v{} comes back in {} s", json["active"].get<uint32_t>(), left_s)
                                  : fmt::format("v{} comes back now", json["active"].get<uint32_t>()));
  }
  for (const auto& item : json["drift"]) {
    if (!item["over_s"].is_null()) continue;
    const auto side = [&](const char* name) {
      const auto text = item[name].get<std::string>();
      return text.empty() ? std::string("nothing") : text;
    };
    out += fmt::format("drift {} of {} is {}, not {}, for {} s\n", item["aspect"].get<std::string>(),
                       item["name"].get<std::string>(), side("found"), side("expected"), item["since_s"].dump());
  }
  for (const auto& script : json["scripts"]) {
    out += fmt::format("{} ended with {}\n", script["name"].get<std::string>(), script["code"].dump());
    std::istringstream lines(script["output"].get<std::string>());
    for (std::string line; std::getline(lines, line);) out += "  " + line + "\n";
  }
  for (const auto& link : json["links"]) {
    const auto age_s = link["handshake_age_s"].get<int64_t>();
    out += fmt::format("link {:<13}bgp {}, bfd {}, {}{}\n", link["interface"].get<std::string>(),
                       link["bgp_up"].get<bool>() ? "up" : "down", link["bfd_up"].get<bool>() ? "up" : "down",
                       age_s < 0 ? "no handshake yet" : fmt::format("handshake {} s ago", age_s), measured(link));
  }
  return out;
}

}  // namespace

std::string status_json(const AgentStatus& status, const std::string& trouble, bool running) {
  Json json = {{"node", status.node.value()},
               {"fullname", status.fullname},
               {"sequence", status.sequence.value()},
               {"root", to_hex(status.root.view())},
               {"verified", status.verified.value()},
               {"active", status.active.value()},
               {"previous", status.previous.value()},
               {"pending", status.pending.value()},
               {"wanted", status.wanted.value()},
               {"activation", status.activation.value()},
               {"pending_activation", status.pending_activation.value()},
               {"pending_left_s", status.pending_left_s},
               {"overlay", status.overlay.value()},
               {"fingerprint", status.fingerprint},
               {"taken_over", status.taken_over},
               {"controller", status.connected ? "connected" : "unreachable"},
               {"controller_detail", status.connected ? "" : trouble},
               {"running", running},
               {"settled", status.settled},
               {"revoked", status.revoked},
               {"state", status.state},
               {"problem", status.problem},
               {"outcomes_waiting", status.outcomes_waiting},
               {"bird_running", status.health.bird_running},
               {"warnings", status.health.warnings},
               {"machine", Json::parse(machine_json(status.health.machine))},
               {"drift_policy", status.drift_policy},
               {"observed", status.observed == Digest() ? std::string() : to_hex(status.observed.view())},
               {"scripts", Json::array()},
               {"drift", Json::array()},
               {"links", Json::array()}};
  for (const auto& script : status.scripts)
    json["scripts"].push_back({{"name", script.name}, {"code", script.code}, {"output", script.output}});
  for (const auto& item : status.drift) {
    json["drift"].push_back({{"aspect", item.aspect},
                             {"name", item.name},
                             {"expected", item.expected},
                             {"found", item.found},
                             {"since_s", item.since_s},
                             {"over_s", item.over_s < 0 ? Json() : Json(item.over_s)},
                             {"healed", item.healed}});
  }
  for (const auto& tunnel : status.health.tunnels) {
    json["links"].push_back({{"peer", tunnel.peer.value()},
                             {"interface", tunnel.name},
                             {"up", tunnel.up},
                             {"bgp_up", tunnel.bgp_up()},
                             {"bfd_up", tunnel.bfd_up()},
                             {"handshake_age_s", tunnel.handshake_age_s},
                             {"rx_bytes", tunnel.rx_bytes},
                             {"tx_bytes", tunnel.tx_bytes},
                             {"endpoint", tunnel.endpoint},
                             {"rtt_us", tunnel.rtt_us},
                             {"rtt_age_s", tunnel.rtt_age_s},
                             {"mtu", tunnel.mtu},
                             {"path_mtu", tunnel.path_mtu},
                             {"path_mtu_age_s", tunnel.path_mtu_age_s}});
  }
  // Endpoints and names come from elsewhere: what is not UTF-8 is replaced, never a reason to say nothing.
  return json.dump(-1, ' ', false, Json::error_handler_t::replace) + "\n";
}

Status show_status(const MeshnodeOptions& options) {
  Result<std::string> document = fail(Errc::unavailable, "");
  // Between its lock and its socket, a meshnode that starts can do neither; that takes as long as an apply.
  for (int attempt = 0; attempt < 50; ++attempt) {
    if (auto running = ask_local(options.data, kStatusSocket, {})) {
      document = std::move(*running);
      break;
    }
    if (auto lock = DataLock::take(options.data)) {
      document = read_stopped(options);
      break;
    } else if (lock.error().code != Errc::conflict) {
      return std::unexpected(lock.error());
    } else {
      document = std::unexpected(lock.error());
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(200));
  }
  if (!document) return std::unexpected(document.error());
  fmt::print("{}", options.output == "json" ? *document : table(Json::parse(*document)));
  return {};
}

}  // namespace mesh
