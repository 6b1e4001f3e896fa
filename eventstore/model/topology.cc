#include "eventstore/model/topology.h"

#include <algorithm>

namespace mesh {

namespace {

/// The finaliser of SplitMix64 (Steele, Lea, Flood 2014): a bijection that mixes well.
uint64_t mix(uint64_t x) {
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
  return x ^ (x >> 31);
}

uint64_t weight(uint64_t seed, NodeId dialler, NodeId peer) {
  return mix(mix(mix(seed + 0x9e3779b97f4a7c15u) ^ dialler.value()) ^
             (uint64_t{peer.value()} << 32));
}

bool intersect(const std::vector<uint32_t>& a, const std::vector<uint32_t>& b) {
  for (auto i = a.begin(), j = b.begin(); i != a.end() && j != b.end();) {
    if (*i == *j) return true;
    *i < *j ? ++i : ++j;
  }
  return false;
}

std::vector<size_t> choose_uplinks(const Intent& intent, const std::vector<size_t>& publics,
                                   size_t dialler) {
  auto nodes = intent.nodes();
  const NodeIntent& self = nodes[dialler];
  std::vector<std::pair<uint64_t, size_t>> ranked;
  for (size_t peer : publics)
    if (intersect(self.groups, nodes[peer].groups))
      ranked.emplace_back(weight(intent.topology_seed(), self.node->id, nodes[peer].node->id),
                          peer);
  if (self.uplinks > 0 && ranked.size() > self.uplinks) {
    std::ranges::nth_element(ranked, ranked.begin() + self.uplinks, std::greater());
    ranked.resize(self.uplinks);
  }
  std::vector<size_t> out;
  for (auto [hash, peer] : ranked) out.push_back(peer);
  std::ranges::sort(out);
  return out;
}

}  // namespace

Topology::Topology(const Intent& intent) : intent_(intent), uplinks_(intent.nodes().size()) {
  std::vector<size_t> publics;
  auto nodes = intent.nodes();
  for (size_t i = 0; i < nodes.size(); ++i)
    if (nodes[i].outside) publics.push_back(i);
  for (size_t i = 0; i < nodes.size(); ++i)
    if (!nodes[i].outside) uplinks_[i] = choose_uplinks(intent, publics, i);
}

bool Topology::linked(size_t a, size_t b) const {
  const NodeIntent &one = intent_.nodes()[a], &two = intent_.nodes()[b];
  if (a == b || (!one.outside && !two.outside)) return false;
  if (!one.outside) return std::ranges::binary_search(uplinks_[a], b);
  if (!two.outside) return std::ranges::binary_search(uplinks_[b], a);
  return intersect(one.groups, two.groups);
}

std::vector<size_t> Topology::peers(size_t node) const {
  std::vector<size_t> out;
  for (size_t other = 0; other < uplinks_.size(); ++other)
    if (linked(node, other)) out.push_back(other);
  return out;
}

std::vector<Link> links(const MeshState& state) {
  Intent intent(state);
  Topology topology(intent);
  std::vector<Link> out;
  for (size_t a = 0; a < intent.nodes().size(); ++a)
    for (size_t b = a + 1; b < intent.nodes().size(); ++b)
      if (topology.linked(a, b))
        out.push_back({intent.nodes()[a].node->id, intent.nodes()[b].node->id});
  return out;
}

std::vector<NodeId> peers_of(const MeshState& state, const Node& node) {
  Intent intent(state);
  auto index = intent.find(node.id);
  std::vector<NodeId> out;
  if (!index) return out;
  for (size_t peer : Topology(intent).peers(*index)) out.push_back(intent.nodes()[peer].node->id);
  return out;
}

}  // namespace mesh
