// Claim: apply(plan(o, d), o) = d and plan(d, d) is empty, for any router o; and every step can be
// done when its turn comes: nothing is created twice, nothing takes a UDP port in use, and no
// tunnel that stays is removed but to break a circle of ports. Method: rapidcheck, and a small
// model of a router that refuses what a kernel would.
#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <algorithm>

#include "eventstore/model/compile.h"
#include "eventstore/model/plan.h"
#include "tests/property/compile/random_mesh.h"
#include "tests/unit/compile/states.h"

namespace mesh {
namespace {

using namespace testing;

using OwnKeys = std::map<uint32_t, WireGuardKey>;

OwnKeys own_keys() { return {{1, key_of(11, 1)}, {2, key_of(11, 2)}, {3, key_of(11, 3)}}; }

/// Does actions as a router would.
class Router {
 public:
  Router(Observed observed, OwnKeys keys) : is_(std::move(observed)), keys_(std::move(keys)) {}
  const Observed& observed() const { return is_; }

  void operator()(const SetSysctl& a) { is_.sysctls[a.name] = a.value; }
  void operator()(const SetLoopbacks& a) { is_.loopbacks = a.addresses; }
  void operator()(const RemoveTunnel& a) { RC_ASSERT(is_.tunnels.erase(a.name) == 1u); }
  void operator()(const SetManagement& a) {
    RC_ASSERT(is_.tunnels.contains(std::string(kManagementInterface)) == !a.aspects.empty());
    ObservedTunnel& is = take_port(std::string(kManagementInterface), a.tunnel.listen_port);
    is.mtu = a.tunnel.mtu;
    is.addresses = addresses_of(a.tunnel);
    is.own_key = keys_.at(a.tunnel.own_generation);
    is.each.clear();
    for (const auto& peer : a.tunnel.peers) is.each.push_back({peer.key, a.tunnel.keepalive, true, allowed_of(peer)});
    tell(is, a.tunnel.endpoint_host, a.tunnel.endpoint_port);
  }
  void operator()(const ConfigureBird& a) {
    RC_ASSERT(a.start == !is_.bird_running);
    is_.bird_running = true;
    is_.bird = a.text;
  }
  void operator()(const CreateTunnel& a) {
    RC_ASSERT(!is_.tunnels.contains(a.tunnel.name));
    become(a.tunnel);
  }
  void operator()(const UpdateTunnel& a) {
    RC_ASSERT(is_.tunnels.contains(a.tunnel.name));
    RC_ASSERT(!a.aspects.empty());
    become(a.tunnel);
  }

 private:
  ObservedTunnel& take_port(const std::string& name, uint16_t port) {
    for (const auto& [of, other] : is_.tunnels) RC_ASSERT(of == name || other.listen_port != port);
    ObservedTunnel& is = is_.tunnels[name];
    is.name = name;
    is.up = true;
    is.listen_port = port;
    return is;
  }
  static void tell(ObservedTunnel& is, const std::string& host, uint16_t port) {
    if (host.empty()) return;
    is.configured_endpoint = host_port_text(host, port);
    is.endpoint = "203.0.113.1:1";  // what a name resolved to, or where the peer roamed
  }
  void become(const Tunnel& tunnel) {
    ObservedTunnel& is = take_port(tunnel.name, tunnel.listen_port);
    is.psk_matches = is.allowed_ips_match = true;
    is.mtu = tunnel.mtu;
    is.addresses = addresses_of(tunnel);
    is.own_key = keys_.at(tunnel.own_generation);
    is.peer_key = tunnel.peer_key;
    is.keepalive = tunnel.keepalive;
    tell(is, tunnel.endpoint_host, tunnel.endpoint_port);
  }

