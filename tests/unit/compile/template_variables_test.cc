// Claim: the variables of templates are Towalink's dictionary, by its formulas. Method: the worked example of two
// nodes, and every variable of a tree of three sites, as the YAML text that a person compares.
#include "eventstore/model/template_variables.h"

#include <gtest/gtest.h>

#include "eventstore/model/compile.h"
#include "tests/unit/compile/states.h"

namespace mesh {
namespace {

using namespace testing;

std::string yaml_of(const MeshState& state, uint32_t node) {
  auto config = compile(state, NodeId(node));
  EXPECT_TRUE(config.has_value()) << (config ? "" : config.error().message);
  if (!config) return {};
  auto table = template_variables(state, *config);
  EXPECT_TRUE(table.has_value()) << (table ? "" : table.error().message);
  return table ? variables_yaml(*table) : std::string();
}

TEST(TemplateVariables, WorkedExample) {
  MeshState state = towalink_state();
  add_node(state, 11, "r1.a");
  add_node(state, 12, "r1.b", {{"node_hostname", "b.example.net"}});
  EXPECT_EQ(yaml_of(state, 11), R"(bgp_as: 65011
bgp_ipv4: 192.88.99.11
bgp_ipv6: fd3e:970c:e7ec:edb5::b
bgp_peers:
  12:
    as: 65012
    ifname_local: tlwg_12
    ip: 192.88.99.12
    loopback_ipv4: 192.88.99.12/24
    loopback_ipv6: fd3e:970c:e7ec:edb5::c/64
    name: b_r1_12
    password: meshlog-11-12
loopback_ipv4: 192.88.99.11/32
loopback_ipv6: fd3e:970c:e7ec:edb5::b/128
node_fullname: r1.a
node_id: 11
node_name: r1
site_name: a
wg_links:
  12:
    wg_address_ipv4: 192.88.99.11/32
    wg_address_ipv6: fe80::b/128
    wg_addresses:
    - fe80::b/64
    wg_ifname: tlwg_12
    wg_listenport: 51832
    wg_peer_address_ipv4: 192.88.99.12/32
    wg_peer_address_ipv6: fe80::c/128
    wg_peer_allowedips:
    - 192.88.99.12/32
    - fe80::c/128
    - 0.0.0.0/0
    - 0::0/0
    wg_peer_endpoint: b.example.net:51831
    wg_peer_keepalive: 25
    wg_peer_preshared: MESHLOG-PSK-12
    wg_peer_public: MESHLOG-PUBLIC-KEY-12
    wg_private: MESHLOG-PRIVATE-KEY-12
)");
}

/// Three sites with values at every level.
MeshState tree() {
  MeshState state = towalink_state();
  set(state.global, {{"internode_transfernet_ipv4", "172.16.0.0/24"}, {"colour", "red"}, {"lab.size", "3"}});
  add_site(state, "a", {{"colour", "blue"}, {"wg_mtu", "1400"}});
  add_site(state, "b", {{"wg_listenport_base", "40000"}});
  add_site(state, "c", {{"groups", "[\"none\"]"}});
  add_node(state, 11, "r1.a", {{"wg_links.13.wg_peer_keepalive", "7"}, {"wg_links.13.note", "far"},
                               {"wg_links.99.wg_peer_keepalive", "9"}, {"lab.size", "4"}, {"lab.tags", "['x', 2]"},
                               {"node_hostname", "a.example.net"}});
  add_node(state, 12, "r2.a", {{"node_hostname", "2001:db8::12"}});
  add_node(state, 13, "primary.b", {{"flag", "true"}});
  add_node(state, 14, "alone.c");
  state.rules = 4;
  return state;
}

TEST(TemplateVariables, PresetsAndLevels) {
  EXPECT_EQ(yaml_of(tree(), 11), R"(bgp_as: 65011
bgp_ipv4: 192.88.99.11
bgp_ipv6: fd3e:970c:e7ec:edb5::b
bgp_peers:
  12:
    as: 65012
    ifname_local: tlwg_12
    ip: 192.88.99.12
    loopback_ipv4: 192.88.99.12/24
    loopback_ipv6: fd3e:970c:e7ec:edb5::c/64
    name: a_r2_12
    password: meshlog-11-12
  13:
    as: 65013
    ifname_local: tlwg_13
    ip: 192.88.99.13
    loopback_ipv4: 192.88.99.13/24
    loopback_ipv6: fd3e:970c:e7ec:edb5::d/64
    name: b_primary_13
    password: meshlog-11-13
colour: blue
lab:
  size: 4
  tags:
  - x
  - 2
loopback_ipv4: 192.88.99.11/32
loopback_ipv6: fd3e:970c:e7ec:edb5::b/128
node_fullname: r1.a
node_hostname: a.example.net
node_id: 11
node_name: r1
site_name: a
wg_links:
  12:
    wg_address_ipv4: 172.16.0.11/32
    wg_address_ipv6: fe80::b/128
    wg_addresses:
    - fe80::b/64
    wg_ifname: tlwg_12
    wg_listenport: 51832
    wg_mtu: 1400
    wg_peer_address_ipv4: 172.16.0.12/32
    wg_peer_address_ipv6: fe80::c/128
    wg_peer_allowedips:
    - 172.16.0.12/32
    - fe80::c/128
    - 0.0.0.0/0
    - 0::0/0
    wg_peer_endpoint: '[2001:db8::12]:51831'
    wg_peer_keepalive: 25
    wg_peer_preshared: MESHLOG-PSK-12
    wg_peer_public: MESHLOG-PUBLIC-KEY-12
    wg_private: MESHLOG-PRIVATE-KEY-12
  '13':
    note: far
    wg_address_ipv4: 172.16.0.11/32
    wg_address_ipv6: fe80::b/128
    wg_addresses:
    - fe80::b/64
    wg_ifname: tlwg_13
    wg_listenport: 51833
    wg_mtu: 1400
    wg_peer_address_ipv4: 172.16.0.13/32
    wg_peer_address_ipv6: fe80::d/128
    wg_peer_allowedips:
    - 172.16.0.13/32
    - fe80::d/128
    - 0.0.0.0/0
    - 0::0/0
    wg_peer_endpoint: localhost:40011
    wg_peer_keepalive: 7
    wg_peer_preshared: MESHLOG-PSK-13
    wg_peer_public: MESHLOG-PUBLIC-KEY-13
    wg_private: MESHLOG-PRIVATE-KEY-13
wg_mtu: 1400
)");
}

// What a peer sees of it, a value that is no text, and a node without links.
TEST(TemplateVariables, OtherNodesOfTheTree) {
  const std::string peer = yaml_of(tree(), 13);
  EXPECT_NE(peer.find("\nflag: true\n"), std::string::npos) << peer;
  EXPECT_NE(peer.find("    wg_listenport: 40011\n"), std::string::npos) << peer;
  EXPECT_NE(peer.find("    wg_peer_endpoint: '[2001:db8::12]:51833'\n"), std::string::npos) << peer;
  EXPECT_NE(peer.find("\ncolour: red\n"), std::string::npos) << peer;
  const std::string alone = yaml_of(tree(), 14);
  EXPECT_NE(alone.find("\nbgp_peers: {}\n"), std::string::npos) << alone;
  EXPECT_NE(alone.find("\nwg_links: {}\n"), std::string::npos) << alone;
  EXPECT_NE(alone.find("\ngroups:\n- none\n"), std::string::npos) << alone;
}

// A file is no variable; integer keys can be told from texts in the JSON that the renderer reads.
TEST(TemplateVariables, FilesAndKeys) {
  MeshState state = tree();
  state.nodes[NodeId(11)].edit().attributes["file:bird.conf"] = {FileRef{Digest(), 3}, Sequence(3)};
  auto config = compile(state, NodeId(11));
  ASSERT_TRUE(config.has_value());
  auto table = template_variables(state, *config);
  ASSERT_TRUE(table.has_value());
  const std::string json = variables_json(*table);
  EXPECT_EQ(json.find("file:"), std::string::npos);
  EXPECT_NE(json.find("\"wg_links\":{\"#12\":{"), std::string::npos) << json;
  EXPECT_NE(json.find(",\"13\":{\"note\":\"far\""), std::string::npos) << json;
  EXPECT_NE(json.find("\"tags\":[\"x\",2]"), std::string::npos) << json;
}

TEST(TemplateVariables, YamlQuotesWhatWouldBeSomethingElse) {
  auto yaml = [](const std::string& text) {
    TemplateTable table;
    table["k"] = {text};
    return variables_yaml(table);
  };
  for (const char* text :
       {"", "yes", "null", "12", "1.5", "0x1f", "12:30", "2024-01-02", "a: b", "#x", "- x", "*a", " a"})
    EXPECT_EQ(yaml(text), "k: '" + std::string(text) + "'\n");
  for (const char* text : {"r1.ams", "10.0.0.1", "fe80::b/64", "2001:db8::1", "hello world", "/etc/x"})
    EXPECT_EQ(yaml(text), "k: " + std::string(text) + "\n");
  EXPECT_EQ(yaml("it's: x"), "k: 'it''s: x'\n");
  EXPECT_EQ(yaml("a\nb"), "k: \"a\\nb\"\n");
}

}  // namespace
}  // namespace mesh
