// Claim: two LANs of one family reach each other exactly when a path of links joins nodes that
// announce them, and what two networks differ in is listed completely. Method: small states by hand;
// random states against a search over links().
#include "eventstore/model/reach.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <set>
#include <string>

#include "eventstore/model/decide.h"
#include "eventstore/model/topology.h"
#include "tests/unit/compile/states.h"

namespace mesh {
namespace {

using namespace testing;

IpPrefix prefix(std::string_view text) { return *parse_prefix(text); }

TEST(Reach, GroupsThatDoNotMeetAreParts) {
  MeshState state = default_state();
  add_node(state, 11, "r1.ams", {{"endpoint", "198.51.100.1"}, {"lans", "['10.1.0.0/24', '2001:db8:1::/48']"}});
  add_node(state, 12, "r1.lab", {{"lans", "10.2.0.0/24"}});
  add_node(state, 13, "r1.nyc", {{"groups", "other"}, {"endpoint", "198.51.100.3"}, {"lans", "10.3.0.0/16"}});
  Reach reach(state);
  EXPECT_EQ(reach.parts(), 2u);
  EXPECT_TRUE(*reach.reaches("r1.ams", "12"));
  EXPECT_FALSE(*reach.reaches("r1.ams", "r1.nyc"));
  EXPECT_TRUE(*reach.reaches("10.1.0.7", "10.2.0.0/25"));
  EXPECT_FALSE(*reach.reaches("10.1.0.7", "10.3.4.5"));
  EXPECT_FALSE(*reach.reaches("10.1.0.7", "10.4.0.1")) << "nobody has that LAN";
  EXPECT_FALSE(*reach.reaches("10.1.0.7", "10.2.0.0/23")) << "more than the LAN";
  EXPECT_FALSE(*reach.reaches("r1.ams", "r9.ams"));
  EXPECT_TRUE(*reach.reaches("100.80.0.11", "10.2.0.9")) << "a loopback";
  EXPECT_TRUE(*reach.reaches("2001:db8:1::5", "r1.lab"));
  EXPECT_EQ(reach.reaches("2001:db8:1::5", "10.2.0.9").error().code, Errc::usage);
  EXPECT_EQ(reach.nodes_at("10.3.9.9"), std::vector{NodeId(13)});
}

TEST(Reach, TheSmallestLanThatHoldsAnAddressCounts) {
  MeshState state = default_state();
  add_node(state, 11, "r1.ams", {{"endpoint", "198.51.100.1"}, {"lans", "10.0.0.0/8"}});
  add_node(state, 12, "r1.lab", {{"lans", "10.2.0.0/24"}});
  add_node(state, 13, "r2.lab", {{"lans", "10.2.0.0/24"}});
  Reach reach(state);
  EXPECT_EQ(reach.nodes_at("10.2.0.1"), (std::vector{NodeId(12), NodeId(13)}));
  EXPECT_EQ(reach.nodes_at("10.3.0.1"), std::vector{NodeId(11)});
}

TEST(Reach, ALostHubTakesTheSpokesApart) {
  MeshState before = default_state();
  add_node(before, 11, "hub.ams", {{"endpoint", "198.51.100.1"}, {"lans", "10.1.0.0/24"}});
  add_node(before, 12, "r1.lab", {{"lans", "['10.2.0.0/24', '2001:db8:2::/48']"}});
  add_node(before, 13, "r1.nyc", {{"lans", "['10.3.0.0/24', '2001:db8:3::/48']"}});
  MeshState after = before;
  after.nodes.erase(NodeId(11));
  auto difference = compare_reach(Reach(before), Reach(after), 100);
  EXPECT_EQ(difference.lost,
            (std::vector<LanPair>{{prefix("10.1.0.0/24"), prefix("10.2.0.0/24")},
                                  {prefix("10.1.0.0/24"), prefix("10.3.0.0/24")},
                                  {prefix("10.2.0.0/24"), prefix("10.3.0.0/24")},
                                  {prefix("2001:db8:2::/48"), prefix("2001:db8:3::/48")}}));
  EXPECT_EQ(difference.lost_total, 4u);
  EXPECT_TRUE(difference.gained.empty());
  auto cut = compare_reach(Reach(after), Reach(before), 3);
  EXPECT_EQ(cut.gained.size(), 3u);
  EXPECT_EQ(cut.gained_total, 4u);
}

MeshState random_state(std::mt19937_64& random) {
  auto below = [&](uint64_t n) { return random() % n; };
  MeshState state = default_state();
  state.global["uplinks"] = {typed(std::to_string(below(3))), Sequence(2)};
  const uint64_t groups = 1 + below(4);
  for (uint32_t id = 11; id < 11 + 2 + below(14); ++id) {
    if (below(8) == 0) continue;
    Node& node = add_node(state, id, "n" + std::to_string(id) + ".s");
    auto put = [&](const char* name, const std::string& text) {
      node.attributes[name] = {typed(text), Sequence(2)};
    };
    if (below(3) == 0) put("endpoint", "192.0.2." + std::to_string(id));
    put("groups", "['g" + std::to_string(below(groups)) + "', 'g" + std::to_string(below(groups)) + "']");
    // Few LANs, so that some are announced by several nodes.
    put("lans", "['10." + std::to_string(below(12)) + ".0.0/16', '2001:db8:" + std::to_string(below(6)) + "::/48']");
  }
  return state;
}

std::set<LanPair> pairs_by_search(const MeshState& state) {
  std::map<NodeId, std::set<NodeId>> reached;
  for (const auto& [id, node] : state.nodes) {
    std::vector<NodeId> open{id};
    while (!open.empty()) {
      NodeId at = open.back();
      open.pop_back();
      if (!reached[id].insert(at).second) continue;
      for (const Link& link : links(state)) {
        if (link.low == at) open.push_back(link.high);
        if (link.high == at) open.push_back(link.low);
      }
    }
  }
  std::set<LanPair> out;
  for (const auto& [from, others] : reached)
    for (NodeId to : others)
      for (const auto& a : effective(state, *state.find_node(from), "lans")->strings())
        for (const auto& b : effective(state, *state.find_node(to), "lans")->strings())
          if (prefix(a).v6() == prefix(b).v6() && prefix(a) < prefix(b)) out.insert({prefix(a), prefix(b)});
  return out;
}

std::vector<ReachNode> configurations(const MeshState& state) {
  std::vector<ReachNode> out;
  for (const auto& [id, node] : state.nodes) {
    ReachNode one{id, node->fullname(), {}, {}, {}, peers_of(state, *node)};
    for (const auto& lan : effective(state, *node, "lans")->strings()) one.lans.push_back(prefix(lan));
    out.push_back(std::move(one));
  }
  return out;
}

TEST(Reach, ALinkOfWhichOneEndKnowsNothingIsNone) {
  std::vector<ReachNode> nodes{{NodeId(11), "r1.ams", {}, {}, {prefix("10.1.0.0/24")}, {NodeId(12), NodeId(13)}},
                               {NodeId(12), "r1.lab", {}, {}, {prefix("10.2.0.0/24")}, {NodeId(11)}},
                               {NodeId(13), "r1.nyc", {}, {}, {prefix("10.3.0.0/24")}, {}}};
  Reach reach(nodes);
  EXPECT_TRUE(*reach.reaches("r1.ams", "10.2.0.1"));
  EXPECT_FALSE(*reach.reaches("r1.ams", "10.3.0.1"));
  EXPECT_EQ(reach.parts(), 2u);
}

TEST(Reach, OfRandomNetworksIsWhatASearchFinds) {
  const uint64_t seed = std::random_device{}();
  SCOPED_TRACE("seed " + std::to_string(seed));
  std::mt19937_64 random(seed);
  for (int round = 0; round < 200; ++round) {
    MeshState before = random_state(random), after = random_state(random);
    auto then = pairs_by_search(before), now = pairs_by_search(after);
    std::vector<LanPair> lost, gained;
    std::ranges::set_difference(then, now, std::back_inserter(lost));
    std::ranges::set_difference(now, then, std::back_inserter(gained));
    auto difference = compare_reach(Reach(before), Reach(after), SIZE_MAX);
    ASSERT_EQ(difference.lost, lost) << "round " << round;
    ASSERT_EQ(difference.gained, gained) << "round " << round;
    ASSERT_EQ(difference.lost_total, lost.size());
    ASSERT_EQ(difference.gained_total, gained.size());
    const std::set<IpPrefix> about{prefix("10.3.0.0/16"), prefix("2001:db8:2::/48")};
    std::erase_if(lost, [&](const LanPair& p) { return !about.contains(p.from) && !about.contains(p.to); });
    ASSERT_EQ(compare_reach(Reach(before), Reach(after), SIZE_MAX, &about).lost, lost);
    ASSERT_TRUE(compare_reach(Reach(before), Reach(configurations(before)), SIZE_MAX).lost.empty());
    ASSERT_TRUE(compare_reach(Reach(configurations(before)), Reach(before), SIZE_MAX).lost.empty());
  }
}

TEST(Validate, NamesTheNodesWithoutALinkAndNoOther) {
  const uint64_t seed = std::random_device{}();
  SCOPED_TRACE("seed " + std::to_string(seed));
  std::mt19937_64 random(seed);
  for (int round = 0; round < 200; ++round) {
    const MeshState state = random_state(random);
    std::set<NodeId> linked;
    for (const Link& link : links(state)) linked.insert({link.low, link.high});
    std::vector<std::string> expected, found;
    for (const auto& [id, node] : state.nodes)
      if (!linked.contains(id) && state.nodes.size() > 1)
        expected.push_back("node " + node->fullname() + " has no link to any other node");
    for (const Error& error : validate(state, Scope{}))
      if (error.message.ends_with("has no link to any other node")) found.push_back(error.message);
    ASSERT_EQ(found, expected) << "round " << round;
  }
}

}  // namespace
}  // namespace mesh
