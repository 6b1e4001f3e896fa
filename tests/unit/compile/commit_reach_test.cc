// Claim: what a commit is said to lose is what the network loses between the committed state and the one
// that the commit makes of its scope; what is only split or joined is no loss; changes that move nothing
// cost nothing. Method: states by hand with uncommitted changes.
#include "eventstore/model/commit_reach.h"

#include <gtest/gtest.h>

#include "tests/unit/compile/states.h"

namespace mesh {
namespace {

using namespace testing;

IpPrefix prefix(std::string_view text) { return *parse_prefix(text); }
LanPair pair(std::string_view a, std::string_view b) { return {prefix(a), prefix(b)}; }
const Scope kAll{};
Scope site(const std::string& name) { return {Level::site, name, {}}; }

/// Changes an attribute of a node without committing it.
void change_node(MeshState& state, uint32_t id, const std::string& name, const std::string& text) {
  Attributes& attributes = state.nodes.at(NodeId(id)).edit().attributes;
  Change change{Change::Kind::attribute, {Level::node, {}, NodeId(id)}, name, {}, "alice", Sequence(9)};
  if (auto at = attributes.find(name); at != attributes.end()) change.before = at->second.value;
  attributes[name] = {typed(text), Sequence(9)};
  if (!state.changes.find(change.kind, change.scope, name)) state.changes.push_back(std::move(change));
}

void remove_node(MeshState& state, uint32_t id) {
  state.removed_nodes.insert(state.nodes.extract(NodeId(id)));
  state.changes.push_back({Change::Kind::node_removed, {Level::node, {}, NodeId(id)}, {}, {}, "alice", Sequence(9)});
}

MeshState three() {
  MeshState state = default_state();
  add_node(state, 11, "r1.ams", {{"endpoint", "198.51.100.1"}, {"lans", "10.1.0.0/24"}});
  add_node(state, 12, "r1.lab", {{"endpoint", "198.51.100.2"}, {"lans", "10.2.0.0/24"}});
  add_node(state, 13, "r1.nyc", {{"endpoint", "198.51.100.3"}, {"lans", "10.3.0.0/24"}});
  return state;
}

std::vector<LanPair> lost(const MeshState& state, const Scope& scope = kAll, bool neighbours = false) {
  auto difference = commit_reach(state, scope, neighbours, 100);
  EXPECT_EQ(difference.lost.size(), difference.lost_total);
  return difference.lost;
}

TEST(CommitReach, ANodeThatLeavesTheGroupIsCutOff) {
  MeshState state = three();
  EXPECT_TRUE(lost(state).empty());
  change_node(state, 12, "groups", "other");
  const std::vector both{pair("10.1.0.0/24", "10.2.0.0/24"), pair("10.2.0.0/24", "10.3.0.0/24")};
  EXPECT_EQ(lost(state), both);
  EXPECT_EQ(lost(state, site("lab")), both);
  EXPECT_TRUE(lost(state, site("ams")).empty()) << "ams gives up its end of the link, nyc joins them still";
  EXPECT_EQ(lost(state, site("ams"), true), both) << "lab goes along";
}

TEST(CommitReach, ACommitOfOneSiteTakesOnlyItsEnds) {
  MeshState state = three();
  // All move to another group: together nothing is lost.
  for (uint32_t id : {11, 12, 13}) change_node(state, id, "groups", "other");
  EXPECT_TRUE(lost(state).empty());
  EXPECT_TRUE(lost(state, site("lab")).empty()) << "both ends have the link before and after";
  change_node(state, 13, "groups", "third");
  EXPECT_EQ(lost(state), (std::vector{pair("10.1.0.0/24", "10.3.0.0/24"), pair("10.2.0.0/24", "10.3.0.0/24")}));
  EXPECT_EQ(lost(state, site("nyc")), lost(state));
  EXPECT_TRUE(lost(state, {Level::node, {}, NodeId(12)}).empty()) << "by way of ams it still reaches nyc";
}

TEST(CommitReach, NeighboursThatGoAlongKeepTheLink) {
  MeshState state = default_state();
  add_node(state, 11, "hub.ams", {{"endpoint", "198.51.100.1"}, {"groups", "a"}, {"lans", "10.1.0.0/24"}});
  add_node(state, 12, "r1.lab", {{"groups", "a"}, {"lans", "10.2.0.0/24"}});
  add_node(state, 13, "hub.nyc", {{"endpoint", "198.51.100.3"}, {"groups", "['a', 'b']"}, {"lans", "10.3.0.0/24"}});
  // lab leaves both hubs for a new one, which nobody committed.
  change_node(state, 11, "groups", "['a', 'c']");
  change_node(state, 12, "groups", "c");
  EXPECT_TRUE(lost(state).empty());
  EXPECT_TRUE(lost(state, site("lab")).empty()) << "ams has the link already, for another reason";
  change_node(state, 13, "groups", "['b', 'c']");
  change_node(state, 11, "groups", "['a', 'b', 'c']");
  EXPECT_TRUE(lost(state, site("lab"), true).empty());
}

TEST(CommitReach, RemovalsCountWhereTheyAreCommitted) {
  MeshState state = three();
  remove_node(state, 13);
  const std::vector both{pair("10.1.0.0/24", "10.3.0.0/24"), pair("10.2.0.0/24", "10.3.0.0/24")};
  EXPECT_EQ(lost(state), both);
  EXPECT_EQ(lost(state, site("nyc")), both);
  EXPECT_EQ(lost(state, {Level::node, {}, NodeId(13)}), both);
  EXPECT_TRUE(lost(state, site("ams")).empty()) << "nyc is still there, and lab its way";
}

TEST(CommitReach, WhatIsSplitJoinedOrLargerIsNotLost) {
  MeshState state = three();
  change_node(state, 12, "lans", "['10.2.0.0/25', '10.2.0.128/25']");
  auto difference = commit_reach(state, kAll, false, 100);
  EXPECT_TRUE(difference.lost.empty());
  EXPECT_TRUE(difference.gained.empty()) << "nothing that was not there as a whole";
  state = three();
  change_node(state, 12, "lans", "10.2.0.0/23");
  difference = commit_reach(state, kAll, false, 100);
  EXPECT_TRUE(difference.lost.empty());
  EXPECT_EQ(difference.gained_total, 2u) << "10.2.1.0/24 is new";
  state = three();
  change_node(state, 12, "lans", "10.2.0.0/25");
  EXPECT_EQ(lost(state), (std::vector{pair("10.1.0.0/24", "10.2.0.0/24"), pair("10.2.0.0/24", "10.3.0.0/24")}));
  EXPECT_EQ(commit_reach(state, kAll, false, 100).gained_total, 0u);
}

TEST(CommitReach, TheRefusalNamesPairsNumberAndWayOut) {
  MeshState state = three();
  change_node(state, 12, "wg_mtu", "1400");
  EXPECT_TRUE(check_commit_reach(state, kAll, false));
  for (uint32_t id : {11, 12, 13}) change_node(state, id, "groups", "g" + std::to_string(id));
  auto refused = check_commit_reach(state, kAll, false);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, Errc::invalid);
  EXPECT_EQ(refused.error().message,
            "3 pairs of LANs would no longer reach each other: 10.1.0.0/24 and 10.2.0.0/24, 10.1.0.0/24 and "
            "10.3.0.0/24, 10.2.0.0/24 and 10.3.0.0/24");
  EXPECT_EQ(refused.error().fix, "look at it with meshcli plan; when it is meant: --allow-loss");
}

}  // namespace
}  // namespace mesh
