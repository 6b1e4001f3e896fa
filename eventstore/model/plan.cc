#include "eventstore/model/plan.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <set>

namespace mesh {

namespace {

bool endpoint_differs_from(const ObservedTunnel& is, const std::string& host, uint16_t port) {
  if (host.empty()) return false;
  std::string text = host_port_text(host, port);
  if (!is.configured_endpoint.empty()) return is.configured_endpoint != text;
  bool is_name = !parse_address(host).has_value();
  return is.endpoint.empty() || (!is_name && is.endpoint != text);
}

}  // namespace

bool endpoint_differs(const ObservedTunnel& is, const Tunnel& wanted) {
  return endpoint_differs_from(is, wanted.endpoint_host, wanted.endpoint_port);
}

bool endpoint_differs(const ObservedTunnel& is, const ManagementTunnel& wanted) {
  return endpoint_differs_from(is, wanted.endpoint_host, wanted.endpoint_port);
}

namespace {

/// What differs between an interface and what it shall be, for people; empty = nothing.
std::string differences(const ObservedTunnel& is, const Tunnel& wanted,
                        const WireGuardKey& own_key) {
  std::vector<std::string_view> out;
  if (is.own_key != own_key) out.push_back("own key");
  if (is.listen_port != wanted.listen_port) out.push_back("listen port");
  if (is.peer_key != wanted.peer_key) out.push_back("peer key");
  if (!is.psk_matches) out.push_back("pre-shared key");
  if (!is.allowed_ips_match) out.push_back("allowed addresses");
  if (endpoint_differs(is, wanted)) out.push_back("peer endpoint");
  if (is.keepalive != wanted.keepalive) out.push_back("keepalive");
  if (is.mtu != wanted.mtu) out.push_back("mtu");
  if (is.addresses != addresses_of(wanted) || is.peer_addresses != wanted.peer_addresses) out.push_back("address");
  if (!is.up) out.push_back("link down");
  return fmt::format("{}", fmt::join(out, ", "));
}

std::string differences(const ObservedTunnel& is, const ManagementTunnel& wanted, const WireGuardKey& own_key) {
  std::vector<std::string> out;
  if (is.own_key != own_key) out.push_back("own key");
  if (is.listen_port != wanted.listen_port) out.push_back("listen port");
  std::set<WireGuardKey> others;
  for (const ObservedPeer& peer : is.each) others.insert(peer.key);
  for (const ManagementTunnelPeer& peer : wanted.peers) {
    others.erase(peer.key);
    auto has = std::ranges::find(is.each, peer.key, &ObservedPeer::key);
    if (has == is.each.end() || !has->psk_matches || has->keepalive != wanted.keepalive ||
        has->allowed != allowed_of(peer))
      out.push_back(fmt::format("peer {}", peer.node.value()));
  }
  if (!others.empty()) out.push_back("other peers");
  if (endpoint_differs(is, wanted)) out.push_back("hub endpoint");
  if (is.mtu != wanted.mtu) out.push_back("mtu");
  if (is.addresses != addresses_of(wanted) || !is.peer_addresses.empty()) out.push_back("address");
  if (!is.up) out.push_back("link down");
  return fmt::format("{}", fmt::join(out, ", "));
}

bool makes(const Action& step) {
  const auto* management = std::get_if<SetManagement>(&step);
  return std::holds_alternative<CreateTunnel>(step) || (management != nullptr && management->aspects.empty());
}

/// Orders the steps on tunnels so that a UDP port is free when the next tunnel takes it.
class TunnelPlan {
 public:
  TunnelPlan(const Observed& observed, const Desired& desired,
             const std::map<uint32_t, WireGuardKey>& own_keys)
      : observed_(observed) {
    for (const auto& [name, tunnel] : observed.tunnels) holders_[tunnel.listen_port].insert(name);
    for (const auto& tunnel : desired.tunnels)
      want(tunnel.name, tunnel, own_keys, CreateTunnel{tunnel},
           [&](std::string aspects) { return UpdateTunnel{tunnel, std::move(aspects)}; });
    if (desired.management) {
      const ManagementTunnel& tunnel = *desired.management;
      want(std::string(kManagementInterface), tunnel, own_keys, SetManagement{tunnel, {}},
           [&](std::string aspects) { return SetManagement{tunnel, std::move(aspects)}; });
    }
  }

  /// New tunnels, then changed ones, except where a port forces another order.
  std::vector<Action> build() {
    for (const auto& [name, step] : steps_)
      if (makes(step)) visit(name);
    for (const auto& [name, step] : steps_) visit(name);
    return std::move(out_);
  }

  std::vector<Action> removals() const {
    std::vector<Action> out;
    for (const auto& [name, tunnel] : observed_.tunnels)
      if (!wanted_.contains(name) && !removed_.contains(name)) out.push_back(RemoveTunnel{name});
    return out;
  }

 private:
  enum class Mark { open, done };

