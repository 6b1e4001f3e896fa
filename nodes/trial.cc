#include "nodes/trial.h"

#include <fmt/core.h>

#include <algorithm>
#include <map>
#include <set>

#include "eventstore/model/intent.h"

namespace mesh {

Gates make_gates(const MeshState& state, NodeId self, const PendingActivation& pending) {
  constexpr std::string_view kReach = "reach:";
  Gates gates;
  gates.for_ms = int64_t{pending.for_s} * 1000;
  std::set<std::string> sites;
  for (const auto& gate : pending.health) {
    if (gate == "controller") gates.controller = true;
    if (gate == "bgp") gates.bgp = true;
    if (gate == "bfd") gates.bfd = true;
    if (gate.starts_with(kReach)) sites.insert(gate.substr(kReach.size()));
  }
  if (sites.empty()) return gates;
  std::set<std::string> empty = sites;
  const Intent intent(state);
  for (const auto& each : intent.nodes()) {
    const auto& node = *each.node;
    if (node.enrolment != Enrolment::enrolled || !sites.contains(node.site)) continue;
    empty.erase(node.site);
    if (node.id != self) gates.reach.push_back({"node " + node.fullname(), {each.loopback4, each.loopback6}});
  }
  // Nobody is left to answer there: a gate that was asked for does not open by itself.
  for (const auto& site : empty) gates.reach.push_back({fmt::format("site {} (no node is enrolled)", site), {}});
  return gates;
}

std::vector<NodeId> quiet_peers(const Health& health) {
  std::map<NodeId, bool> up;
  for (const auto& tunnel : health.tunnels) up[tunnel.peer] |= tunnel.bgp_up();
  std::vector<NodeId> quiet;
  for (const auto& [peer, is_up] : up)
    if (!is_up) quiet.push_back(peer);
  return quiet;
}

bool Trial::extend(const PendingActivation& pending, int64_t now) {
  if (pending.extensions <= kept_.extensions) return false;
  kept_.extensions = pending.extensions;
  kept_.seconds = pending.seconds;
  kept_.deadline_ms = now + int64_t{pending.seconds} * 1000;
  return true;
}

std::optional<std::string> Trial::session_down(const Sight& sight, bool bfd) const {
  const std::string kind = bfd ? "bfd" : "bgp";
  if (!sight.health) return kind + " sessions cannot be read";
  std::map<NodeId, std::string> down;  // the first that is, of each peer
  std::set<NodeId> up;
  for (const auto& tunnel : sight.tunnels) {
    const auto seen = std::ranges::find(sight.health->tunnels, tunnel.name, &TunnelHealth::name);
    const bool there = seen != sight.health->tunnels.end();
    if (there && (bfd ? seen->bfd_up() : seen->bgp_up())) {
      up.insert(tunnel.peer);
      continue;
    }
    const auto state = there ? bfd ? seen->bfd_state : seen->bgp_state : std::string();
    down.try_emplace(tunnel.peer,
                     fmt::format("{} session {} is {}", kind, tunnel.name, state.empty() ? "missing" : state));
  }
  for (const auto& [peer, what] : down)
    if (!up.contains(peer) && !std::ranges::binary_search(kept_.quiet, peer)) return what;
  return std::nullopt;
}

std::optional<std::string> Trial::first_down(const Gates& gates, const Sight& sight) const {
  // Only what came after the change shows that the way to the controller survived it.
  if (gates.controller && !(sight.heard_ms && *sight.heard_ms > *first_look_)) return "the controller is not heard";
  for (const bool bfd : {false, true}) {
    if (!(bfd ? gates.bfd : gates.bgp)) continue;
    if (auto down = session_down(sight, bfd)) return down;
  }
  for (const auto& place : gates.reach) {
    const auto answers = [&](const IpAddress& each) { return std::ranges::binary_search(sight.answered, each); };
    if (std::ranges::none_of(place.addresses, answers)) return place.name + " does not answer";
  }
  return std::nullopt;
}

Trial::Verdict Trial::look(const Gates& gates, const Sight& sight, int64_t now) {
  if (!first_look_) first_look_ = now;
  if (gates.empty() || healthy_ || confirmed_) return Verdict::waits;
  const auto down = first_down(gates, sight);
  if (!down) {
    if (!up_since_) up_since_ = now;
    healthy_ = now - *up_since_ >= gates.for_ms;
    return healthy_ ? Verdict::healthy : Verdict::waits;
  }
  // One look that fails says nothing about sessions that were up a second ago.
  if (up_since_ && (gates.bgp || gates.bfd) && !sight.health) return Verdict::waits;
  up_since_.reset();
  if (now - *first_look_ < gates.for_ms) return Verdict::waits;
  why_ = "health: " + *down;
  return Verdict::lost;
}

}  // namespace mesh
