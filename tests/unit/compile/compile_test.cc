// Claim: compile gives Towalink's addresses, ports and AS numbers, both ends of a link agree, and
// what cannot be compiled says why and what to do; candidates are exactly what differs from the
// latest version. Method: states by hand, field by field.
#include "eventstore/model/compile.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "eventstore/model/intent.h"
#include "eventstore/model/topology.h"
#include "tests/unit/compile/states.h"

namespace mesh {
namespace {

using namespace testing;

NodeConfig compiled(const MeshState& state, uint32_t node) {
  auto config = compile(state, NodeId(node));
  EXPECT_TRUE(config) << (config ? "" : config.error().message);
  return config ? *config : NodeConfig{};
}

Error refused(const MeshState& state, uint32_t node) {
  auto config = compile(state, NodeId(node));
  EXPECT_FALSE(config);
  return config ? Error{} : config.error();
}

TEST(Compile, TheDriftPolicyIsKnownFromRules3OnAndOnlyHealIsInTheText) {
  MeshState state = default_state();
  add_node(state, 11, "r1.ams");
  const std::string before = config_text(compiled(state, 11));
  set(state.global, {{"drift", "heal"}});
  EXPECT_EQ(config_text(compiled(state, 11)), before) << "under rules 1 the name is nobody's";
  state.rules = 3;
  const NodeConfig heals = compiled(state, 11);
  EXPECT_EQ(heals.drift, DriftPolicy::heal);
  EXPECT_EQ(heals.rules, 3u) << "for an older program to say that it is too old";
  EXPECT_TRUE(config_text(heals).ends_with("\n  },\n  \"drift\": \"heal\"\n}\n")) << config_text(heals);
  set(state.global, {{"drift", "report"}});
  EXPECT_EQ(config_text(compiled(state, 11)), before);
  set(state.global, {{"drift", "maybe"}});
  EXPECT_TRUE(refused(state, 11).message.contains("drift")) << "set before the rules were raised";
}

// Before rules 4 these names were anybody's; what was set then is an error once they mean something, and never used.
TEST(Compile, ValuesFromOlderRulesAreErrorsUntilTheyAreRight) {
  for (auto [name, wrong] : std::initializer_list<std::pair<const char*, const char*>>{
           {"routing_style", "ospf"}, {"node_sshauthkeys", "['command=\"sh\" ssh-rsa AAAA']"},
           {"service.dns.files", "['a', 'b']"}, {"management_net_ipv6", "10.0.0.0/24"},
           {"controller_hostname", "a b"}, {"controller_wg_listenport", "none"}}) {
    MeshState state = three_sites();
    set(state.global, {{"management_hub", "11"}, {name, wrong}});
    state.rules = 3;
    ASSERT_TRUE(compile(state, NodeId(12))) << name;
    state.rules = kFileRules;
    auto config = compile(state, NodeId(12));
    ASSERT_FALSE(config) << name;
    EXPECT_EQ(config.error().code, Errc::invalid) << name;
    EXPECT_NE(config.error().message.find(name), std::string::npos) << config.error().message;
  }
}

TEST(Compile, OtherFieldsOfAServiceAreForTemplates) {
  MeshState state = three_sites();
  state.rules = kFileRules;
  set(state.global, {{"service.dns.upstream", "192.0.2.53"}, {"service.dns.more.files", "x"}});
  auto config = compile(state, NodeId(12));
  ASSERT_TRUE(config) << config.error().message;
  EXPECT_TRUE(config->services.empty());
  set(state.global, {{"service.dns.files", "dns*.conf"}});
  config = compile(state, NodeId(12));
  ASSERT_FALSE(config);
  EXPECT_EQ(config.error().fix, "set global service.dns.destination ...");
}

TEST(Compile, FollowsTowalinksWorkedExample) {
  MeshState state = towalink_state();
  add_node(state, 11, "n1.site1", {{"node_hostname", "one.example.net"}});
  add_node(state, 12, "n1.site2", {{"node_hostname", "two.example.net"}});
  NodeConfig config = compiled(state, 11);
  EXPECT_EQ(to_text(config.loopback4), "192.88.99.11");
  EXPECT_EQ(to_text(config.loopback6), "fd3e:970c:e7ec:edb5::b");
  EXPECT_EQ(config.as_number, 65011u);
  ASSERT_EQ(config.links.size(), 1u);
  const LinkConfig& link = config.links[0];
  EXPECT_EQ(link.peer_name, "n1.site2");
  EXPECT_EQ(link.peer_as, 65012u);
  EXPECT_EQ(link.listen_port, 51832);
  EXPECT_EQ(link.endpoint_host, "two.example.net");
  EXPECT_EQ(link.endpoint_port, 51831);
  EXPECT_EQ(to_text(link.address), "fe80::b");
  EXPECT_EQ(to_text(link.peer_address), "fe80::c");
  EXPECT_EQ(link.mtu, 1420);
  EXPECT_EQ(link.keepalive, 25);
  EXPECT_EQ(link.bfd_interval_ms, 300u);
  EXPECT_EQ(link.bfd_multiplier, 3u);
}

TEST(Compile, BothEndsOfALinkAgree) {
  MeshState state = three_sites();
  set(state.nodes[NodeId(13)].edit().attributes,
      {{"bfd_interval_ms", "1000"}, {"bfd_multiplier", "5"}});
  set(state.global, {{"wg_listenport_base", "50000"}});
  NodeConfig ams = compiled(state, 11), lab = compiled(state, 12), nyc = compiled(state, 13);
  EXPECT_EQ(ams.links[0].mtu, 1380);
  EXPECT_EQ(lab.links[0].mtu, 1380);
  EXPECT_EQ(ams.links[1].mtu, 1420);
  EXPECT_EQ(ams.links[1].bfd_interval_ms, 1000u);
  EXPECT_EQ(nyc.links[0].bfd_interval_ms, 1000u);
  EXPECT_EQ(ams.links[1].bfd_multiplier, 5u);
  EXPECT_EQ(ams.links[1].endpoint_port, nyc.links[0].listen_port) << "no port forwarding";
  EXPECT_EQ(ams.links[0].endpoint_port, 40000 + 11) << "the outside view of lab's port base";
  EXPECT_EQ(lab.links[0].listen_port, 50000 + 11);
  EXPECT_EQ(ams.links[0].endpoint_host, "2001:db8:2::1");
}

TEST(Compile, KeepaliveOfALinkOverridesTheNodes) {
  MeshState state = three_sites();
  NodeConfig nyc = compiled(state, 13);
  EXPECT_EQ(nyc.links[0].keepalive, 5) << "wg_links.11.wg_peer_keepalive";
  EXPECT_EQ(nyc.links[1].keepalive, 0) << "the site's wg_keepalive";
  EXPECT_EQ(compiled(state, 11).links[1].keepalive, 25) << "each end sends its own";
}

TEST(Compile, AnnouncesOwnLansAndAcceptsAll) {
  MeshState state = three_sites();
  add_node(state, 14, "r2.ams", {{"lans", "[]"}});
  auto texts = [](const std::vector<IpPrefix>& prefixes) {
    std::vector<std::string> out;
    for (const auto& prefix : prefixes) out.push_back(to_text(prefix));
    return out;
  };
  NodeConfig config = compiled(state, 11);
  EXPECT_EQ(texts(config.lans), (std::vector<std::string>{"10.1.0.0/24", "fd00:1::/64"}));
  EXPECT_EQ(
      texts(config.accepted),
      (std::vector<std::string>{"10.1.0.0/24", "10.2.0.0/24", "10.3.0.0/24", "100.80.0.0/16",
                                "fd00:1::/64", "fd00:2::/64", "fd00:3::/64", "fd5a:1:2::/48"}));
  EXPECT_TRUE(compiled(state, 14).lans.empty()) << "a node's own list replaces the site's";
}

TEST(Compile, EnrolmentDoesNotMatter) {
  MeshState state = three_sites();
  auto before = config_text(compiled(state, 11));
  enrol_all(state);
  state.nodes[NodeId(12)].edit().enrolment = Enrolment::revoked;
  EXPECT_EQ(config_text(compiled(state, 11)), before);
}

TEST(Compile, NumbersOutOfRangeAreErrorsWithAFix) {
  MeshState state = towalink_state();
  add_node(state, 254, "r1.ams");
  EXPECT_EQ(to_text(compiled(state, 254).loopback4), "192.88.99.254");

  add_node(state, 300, "r2.ams");
  EXPECT_EQ(refused(state, 300).message,
            "number of r2.ams (300) is outside loopbacknet_ipv4 192.88.99.0/24");
  EXPECT_EQ(refused(state, 300).fix, "set global loopbacknet_ipv4 192.88.98.0/23");
  add_node(state, 255, "r3.ams");
  EXPECT_EQ(refused(state, 255).code, Errc::invalid) << "the broadcast address";

  set(state.global, {{"loopbacknet_ipv4", "100.64.0.0/10"}});
  add_node(state, 534, "r4.ams");
  EXPECT_EQ(compiled(state, 534).as_number, 65534u);
  add_node(state, 535, "r5.ams");
  EXPECT_EQ(refused(state, 535).message,
            "AS number 65535 of r5.ams (535) (bgp_as_base + number) is not a private one");
  set(state.global, {{"bgp_as_base", "4200000000"}});
  EXPECT_EQ(compiled(state, 535).as_number, 4'200'000'535u);
}

TEST(Compile, PortsAbove65535AreErrors) {
  MeshState state = default_state();
  add_node(state, 11, "r1.ams", {{"endpoint", "a.example.net"}});
  add_node(state, 13715, "r1.lab", {{"endpoint", "b.example.net"}});
  EXPECT_EQ(compiled(state, 11).links[0].listen_port, 65535);
  add_node(state, 13716, "r1.nyc", {{"endpoint", "c.example.net"}});
  EXPECT_TRUE(refused(state, 11).message.contains("port 65536 of r1.ams (11) for node 13716"))
      << refused(state, 11).message;
  set(state.global, {{"wg_listenport_base", "30000"}});
  EXPECT_EQ(compiled(state, 11).links[1].listen_port, 43716);
  add_node(state, kPortNumberMax + 1, "r1.tok", {{"endpoint", "d.example.net"}});
  EXPECT_TRUE(refused(state, 11).message.contains("has no port"));
}

TEST(Compile, SharedEndpointsAreErrors) {
  MeshState state = three_sites();
  add_site(state, "ams", {{"endpoint", "198.51.100.1"}});
  add_node(state, 14, "r2.ams");
  EXPECT_EQ(refused(state, 11).message,
            "r1.ams (11) and r2.ams (14) have the same endpoint 198.51.100.1:51820");
  EXPECT_FALSE(refused(state, 11).fix.empty());
  add_node(state, 14, "r2.ams", {{"endpoint", "198.51.100.1:40000"}});
  EXPECT_EQ(compiled(state, 14).links.size(), 3u);
}

TEST(Compile, SaysWhatIsMissing) {
  EXPECT_EQ(refused(three_sites(), 99).code, Errc::not_found);
  MeshState state = three_sites();
  state.genesis.loopbacknet_ipv6 = "";
  EXPECT_TRUE(refused(state, 11).message.starts_with("loopbacknet_ipv6"));
  state = three_sites();
  state.global["wg_mtu"] = {AttributeValue("big"), Sequence(3)};
  EXPECT_EQ(refused(state, 11).message, "wg_mtu is big");
}

TEST(Candidates, AreWhatDiffersFromTheLatestVersion) {
  MeshState state = three_sites();
  auto first = *compile_candidates(state, Scope{}, false);
  ASSERT_EQ(first.rows.size(), 3u);
  EXPECT_EQ(first.rows[0].version, Version(1));
  EXPECT_EQ(first.rows[0].digest, config_digest(first.configs.at(NodeId(11))));
  pin_all(state);
  EXPECT_TRUE(compile_candidates(state, Scope{}, false)->rows.empty())
      << "unchanged content makes no version";

  set(state.nodes[NodeId(13)].edit().attributes, {{"wg_keepalive", "7"}});
  auto changed = *compile_candidates(state, Scope{}, false);
  ASSERT_EQ(changed.rows.size(), 1u) << "keepalive is one end's own";
  EXPECT_EQ(changed.rows[0].node, NodeId(13));
  EXPECT_EQ(changed.rows[0].version, Version(2));
}

TEST(Candidates, NeighboursComeAlongWhenAsked) {
  MeshState state = three_sites();
  pin_all(state);
  set(state.nodes[NodeId(11)].edit().attributes, {{"wg_mtu", "1300"}});
  Scope ams{Level::node, {}, NodeId(11)};
  EXPECT_EQ(affected_neighbours(state, ams), (std::vector{NodeId(12), NodeId(13)}));
  EXPECT_EQ(compile_candidates(state, ams, false)->rows.size(), 1u);
  EXPECT_EQ(compile_candidates(state, ams, true)->rows.size(), 3u);
  EXPECT_TRUE(affected_neighbours(state, Scope{}).empty());
  set(state.nodes[NodeId(11)].edit().attributes, {{"wg_mtu", "1420"}, {"wg_keepalive", "3"}});
  EXPECT_TRUE(affected_neighbours(state, ams).empty());
}

TEST(Candidates, NodesThatLoseALinkAreAffected) {
  MeshState state = three_sites();
  pin_all(state);
  Scope ams{Level::node, {}, NodeId(11)};
  set(state.nodes[NodeId(11)].edit().attributes, {{"groups", "alone"}});
  state.changes.push_back(
      {Change::Kind::attribute, ams, "groups", std::nullopt, "alice", Sequence(60)});
  EXPECT_TRUE(peers_of(state, *state.nodes[NodeId(11)]).empty());
  EXPECT_EQ(affected_neighbours(state, ams), (std::vector{NodeId(12), NodeId(13)}));

  state = three_sites();
  pin_all(state);
  state.removed_nodes.insert(state.nodes.extract(NodeId(12)));
  state.changes.push_back({Change::Kind::node_removed,
                           Scope{Level::node, {}, NodeId(12)},
                           "r1.lab",
                           {},
                           "alice",
                           Sequence(61)});
  EXPECT_EQ(affected_neighbours(state, Scope{Level::site, "lab", {}}),
            (std::vector{NodeId(11), NodeId(13)}));
}

TEST(Candidates, FailAsAWhole) {
  MeshState state = towalink_state();
  add_node(state, 11, "r1.ams");
  add_node(state, 300, "r1.lab");
  auto candidates = compile_candidates(state, Scope{}, false);
  ASSERT_FALSE(candidates);
  EXPECT_EQ(candidates.error().message,
            "node r1.lab: number of r1.lab (300) is outside loopbacknet_ipv4 192.88.99.0/24");
  EXPECT_TRUE(compile_candidates(state, Scope{Level::site, "ams", {}}, false))
      << "not linked with it";
}

}  // namespace
}  // namespace mesh
