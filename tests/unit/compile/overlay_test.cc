// Claim: a pinned configuration is bound to the keys of the head: revoked and unknown keys make no
// tunnel, a key rotation builds a second lane beside the first, the same at both ends. Method:
// states by hand.
#include "eventstore/model/overlay.h"

#include <gtest/gtest.h>

#include <set>

#include "eventstore/model/compile.h"
#include "eventstore/model/intent.h"
#include "eventstore/model/limits.h"
#include "tests/unit/compile/states.h"

namespace mesh {
namespace {

using namespace testing;

Desired desired(const MeshState& state, uint32_t node) {
  return bind(*compile(state, NodeId(node)), make_overlay(state, NodeId(node)));
}

std::vector<std::string> names(const Desired& desired) {
  std::vector<std::string> out;
  for (const auto& tunnel : desired.tunnels) out.push_back(tunnel.name);
  return out;
}

using Names = std::vector<std::string>;

TEST(Overlay, KnowsTheLiveKeys) {
  MeshState state = three_sites();
  enrol(state, 11);
  enrol(state, 12, {3, 4});
  Overlay overlay = make_overlay(state, NodeId(11));
  EXPECT_FALSE(overlay.revoked);
  EXPECT_EQ(overlay.generations, std::vector<uint32_t>{1});
  ASSERT_EQ(overlay.peers.size(), 1u) << "13 is not enrolled";
  EXPECT_EQ(overlay.peers.at(NodeId(12)).keys, state.nodes[NodeId(12)]->keys);
  EXPECT_EQ(overlay.sequence, Sequence(112));
  EXPECT_TRUE(make_overlay(state, NodeId(99)).revoked);
}

TEST(Bind, MakesATunnelForEachEnrolledPeer) {
  MeshState state = three_sites();
  enrol_all(state);
  Desired all = desired(state, 11);
  EXPECT_EQ(names(all), (Names{"tlwg_12", "tlwg_13"}));
  EXPECT_EQ(all.tunnels[0].peer_key, key_of(12, 1));
  EXPECT_EQ(all.tunnels[0].listen_port, 51832);
  EXPECT_EQ(all.loopbacks.size(), 2u);
  EXPECT_TRUE(all.bird.contains("protocol bgp peer_12 from mesh"));
}

// Claim: a version that was taken over from another log keeps that log's pre-shared keys.
TEST(Bind, TunnelsSayToWhichLogTheirKeysAreBound) {
  MeshState state = three_sites();
  enrol_all(state);
  Overlay overlay = make_overlay(state, NodeId(11));
  overlay.log.bytes.fill(7);
  for (const Tunnel& tunnel : bind(*compile(state, NodeId(11)), overlay).tunnels) {
    EXPECT_EQ(tunnel.psk_log, overlay.log);
    EXPECT_EQ(tunnel.psk_node, NodeId(11));
  }
}

TEST(Bind, RevocationActsAtOnce) {
  MeshState state = three_sites();
  enrol_all(state);
  NodeConfig pinned = *compile(state, NodeId(11));
  Node& lab = state.nodes[NodeId(12)].edit();
  lab.enrolment = Enrolment::revoked;
  lab.keys.clear();
  EXPECT_EQ(names(bind(pinned, make_overlay(state, NodeId(11)))), Names{"tlwg_13"});

  Desired own = bind(*compile(state, NodeId(12)), make_overlay(state, NodeId(12)));
  EXPECT_TRUE(own.tunnels.empty());
  EXPECT_FALSE(own.bird.contains("protocol bgp"));

  state.removed_nodes.insert(state.nodes.extract(NodeId(13)));
  EXPECT_TRUE(bind(pinned, make_overlay(state, NodeId(11))).tunnels.empty());
}

TEST(Bind, ARotationIsASecondLane) {
  MeshState state = three_sites();
  enrol_all(state);
  Desired before = desired(state, 11);
  enrol(state, 12, {1, 2});
  Desired ams = desired(state, 11), lab = desired(state, 12);
  ASSERT_EQ(names(ams), (Names{"tlwg_12", "tlwg_12b", "tlwg_13"}));
  EXPECT_EQ(names(lab), (Names{"tlwg_11", "tlwg_11b", "tlwg_13", "tlwg_13b"}));
  EXPECT_EQ(ams.tunnels[0], before.tunnels[0]) << "the old one is untouched";
  EXPECT_EQ(ams.tunnels[1].peer_key, key_of(12, 2));
  EXPECT_EQ(lab.tunnels[1].own_generation, 2u);
  EXPECT_EQ(ams.tunnels[1].endpoint_port, lane_port(ams.tunnels[0].endpoint_port, 1));
  EXPECT_EQ(lab.tunnels[1].listen_port, lane_port(lab.tunnels[0].listen_port, 1));
  enrol(state, 12, {2});
  EXPECT_EQ(names(desired(state, 11)), (Names{"tlwg_12b", "tlwg_13"}));
}

TEST(Bind, BothEndsChooseTheSamePairs) {
  MeshState state = three_sites();
  for (uint32_t a = 1; a < 8; ++a) {
    for (uint32_t b = 1; b < 8; ++b) {
      enrol(state, 11, {a, a + 1});
      enrol(state, 12, {b, b + 1});
      Desired ams = desired(state, 11), lab = desired(state, 12);
      ASSERT_EQ(ams.tunnels.size(), 2u);
      ASSERT_EQ(lab.tunnels.size(), 2u);
      for (size_t lane = 0; lane < 2; ++lane) {
        EXPECT_EQ(ams.tunnels[lane].peer_key, key_of(12, lab.tunnels[lane].own_generation));
        EXPECT_EQ(lab.tunnels[lane].peer_key, key_of(11, ams.tunnels[lane].own_generation));
      }
    }
  }
}

TEST(Bind, TheManagementNetworkKnowsWhoIsEnrolledOnly) {
  MeshState state = three_sites();
  state.rules = kFileRules;
  set(state.global, {{"management_hub", "r1.ams"}, {"management_net_ipv6", "fd00:5::/64"}});
  enrol(state, 11), enrol(state, 12, {3, 4});
  const auto hub = desired(state, 11).management, lab = desired(state, 12).management;
  ASSERT_TRUE(hub && lab);
  ASSERT_EQ(hub->peers.size(), 1u) << "13 is not enrolled";
  EXPECT_EQ(hub->peers[0].key, key_of(12, 4)) << "one lane, of the newest keys";
  EXPECT_EQ(hub->listen_port, 51820);
  EXPECT_EQ(hub->endpoint_host, "");
  EXPECT_EQ(addresses_of(*hub), (std::vector{*parse_prefix("fd00:5::b/64"), *parse_prefix("fe80::b/64")}));
  EXPECT_EQ(allowed_of(hub->peers[0]), (std::vector{*parse_prefix("fd00:5::c/128"), *parse_prefix("fe80::c/128")}));
  ASSERT_EQ(lab->peers.size(), 1u) << "the hub alone";
  EXPECT_EQ(lab->own_generation, 4u);
  EXPECT_EQ(lab->peers[0].key, key_of(11, 1));
  EXPECT_EQ(host_port_text(lab->endpoint_host, lab->endpoint_port), "198.51.100.1:51820");
  EXPECT_FALSE(desired(state, 11).bird.contains("fd00:5::")) << "BIRD has no part in it";
  EXPECT_TRUE(render_wireguard(*lab).contains("Endpoint = 198.51.100.1:51820\n"));

  const NodeConfig pinned = *compile(state, NodeId(12));
  state.nodes[NodeId(11)].edit().enrolment = Enrolment::revoked;
  const auto alone = bind(pinned, make_overlay(state, NodeId(12))).management;
  ASSERT_TRUE(alone);
  EXPECT_TRUE(alone->peers.empty()) << "at once, and nothing is dialled";
  EXPECT_EQ(alone->endpoint_host, "");
  EXPECT_FALSE(desired(state, 11).management);
}

TEST(LanePort, KeepsBothLanesApart) {
  for (uint32_t base : {1u, 16'383u, 16'384u, 20'000u, 32'767u, 40'000u, 49'000u}) {
    std::set<uint16_t> ports;
    for (uint32_t id = kNodeIdMin; id <= kPortNumberMax; id += 7) {
      ports.insert(lane_port(static_cast<uint16_t>(base + id), 0));
      ports.insert(lane_port(static_cast<uint16_t>(base + id), 1));
    }
    EXPECT_EQ(ports.size(), 2 * ((kPortNumberMax - kNodeIdMin) / 7 + 1)) << base;
  }
}

TEST(Render, WireGuardTextIsComplete) {
  MeshState state = three_sites();
  enrol_all(state);
  EXPECT_EQ(render_wireguard(desired(state, 11).tunnels[0]),
            "# tlwg_12\n"
            "[Interface]\n"
            "ListenPort = 51832\n"
            "PrivateKey = (own key, generation 1)\n"
            "Address = fe80::b/64\n"
            "MTU = 1380\n"
            "Table = off\n"
            "\n"
            "[Peer]\n"
            "PublicKey = AQwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAw=\n"
            "PresharedKey = (derived, epoch 0)\n"
            "AllowedIPs = 0.0.0.0/0, ::/0\n"
            "Endpoint = [2001:db8:2::1]:40011\n"
            "PersistentKeepalive = 25\n");
}

}  // namespace
}  // namespace mesh
