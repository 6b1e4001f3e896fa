// Claim: the model's next hop for every node and prefix is the one that BIRD selects: the shortest path,
// of several the neighbour with the lowest router id; failures are what is left out; what a failure
// cuts or lengthens, and which single ones cut, is counted exactly. Method: small networks by hand;
// random ones against searches written in another way, and single points against trying each one.
#include "eventstore/model/network.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>

#include "eventstore/model/failure_effect.h"
#include "tests/unit/compile/states.h"

namespace mesh {
namespace {

using namespace testing;
using Index = Network::Index;

IpPrefix prefix(std::string_view text) { return *parse_prefix(text); }
IpAddress address(std::string_view text) { return *parse_address(text); }
constexpr auto kNone = Network::kNone;

/// r1-r2-r3-r4-r1 and r5 behind r3, each with a LAN of its number; r2 and r4 are equally near from r1 to r3.
MeshState ring() {
  MeshState state = default_state();
  const char* groups[] = {"['a', 'd']", "['a', 'b']", "['b', 'c', 'e']", "['c', 'd']", "e"};
  for (uint32_t i = 1; i <= 5; ++i)
    add_node(state, 10 + i, "r1.s" + std::to_string(i),
             {{"endpoint", "198.51.100." + std::to_string(i)},
              {"groups", groups[i - 1]},
              {"lans", "['10." + std::to_string(i) + ".0.0/24', 'fd00:" + std::to_string(i) + "::/64']"}});
  return state;
}

/// The nodes on the way, by number.
std::vector<uint32_t> way(const Network& network, uint32_t from, std::vector<uint32_t> to) {
  std::vector<Index> targets;
  for (uint32_t id : to) targets.push_back(*network.find(NodeId(id)));
  const auto hops = network.hops_to(targets);
  std::vector<uint32_t> out;
  for (Index at = *network.find(NodeId(from)); at != kNone;) {
    out.push_back(network.nodes()[at].id.value());
    const Index next = network.next_hop(at, hops);
    if (next == at) return out;
    at = next;
  }
  return {};
}

TEST(Network, TheShortestPathWinsThenTheLowestRouterId) {
  Network network(ring());
  EXPECT_EQ(network.link_count(), 5u);
  EXPECT_EQ(way(network, 11, {13}), (std::vector<uint32_t>{11, 12, 13}));
  EXPECT_EQ(way(network, 13, {11}), (std::vector<uint32_t>{13, 12, 11}));
  EXPECT_EQ(way(network, 11, {15}), (std::vector<uint32_t>{11, 12, 13, 15}));
  EXPECT_EQ(way(network, 12, {14}), (std::vector<uint32_t>{12, 11, 14}));
  EXPECT_EQ(way(network, 11, {11}), (std::vector<uint32_t>{11})) << "local";
  EXPECT_EQ(way(network, 12, {15, 14}), (std::vector<uint32_t>{12, 11, 14})) << "the same length, by router id";
}

TEST(Network, RouterIdsDecideNotNumbers) {
  auto node = [](uint32_t id, const char* loopback, std::vector<NodeId> peers) {
    return ReachNode{NodeId(id), "r" + std::to_string(id), address(loopback), {}, {}, std::move(peers)};
  };
  Network network({node(11, "10.0.0.9", {NodeId(12), NodeId(13)}),
                   node(12, "10.0.0.8", {NodeId(11), NodeId(14)}),
                   node(13, "10.0.0.7", {NodeId(11), NodeId(14)}),
                   node(14, "10.0.0.6", {NodeId(12), NodeId(13)})});
  EXPECT_EQ(way(network, 11, {14}), (std::vector<uint32_t>{11, 13, 14}));
}

TEST(Network, WhatFailedIsNotPassed) {
  const Network network(ring());
  auto without = [&](std::set<Link> links, std::set<NodeId> nodes) {
    return network.after({std::move(links), std::move(nodes)});
  };
  EXPECT_EQ(way(without({{NodeId(11), NodeId(12)}}, {}), 11, {12}), (std::vector<uint32_t>{11, 14, 13, 12}));
  EXPECT_EQ(way(without({}, {NodeId(12)}), 11, {13}), (std::vector<uint32_t>{11, 14, 13}));
  EXPECT_EQ(way(without({}, {NodeId(13)}), 11, {15}), std::vector<uint32_t>{});
  EXPECT_EQ(way(without({}, {NodeId(13)}), 11, {13}), std::vector<uint32_t>{}) << "it is down";
  EXPECT_EQ(way(without({}, {NodeId(13)}), 11, {13, 12}), (std::vector<uint32_t>{11, 12})) << "another has it too";
}

TEST(FailureEffect, CountsWhatIsCutLengthenedAndDown) {
  const Network network(ring());
  auto link = compare_ways(network, network.after({{{NodeId(11), NodeId(12)}}, {}}), 100);
  EXPECT_EQ(link.pairs, 20u) << "ten of each family";
  EXPECT_EQ(link.lost_total, 0u);
  EXPECT_EQ(link.longer_total, 2u);
  EXPECT_EQ(link.longer[0], (LongerWay{{prefix("10.1.0.0/24"), prefix("10.2.0.0/24")}, 1, 3}));
  EXPECT_EQ(link.hops_before, (std::map<uint32_t, uint64_t>{{1, 10}, {2, 8}, {3, 2}}));

  auto node = compare_ways(network, network.after({{}, {NodeId(13)}}), 2);
  EXPECT_EQ(node.down_total, 2u);
  EXPECT_EQ(node.down, (std::vector{prefix("10.3.0.0/24"), prefix("fd00:3::/64")}));
  EXPECT_EQ(node.pairs_down, 8u);
  EXPECT_EQ(node.lost_total, 6u) << "r5 is alone";
  EXPECT_EQ(node.lost.size(), 2u);

  auto points = single_points(network, 10, 2);
  ASSERT_EQ(points.points.size(), 2u);
  EXPECT_EQ(points.links, 1u);
  EXPECT_EQ(points.nodes, 1u);
  EXPECT_EQ(points.points[0].link, (Link{NodeId(13), NodeId(15)}));
  EXPECT_EQ(points.points[0].pairs, 8u);
  EXPECT_EQ(points.points[0].apart, std::vector{NodeId(15)});
  EXPECT_EQ(points.points[0].lost, (std::vector<LanPair>{{prefix("10.1.0.0/24"), prefix("10.5.0.0/24")},
                                                         {prefix("fd00:1::/64"), prefix("fd00:5::/64")}}));
  EXPECT_EQ(points.points[1].node, NodeId(13));
  EXPECT_EQ(points.points[1].pairs, 6u);
}

// --- random networks

std::vector<ReachNode> random_network(std::mt19937_64& random) {
  auto below = [&](uint64_t n) { return random() % n; };
  const uint32_t size = 1 + static_cast<uint32_t>(below(14));
  std::vector<uint32_t> order(size);
  for (uint32_t i = 0; i < size; ++i) order[i] = i + 1;
  std::ranges::shuffle(order, random);
  std::vector<ReachNode> out;
  for (uint32_t i = 0; i < size; ++i) {
    const std::string router = std::to_string(order[i]);
    ReachNode node{NodeId(11 + i), "n" + std::to_string(i), address("10.200.0." + router), address("fd5a::" + router),
                   {}, {}};
    // Few, so that some have several nodes.
    for (uint64_t lan = below(3); lan > 0; --lan) {
      const std::string number = std::to_string(below(10));
      node.lans.push_back(below(2) == 0 ? prefix("10." + number + ".0.0/16") : prefix("2001:db8:" + number + "::/48"));
    }
    std::ranges::sort(node.lans);
    node.lans.erase(std::ranges::unique(node.lans).begin(), node.lans.end());
    out.push_back(std::move(node));
  }
  // From almost a tree to almost a full mesh.
  const uint64_t density = 1 + below(10);
  for (uint32_t i = 0; i < size; ++i)
    for (uint32_t j = 0; j < i; ++j)
      if (below(density) == 0) out[i].peers.push_back(out[j].id), out[j].peers.push_back(out[i].id);
  return out;
}

using Matrix = std::vector<std::vector<uint32_t>>;

/// Floyd and Warshall.
Matrix distances(const std::vector<ReachNode>& nodes, const Failures& failures) {
  const size_t size = nodes.size();
  Matrix out(size, std::vector<uint32_t>(size, 1000));
  for (size_t i = 0; i < size; ++i) {
    if (failures.nodes.contains(nodes[i].id)) continue;
    out[i][i] = 0;
    for (size_t j = 0; j < size; ++j)
      if (std::ranges::count(nodes[i].peers, nodes[j].id) > 0 && !failures.nodes.contains(nodes[j].id) &&
          !failures.links.contains({std::min(nodes[i].id, nodes[j].id), std::max(nodes[i].id, nodes[j].id)}))
        out[i][j] = 1;
  }
  for (size_t k = 0; k < size; ++k)
    for (size_t i = 0; i < size; ++i)
      for (size_t j = 0; j < size; ++j) out[i][j] = std::min(out[i][j], out[i][k] + out[k][j]);
  return out;
}

Failures random_failures(const std::vector<ReachNode>& nodes, std::mt19937_64& random) {
  Failures out;
  for (const ReachNode& node : nodes) {
    if (random() % 10 == 0) out.nodes.insert(node.id);
    for (NodeId peer : node.peers)
      if (random() % 10 == 0) out.links.insert({std::min(node.id, peer), std::max(node.id, peer)});
  }
  return out;
}

TEST(Network, OfRandomNetworksEveryWayIsTheShortestAndEnds) {
  const uint64_t seed = std::random_device{}();
  SCOPED_TRACE("seed " + std::to_string(seed));
  std::mt19937_64 random(seed);
  for (int round = 0; round < 500; ++round) {
    const auto nodes = random_network(random);
    const Failures failures = round % 2 == 0 ? Failures{} : random_failures(nodes, random);
    const Network network = Network(nodes).after(failures);
    const Matrix expected = distances(nodes, failures);
    for (const Origin& origin : network.prefixes()) {
      const auto hops = network.hops_to(origin.nodes);
      for (Index node = 0; node < nodes.size(); ++node) {
        uint32_t nearest = 1000;
        for (Index to : origin.nodes) nearest = std::min(nearest, expected[node][to]);
        ASSERT_EQ(hops[node], nearest >= 1000 ? kNone : nearest) << "round " << round;
        const Index next = network.next_hop(node, hops);
        if (hops[node] == kNone) {
          ASSERT_EQ(next, kNone);
        } else if (hops[node] == 0) {
          ASSERT_EQ(next, node);
          ASSERT_EQ(std::ranges::count(origin.nodes, node), 1);
        } else {
          ASSERT_EQ(expected[node][next], 1u);
          ASSERT_EQ(hops[next], hops[node] - 1);
          for (Index other = 0; other < nodes.size(); ++other) {
            if (expected[node][other] != 1 || hops[other] != hops[node] - 1) continue;
            ASSERT_LE(nodes[next].loopback4, nodes[other].loopback4);
          }
        }
      }
    }
  }
}

std::vector<ReachNode> without(std::vector<ReachNode> nodes, const Failures& failures) {
  for (ReachNode& node : nodes) {
    if (failures.nodes.contains(node.id)) node.lans.clear(), node.peers.clear();
    std::erase_if(node.peers, [&](NodeId peer) {
      return failures.nodes.contains(peer) ||
             failures.links.contains({std::min(node.id, peer), std::max(node.id, peer)});
    });
  }
  return nodes;
}

TEST(FailureEffect, OfRandomNetworksIsWhatReachSays) {
  const uint64_t seed = std::random_device{}();
  SCOPED_TRACE("seed " + std::to_string(seed));
  std::mt19937_64 random(seed);
  for (int round = 0; round < 500; ++round) {
    const auto nodes = random_network(random);
    const Failures failures = random_failures(nodes, random);
    const Network network(nodes);
    const auto effect = compare_ways(network, network.after(failures), SIZE_MAX);
    auto difference = compare_reach(Reach(nodes), Reach(without(nodes, failures)), SIZE_MAX);
    const uint64_t all = difference.lost_total;
    std::erase_if(difference.lost, [&](const LanPair& pair) {
      return std::ranges::binary_search(effect.down, pair.from) || std::ranges::binary_search(effect.down, pair.to);
    });
    ASSERT_EQ(effect.lost, difference.lost) << "round " << round;
    ASSERT_EQ(effect.lost_total, effect.lost.size());
    ASSERT_EQ(effect.pairs_down + effect.lost_total, all);
    ASSERT_EQ(effect.longer_total, effect.longer.size());
    uint64_t pairs = 0, left = 0;
    for (auto [hops, count] : effect.hops_before) pairs += count;
    for (auto [hops, count] : effect.hops_after) left += count;
    ASSERT_EQ(pairs, effect.pairs);
    ASSERT_EQ(left, effect.pairs - effect.pairs_down - effect.lost_total);
  }
}

TEST(SinglePoints, OfRandomNetworksAreThoseThatCutWhenTried) {
  const uint64_t seed = std::random_device{}();
  SCOPED_TRACE("seed " + std::to_string(seed));
  std::mt19937_64 random(seed);
  for (int round = 0; round < 1000; ++round) {
    auto nodes = random_network(random);
    // Also of a network in which something failed already.
    const Network network = round % 3 == 0 ? Network(nodes).after(random_failures(nodes, random)) : Network(nodes);
    std::map<std::pair<NodeId, NodeId>, FailureEffect> expected;
    auto attempt = [&](const Failures& failures, std::pair<NodeId, NodeId> name) {
      auto effect = compare_ways(network, network.after(failures), SIZE_MAX);
      if (effect.lost_total > 0) expected.emplace(name, std::move(effect));
    };
    for (Index i = 0; i < nodes.size(); ++i) {
      if (!network.nodes()[i].up) continue;
      attempt({{}, {nodes[i].id}}, {nodes[i].id, NodeId()});
      for (Index j : network.peers(i))
        if (j > i) attempt({{{nodes[i].id, nodes[j].id}}, {}}, {nodes[i].id, nodes[j].id});
    }
    const auto found = single_points(network, SIZE_MAX, SIZE_MAX);
    ASSERT_EQ(found.points.size(), expected.size()) << "round " << round;
    ASSERT_EQ(found.nodes + found.links, expected.size());
    for (const SinglePoint& point : found.points) {
      const auto name = point.link ? std::pair(point.link->low, point.link->high) : std::pair(point.node, NodeId());
      ASSERT_TRUE(expected.contains(name)) << "round " << round;
      ASSERT_EQ(point.pairs, expected[name].lost_total) << "round " << round;
      ASSERT_EQ(point.lost, expected[name].lost);
    }
    ASSERT_TRUE(std::ranges::is_sorted(found.points, std::greater(), &SinglePoint::pairs));
  }
}

TEST(SinglePoints, OfAHubAreTheHubAndItsSpokes) {
  MeshState state = default_state();
  constexpr uint32_t kSpokes = 600;
  state.global["uplinks"] = {typed("1"), Sequence(2)};
  add_node(state, 11, "hub.h", {{"endpoint", "198.51.100.1"}, {"lans", "172.16.0.0/24"}});
  for (uint32_t i = 0; i < kSpokes; ++i)
    add_node(state, 12 + i, "r1.s" + std::to_string(i),
             {{"lans", "10." + std::to_string(i / 250) + "." + std::to_string(i % 250) + ".0/24"}});
  const auto found = single_points(Network(state), 5, 3);
  EXPECT_EQ(found.nodes, 1u);
  EXPECT_EQ(found.links, kSpokes);
  ASSERT_EQ(found.points.size(), 5u);
  EXPECT_EQ(found.points[0].node, NodeId(11));
  EXPECT_EQ(found.points[0].pairs, kSpokes * (kSpokes - 1) / 2);
  EXPECT_EQ(found.points[0].apart_total, kSpokes - 1);
  EXPECT_EQ(found.points[0].lost.size(), 3u);
  EXPECT_EQ(found.points[1].pairs, kSpokes) << "a spoke's link";
}

}  // namespace
}  // namespace mesh
