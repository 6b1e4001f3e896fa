// Claim: plan changes exactly what differs, in an order in which every step can be done, and says
// what it does. Method: observed routers by hand; the laws over random ones are in
// tests/property/compile.
#include "eventstore/model/plan.h"

#include <gtest/gtest.h>

#include "eventstore/model/compile.h"
#include "eventstore/model/interruption.h"
#include "tests/unit/compile/states.h"

namespace mesh {
namespace {

using namespace testing;

const std::map<uint32_t, WireGuardKey> kOwnKeys = {{1, key_of(11, 1)}, {2, key_of(11, 2)}};

Desired ams() {
  MeshState state = three_sites();
  enrol_all(state);
  return bind(*compile(state, NodeId(11)), make_overlay(state, NodeId(11)));
}

Observed as_wanted(const Desired& desired) {
  Observed out;
  for (const auto& tunnel : desired.tunnels) {
    ObservedTunnel& is = out.tunnels[tunnel.name];
    is.name = tunnel.name;
    is.up = is.psk_matches = is.allowed_ips_match = true;
    is.mtu = tunnel.mtu;
    is.addresses = addresses_of(tunnel);
    is.own_key = kOwnKeys.at(tunnel.own_generation);
    is.listen_port = tunnel.listen_port;
    is.peer_key = tunnel.peer_key;
    is.endpoint = "203.0.113.9:1234";
    is.configured_endpoint = host_port_text(tunnel.endpoint_host, tunnel.endpoint_port);
    is.keepalive = tunnel.keepalive;
  }
  out.loopbacks = desired.loopbacks;
  out.sysctls = desired.sysctls;
  out.bird_running = true;
  out.bird = desired.bird;
  return out;
}

std::vector<std::string> steps(const Observed& observed, const Desired& desired) {
  std::vector<std::string> out;
  for (const auto& action : plan(observed, desired, kOwnKeys)) out.push_back(to_text(action));
  return out;
}

using Steps = std::vector<std::string>;

TEST(Plan, NothingToDoIsNoStep) { EXPECT_EQ(steps(as_wanted(ams()), ams()), Steps{}); }

TEST(Plan, ANewRouterGetsEverythingInOrder) {
  Desired desired = ams();
  Steps all = steps(Observed{}, desired);
  ASSERT_EQ(all.size(), desired.sysctls.size() + 4);
  EXPECT_EQ(all[0], "sysctl net.ipv4.conf.all.accept_redirects = 0");
  EXPECT_EQ(all[6], "loopbacks: 100.80.0.11, fd5a:1:2::b");
  EXPECT_EQ(all[7], "tunnel tlwg_12: create, port 51832");
  EXPECT_EQ(all[8], "tunnel tlwg_13: create, port 51833");
  EXPECT_TRUE(all[9].starts_with("bird: start with ")) << all[9];
}

TEST(Plan, ChangesOnlyWhatDiffers) {
  Desired desired = ams();
  Observed observed = as_wanted(desired);
  observed.tunnels["tlwg_12"].keepalive = 7;
  observed.tunnels["tlwg_12"].mtu = 1500;
  observed.tunnels["tlwg_13"].up = false;
  observed.sysctls["net.ipv4.ip_forward"] = "0";
  observed.sysctls["net.ipv4.tcp_ecn"] = "1";  // not ours
  EXPECT_EQ(steps(observed, desired),
            (Steps{"sysctl net.ipv4.ip_forward = 1", "tunnel tlwg_12: set keepalive, mtu",
                   "tunnel tlwg_13: set link down"}));
}

// A tunnel without an IPv4 address makes the kernel drop what goes one way and comes back another.
TEST(Plan, ATunnelHasTheRoutersLoopback) {
  Desired desired = ams();
  const auto texts = [&] {
    std::vector<std::string> out;
    for (const auto& prefix : addresses_of(desired.tunnels.front())) out.push_back(to_text(prefix));
    return out;
  };
  EXPECT_EQ(texts(), (Steps{"100.80.0.11/32", "fe80::b/64"}));
  Observed observed = as_wanted(desired);
  observed.tunnels["tlwg_12"].addresses.erase(observed.tunnels["tlwg_12"].addresses.begin());
  EXPECT_EQ(steps(observed, desired), Steps{"tunnel tlwg_12: set address"});
}

TEST(Plan, RemovesLast) {
  Desired desired = ams();
  Observed observed = as_wanted(desired);
  desired.tunnels.erase(desired.tunnels.begin());
  desired.bird += "# changed\n";
  Steps all = steps(observed, desired);
  ASSERT_EQ(all.size(), 2u);
  EXPECT_TRUE(all[0].starts_with("bird: configure with "));
  EXPECT_EQ(all[1], "tunnel tlwg_12: remove");
}

TEST(Plan, ARoamingPeerIsLeftAlone) {
  Desired desired = ams();
  Observed observed = as_wanted(desired);
  ObservedTunnel& tunnel = observed.tunnels["tlwg_12"];
  tunnel.endpoint = "198.51.100.77:4500";
  EXPECT_EQ(steps(observed, desired), Steps{});
  tunnel.configured_endpoint = "[2001:db8:2::1]:40012";
  EXPECT_EQ(steps(observed, desired), Steps{"tunnel tlwg_12: set peer endpoint"});
  tunnel.configured_endpoint = "";
  EXPECT_EQ(steps(observed, desired), Steps{"tunnel tlwg_12: set peer endpoint"})
      << "an address, nobody knows why";
  tunnel.endpoint = "[2001:db8:2::1]:40011";
  EXPECT_EQ(steps(observed, desired), Steps{});
  observed.tunnels["tlwg_13"].configured_endpoint = "";
  EXPECT_EQ(steps(observed, desired), Steps{}) << "a name that was resolved somehow";
  observed.tunnels["tlwg_13"].endpoint = "";
  EXPECT_EQ(steps(observed, desired), Steps{"tunnel tlwg_13: set peer endpoint"});
}

TEST(Plan, APortIsFreedBeforeItIsTaken) {
  Desired desired = ams();
  Observed observed = as_wanted(desired);
  desired.tunnels[0].listen_port = 51833;  // the base moved up by one
  desired.tunnels[1].listen_port = 51834;
  EXPECT_EQ(steps(observed, desired),
            (Steps{"tunnel tlwg_13: set listen port", "tunnel tlwg_12: set listen port"}));

  observed.tunnels["tlwg_99"] = observed.tunnels["tlwg_13"];
  observed.tunnels["tlwg_99"].listen_port = 51834;
  EXPECT_EQ(steps(observed, desired),
            (Steps{"tunnel tlwg_99: remove", "tunnel tlwg_13: set listen port",
                   "tunnel tlwg_12: set listen port"}));
}

TEST(Plan, SwappedPortsNeedARemoval) {
  Desired desired = ams();
  Observed observed = as_wanted(desired);
  std::swap(desired.tunnels[0].listen_port, desired.tunnels[1].listen_port);
  EXPECT_EQ(steps(observed, desired),
            (Steps{"tunnel tlwg_12: remove", "tunnel tlwg_13: set listen port",
                   "tunnel tlwg_12: create, port 51833"}));
}

TEST(Plan, ATunnelWithoutItsPrivateKeyIsLeftAlone) {
  Desired desired = ams();
  Observed observed = as_wanted(desired);
  for (auto& tunnel : desired.tunnels) tunnel.own_generation = 9;
  EXPECT_EQ(steps(observed, desired), Steps{});
}

TEST(CompareConfigs, NamesEachDifferenceAndTheWorstEffect) {
  MeshState state = three_sites();
  NodeConfig before = *compile(state, NodeId(11));
  EXPECT_EQ(compare_configs(&before, before), ConfigChange{});

  set(state.nodes[NodeId(11)].edit().attributes, {{"wg_keepalive", "20"}});
  set(state.nodes[NodeId(13)].edit().attributes, {{"groups", "elsewhere"}});
  add_node(state, 14, "r1.tok", {{"endpoint", "tok.example.net"}, {"lans", "10.4.0.0/24"}});
  ConfigChange change = compare_configs(&before, *compile(state, NodeId(11)));
  EXPECT_EQ(change.effect, Effect::hot);
  EXPECT_EQ(change.lines, (Steps{"~ link to r1.lab: keepalive 25 -> 20", "- link to r1.nyc",
                                 "+ link to r1.tok", "+ accept 10.4.0.0/24"}));

  set(state.nodes[NodeId(12)].edit().attributes, {{"endpoint", "none"}});
  set(state.global, {{"bgp_as_base", "65000"}});
  change = compare_configs(&before, *compile(state, NodeId(11)));
  EXPECT_EQ(change.effect, Effect::session_reset);
  EXPECT_EQ(change.lines[0], "~ AS 4200000011 -> 65011");
  EXPECT_EQ(change.effects, (std::vector<Effect>{Effect::session_reset, Effect::session_reset, Effect::hot,
                                                 Effect::hot, Effect::hot}));
  EXPECT_EQ(change.resets, (std::vector<LinkReset>{{NodeId(12), "until r1.lab has changed too"}}))
      << "links that come or go reset nothing";
  EXPECT_EQ(
      change.lines[1],
      "~ link to r1.lab: peer AS 4200000012 -> 65012, endpoint [2001:db8:2::1]:40011 -> none, "
      "keepalive 25 -> 20");
}

TEST(Plan, OldLoopbacksGoLast) {
  Desired desired = ams();
  Observed observed = as_wanted(desired);
  const IpAddress old = *parse_address("100.80.0.99");
  observed.loopbacks = {old, desired.loopbacks[1]};
  observed.bird = "another";
  Steps all = steps(observed, desired);
  ASSERT_EQ(all.size(), 3u);
  EXPECT_EQ(all[0], "loopbacks: 100.80.0.11, fd5a:1:2::b, 100.80.0.99");
  EXPECT_TRUE(all[1].starts_with("bird: configure"));
  EXPECT_EQ(all[2], "loopbacks: 100.80.0.11, fd5a:1:2::b");
  EXPECT_EQ(removals_at(plan(observed, desired, kOwnKeys)), 2u);
  EXPECT_EQ(removals_at({}), 0u);
}

TEST(Bridge, IsWhatIsAndBesideItTheLinksThatCome) {
  MeshState state = three_sites();
  enrol_all(state);
  const NodeConfig all = *compile(state, NodeId(11));
  const Overlay overlay = make_overlay(state, NodeId(11));
  NodeConfig before = all, after = all;
  before.links.erase(before.links.begin());
  after.links.pop_back();
  after.links[0].keepalive = 5;
  auto bridge = bind_bridge(before, after, overlay);
  ASSERT_TRUE(bridge);
  NodeConfig both = all;
  both.links[0].keepalive = 5;
  EXPECT_EQ(*bridge, bind(both, overlay));
  EXPECT_FALSE(bind_bridge(before, before, overlay));
  EXPECT_FALSE(bind_bridge(before, all, overlay)) << "nothing goes";
  EXPECT_FALSE(bind_bridge(all, before, overlay)) << "nothing comes";
  NodeConfig other = after;
  other.as_number += 1;
  EXPECT_FALSE(bind_bridge(before, other, overlay)) << "all sessions begin anew";
  other = after;
  other.links[0].listen_port = before.links[0].listen_port;
  EXPECT_FALSE(bind_bridge(before, other, overlay)) << "one port for two tunnels";
}

TEST(CompareConfigs, AnotherPortIsHeardOfUnlessThePeerIsBehindNat) {
  const NodeConfig before = *compile(three_sites(), NodeId(11));
  NodeConfig after = before;
  after.links[0].listen_port += 100;
  ASSERT_FALSE(after.links[0].endpoint_host.empty());
  EXPECT_EQ(compare_configs(&before, after).effect, Effect::hot);
  after.links[0].endpoint_host.clear();
  const ConfigChange change = compare_configs(&before, after);
  EXPECT_EQ(change.effect, Effect::session_reset);
  EXPECT_EQ(change.resets.size(), 1u);
}

TEST(CompareConfigs, AnotherRoutingStyleResetsEveryLinkUntilItsPeerHasItToo) {
  const NodeConfig before = *compile(three_sites(), NodeId(11));
  NodeConfig after = before;
  after.routing = RoutingStyle::loopback;
  const ConfigChange change = compare_configs(&before, after);
  EXPECT_EQ(change.lines, Steps{"~ routing style link -> loopback"});
  EXPECT_EQ(change.effect, Effect::session_reset);
  ASSERT_EQ(change.resets.size(), before.links.size());
  EXPECT_TRUE(change.resets[0].duration.starts_with("until ")) << change.resets[0].duration;
  EXPECT_EQ(compare_configs(nullptr, after).effect, Effect::hot) << "there was no session";
}

TEST(CompareConfigs, TheFirstVersionListsEverything) {
  ConfigChange change = compare_configs(nullptr, *compile(three_sites(), NodeId(11)));
  EXPECT_EQ(change.effect, Effect::hot);
  EXPECT_EQ(change.lines[0],
            "+ first version of r1.ams: AS 4200000011, loopbacks 100.80.0.11 and fd5a:1:2::b");
  EXPECT_EQ(change.lines[1], "+ link to r1.lab");
  EXPECT_EQ(change.lines.size(), 1u + 2 + 2 + 8 + 6);
  EXPECT_EQ(change.effects.size(), change.lines.size());
  EXPECT_TRUE(change.resets.empty());
}

// Three nodes in a full mesh: what each link's reset leaves.
TEST(Interruptions, NameTheOtherWayOrWhatHasNone) {
  MeshState state = three_sites();
  const Network network(state);
  std::map<NodeId, ConfigChange> changes;
  EXPECT_TRUE(find_interruptions(network, changes, 10).lines.empty());
  changes[NodeId(11)].resets = {{NodeId(12), "about a second"}};
  Interruptions one = find_interruptions(network, changes, 10);
  EXPECT_EQ(one.lines[NodeId(11)],
            Steps{"session reset: link r1.ams - r1.lab, about a second (its traffic goes another way: via r1.nyc)"});
  EXPECT_TRUE(one.pairs.empty());
  changes[NodeId(11)].resets.push_back({NodeId(13), "until r1.nyc has changed too"});
  Interruptions two = find_interruptions(network, changes, 1);
  EXPECT_EQ(two.lines[NodeId(11)],
            (Steps{"session reset: link r1.ams - r1.lab, about a second (no other way)",
                   "session reset: link r1.ams - r1.nyc, until r1.nyc has changed too (no other way)"}));
  EXPECT_EQ(two.pairs.size(), 1u);
  EXPECT_GT(two.pairs_total, 1u);
}

}  // namespace
}  // namespace mesh
