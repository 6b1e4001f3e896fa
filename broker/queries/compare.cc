// Queries that put two instants of the network, or two versions, side by side.
#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "broker/config_items.h"
#include "broker/node_files.h"
#include "broker/prepare.h"
#include "broker/queries/queries_internal.h"
#include "eventstore/model/committed.h"
#include "eventstore/model/compile.h"
#include "eventstore/model/reach.h"
#include "eventstore/model/topology.h"

namespace mesh::answering {

namespace {

constexpr size_t kPairsMax = 1'000;

/// One side: the intent at an instant, or what versions pinned.
struct Side {
  enum class Kind { intent, committed, active, version };

  std::string text, means;
  Kind kind = Kind::intent;
  std::optional<Sequence> at;  // of an instant or a version's commit
  Version version;             // of Kind::version
  MeshState state;             // names and attributes; of `active` only names
  std::unique_ptr<Compilation> compilation;  // of Kind::intent
  std::unique_ptr<NodeFiles> files;
  std::vector<ReachNode> pinned;             // the network that configurations make

  bool is_intent() const { return kind == Kind::intent; }
  json to_json() const {
    json out = {{"text", text}, {"means", means}};
    if (at) out["at"] = at->value();
    if (kind == Kind::version) out["version"] = version.value();
    return out;
  }
};
using SidePointer = std::unique_ptr<Side>;  // a compilation borrows the state beside it

Result<SidePointer> read_side(const QueryFacts& facts, const std::string& text,
                              const std::optional<std::string>& node_name, const Node* node) {
  auto side = std::make_unique<Side>();
  side->text = text;
  if (text == "working") {
    side->means = "the working state";
    side->state = facts.state;
    side->at = facts.state.sequence;
  } else if (text == "committed" || text == "latest") {
    side->kind = Side::Kind::committed;
    side->means = "what was committed last";
    side->state = committed_state(facts.state);
  } else if (text == "active" || text == "current") {
    side->kind = Side::Kind::active;
    side->means = "what nodes run";
    side->state = facts.state;
  } else if (is_version_text(text) && node) {
    auto version = version_named(*node, text);
    if (!version) return std::unexpected(version.error());
    side->kind = Side::Kind::version;
    side->means = fmt::format("{} of {}", text, node->fullname());
    side->version = (*version)->version;
    side->at = (*version)->sequence;
  } else {
    auto moment = find_moment(facts, text, node_name);
    if (!moment) return std::unexpected(moment.error());
    side->means = moment->means;
    side->at = moment->at;
  }
  if (side->at && text != "working") {
    auto past = facts.past->at(*side->at);
    if (!past) return fail_in(text, past.error());
    side->state = std::move(*past);
  }
  if (side->is_intent()) side->compilation = std::make_unique<Compilation>(side->state);
  side->files = std::make_unique<NodeFiles>(facts.renderer.get(), side->state, *facts.log);
  return side;
}

const Node* find_with_removed(const MeshState& state, NodeId id) {
  if (const Node* node = state.find_node(id)) return node;
  auto it = state.removed_nodes.find(id);
  return it == state.removed_nodes.end() ? nullptr : &*it->second;
}

/// What differs at the level of names and attributes.
class IntentDifference {
 public:
  IntentDifference(const MeshState& a, const MeshState& b, const Node* only)
      : a_(a), b_(b), only_(only) {
    attributes("global", &a.global, &b.global);
    sites();
    nodes();
  }
  CutList attributes_, structure_;

 private:
  static constexpr const Attributes* kNone = nullptr;

  void attributes(const std::string& scope, const Attributes* before, const Attributes* now) {
    static const Attributes kEmpty;
    const Attributes &old = before ? *before : kEmpty, &fresh = now ? *now : kEmpty;
    auto i = old.begin();
    auto j = fresh.begin();
    while (i != old.end() || j != fresh.end()) {
      const bool first = j == fresh.end() || (i != old.end() && i->first <= j->first);
      const bool second = i == old.end() || (j != fresh.end() && j->first <= i->first);
      if (!first || !second || i->second.value != j->second.value)
        attributes_.add({{"scope", scope},
                         {"name", first ? i->first : j->first},
                         {"before", first ? to_json(i->second.value) : json()},
                         {"now", second ? to_json(j->second.value) : json()}});
      if (first) ++i;
      if (second) ++j;
    }
  }