  template <class Wanted, class Update>
  void want(const std::string& name, const Wanted& wanted, const std::map<uint32_t, WireGuardKey>& own_keys,
            Action create, Update update) {
    wanted_[name] = wanted.listen_port;
    auto is = observed_.tunnels.find(name);
    auto key = own_keys.find(wanted.own_generation);
    if (key == own_keys.end()) return;
    if (is == observed_.tunnels.end()) {
      steps_[name] = std::move(create);
    } else if (auto aspects = differences(is->second, wanted, key->second); !aspects.empty()) {
      steps_[name] = update(std::move(aspects));
    }
  }

  void visit(const std::string& name) {
    if (!marks_.emplace(name, Mark::open).second) return;
    uint16_t port = wanted_.at(name);
    for (const auto& holder : holders_[port])
      if (holder != name) free_port(holder, port);
    Action step = steps_.at(name);
    if (removed_.contains(name)) {
      if (auto update = std::get_if<UpdateTunnel>(&step)) step = CreateTunnel{update->tunnel};
      if (auto management = std::get_if<SetManagement>(&step)) management->aspects.clear();
    }
    out_.push_back(std::move(step));
    marks_[name] = Mark::done;
  }

  /// Makes `holder` let go of `port`: by its own step first, else, when it has none or waits
  /// itself, by removal.
  void free_port(const std::string& holder, uint16_t port) {
    if (removed_.contains(holder)) return;
    bool moves = steps_.contains(holder) && wanted_.at(holder) != port;
    if (moves && !marks_.contains(holder)) visit(holder);
    if (moves && marks_.at(holder) == Mark::done) return;
    if (wanted_.contains(holder) && !moves)
      return;  // two tunnels that want one port: not ours to break
    removed_.insert(holder);
    out_.push_back(RemoveTunnel{holder});
  }

  const Observed& observed_;
  std::map<uint16_t, std::set<std::string>> holders_;
  std::map<std::string, uint16_t> wanted_;  // the port of each
  std::map<std::string, Action> steps_;
  std::map<std::string, Mark> marks_;
  std::set<std::string> removed_;
  std::vector<Action> out_;
};

void add(std::vector<Action>& out, std::vector<Action> more) {
  out.insert(out.end(), std::make_move_iterator(more.begin()), std::make_move_iterator(more.end()));
}

/// `a`, and what of `b` is not in it.
std::vector<IpAddress> united(std::vector<IpAddress> a, const std::vector<IpAddress>& b) {
  for (const auto& address : b)
    if (std::ranges::find(a, address) == a.end()) a.push_back(address);
  return a;
}

}  // namespace

std::vector<Action> plan(const Observed& observed, const Desired& desired,
                         const std::map<uint32_t, WireGuardKey>& own_keys) {
  std::vector<Action> out;
  for (const auto& [name, value] : desired.sysctls) {
    auto is = observed.sysctls.find(name);
    if (is == observed.sysctls.end() || is->second != value) out.push_back(SetSysctl{name, value});
  }
  // The kernel drops routes whose preferred source goes: the old addresses stay until BIRD uses the new ones.
  const auto loopbacks = united(desired.loopbacks, observed.loopbacks);
  if (loopbacks.size() != observed.loopbacks.size()) out.push_back(SetLoopbacks{loopbacks});
  TunnelPlan tunnels(observed, desired, own_keys);
  add(out, tunnels.build());
  if (!observed.bird_running || observed.bird != desired.bird)
    out.push_back(ConfigureBird{desired.bird, !observed.bird_running});
  add(out, tunnels.removals());
  if (loopbacks.size() != desired.loopbacks.size()) out.push_back(SetLoopbacks{desired.loopbacks});
  return out;
}

size_t removals_at(const std::vector<Action>& actions) {
  size_t at = actions.size();
  auto takes_away = [](const Action& action) {
    return std::holds_alternative<RemoveTunnel>(action) ||
           std::holds_alternative<SetLoopbacks>(action);
  };
  while (at > 0 && takes_away(actions[at - 1])) --at;
  return at;
}

std::string to_text(const Action& action) {
  struct Texts {
    std::string operator()(const SetSysctl& a) const {
      return fmt::format("sysctl {} = {}", a.name, a.value);
    }
    std::string operator()(const SetLoopbacks& a) const {
      std::vector<std::string> texts;
      for (const auto& address : a.addresses) texts.push_back(mesh::to_text(address));
      return fmt::format("loopbacks: {}", fmt::join(texts, ", "));
    }
    std::string operator()(const CreateTunnel& a) const {
      return fmt::format("tunnel {}: create, port {}", a.tunnel.name, a.tunnel.listen_port);
    }
    std::string operator()(const UpdateTunnel& a) const {
      return fmt::format("tunnel {}: set {}", a.tunnel.name, a.aspects);
    }
    std::string operator()(const SetManagement& a) const {
      return a.aspects.empty() ? fmt::format("tunnel {}: create, port {}", kManagementInterface, a.tunnel.listen_port)
                               : fmt::format("tunnel {}: set {}", kManagementInterface, a.aspects);
    }
    std::string operator()(const ConfigureBird& a) const {
      return fmt::format("bird: {} with {} lines", a.start ? "start" : "configure",
                         std::ranges::count(a.text, '\n'));
    }
    std::string operator()(const RemoveTunnel& a) const {
      return fmt::format("tunnel {}: remove", a.name);
    }
  };
  return std::visit(Texts{}, action);
}

}  // namespace mesh
