// Claim: links follow from groups and endpoints; a node behind NAT gets its few uplinks, and a node
// that comes or goes moves no other link than it must. Method: small states by hand, and one of a
// few hundred nodes.
#include "eventstore/model/topology.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "tests/unit/compile/states.h"

namespace mesh {
namespace {

using namespace testing;

std::vector<std::pair<uint32_t, uint32_t>> pairs(const MeshState& state) {
  std::vector<std::pair<uint32_t, uint32_t>> out;
  for (auto [low, high] : links(state)) out.emplace_back(low.value(), high.value());
  return out;
}

using Pairs = std::vector<std::pair<uint32_t, uint32_t>>;

TEST(Topology, IsAFullMeshByDefault) {
  MeshState state = three_sites();
  EXPECT_EQ(pairs(state), (Pairs{{11, 12}, {11, 13}, {12, 13}}));
  EXPECT_EQ(peers_of(state, *state.nodes[NodeId(12)]), (std::vector{NodeId(11), NodeId(13)}));
}

TEST(Topology, GroupsMakeHubAndSpokes) {
  MeshState state = three_sites();
  add_site(state, "ams", {{"groups", "['hub-b1', 'hub-b2']"}});
  add_node(state, 12, "r1.lab", {{"groups", "['hub-b1']"}});
  add_node(state, 13, "r1.nyc", {{"groups", "hub-b2"}});
  EXPECT_EQ(pairs(state), (Pairs{{11, 12}, {11, 13}}));
  state.global["groups"] = {typed("['all']"), Sequence(9)};
  EXPECT_EQ(pairs(state), (Pairs{{11, 12}, {11, 13}}))
      << "the lower level wins, sets are not joined";
}

TEST(Topology, NodesBehindNatAreNotLinkedDirectly) {
  MeshState state = default_state();
  add_node(state, 11, "r1.ams", {{"endpoint", "198.51.100.1"}});
  add_node(state, 12, "r1.lab");
  add_node(state, 13, "r1.nyc", {{"node_hostname", "localhost"}});
  add_node(state, 14, "r1.tok", {{"node_hostname", "tok.example.net"}, {"endpoint", "none"}});
  EXPECT_EQ(pairs(state), (Pairs{{11, 12}, {11, 13}, {11, 14}}));
  add_node(state, 13, "r1.nyc", {{"node_hostname", "nyc.example.net"}});
  EXPECT_EQ(pairs(state), (Pairs{{11, 12}, {11, 13}, {11, 14}, {12, 13}, {13, 14}}));
}

/// `publics` public nodes from 11 upward, then as many behind NAT from 1011 upward.
MeshState crowd(uint32_t publics, uint32_t nats) {
  MeshState state = default_state();
  for (uint32_t i = 0; i < publics; ++i)
    add_node(state, 11 + i, "p" + std::to_string(i) + ".s",
             {{"endpoint", "p" + std::to_string(i) + ".example.net"}});
  for (uint32_t i = 0; i < nats; ++i) add_node(state, 1011 + i, "n" + std::to_string(i) + ".s");
  return state;
}

TEST(Topology, UplinksAreAsManyAsAsked) {
  MeshState state = crowd(10, 100);
  std::map<uint32_t, int> dialled, dials;
  for (auto [low, high] : pairs(state))
    if (high >= 1011) ++dialled[low], ++dials[high];
  EXPECT_EQ(dials.size(), 100u);
  EXPECT_TRUE(std::ranges::all_of(dials, [](auto entry) { return entry.second == 2; }));
  for (auto [node, count] : dialled)
    EXPECT_TRUE(count >= 5 && count <= 45) << node << " has " << count << " of about 20";

  set(state.global, {{"uplinks", "0"}});
  EXPECT_EQ(pairs(state).size(), 45u + 1000u) << "0 = all public peers";
  set(state.global, {{"uplinks", "50"}});
  EXPECT_EQ(pairs(state).size(), 45u + 1000u) << "no more than there are";
}

TEST(Topology, AnotherSeedSpreadsOtherwise) {
  MeshState state = crowd(10, 100);
  auto before = pairs(state);
  set(state.global, {{"topology_seed", "7"}});
  EXPECT_NE(pairs(state), before);
}

TEST(Topology, AChangeMovesFewLinks) {
  MeshState state = crowd(20, 200);
  auto before = pairs(state);
  add_node(state, 31, "p-new.s", {{"endpoint", "new.example.net"}});
  auto after = pairs(state);
  Pairs gone, come;
  std::ranges::set_difference(before, after, std::back_inserter(gone));
  std::ranges::set_difference(after, before, std::back_inserter(come));
  EXPECT_TRUE(
      std::ranges::all_of(come, [](auto link) { return link.first == 31 || link.second == 31; }));
  EXPECT_EQ(come.size(), 20 + gone.size()) << "each uplink that moved, moved to the new node";
  EXPECT_LT(gone.size(), 200u * 2 / 20 * 3);
  state.nodes.erase(NodeId(31));
  EXPECT_EQ(pairs(state), before);
}

}  // namespace
}  // namespace mesh
