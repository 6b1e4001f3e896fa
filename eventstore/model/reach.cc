#include "eventstore/model/reach.h"

#include <algorithm>
#include <map>
#include <numeric>
#include <tuple>

#include "eventstore/model/intent.h"
#include "eventstore/model/topology.h"

namespace mesh {

namespace {

/// Disjoint sets with path halving (Tarjan, van Leeuwen 1984).
class Sets {
 public:
  explicit Sets(size_t size) : parent_(size) { std::iota(parent_.begin(), parent_.end(), 0); }
  size_t find(size_t of) {
    while (parent_[of] != of) of = parent_[of] = parent_[parent_[of]];
    return of;
  }
  void join(size_t a, size_t b) { parent_[find(a)] = find(b); }

 private:
  std::vector<size_t> parent_;
};

/// Nodes that others can dial are all linked within a group, so one of them stands for the group;
/// that spares looking at every pair.
Sets connect(const Intent& intent, const Topology& topology) {
  auto nodes = intent.nodes();
  Sets sets(nodes.size());
  std::map<uint32_t, size_t> first_public;  // of a group
  for (size_t i = 0; i < nodes.size(); ++i) {
    for (size_t peer : topology.uplinks(i)) sets.join(i, peer);
    if (!nodes[i].outside) continue;
    for (uint32_t group : nodes[i].groups) sets.join(i, first_public.emplace(group, i).first->second);
  }
  return sets;
}

bool intersect(const std::vector<uint32_t>& a, const std::vector<uint32_t>& b) {
  for (auto i = a.begin(), j = b.begin(); i != a.end() && j != b.end();) {
    if (*i == *j) return true;
    *i < *j ? ++i : ++j;
  }
  return false;
}

void sort_unique(std::vector<uint32_t>& list) {
  std::ranges::sort(list);
  list.erase(std::ranges::unique(list).begin(), list.end());
}

/// From 0, in order of first appearance.
std::vector<uint32_t> number_parts(Sets& sets, size_t size) {
  std::map<size_t, uint32_t> numbers;
  std::vector<uint32_t> out;
  for (size_t i = 0; i < size; ++i)
    out.push_back(
        numbers.emplace(sets.find(i), static_cast<uint32_t>(numbers.size())).first->second);
  return out;
}

}  // namespace

Reach::Reach(const MeshState& state) {
  const Intent intent(state);
  const Topology topology(intent);
  Sets sets = connect(intent, topology);
  auto nodes = intent.nodes();
  std::vector<uint32_t> parts = number_parts(sets, nodes.size());
  for (size_t i = 0; i < nodes.size(); ++i) {
    const NodeIntent& node = nodes[i];
    add({node.node->id, node.node->fullname(), node.loopback4, node.loopback6, parts[i]},
        node.lans);
  }
  finish();
}

Reach::Reach(const std::vector<ReachNode>& nodes) {
  Sets sets(nodes.size());
  auto names = [&](const ReachNode& node, NodeId peer) {
    return std::ranges::find(node.peers, peer) != node.peers.end();
  };
  for (size_t i = 0; i < nodes.size(); ++i)
    for (NodeId peer : nodes[i].peers) {
      auto other = std::ranges::lower_bound(nodes, peer, {}, &ReachNode::id);
      if (other == nodes.end() || other->id != peer) continue;
      const auto j = static_cast<size_t>(other - nodes.begin());
      // What is joined already needs no further proof: a full mesh has half a million links.
      if (j < i && sets.find(i) != sets.find(j) && names(*other, nodes[i].id)) sets.join(i, j);
    }
  std::vector<uint32_t> parts = number_parts(sets, nodes.size());
  for (size_t i = 0; i < nodes.size(); ++i)
    add({nodes[i].id, nodes[i].fullname, nodes[i].loopback4, nodes[i].loopback6, parts[i]},
        nodes[i].lans);
  finish();
}

void Reach::add(Place place, const std::vector<IpPrefix>& lans) {
  for (const IpPrefix& prefix : lans) lans_.push_back({prefix, {place.id}, {place.part}});
  part_count_ = std::max(part_count_, place.part + 1);
  nodes_.push_back(std::move(place));
}

/// One entry for each prefix.
void Reach::finish() {
  std::ranges::sort(lans_, {}, [](const ReachedLan& lan) { return std::pair(lan.prefix, lan.nodes.front()); });
  std::vector<ReachedLan> merged;
  for (ReachedLan& lan : lans_) {
    if (merged.empty() || merged.back().prefix != lan.prefix) {
      merged.push_back(std::move(lan));
      continue;
    }
    merged.back().nodes.push_back(lan.nodes.front());
    merged.back().parts.push_back(lan.parts.front());
  }
  for (ReachedLan& lan : merged) sort_unique(lan.parts);
  lans_ = std::move(merged);
}

std::optional<uint32_t> Reach::part_of(NodeId node) const {
  auto at = std::ranges::lower_bound(nodes_, node, {}, &Place::id);
  if (at == nodes_.end() || at->id != node) return std::nullopt;
  return at->part;
}

std::vector<NodeId> Reach::nodes_at(std::string_view place) const {
  for (const Place& node : nodes_)
    if (node.fullname == place || std::to_string(node.id.value()) == place) return {node.id};
  auto wanted = parse_prefix(place);
  if (!wanted) return {};
  const bool host = wanted->length == wanted->address.bits();
  for (const Place& node : nodes_)
    if (host && (node.loopback4 == wanted->address || node.loopback6 == wanted->address))
      return {node.id};
  const ReachedLan* smallest = nullptr;
  for (const ReachedLan& lan : lans_)
    if (lan.prefix.length <= wanted->length && lan.prefix.contains(wanted->address) &&
        (smallest == nullptr || smallest->prefix.length < lan.prefix.length))
      smallest = &lan;
  return smallest == nullptr ? std::vector<NodeId>{} : smallest->nodes;
}

Result<bool> Reach::reaches(std::string_view from, std::string_view to) const {
  auto one = parse_prefix(from), two = parse_prefix(to);
  if (one && two && one->v6() != two->v6())
    return fail(Errc::usage, std::string(from) + " and " + std::string(to) +
                                 " are of different families, so they cannot talk");
  std::vector<uint32_t> there;
  for (NodeId node : nodes_at(to)) there.push_back(*part_of(node));
  return std::ranges::any_of(nodes_at(from), [&](NodeId node) {
    return std::ranges::find(there, *part_of(node)) != there.end();
  });
}

namespace {

/// LANs of one family that are in the same parts before and after: they all lose and gain alike.
struct Alike {
  std::vector<uint32_t> before, after;  // parts; empty when it is not there
  bool asked = true;                    // about
  std::vector<IpPrefix> lans;           // ascending
};

std::vector<Alike> group_lans(const Reach& before, const Reach& after, bool v6,
                              const std::set<IpPrefix>* about) {
  using Key = std::tuple<std::vector<uint32_t>, std::vector<uint32_t>, bool>;
  std::map<IpPrefix, Key> keys;
  auto key = [&](const IpPrefix& prefix) -> Key& {
    auto [at, fresh] = keys.try_emplace(prefix);
    if (fresh) std::get<2>(at->second) = about == nullptr || about->contains(prefix);
    return at->second;
  };
  for (const ReachedLan& lan : before.lans())
    if (lan.prefix.v6() == v6) std::get<0>(key(lan.prefix)) = lan.parts;
  for (const ReachedLan& lan : after.lans())
    if (lan.prefix.v6() == v6) std::get<1>(key(lan.prefix)) = lan.parts;
  std::map<Key, std::vector<IpPrefix>> groups;
  for (const auto& [prefix, parts] : keys) groups[parts].push_back(prefix);
  std::vector<Alike> out;
  for (auto& [parts, lans] : groups)
    out.push_back({std::get<0>(parts), std::get<1>(parts), std::get<2>(parts), std::move(lans)});
  return out;
}

void add_pairs(const Alike& a, const Alike& b, size_t most, std::vector<LanPair>& out) {
  for (size_t i = 0; i < a.lans.size(); ++i)
    for (size_t j = &a == &b ? i + 1 : 0; j < b.lans.size(); ++j) {
      if (out.size() >= most) return;
      out.push_back({std::min(a.lans[i], b.lans[j]), std::max(a.lans[i], b.lans[j])});
    }
}

uint64_t count_pairs(const Alike& a, const Alike& b) {
  const uint64_t n = a.lans.size();
  return &a == &b ? n * (n - 1) / 2 : n * b.lans.size();
}

}  // namespace

ReachDifference compare_reach(const Reach& before, const Reach& after, size_t most,
                              const std::set<IpPrefix>* about) {
  ReachDifference out;
  for (bool v6 : {false, true}) {
    const auto groups = group_lans(before, after, v6, about);
    for (size_t i = 0; i < groups.size(); ++i)
      for (size_t j = i; j < groups.size(); ++j) {
        const Alike &a = groups[i], &b = groups[j];
        const bool then = intersect(a.before, b.before), now = intersect(a.after, b.after);
        if (then == now || (!a.asked && !b.asked)) continue;
        add_pairs(a, b, most, then ? out.lost : out.gained);
        (then ? out.lost_total : out.gained_total) += count_pairs(a, b);
      }
  }
  std::ranges::sort(out.lost);
  std::ranges::sort(out.gained);
  return out;
}

}  // namespace mesh