  bool concerns(const Site* before, const Site* now) const {
    if (!only_) return true;
    auto is_home = [&](const MeshState& state, const Site* site) {
      const Node* node = state.find_node(only_->id);
      return site && node && node->site == site->name;
    };
    return is_home(a_, before) || is_home(b_, now);
  }

  void site(const Site* before, const Site* now) {
    if (!concerns(before, now)) return;
    if (!before) structure_.add(fmt::format("site {} added", now->name));
    if (!now) structure_.add(fmt::format("site {} removed", before->name));
    if (before && now && before->name != now->name)
      structure_.add(fmt::format("site {} renamed to {}", before->name, now->name));
    attributes("site " + (now ? now : before)->name, before ? &before->attributes : kNone,
               now ? &now->attributes : kNone);
  }

  /// A site has no number: it is the same when it was added by the same entry, under its name or,
  /// when only one site can be meant, under another.
  void sites() {
    std::map<Sequence, std::vector<const Site*>> moved_a, moved_b;
    std::vector<std::pair<const Site*, const Site*>> pairs;
    for (const auto& [name, before] : a_.sites) {
      const Site* now = b_.find_site(name);
      if (now && now->added == before->added)
        pairs.emplace_back(&*before, now);
      else
        moved_a[before->added].push_back(&*before);
    }
    for (const auto& [name, now] : b_.sites)
      if (const Site* before = a_.find_site(name); !before || before->added != now->added)
        moved_b[now->added].push_back(&*now);
    std::map<std::string, std::pair<const Site*, const Site*>> rest;
    for (const auto& [added, before] : moved_a) {
      auto now = moved_b.find(added);
      if (before.size() == 1 && now != moved_b.end() && now->second.size() == 1) {
        pairs.emplace_back(before[0], now->second[0]);
        moved_b.erase(now);
      } else {
        for (const Site* one : before) rest[one->name].first = one;
      }
    }
    for (const auto& [added, now] : moved_b)
      for (const Site* one : now) rest[one->name].second = one;
    for (const auto& [name, pair] : rest) pairs.push_back(pair);
    std::ranges::sort(pairs, {}, [](const auto& pair) {
      return (pair.second ? pair.second : pair.first)->name;
    });
    for (auto [before, now] : pairs) site(before, now);
  }

  void nodes() {
    std::set<NodeId> ids;
    if (only_) ids.insert(only_->id);
    for (const MeshState* state : {&a_, &b_})
      if (!only_)
        for (const auto& [id, node] : state->nodes) ids.insert(id);
    for (NodeId id : ids) {
      const Node *before = a_.find_node(id), *now = b_.find_node(id);
      if (!before && !now) continue;
      if (!before) structure_.add(fmt::format("node {} ({}) added", now->fullname(), id.value()));
      if (!now) structure_.add(fmt::format("node {} ({}) removed", before->fullname(), id.value()));
      if (before && now && before->fullname() != now->fullname())
        structure_.add(fmt::format("node {} ({}) renamed to {}", before->fullname(), id.value(),
                                   now->fullname()));
      attributes("node " + (now ? now : before)->fullname(), before ? &before->attributes : kNone,
                 now ? &now->attributes : kNone);
    }
  }

  const MeshState &a_, &b_;
  const Node* only_;
};

/// The configurations of both sides, node by node, and the networks that they make.
class Comparison {
 public:
  Comparison(const QueryFacts& facts, Side& a, Side& b, const Node* only)
      : facts_(facts),
        a_(a),
        b_(b),
        only_(only),
        items_(a.text, b.text, [&a](const NodeConfig& config) { return a.files->texts(config); },
               [&b](const NodeConfig& config) { return b.files->texts(config); }) {}

  Result<json> run() {
    std::set<NodeId> ids;
    if (only_) ids.insert(only_->id);
    for (const Side* side : {&a_, &b_})
      if (!only_)
        for (const auto& [id, node] : side->state.nodes) ids.insert(id);
    for (NodeId id : ids) MESH_TRY(compare_node(id));
    json out = {{"a", a_.to_json()}, {"b", b_.to_json()}, {"notes", json::array()}};
    add_intent(out);
    add_links(out);
    add_reach(out);
    out["items"] = items_.items().list;
    out["totals"]["items"] = items_.items().total;
    if (items_.shortened() > 0)
      out["notes"].push_back(fmt::format(
          "the differences of {} nodes are too large to be shown together: name a node",
          items_.shortened()));
    return out;
  }

 private:
  struct Found {
    std::shared_ptr<const NodeConfig> config;  // null when there is none
    std::string problem;                       // why it cannot be compiled
  };

