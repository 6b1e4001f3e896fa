#include "eventstore/model/reach.h"

#include <algorithm>
#include <map>
#include <tuple>

#include "eventstore/model/disjoint_sets.h"
#include "eventstore/model/intent.h"
#include "eventstore/model/topology.h"

namespace mesh {

namespace {

/// Nodes that others can dial are all linked within a group, so one of them stands for the group;
/// that spares looking at every pair.
DisjointSets connect(const Intent& intent, const Topology& topology) {
  auto nodes = intent.nodes();
  DisjointSets sets(nodes.size());
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

}  // namespace

Reach::Reach(const MeshState& state) {
  const Intent intent(state);
  const Topology topology(intent);
  DisjointSets sets = connect(intent, topology);
  auto nodes = intent.nodes();
  const std::vector<uint32_t> parts = sets.numbers();
  for (size_t i = 0; i < nodes.size(); ++i) {
    const NodeIntent& node = nodes[i];
    add({node.node->id, node.node->fullname(), node.loopback4, node.loopback6, parts[i]},
        node.lans);
  }
  finish();
}

Reach::Reach(const std::vector<ReachNode>& nodes) {
  DisjointSets sets(nodes.size());
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
  read(nodes, sets.numbers());
}

Reach::Reach(const std::vector<ReachNode>& nodes, const std::vector<uint32_t>& parts) {
  read(nodes, parts);
}

void Reach::read(const std::vector<ReachNode>& nodes, const std::vector<uint32_t>& parts) {
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

/// Where a LAN is: of each of the LANs that stand for it the parts. Empty when it is not there.
using Presence = std::vector<std::vector<uint32_t>>;

/// The LANs of one family, and which of them stand for another.
class Cover {
 public:
  Cover(const Reach& reach, bool v6) {
    for (const ReachedLan& lan : reach.lans()) {
      if (lan.prefix.v6() != v6) continue;
      lans_.push_back(&lan);
      lengths_.insert(lan.prefix.length);
    }
  }

  const std::vector<const ReachedLan*>& lans() const { return lans_; }

  Presence of(const IpPrefix& prefix) const {
    // Of those around it the smallest; few lengths are in use.
    for (auto length = lengths_.upper_bound(prefix.length); length != lengths_.begin();)
      if (const ReachedLan* lan = find(IpPrefix{prefix.address, *--length}.network()))
        return {lan->parts};
    Presence out;
    if (!fill(prefix, out)) out.clear();
    return out;
  }

 private:
  const ReachedLan* find(const IpPrefix& prefix) const {
    auto at = first_from(prefix);
    return at != lans_.end() && (*at)->prefix == prefix ? *at : nullptr;
  }
  std::vector<const ReachedLan*>::const_iterator first_from(const IpPrefix& prefix) const {
    return std::ranges::lower_bound(lans_, prefix, {}, [](const ReachedLan* lan) { return lan->prefix; });
  }

  /// By halves, as long as something is inside.
  bool fill(const IpPrefix& prefix, Presence& out) const {
    auto at = first_from(prefix);
    if (at == lans_.end() || !prefix.contains((*at)->prefix.address)) return false;
    if ((*at)->prefix == prefix) {
      out.push_back((*at)->parts);
      return true;
    }
    if (prefix.length == prefix.address.bits()) return false;
    IpPrefix low{prefix.address, prefix.length + 1}, high = low;
    high.address.bytes[prefix.length / 8] |= static_cast<uint8_t>(0x80 >> prefix.length % 8);
    return fill(low, out) && fill(high, out);
  }

  std::vector<const ReachedLan*> lans_;
  std::set<unsigned> lengths_;
};

bool reaches(const Presence& a, const Presence& b) {
  if (a.empty() || b.empty()) return false;
  return std::ranges::all_of(a, [&](const auto& one) {
    return std::ranges::all_of(b, [&](const auto& two) { return intersect(one, two); });
  });
}

/// LANs of one family that are in the same parts before and after: they all lose and gain alike.
struct Alike {
  Presence before, after;
  bool in_before = false, in_after = false;  // themselves, not only what stands for them
  bool asked = true;                         // about
  std::vector<IpPrefix> lans;  // ascending
};

std::vector<Alike> group_lans(const Reach& before, const Reach& after, bool v6,
                              const std::set<IpPrefix>* about) {
  const Cover then(before, v6), now(after, v6);
  std::map<IpPrefix, Alike> all;
  for (const ReachedLan* lan : then.lans()) all[lan->prefix].in_before = true;
  for (const ReachedLan* lan : now.lans()) all[lan->prefix].in_after = true;
  std::map<std::tuple<Presence, Presence, bool, bool, bool>, Alike> groups;
  for (auto& [prefix, alike] : all) {
    alike.before = then.of(prefix);
    alike.after = now.of(prefix);
    alike.asked = about == nullptr || about->contains(prefix);
    std::tuple key(alike.before, alike.after, alike.in_before, alike.in_after, alike.asked);
    groups.try_emplace(std::move(key), std::move(alike)).first->second.lans.push_back(prefix);
  }
  std::vector<Alike> out;
  for (auto& [key, alike] : groups) out.push_back(std::move(alike));
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
        const bool then = reaches(a.before, b.before), now = reaches(a.after, b.after);
        const bool there = then ? a.in_before && b.in_before : a.in_after && b.in_after;
        if (then == now || !there || (!a.asked && !b.asked)) continue;
        add_pairs(a, b, most, then ? out.lost : out.gained);
        (then ? out.lost_total : out.gained_total) += count_pairs(a, b);
      }
  }
  std::ranges::sort(out.lost);
  std::ranges::sort(out.gained);
  return out;
}

}  // namespace mesh
