// Claim: what the controller says of two instants, which it takes from snapshots and short folds, is
// what two full and checked replays of the log from entry 1 give. Method: 1,000 random histories
// written through a controller that keeps a snapshot every few entries; for random pairs of instants
// its comparison is held against one that is made here, from the replayed states alone.
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include <random>
#include <set>

#include "broker/past.h"
#include "eventstore/model/canonical.h"
#include "eventstore/model/compile.h"
#include "eventstore/model/overlay.h"
#include "eventstore/model/plan.h"
#include "eventstore/model/topology.h"
#include "tests/unit/broker/desk.h"

namespace mesh {
namespace {

using nlohmann::json;
using test::Desk;

class RandomHistory {
 public:
  explicit RandomHistory(uint64_t seed) : random_(seed), desk(2 + seed % 4) {
    submit({AddSite{"home"}, AddNode{"a.home"}, AddNode{"b.home"}});
    for (int i = 0; i < 9; ++i) step();
  }
  uint64_t below(uint64_t n) { return random_() % n; }

 private:
  std::mt19937_64 random_;

 public:
  Desk desk;

 private:
  const MeshState& state() const { return desk.controller->state(); }
  void submit(std::vector<Command> commands) {
    desk.now.wall = Timestamp(desk.now.wall.value() + static_cast<int64_t>(below(3)));
    desk.submit(std::move(commands));  // what is refused leaves no trace
  }
  std::string fresh() { return "x" + std::to_string(++names_); }
  std::string site() {
    if (state().sites.empty()) return "none";
    return std::next(state().sites.begin(), static_cast<long>(below(state().sites.size())))->first;
  }
  std::string node() {
    if (state().nodes.empty()) return "none.none";
    return std::next(state().nodes.begin(), static_cast<long>(below(state().nodes.size())))->second->fullname();
  }
  Target target() {
    const uint64_t level = below(4);
    if (level == 0) return Target{};
    return level == 1 ? Target{Level::site, site()} : Target{Level::node, node()};
  }
  Command attribute() {
    switch (below(8)) {
      case 0: return SetAttribute{{Level::node, node()}, "endpoint", {"192.0.2." + std::to_string(below(9))}};
      case 1: return SetAttribute{target(), "groups", {"g" + std::to_string(below(3))}};
      case 2: return SetAttribute{{Level::node, node()}, "lans", {"10." + std::to_string(below(6)) + ".0.0/16"}};
      case 3: return SetAttribute{target(), "wg_mtu", {int64_t(1300 + below(4))}};
      case 4: return UnsetAttribute{target(), "groups"};
      case 5: return UnsetAttribute{{Level::node, node()}, "lans"};
      default: return SetAttribute{target(), "note", {int64_t(below(3))}};
    }
  }
  void step() {
    switch (below(10)) {
      case 0: return submit({AddSite{fresh()}});
      case 1: return submit({RenameSite{site(), fresh()}});
      case 2: return submit({RemoveSite{site(), true}});
      case 3: return submit({AddNode{fresh() + "." + site()}, attribute()});
      case 4: return submit({RenameNode{node(), fresh()}});
      case 5: return submit({RemoveNode{node(), true}});
      case 6: return commit();
      default: return submit({attribute(), attribute()});
    }
  }
  void commit() {
    Body shown = desk.ask(desk.alice, Prepare{Target{}, false, false});
    if (const auto* prepared = std::get_if<Prepared>(&shown))
      submit({Commit{Target{}, prepared->sequence, prepared->root, true, false, true}, Activate{Target{}, {}}});
  }
  int names_ = 0;
};

/// The state after each entry, by a replay that checks everything; states[0] is the empty one.
std::vector<MeshState> replay_all(const EventLog& log) {
  std::vector<MeshState> states(1);
  Replica replica;
  auto entries = log.read(Sequence(1), SIZE_MAX, SIZE_MAX);
  for (const EncodedEntry& encoded : *entries) {
    auto entry = decode_entry(encoded);
    auto checked = replay(replica, *entry, log.id());
    EXPECT_TRUE(checked.has_value()) << checked.error().message;
    states.push_back(replica.state);
  }
  return states;
}

json value_json(const AttributeValue& value) {
  if (value.number()) return *value.number();
  return *value.text();
}

/// Levels of a state by what stays the same when names change.
struct Place {
  std::string name;
  const Attributes* attributes;
};
std::map<std::string, Place> levels(const MeshState& state) {
  std::map<std::string, Place> out{{"global", {"global", &state.global}}};
  for (const auto& [name, site] : state.sites)  // every entry adds one site at most
    out["site " + std::to_string(site->added.value())] = {"site " + name, &site->attributes};
  for (const auto& [id, node] : state.nodes)
    out["node " + std::to_string(id.value())] = {"node " + node->fullname(), &node->attributes};
  return out;
}

using Texts = std::multiset<std::string>;

void expect_intent(const MeshState& a, const MeshState& b, Texts& attributes, Texts& structure) {
  static const Attributes kEmpty;
  auto before = levels(a), now = levels(b);
  std::set<std::string> keys;
  for (const auto* side : {&before, &now})
    for (const auto& [key, level] : *side) keys.insert(key);
  for (const std::string& key : keys) {
    const bool then_there = before.contains(key), now_there = now.contains(key);
    const std::string number = key.starts_with("node ") ? " (" + key.substr(5) + ")" : "";
    if (!then_there) structure.insert(now[key].name + number + " added");
    if (!now_there) structure.insert(before[key].name + number + " removed");
    if (then_there && now_there && before[key].name != now[key].name)
      structure.insert(before[key].name + number + " renamed to " + now[key].name.substr(5));
    const Attributes& old = then_there ? *before[key].attributes : kEmpty;
    const Attributes& fresh = now_there ? *now[key].attributes : kEmpty;
    std::set<std::string> names;
    for (const auto* side : {&old, &fresh})
      for (const auto& [name, attribute] : *side) names.insert(name);
    for (const std::string& name : names) {
      json item = {{"scope", now_there ? now[key].name : before[key].name},
                   {"name", name},
                   {"before", old.contains(name) ? value_json(old.at(name).value) : json()},
                   {"now", fresh.contains(name) ? value_json(fresh.at(name).value) : json()}};
      if (item["before"] != item["now"]) attributes.insert(item.dump());
    }
  }
}

std::set<std::pair<NodeId, NodeId>> link_pairs(const MeshState& state) {
  std::set<std::pair<NodeId, NodeId>> out;
  for (const Link& link : links(state)) out.emplace(link.low, link.high);
  return out;
}

Texts links_only_in(const MeshState& state, const MeshState& other) {
  Texts out;
  const auto others = link_pairs(other);
  for (const auto& [low, high] : link_pairs(state))
    if (!others.contains({low, high}))
      out.insert(json{{"a", state.find_node(low)->fullname()}, {"b", state.find_node(high)->fullname()}}.dump());
  return out;
}

/// Pairs of LANs that a walk over the links joins.
std::set<std::pair<IpPrefix, IpPrefix>> lan_pairs(const MeshState& state) {
  std::map<NodeId, std::set<NodeId>> near;
  for (const auto& [low, high] : link_pairs(state)) near[low].insert(high), near[high].insert(low);
  auto lans = [&](NodeId id) {
    std::vector<IpPrefix> out;
    if (auto value = effective(state, *state.find_node(id), "lans"))
      for (const auto& text : value->strings()) out.push_back(*parse_prefix(text));
    return out;
  };
  std::set<std::pair<IpPrefix, IpPrefix>> out;
  for (const auto& [id, node] : state.nodes) {
    std::set<NodeId> seen;
    std::vector<NodeId> open{id};
    while (!open.empty()) {
      NodeId at = open.back();
      open.pop_back();
      if (!seen.insert(at).second) continue;
      open.insert(open.end(), near[at].begin(), near[at].end());
      for (const IpPrefix& from : lans(id))
        for (const IpPrefix& to : lans(at))
          if (from < to) out.emplace(from, to);
    }
  }
  return out;
}

Texts pairs_only_in(const MeshState& state, const MeshState& other) {
  Texts out;
  const auto others = lan_pairs(other);
  for (const auto& pair : lan_pairs(state))
    if (!others.contains(pair))
      out.insert(json{{"from", to_text(pair.first)}, {"to", to_text(pair.second)}, {"family", "ipv4"}}.dump());
  return out;
}

Texts dumped(const json& list) {
  Texts out;
  for (const json& item : list) out.insert(item.is_string() ? item.get<std::string>() : item.dump());
  return out;
}

std::optional<NodeConfig> configuration(const MeshState& state, NodeId id) {
  auto config = compile(state, id);
  return config ? std::optional(*config) : std::nullopt;
}

/// Configurations that differ, with the lines that say how.
std::map<uint32_t, std::vector<std::string>> expect_items(const MeshState& a, const MeshState& b) {
  std::map<uint32_t, std::vector<std::string>> out;
  for (const MeshState* state : {&a, &b})
    for (const auto& [id, node] : state->nodes) {
      auto before = configuration(a, id), after = configuration(b, id);
      if (before && after && *before != *after) out[id.value()] = compare_configs(&*before, *after).lines;
      if (!before && after && !a.find_node(id)) out[id.value()] = compare_configs(nullptr, *after).lines;
    }
  return out;
}

void hold_against(const json& document, const MeshState& a, const MeshState& b) {
  Texts attributes, structure;
  expect_intent(a, b, attributes, structure);
  EXPECT_EQ(dumped(document["attributes"]), attributes);
  EXPECT_EQ(dumped(document["structure"]), structure);
  EXPECT_EQ(dumped(document["links"]["added"]), links_only_in(b, a));
  EXPECT_EQ(dumped(document["links"]["removed"]), links_only_in(a, b));
  EXPECT_EQ(dumped(document["reachability"]["lost"]), pairs_only_in(a, b));
  EXPECT_EQ(dumped(document["reachability"]["gained"]), pairs_only_in(b, a));
  std::map<uint32_t, json> items;
  for (const json& item : document["items"]) items[item["node"].get<uint32_t>()] = item;
  for (const auto& [id, lines] : expect_items(a, b)) {
    ASSERT_TRUE(items.contains(id)) << id;
    EXPECT_EQ(items[id]["changes"], lines);
    if (a.find_node(NodeId(id))) {
      EXPECT_EQ(items[id]["text"] == "", rendered_files(*configuration(a, NodeId(id))) ==
                                             rendered_files(*configuration(b, NodeId(id))));
    }
    items.erase(id);
  }
  // What is left are nodes that are gone or that an attribute makes impossible on one side.
  for (const auto& [id, item] : items)
    EXPECT_FALSE(configuration(a, NodeId(id)) && configuration(b, NodeId(id))) << item.dump();
}

TEST(Comparison, OfAnyTwoInstantsIsThatOfTwoFullReplays) {
  const uint64_t seed = std::random_device{}();
  size_t differences = 0;
  for (uint64_t round = 0; round < 1'000; ++round) {
    SCOPED_TRACE("seed " + std::to_string(seed + round));
    RandomHistory history(seed + round);
    const auto states = replay_all(*history.desk.disk);
    for (int i = 0; i < 2; ++i) {
      const uint64_t a = 1 + history.below(states.size() - 1), b = 1 + history.below(states.size() - 1);
      Body body = history.desk.ask(
          history.desk.alice, Query{"compare", {{"a", std::to_string(a)}, {"b", "#" + std::to_string(b)}}, {}});
      ASSERT_TRUE(std::holds_alternative<QueryResult>(body)) << history.desk.error_of(body).message;
      const json document = json::parse(std::get<QueryResult>(body).json);
      hold_against(document, states[a], states[b]);
      differences += document["items"].size();
    }
    const uint64_t at = 1 + history.below(states.size() - 1);
    Body digest = history.desk.ask(history.desk.alice, Query{"state", {}, Sequence(at)});
    ASSERT_TRUE(std::holds_alternative<QueryResult>(digest)) << history.desk.error_of(digest).message;
    EXPECT_EQ(json::parse(std::get<QueryResult>(digest).json)["digest"], to_hex(state_digest(states[at]).view()));
    if (HasFailure()) return;
  }
  EXPECT_GT(differences, 1'000u);
}

}  // namespace
}  // namespace mesh