  const VersionRecord* pinned_version(const Side& side, NodeId id) const {
    const Node* node = side.kind == Side::Kind::version ? find_with_removed(facts_.state, id)
                                                        : side.state.find_node(id);
    if (!node) return nullptr;
    if (side.kind == Side::Kind::version) return node->find_version(side.version);
    if (side.kind == Side::Kind::active) return node->find_version(active_version(facts_, *node));
    return node->find_version(node->latest());
  }

  Result<Found> read_intent(const Side& side, NodeId id) const {
    if (!side.state.find_node(id)) return Found{};
    auto config = side.compilation->node(id);
    if (config) config = side.files->complete(std::move(*config));
    if (config) return Found{std::make_shared<const NodeConfig>(std::move(*config)), {}};
    return Found{nullptr, config.error().message};
  }

  /// What a version pinned; `other` when it is the same, which spares reading it.
  Result<Found> read_pinned(const Side& side, NodeId id, const Found& other,
                            const Digest& other_digest) const {
    const VersionRecord* record = pinned_version(side, id);
    if (!record) return Found{};
    if (other.config && record->digest == other_digest) return other;
    auto config =
        load_config(*facts_.log, *find_with_removed(facts_.state, id), record->version);
    if (!config) return std::unexpected(config.error());
    return Found{std::make_shared<const NodeConfig>(std::move(*config)), {}};
  }

  Result<std::pair<Found, Found>> read_both(NodeId id) const {
    std::pair<Found, Found> out;
    Digest known;
    for (bool intent : {true, false})
      for (bool first : {true, false}) {
        const Side& side = first ? a_ : b_;
        if (side.is_intent() != intent) continue;
        const Found& other = first ? out.second : out.first;
        auto found = intent ? read_intent(side, id) : read_pinned(side, id, other, known);
        if (!found) return std::unexpected(found.error());
        const bool second_is_pinned = !(first ? b_ : a_).is_intent();
        if (found->config && second_is_pinned) known = config_digest(*found->config);
        (first ? out.first : out.second) = std::move(*found);
      }
    return out;
  }

  Status compare_node(NodeId id) {
    auto both = read_both(id);
    if (!both) return std::unexpected(both.error());
    const auto& [before, after] = *both;
    remember(a_, before);
    remember(b_, after);
    const Node* node = b_.state.find_node(id);
    if (!node) node = a_.state.find_node(id);
    if (!node) node = find_with_removed(facts_.state, id);
    const std::string name = node ? node->fullname() : std::to_string(id.value());
    if (before.problem != after.problem)
      add_problem(id, name, before.problem, after.problem);
    else if (before.config != after.config &&
             !(before.config && after.config && *before.config == *after.config))
      items_.add(id, name, before.config.get(), after.config.get());
    return {};
  }

  void add_problem(NodeId id, const std::string& name, const std::string& before,
                   const std::string& after) {
    std::vector<std::string> lines;
    for (const auto& [side, problem] : {std::pair(&a_, &before), std::pair(&b_, &after)})
      if (!problem->empty())
        lines.push_back(fmt::format("{} makes no configuration: {}", side->text, *problem));
    items_.add_problem(id, name, std::move(lines));
  }

  static void remember(Side& side, const Found& found) {
    if (side.is_intent() || !found.config) return;
    const NodeConfig& config = *found.config;
    ReachNode node{config.node, config.fullname(), config.loopback4, config.loopback6,
                   config.lans, {}};
    for (const LinkConfig& link : config.links) node.peers.push_back(link.peer);
    side.pinned.push_back(std::move(node));
  }

  void add_intent(json& out) const {
    IntentDifference difference(a_.state, b_.state, only_);
    for (const Side* side : {&a_, &b_}) {
      if (side->kind != Side::Kind::active) continue;
      // An active version pins a configuration, and nodes may run versions of different times.
      difference.attributes_ = difference.structure_ = {};
      out["notes"].push_back(
          fmt::format("{}: versions pin configurations, so attributes and names are not compared",
                      side->text));
      break;
    }
    out["attributes"] = std::move(difference.attributes_.list);
    out["structure"] = std::move(difference.structure_.list);
    out["totals"] = {{"attributes", difference.attributes_.total},
                     {"structure", difference.structure_.total}};
  }

