#include "eventstore/model/interruption.h"

#include <fmt/format.h>

#include <algorithm>

namespace mesh {

namespace {

// Each costs a search through the network; a change of everything needs no ways, because there are none.
constexpr size_t kWaysMax = 1'000;

Link link_between(NodeId a, NodeId b) { return {std::min(a, b), std::max(a, b)}; }

Reach reach_of(const Network& network) {
  std::vector<ReachNode> nodes;
  for (const auto& place : network.nodes())
    nodes.push_back({place.id, place.fullname, place.loopback4, place.loopback6, place.lans, {}});
  return Reach(nodes, network.parts());
}

/// How `node` reaches `peer` in what is left.
std::string other_way(const Network& left, NodeId node, NodeId peer) {
  const auto from = left.find(node), to = left.find(peer);
  if (!from || !to) return {};
  const Network::Index target[] = {*to};
  const auto hop = left.next_hop(*from, left.hops_to(target));
  if (hop == Network::kNone) return " (no other way)";
  return fmt::format(" (its traffic goes another way: via {})", left.nodes()[hop].fullname);
}

}  // namespace

Interruptions find_interruptions(const Network& network, const std::map<NodeId, ConfigChange>& changes, size_t most) {
  Interruptions out;
  Failures failures;
  for (const auto& [node, change] : changes)
    for (const auto& reset : change.resets) failures.links.insert(link_between(node, reset.peer));
  if (failures.links.empty()) return out;
  const Network left = network.after(failures);
  for (const auto& [node, change] : changes) {
    for (const auto& reset : change.resets) {
      const auto at = network.find(node), peer = network.find(reset.peer);
      if (!at || !peer) continue;
      out.lines[node].push_back(fmt::format(
          "session reset: link {} - {}, {}{}", network.nodes()[*at].fullname, network.nodes()[*peer].fullname,
          reset.duration, failures.links.size() > kWaysMax ? "" : other_way(left, node, reset.peer)));
    }
  }
  auto difference = compare_reach(reach_of(network), reach_of(left), most);
  out.pairs = std::move(difference.lost);
  out.pairs_total = difference.lost_total;
  return out;
}

}  // namespace mesh
