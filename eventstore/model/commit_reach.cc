#include "eventstore/model/commit_reach.h"

#include <fmt/format.h>

#include <algorithm>

#include "eventstore/model/committed.h"
#include "eventstore/model/disjoint_sets.h"
#include "eventstore/model/intent.h"
#include "eventstore/model/topology.h"

namespace mesh {

namespace {

constexpr size_t kNowhere = SIZE_MAX;

bool moves_links(const Change& change) {
  static constexpr std::string_view kAttributes[] = {"endpoint", "groups",        "lans",
                                                     "node_hostname", "topology_seed", "uplinks"};
  switch (change.kind) {
    case Change::Kind::node_added:
    case Change::Kind::node_removed:
      return true;
    case Change::Kind::attribute:
      return std::ranges::find(kAttributes, change.name) != std::end(kAttributes);
    case Change::Kind::site_added:  // the others come with changes of nodes, or change only a name
    case Change::Kind::site_removed:
    case Change::Kind::site_renamed:
    case Change::Kind::node_renamed:
      return false;
  }
  return true;
}

struct View {
  explicit View(const MeshState& state) : intent(state), topology(intent) {}
  size_t find(NodeId node) const { return intent.find(node).value_or(kNowhere); }
  bool linked(size_t a, size_t b) const {
    return a != kNowhere && b != kNowhere && topology.linked(a, b);
  }
  Intent intent;
  Topology topology;
};

/// Some nodes as they are, the others as they were committed.
class Mixture {
 public:
  Mixture(const MeshState& state, const MeshState& committed, const Scope& scope, bool neighbours)
      : now_(state), then_(committed) {
    for (const NodeIntent& node : now_.intent.nodes())
      add(node.node->id, in_scope(scope, *node.node));
    for (const NodeIntent& node : then_.intent.nodes())
      if (const NodeId id = node.node->id; now_.find(id) == kNowhere) {
        // Removed: its tombstone says under which site.
        auto tombstone = state.removed_nodes.find(id);
        add(id, in_scope(scope, tombstone == state.removed_nodes.end() ? *node.node
                                                                        : *tombstone->second));
      }
    if (neighbours) take_neighbours();
    // One that is new and not taken is not there yet, one that was removed and is taken is gone.
    std::erase_if(nodes_, [](const Mixed& node) {
      return (node.taken ? node.now : node.then) == kNowhere;
    });
    std::ranges::sort(nodes_, {}, &Mixed::id);
  }

  Reach reach() const {
    DisjointSets sets(nodes_.size());
    join_alike(now_, true, sets);
    join_alike(then_, false, sets);
    for (size_t i = 0; i < nodes_.size(); ++i)
      for (size_t j = 0; nodes_[i].taken && j < nodes_.size(); ++j)
        if (!nodes_[j].taken && sets.find(i) != sets.find(j) && linked_mixed(nodes_[i], nodes_[j]))
          sets.join(i, j);
    std::vector<ReachNode> out;
    for (const Mixed& node : nodes_) {
      const NodeIntent& intent = intent_of(node);
      out.push_back({node.id, {}, {}, {}, intent.lans, {}});
    }
    return Reach(out, sets.numbers());
  }

 private:
  struct Mixed {
    NodeId id;
    bool taken = false;                     // by the commit
    size_t now = kNowhere, then = kNowhere;  // in the two intents
  };

  static bool in_scope(const Scope& scope, const Node& node) {
    return scope.level == Level::site ? node.site == scope.site : node.id == scope.node;
  }
  void add(NodeId id, bool taken) { nodes_.push_back({id, taken, now_.find(id), then_.find(id)}); }

  void take_neighbours() {
    std::vector<size_t> extra;
    for (size_t j = 0; j < nodes_.size(); ++j)
      for (size_t i = 0; !nodes_[j].taken && i < nodes_.size(); ++i)
        if (nodes_[i].taken && (now_.linked(nodes_[i].now, nodes_[j].now) ||
                                then_.linked(nodes_[i].then, nodes_[j].then))) {
          extra.push_back(j);
          break;
        }
    // A neighbour's own removal is not committed with it.
    for (size_t j : extra) nodes_[j].taken = nodes_[j].now != kNowhere;
  }

  const NodeIntent& intent_of(const Mixed& node) const {
    return node.taken ? now_.intent.nodes()[node.now] : then_.intent.nodes()[node.then];
  }

  bool linked_mixed(const Mixed& a, const Mixed& b) const {
    return now_.linked(a.now, b.now) && then_.linked(a.then, b.then);
  }

  /// Links within those that are taken, or within the others. Of the nodes of a group that others can
  /// dial one stands for all.
  void join_alike(const View& view, bool taken, DisjointSets& sets) const {
    std::vector<size_t> place(view.intent.nodes().size(), kNowhere);
    for (size_t i = 0; i < nodes_.size(); ++i)
      if (nodes_[i].taken == taken) place[taken ? nodes_[i].now : nodes_[i].then] = i;
    std::map<uint32_t, size_t> first_public;
    for (size_t at = 0; at < place.size(); ++at) {
      if (place[at] == kNowhere) continue;
      for (size_t peer : view.topology.uplinks(at))
        if (place[peer] != kNowhere) sets.join(place[at], place[peer]);
      const NodeIntent& node = view.intent.nodes()[at];
      if (!node.outside) continue;
      for (uint32_t group : node.groups)
        sets.join(place[at], first_public.emplace(group, place[at]).first->second);
    }
  }

  View now_, then_;
  std::vector<Mixed> nodes_;  // ascending by number
};

}  // namespace

ReachDifference commit_reach(const MeshState& state, const Scope& scope, bool with_neighbours,
                             size_t most) {
  if (std::ranges::none_of(state.changes, moves_links)) return {};
  const MeshState committed = committed_state(state);
  const Reach before(committed);
  if (scope.level == Level::global) return compare_reach(before, Reach(state), most);
  return compare_reach(before, Mixture(state, committed, scope, with_neighbours).reach(), most);
}

Status check_commit_reach(const MeshState& state, const Scope& scope, bool with_neighbours) {
  constexpr size_t kNamed = 3;
  const ReachDifference difference = commit_reach(state, scope, with_neighbours, kNamed);
  if (difference.lost_total == 0) return {};
  std::string names;
  for (const LanPair& pair : difference.lost)
    names += fmt::format("{}{} and {}", names.empty() ? "" : ", ", to_text(pair.from),
                         to_text(pair.to));
  if (difference.lost_total > difference.lost.size())
    names += fmt::format(", and {} more", difference.lost_total - difference.lost.size());
  const bool one = difference.lost_total == 1;
  return fail(Errc::invalid,
              fmt::format("{} pair{} of LANs would no longer reach each other: {}",
                          difference.lost_total, one ? "" : "s", names),
              fmt::format("look at it with meshcli plan; when it is meant: --allow-loss{}",
                          scope.level == Level::global || with_neighbours
                              ? ""
                              : "; when only the other ends lag: --with-neighbours"));
}

}  // namespace mesh
