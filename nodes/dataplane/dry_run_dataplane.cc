#include "nodes/dataplane/dry_run_dataplane.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <utility>

#include "nodes/dataplane/files.h"

namespace mesh {
namespace {

using Json = nlohmann::json;

struct Applier {
  DryRunState& state;
  void operator()(const SetSysctl& a) { state.sysctls[a.name] = a.value; }
  void operator()(const SetLoopbacks& a) { state.loopbacks = a.addresses; }
  void operator()(const CreateTunnel& a) { put(a.tunnel); }
  void operator()(const UpdateTunnel& a) { put(a.tunnel); }
  void operator()(const SetManagement& a) {
    state.management = a.tunnel;
    state.edits.erase(std::string(kManagementInterface));
  }
  void operator()(const RemoveTunnel& a) {
    if (a.name == kManagementInterface) state.management.reset();
    state.tunnels.erase(a.name);
    state.edits.erase(a.name);
  }
  void put(const Tunnel& tunnel) {
    state.tunnels[tunnel.name] = tunnel;
    state.edits.erase(tunnel.name);
  }
  void operator()(const ConfigureBird& a) {
    state.bird_running = true;
    state.unconfirmed = a.text;
  }
};

const Tunnel* find_tunnel(const Desired& wanted, const std::string& name) {
  auto it = std::ranges::find(wanted.tunnels, name, &Tunnel::name);
  return it == wanted.tunnels.end() ? nullptr : &*it;
}

/// The derived key follows from the log, both nodes and keys, and the epoch, so equal inputs mean an equal PSK.
bool same_psk(const Tunnel& a, const Tunnel& b) {
  return a.psk_log == b.psk_log && a.psk_node == b.psk_node && a.peer == b.peer &&
         a.own_generation == b.own_generation && a.peer_key == b.peer_key && a.psk_epoch == b.psk_epoch;
}

ObservedTunnel observe_tunnel(const Tunnel& tunnel, const Tunnel* wanted,
                              const std::map<uint32_t, WireGuardKey>& own_keys) {
  ObservedTunnel out;
  out.name = tunnel.name;
  out.up = true;
  out.mtu = tunnel.mtu;
  out.addresses = addresses_of(tunnel);
  out.peer_addresses = tunnel.peer_addresses;
  if (auto key = own_keys.find(tunnel.own_generation); key != own_keys.end())
    out.own_key = key->second;
  out.listen_port = tunnel.listen_port;
  out.peer_key = tunnel.peer_key;
  out.endpoint = out.configured_endpoint = endpoint_text(tunnel);
  out.keepalive = tunnel.keepalive;
  out.psk_matches = wanted != nullptr && same_psk(tunnel, *wanted);
  out.allowed_ips_match = true;
  out.allowed_ips = "0.0.0.0/0, ::/0";
  out.peers = {tunnel.peer_key};
  return out;
}

ObservedTunnel observe_management(const ManagementTunnel& is, const ManagementTunnel* wanted,
                                  const std::map<uint32_t, WireGuardKey>& own_keys) {
  ObservedTunnel out;
  out.name = kManagementInterface;
  out.up = true;
  out.mtu = is.mtu;
  out.addresses = addresses_of(is);
  if (auto key = own_keys.find(is.own_generation); key != own_keys.end()) out.own_key = key->second;
  out.listen_port = is.listen_port;
  if (!is.endpoint_host.empty())
    out.endpoint = out.configured_endpoint = host_port_text(is.endpoint_host, is.endpoint_port);
  for (const ManagementTunnelPeer& peer : is.peers) {
    const bool same = wanted != nullptr && wanted->psk_log == is.psk_log && wanted->psk_node == is.psk_node &&
                      wanted->own_generation == is.own_generation &&
                      std::ranges::any_of(wanted->peers, [&](const ManagementTunnelPeer& other) {
                        return other.node == peer.node && other.key == peer.key && other.psk_epoch == peer.psk_epoch;
                      });
    out.peers.push_back(peer.key);
    out.each.push_back({peer.key, is.keepalive, same, allowed_of(peer)});
  }
  std::ranges::sort(out.peers);
  std::ranges::sort(out.each, {}, &ObservedPeer::key);
  return out;
}

void apply_edit(const TunnelEdit& edit, ObservedTunnel& out) {
  if (edit.down) out.up = false;
  if (edit.no_address) out.addresses.clear();
  out.addresses.insert(out.addresses.end(), edit.more_addresses.begin(), edit.more_addresses.end());
  std::ranges::sort(out.addresses);
  if (edit.no_peer) out.peers.clear();
  if (edit.other_peer) out.peers.push_back(*edit.other_peer);
  std::ranges::sort(out.peers);
  if (out.peers.size() == 1) return;
  out.peer_key.reset();
  out.endpoint = out.configured_endpoint = out.allowed_ips = "";
  out.keepalive = 0;
  out.psk_matches = out.allowed_ips_match = false;
}

template <class Any>
void put_psk(Json& out, const Any& tunnel) {
  if (tunnel.psk_log.is_zero()) return;
  out["psk_log"] = to_hex(tunnel.psk_log.view());
  out["psk_node"] = tunnel.psk_node.value();
}

template <class Any>
void get_psk(const Json& j, Any& tunnel) {
  tunnel.psk_log = array_from_hex<LogId>(j.value("psk_log", "")).value_or(LogId());
  tunnel.psk_node = NodeId(j.value("psk_node", 0u));
}

Json tunnel_json(const Tunnel& t) {
  Json out{{"peer", t.peer.value()},
              {"listen_port", t.listen_port},
              {"mtu", t.mtu},
              {"address", to_text(t.address)},
              {"peer_address", to_text(t.peer_address)},
              {"loopback4", to_text(t.loopback4)},
              {"own_generation", t.own_generation},
              {"peer_key", to_base64(t.peer_key.view())},
              {"psk_epoch", t.psk_epoch},
              {"endpoint_host", t.endpoint_host},
              {"endpoint_port", t.endpoint_port},
              {"keepalive", t.keepalive}};
  for (const IpPrefix& prefix : t.addresses) out["addresses"].push_back(to_text(prefix));
  for (const PeerAddress& address : t.peer_addresses)
    out["peer_addresses"].push_back({to_text(address.local), to_text(address.peer)});
  put_psk(out, t);
  return out;
}

Result<Tunnel> tunnel_from(const std::string& name, const Json& j) {
  Tunnel t;
  t.name = name;
  t.peer = NodeId(j.at("peer").get<uint32_t>());
  t.listen_port = j.at("listen_port").get<uint16_t>();
  t.mtu = j.at("mtu").get<uint16_t>();
  auto address = parse_address(j.at("address").get<std::string>());
  auto peer_address = parse_address(j.at("peer_address").get<std::string>());
  auto loopback4 = parse_address(j.value("loopback4", "0.0.0.0"));  // 0.2 did not keep it
  auto key = array_from_base64<WireGuardKey>(j.at("peer_key").get<std::string>());
  if (!address || !peer_address || !loopback4 || !key)
    return fail(Errc::corrupt, "tunnel " + name + ": bad address or key");
  t.address = *address;
  t.peer_address = *peer_address;
  t.loopback4 = *loopback4;
  t.peer_key = *key;
  t.own_generation = j.at("own_generation").get<uint32_t>();
  t.psk_epoch = j.at("psk_epoch").get<uint64_t>();
  t.endpoint_host = j.at("endpoint_host").get<std::string>();
  t.endpoint_port = j.at("endpoint_port").get<uint16_t>();
  t.keepalive = j.at("keepalive").get<uint16_t>();
  for (const auto& text : j.value("addresses", Json::array())) {
    auto prefix = parse_prefix(text.get<std::string>());
    if (!prefix) return fail(Errc::corrupt, "tunnel " + name + ": bad address");
    t.addresses.push_back(*prefix);
  }
  for (const auto& pair : j.value("peer_addresses", Json::array())) {
    auto local = parse_address(pair.at(0).get<std::string>());
    auto other = parse_prefix(pair.at(1).get<std::string>());
    if (!local || !other) return fail(Errc::corrupt, "tunnel " + name + ": bad address");
    t.peer_addresses.push_back({*local, *other});
  }
  get_psk(j, t);
  return t;
}

Json management_json(const ManagementTunnel& m) {
  Json peers = Json::array();
  for (const ManagementTunnelPeer& peer : m.peers)
    peers.push_back({{"node", peer.node.value()},
                     {"key", to_base64(peer.key.view())},
                     {"psk_epoch", peer.psk_epoch},
                     {"address", to_text(peer.address)},
                     {"link_local", to_text(peer.link_local)}});
  Json out{{"listen_port", m.listen_port},
           {"mtu", m.mtu},
           {"keepalive", m.keepalive},
           {"address", to_text(m.address)},
           {"link_local", to_text(m.link_local)},
           {"own_generation", m.own_generation},
           {"endpoint_host", m.endpoint_host},
           {"endpoint_port", m.endpoint_port},
           {"peers", std::move(peers)}};
  put_psk(out, m);
  return out;
}

Result<ManagementTunnel> management_from(const Json& j) {
  ManagementTunnel m;
  auto read = [](const Json& from, IpAddress& address, IpAddress& link_local) {
    auto global = parse_address(from.at("address").get<std::string>());
    auto local = parse_address(from.at("link_local").get<std::string>());
    if (global) address = *global;
    if (local) link_local = *local;
    return global && local;
  };
  bool good = read(j, m.address, m.link_local);
  m.listen_port = j.at("listen_port").get<uint16_t>();
  m.mtu = j.at("mtu").get<uint16_t>();
  m.keepalive = j.at("keepalive").get<uint16_t>();
  m.own_generation = j.at("own_generation").get<uint32_t>();
  m.endpoint_host = j.at("endpoint_host").get<std::string>();
  m.endpoint_port = j.at("endpoint_port").get<uint16_t>();
  for (const Json& item : j.at("peers")) {
    ManagementTunnelPeer& peer = m.peers.emplace_back();
    auto key = array_from_base64<WireGuardKey>(item.at("key").get<std::string>());
    good = good && key && read(item, peer.address, peer.link_local);
    if (key) peer.key = *key;
    peer.node = NodeId(item.at("node").get<uint32_t>());
    peer.psk_epoch = item.at("psk_epoch").get<uint64_t>();
  }
  if (!good) return fail(Errc::corrupt, "tunnel tlwg_mgmt: bad address or key");
  get_psk(j, m);
  return m;
}

Result<DryRunState> state_from(const Json& j) {
  DryRunState out;
  for (const auto& [name, tunnel] : j.at("tunnels").items()) {
    auto parsed = tunnel_from(name, tunnel);
    if (!parsed) return std::unexpected(parsed.error());
    out.tunnels.emplace(name, std::move(*parsed));
  }
  if (j.contains("management")) {
    auto management = management_from(j.at("management"));
    if (!management) return std::unexpected(management.error());
    out.management = std::move(*management);
  }
  for (const auto& text : j.at("loopbacks")) {
    auto address = parse_address(text.get<std::string>());
    if (!address) return fail(Errc::corrupt, "bad loopback address");
    out.loopbacks.push_back(*address);
  }
  out.sysctls = j.at("sysctls").get<std::map<std::string, std::string>>();
  out.bird_running = j.at("bird_running").get<bool>();
  out.bird = j.at("bird").get<std::string>();
  return out;
}

}  // namespace

DryRunState apply_action(DryRunState state, const Action& action) {
  std::visit(Applier{state}, action);
  return state;
}

Observed observe_state(const DryRunState& state, const Desired& wanted,
                       const std::map<uint32_t, WireGuardKey>& own_keys) {
  Observed out;
  for (const auto& [name, tunnel] : state.tunnels)
    out.tunnels.emplace(name, observe_tunnel(tunnel, find_tunnel(wanted, name), own_keys));
  if (state.management)
    out.tunnels.emplace(kManagementInterface, observe_management(*state.management,
                                                                wanted.management ? &*wanted.management : nullptr,
                                                                own_keys));
  for (const auto& [name, edit] : state.edits)
    if (auto at = out.tunnels.find(name); at != out.tunnels.end()) apply_edit(edit, at->second);
  out.loopbacks = state.loopbacks;
  for (const auto& [name, value] : wanted.sysctls)
    if (auto it = state.sysctls.find(name); it != state.sysctls.end())
      out.sysctls.emplace(name, it->second);
  out.bird_running = state.bird_running;
  if (state.bird_running) out.bird = out.bird_file = state.running_bird();
  return out;
}

std::string state_text(const DryRunState& state) {
  Json tunnels = Json::object(), loopbacks = Json::array();
  for (const auto& [name, tunnel] : state.tunnels) tunnels[name] = tunnel_json(tunnel);
  for (const IpAddress& address : state.loopbacks) loopbacks.push_back(to_text(address));
  Json out{{"tunnels", std::move(tunnels)},
           {"loopbacks", std::move(loopbacks)},
           {"sysctls", state.sysctls},
           {"bird_running", state.bird_running},
           {"bird", state.bird}};
  if (state.management) out["management"] = management_json(*state.management);
  return out.dump(2) + "\n";
}

Result<DryRunState> parse_state(std::string_view text) {
  try {
    return state_from(Json::parse(text));
  } catch (const Json::exception& error) {
    return fail(Errc::corrupt, fmt::format("not the state of a dry-run router: {}", error.what()));
  }
}

Result<std::unique_ptr<DryRunDataplane>> DryRunDataplane::open(const TunnelKeys& keys,
                                                               std::filesystem::path file) {
  auto out = std::make_unique<DryRunDataplane>(keys);
  out->file_ = std::move(file);
  auto text = read_file(out->file_);
  if (!text && text.error().code == Errc::not_found) return out;
  if (!text) return std::unexpected(text.error());
  auto state = parse_state(*text);
  if (!state) return fail_in(out->file_.string(), state.error());
  out->state_ = std::move(*state);
  return out;
}

Status DryRunDataplane::check(const Desired& wanted) {
  MESH_TRY(pass(false));
  MESH_TRY(check_keys(wanted, keys_));
  return obstacle_ ? obstacle_(wanted) : Status();
}

Result<Observed> DryRunDataplane::observe(const Desired& wanted) {
  MESH_TRY(pass(false));
  Observed out = observe_state(state_, wanted, keys_.public_keys());
  if (state_.unconfirmed && !candidate_known_) out.bird.clear();
  return out;
}

void DryRunDataplane::await_other_paths(const std::vector<std::string>& going) {
  if (pass(false)) handovers_.push_back({state_, going});
}

Status DryRunDataplane::execute(const Action& action) {
  MESH_TRY(pass(true));
  if (fault_) MESH_TRY(fault_(action));
  if (std::holds_alternative<ConfigureBird>(action)) candidate_known_ = true;
  state_ = apply_action(std::move(state_), action);
  ++executed_;
  return save();
}

Status DryRunDataplane::confirm() {
  MESH_TRY(pass(state_.unconfirmed.has_value()));
  if (state_.unconfirmed && candidate_known_) state_.bird = *std::exchange(state_.unconfirmed, std::nullopt);
  return save();
}

Status DryRunDataplane::cancel() {
  MESH_TRY(pass(state_.unconfirmed.has_value()));
  state_.unconfirmed.reset();
  return {};
}

Result<Health> DryRunDataplane::health() {
  Health out;
  out.bird_running = state_.bird_running;
  for (const auto& [name, tunnel] : state_.tunnels) {
    TunnelHealth health;
    health.name = name;
    health.peer = tunnel.peer;
    health.up = true;
    health.endpoint = endpoint_text(tunnel);
    health.rtt_us = 1'000 + tunnel.peer.value();
    health.rtt_age_s = health.path_mtu_age_s = 0;
    health.mtu = health.path_mtu = tunnel.mtu;
    out.tunnels.push_back(std::move(health));
  }
  out.machine = {.load_milli = 250, .processors = 1, .memory_bytes = 1'000'000'000, .memory_free_bytes = 600'000'000,
                 .disk_bytes = 8'000'000'000, .disk_free_bytes = 5'000'000'000, .uptime_s = 86'400,
                 .kernel = "dry run", .bird = "dry run", .wireguard = "dry run"};
  out.warnings.push_back("dry run: no packet is carried");
  if (look_) look_(out);
  return out;
}

Result<std::vector<IpAddress>> DryRunDataplane::probe(const std::vector<IpAddress>&,
                                                      const std::vector<IpAddress>& targets) {
  std::vector<IpAddress> out;
  if (answers_) std::ranges::copy_if(targets, std::back_inserter(out), answers_);
  std::ranges::sort(out);
  return out;
}

Result<RouteLook> DryRunDataplane::look_at_routes(const Desired&) {
  if (!state_.bird_running) return RouteLook{};
  RouteLook out{true, digest_of({}), state_.route_edits, state_.disabled};
  std::erase_if(state_.route_edits, [](const RouteDifference& edit) { return edit.passed; });
  return out;
}

Status DryRunDataplane::mend_routes(const std::vector<RouteDifference>& differences) {
  for (const RouteDifference& difference : differences) std::erase(state_.route_edits, difference);
  return {};
}

Status DryRunDataplane::enable_protocol(const std::string& name) {
  std::erase(state_.disabled, name);
  return {};
}

Status DryRunDataplane::remove_all() {
  MESH_TRY(pass(true));
  state_ = DryRunState();
  return save();
}

Status DryRunDataplane::kill_bird() {
  state_.bird_running = false;
  state_.unconfirmed.reset();
  return save();
}

Status DryRunDataplane::reboot() {
  state_ = DryRunState();
  return save();
}

Status DryRunDataplane::save() const {
  return file_.empty() ? Status() : write_file(file_, state_text(state_), 0644);
}

}  // namespace mesh