  Observed is_;
  OwnKeys keys_;
};

/// The configuration of one node of a random mesh.
Desired any_desired() {
  MeshState state = make_state(*rc::gen::container<MeshRecipe>(any_node()));
  if (state.nodes.empty()) return {};
  NodeId node = state.nodes.begin()->first;
  if (*rc::gen::arbitrary<bool>()) {  // the first or another is the hub
    const NodeId hub = *rc::gen::arbitrary<bool>() ? node : state.nodes.rbegin()->first;
    set(state.global, {{"controller_hostname", "hub.example.net"}});
    state.global["management_hub"] = {typed(std::to_string(hub.value())), Sequence(2)};
  }
  return bind(*compile(state, node), make_overlay(state, node));
}

Router run(Router router, const std::vector<Action>& actions) {
  for (const auto& action : actions) std::visit(router, action);
  return router;
}

/// A router that was something else before and was tampered with; each port is used once, as in a
/// kernel.
Observed any_observed() {
  Observed out = run(Router({}, own_keys()), plan({}, any_desired(), own_keys())).observed();
  std::vector<uint16_t*> ports;
  for (auto& [name, tunnel] : out.tunnels) {
    if (*rc::gen::inRange(0, 4) == 0) tunnel.up = false;
    if (*rc::gen::inRange(0, 4) == 0) tunnel.psk_matches = false;
    if (*rc::gen::inRange(0, 4) == 0) tunnel.peer_key.reset();
    if (*rc::gen::inRange(0, 4) == 0) tunnel.addresses.clear();
    if (*rc::gen::inRange(0, 4) == 0 && !tunnel.each.empty()) tunnel.each.pop_back();
    if (*rc::gen::inRange(0, 4) == 0 && !tunnel.each.empty()) tunnel.each.front().key.bytes[5] ^= 1;
    if (*rc::gen::inRange(0, 4) == 0 && !tunnel.each.empty()) tunnel.each.front().psk_matches = false;
    if (*rc::gen::inRange(0, 4) == 0) tunnel.configured_endpoint.clear();
    ports.push_back(&tunnel.listen_port);
  }
  for (size_t i = 1; i < ports.size(); ++i)
    if (*rc::gen::arbitrary<bool>()) std::swap(*ports[i], *ports[*rc::gen::inRange<size_t>(0, i)]);
  uint16_t shift = *rc::gen::inRange<uint16_t>(0, 3);
  for (uint16_t* port : ports) *port = static_cast<uint16_t>(*port + shift);
  if (*rc::gen::arbitrary<bool>()) out.bird_running = false;
  return out;
}

RC_GTEST_PROP(PlanLaws, ApplyingThePlanGivesWhatIsWanted, ()) {
  Observed observed = any_observed();
  Desired desired = any_desired();
  auto actions = plan(observed, desired, own_keys());
  Router router = run(Router(observed, own_keys()), actions);
  const Observed& now = router.observed();
  RC_ASSERT(plan(now, desired, own_keys()).empty());
  RC_ASSERT(now.tunnels.size() == desired.tunnels.size() + (desired.management ? 1 : 0));
  if (const auto& management = desired.management) {
    const ObservedTunnel& is = now.tunnels.at(std::string(kManagementInterface));
    RC_ASSERT(is.each.size() == management->peers.size() && is.listen_port == management->listen_port);
    for (size_t i = 0; i < is.each.size(); ++i)
      RC_ASSERT(is.each[i].psk_matches && is.each[i].key == management->peers[i].key &&
                is.each[i].allowed == allowed_of(management->peers[i]));
  }
  for (const auto& tunnel : desired.tunnels) {
    const ObservedTunnel& is = now.tunnels.at(tunnel.name);
    RC_ASSERT(is.up && is.psk_matches && is.allowed_ips_match);
    RC_ASSERT(is.peer_key == tunnel.peer_key && is.own_key == own_keys().at(tunnel.own_generation));
    RC_ASSERT(is.listen_port == tunnel.listen_port && is.mtu == tunnel.mtu &&
              is.keepalive == tunnel.keepalive);
  }
  RC_ASSERT(now.bird == desired.bird && now.bird_running && now.loopbacks == desired.loopbacks);
  for (const auto& [name, value] : desired.sysctls) RC_ASSERT(now.sysctls.at(name) == value);
  for (const auto& action : actions) RC_ASSERT(!to_text(action).empty());
}

RC_GTEST_PROP(PlanLaws, WhatIsRightIsLeftAlone, ()) {
  Desired desired = any_desired();
  auto actions = plan({}, desired, own_keys());
  Observed observed = run(Router({}, own_keys()), actions).observed();
  RC_ASSERT(plan(observed, desired, own_keys()).empty());
  for (const auto& action : actions) {
    RC_ASSERT(!std::holds_alternative<RemoveTunnel>(action));
    RC_ASSERT(!std::holds_alternative<UpdateTunnel>(action));
  }
}

RC_GTEST_PROP(PlanLaws, TheOrderKeepsThePathOpen, ()) {
  Observed observed = any_observed();
  Desired desired = any_desired();
  bool bird_done = false;
  for (const auto& action : plan(observed, desired, own_keys())) {
    if (std::holds_alternative<ConfigureBird>(action)) bird_done = true;
    if (std::holds_alternative<CreateTunnel>(action) ||
        std::holds_alternative<UpdateTunnel>(action))
      RC_ASSERT(!bird_done);
  }
}

}  // namespace
}  // namespace mesh