  /// Of one node alone only its own word is known; of a network, both ends have to have a link.
  std::vector<Link> links_of(const Side& side) const {
    std::vector<Link> out;
    if (side.is_intent()) {
      out = mesh::links(side.state);
      if (only_)
        std::erase_if(out, [&](Link l) { return l.low != only_->id && l.high != only_->id; });
      return out;
    }
    std::map<Link, int> ends;
    for (const ReachNode& node : side.pinned)
      for (NodeId peer : node.peers) ++ends[{std::min(node.id, peer), std::max(node.id, peer)}];
    for (const auto& [link, count] : ends)
      if (count == 2 || only_) out.push_back(link);
    return out;
  }

  void add_links(json& out) const {
    const auto before = links_of(a_), after = links_of(b_);
    auto list = [&](const Side& side, const auto& mine, const auto& others) {
      CutList cut;
      std::vector<Link> differing;
      std::ranges::set_difference(mine, others, std::back_inserter(differing));
      auto name = [&](NodeId id) {
        const Node* node = find_with_removed(side.state, id);
        return node ? node->fullname() : std::to_string(id.value());
      };
      for (Link link : differing) cut.add({{"a", name(link.low)}, {"b", name(link.high)}});
      return cut;
    };
    CutList removed = list(a_, before, after), added = list(b_, after, before);
    out["links"] = {{"added", std::move(added.list)}, {"removed", std::move(removed.list)}};
    out["totals"]["links_added"] = added.total;
    out["totals"]["links_removed"] = removed.total;
  }

  void add_reach(json& out) const {
    out["reachability"] = json();
    for (const Side* side : {&a_, &b_})
      if (only_ && !side->is_intent()) {
        out["notes"].push_back(fmt::format(
            "{} of one node does not tell what the network reaches", side->text));
        return;
      }
    auto reach = [](const Side& side) {
      return side.is_intent() ? Reach(side.state) : Reach(side.pinned);
    };
    const Reach before = reach(a_), after = reach(b_);
    std::set<IpPrefix> about;
    for (const Reach* side : {&before, &after})
      for (const ReachedLan& lan : side->lans())
        if (!only_ || std::ranges::binary_search(lan.nodes, only_->id)) about.insert(lan.prefix);
    const auto difference = compare_reach(before, after, kPairsMax, &about);
    auto list = [](const std::vector<LanPair>& pairs) {
      json items = json::array();
      for (const LanPair& pair : pairs)
        items.push_back({{"from", to_text(pair.from)},
                         {"to", to_text(pair.to)},
                         {"family", pair.from.v6() ? "ipv6" : "ipv4"}});
      return items;
    };
    out["reachability"] = {{"lost", list(difference.lost)}, {"gained", list(difference.gained)}};
    out["totals"]["reachability_lost"] = difference.lost_total;
    out["totals"]["reachability_gained"] = difference.gained_total;
  }

  const QueryFacts& facts_;
  Side &a_, &b_;
  const Node* only_;
  ConfigItems items_;
};

/// A node that one of both sides has, or that was removed since: by number or full name.
Result<const Node*> find_node_anywhere(const QueryFacts& facts, const std::string& name,
                                       const std::vector<std::string>& texts) {
  if (const Node* node = facts.state.find_node(name)) return node;
  for (const std::string& text : texts) {
    auto moment = find_moment(facts, text, std::nullopt);
    auto past = moment ? facts.past->at(moment->at) : std::unexpected(moment.error());
    if (!past) continue;
    // The tombstone of the head has every version, the past node may lack some.
    if (const Node* then = past->find_node(name))
      if (const Node* node = find_with_removed(facts.state, then->id)) return node;
  }
  for (const auto& [id, node] : facts.state.removed_nodes)
    if (node->fullname() == name || std::to_string(id.value()) == name) return &*node;
  return resolve_node(facts.state, name);
}

}  // namespace

Answer compare(const QueryFacts& facts) {
  auto a_text = required(facts, "a"), b_text = required(facts, "b");
  if (!a_text) return std::unexpected(a_text.error());
  if (!b_text) return std::unexpected(b_text.error());
  const auto node_name = argument(facts, "node");
  const Node* only = nullptr;
  if (node_name) {
    auto node = find_node_anywhere(facts, *node_name, {*b_text, *a_text});
    if (!node) return std::unexpected(node.error());
    only = *node;
  }
  auto a = read_side(facts, *a_text, node_name, only), b = read_side(facts, *b_text, node_name, only);
  if (!a) return std::unexpected(a.error());
  if (!b) return std::unexpected(b.error());
  auto found = Comparison(facts, **a, **b, only).run();
  if (!found) return std::unexpected(found.error());
  json out = document(facts, "Comparison");
  out.update(*found);
  return out;
}

}  // namespace mesh::answering
