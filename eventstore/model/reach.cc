#include "eventstore/model/reach.h"

#include <algorithm>
#include <map>
#include <numeric>

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

template <class T>
void sort_unique(std::vector<T>& list) {
  std::ranges::sort(list);
  list.erase(std::ranges::unique(list).begin(), list.end());
}

}  // namespace

Reach::Reach(const MeshState& state) {
  const Intent intent(state);
  const Topology topology(intent);
  Sets sets = connect(intent, topology);
  std::map<size_t, uint32_t> numbers;
  std::map<IpPrefix, ReachedLan> lans;
  auto nodes = intent.nodes();
  nodes_.reserve(nodes.size());
  for (size_t i = 0; i < nodes.size(); ++i) {
    const uint32_t part =
        numbers.emplace(sets.find(i), static_cast<uint32_t>(numbers.size())).first->second;
    const NodeIntent& node = nodes[i];
    nodes_.push_back(
        {node.node->id, node.node->fullname(), node.loopback4, node.loopback6, part});
    for (const IpPrefix& prefix : node.lans) {
      ReachedLan& lan = lans[prefix];
      lan.prefix = prefix;
      lan.nodes.push_back(node.node->id);
      lan.parts.push_back(part);
    }
  }
  part_count_ = static_cast<uint32_t>(numbers.size());
  for (auto& [prefix, lan] : lans) {
    sort_unique(lan.parts);
    lans_.push_back(std::move(lan));
  }
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
  std::vector<IpPrefix> lans;           // ascending
};

std::vector<Alike> group_lans(const Reach& before, const Reach& after, bool v6) {
  std::map<IpPrefix, std::pair<std::vector<uint32_t>, std::vector<uint32_t>>> parts;
  for (const ReachedLan& lan : before.lans())
    if (lan.prefix.v6() == v6) parts[lan.prefix].first = lan.parts;
  for (const ReachedLan& lan : after.lans())
    if (lan.prefix.v6() == v6) parts[lan.prefix].second = lan.parts;
  std::map<std::pair<std::vector<uint32_t>, std::vector<uint32_t>>, std::vector<IpPrefix>> groups;
  for (auto& [prefix, key] : parts) groups[std::move(key)].push_back(prefix);
  std::vector<Alike> out;
  for (auto& [key, lans] : groups) out.push_back({key.first, key.second, std::move(lans)});
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

ReachDifference compare_reach(const Reach& before, const Reach& after, size_t most) {
  ReachDifference out;
  for (bool v6 : {false, true}) {
    const auto groups = group_lans(before, after, v6);
    for (size_t i = 0; i < groups.size(); ++i)
      for (size_t j = i; j < groups.size(); ++j) {
        const Alike &a = groups[i], &b = groups[j];
        const bool then = intersect(a.before, b.before), now = intersect(a.after, b.after);
        if (then == now) continue;
        add_pairs(a, b, most, then ? out.lost : out.gained);
        (then ? out.lost_total : out.gained_total) += count_pairs(a, b);
      }
  }
  std::ranges::sort(out.lost);
  std::ranges::sort(out.gained);
  return out;
}

}  // namespace mesh
