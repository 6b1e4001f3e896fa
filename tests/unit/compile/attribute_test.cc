// Claim: attribute values follow Towalink's rules for text, survive printing and reading, and are
// checked against the one table; inheritance is node over site over global over defaults, and says
// where from. Method: tables of texts, and states built by hand.
#include <gtest/gtest.h>

#include "eventstore/model/attribute_table.h"
#include "eventstore/model/attribute_value.h"
#include "eventstore/model/json_text.h"
#include "eventstore/model/limits.h"
#include "eventstore/model/state.h"

namespace mesh {
namespace {

using Items = std::vector<Scalar>;

AttributeValue parsed(std::string_view text) {
  auto value = parse_attribute_value(text);
  EXPECT_TRUE(value) << text << ": " << (value ? "" : value.error().message);
  return value ? *value : AttributeValue("invalid");
}

TEST(AttributeValue, ReadsTextAsTowalinkDoes) {
  EXPECT_EQ(parsed("25"), AttributeValue(int64_t{25}));
  EXPECT_EQ(parsed("-25"), AttributeValue("-25")) << "not all digits";
  EXPECT_EQ(parsed("2.5"), AttributeValue("2.5"));
  EXPECT_EQ(parsed("true"), AttributeValue(true));
  EXPECT_EQ(parsed("True"), AttributeValue("True"));
  EXPECT_EQ(parsed("[ \"hubs\" ]"), AttributeValue(Items{std::string("hubs")}));
  EXPECT_EQ(parsed("['a', 1, True, -3,]"),
            AttributeValue(Items{std::string("a"), int64_t{1}, true, int64_t{-3}}));
  EXPECT_EQ(parsed("[]"), AttributeValue(Items{}));
  EXPECT_EQ(parsed("\"25\""), AttributeValue("25"));
  EXPECT_EQ(parsed("\"\\u00e9\\ud83d\\ude00\\n\""), AttributeValue("\u00e9\U0001f600\n"));
  EXPECT_EQ(parsed("[2001:db8::1]:51820"), AttributeValue("[2001:db8::1]:51820"));
  EXPECT_EQ(parsed("r1.example.net"), AttributeValue("r1.example.net"));
}

TEST(AttributeValue, RefusesWhatHasNoForm) {
  for (auto text :
       {"[a]", "['a'", "['a' 'b']", "[['a']]", "[{}]", "{\"a\":1}", "\"a\"b\"", "['a\\x']",
        "['a'] 'b']", "99999999999999999999", "[1.5]", "\xff", "\"\\ud800\"", "[,]"})
    EXPECT_FALSE(parse_attribute_value(text)) << text;
}

TEST(AttributeValue, IsReadBackAsPrinted) {
  for (const AttributeValue& value :
       {AttributeValue(int64_t{7}), AttributeValue(false), AttributeValue("7"),
        AttributeValue("true"), AttributeValue(""), AttributeValue("empty"),
        AttributeValue("a \"b\" \\ c"), AttributeValue("[x]"), AttributeValue("[x"),
        AttributeValue("[::1]:5"), AttributeValue("\x01\n"), AttributeValue("{}"),
        AttributeValue("\""), AttributeValue(Items{}),
        AttributeValue(Items{std::string("a'\""), int64_t{-1}, true})})
    EXPECT_EQ(parsed(to_text(value)), value) << to_text(value);
  EXPECT_EQ(to_text(AttributeValue("[::1]:5")), "[::1]:5");
  EXPECT_EQ(to_text(AttributeValue(Items{std::string("a"), int64_t{1}})), "[\"a\", 1]");
  EXPECT_EQ(AttributeValue("a").strings(), std::vector<std::string>{"a"});
}

TEST(Utf8, AcceptsOnlyWellFormedText) {
  EXPECT_TRUE(is_utf8("plain \u00e9 \u20ac \U0001f600"));
  for (auto text : {"\x80", "\xc0\xaf", "\xe0\x80\x80", "\xed\xa0\x80", "\xf4\x90\x80\x80",
                    "\xe2\x82", "\xf5\x80\x80\x80"})
    EXPECT_FALSE(is_utf8(text));
}

TEST(AttributeTable, DefaultsPassTheirOwnCheck) {
  for (const auto& spec : attribute_table()) {
    EXPECT_TRUE(check_attribute_name(spec.name) || spec.name.contains('<')) << spec.name;
    EXPECT_FALSE(spec.doc.empty());
    if (spec.default_text.empty()) continue;
    for (auto level : {kAtGlobal, kAtSite, kAtNode})
      EXPECT_EQ((spec.scopes & level) != 0,
                check_attribute(spec.name, parsed(spec.default_text), level).has_value())
          << spec.name;
  }
}

TEST(AttributeTable, FindsNamesWithNumbers) {
  ASSERT_NE(find_attribute("wg_links.13.wg_peer_keepalive"), nullptr);
  EXPECT_EQ(find_attribute("wg_links.13.wg_peer_keepalive")->name,
            "wg_links.<peer>.wg_peer_keepalive");
  EXPECT_EQ(find_attribute("wg_links.<peer>.wg_peer_keepalive"), nullptr);
  EXPECT_EQ(find_attribute("wg_links.x.wg_peer_keepalive"), nullptr);
  EXPECT_EQ(find_attribute("wg_mtux"), nullptr);
}

TEST(AttributeTable, ChecksTypeRangeAndLevel) {
  struct Case {
    const char* name;
    const char* value;
    ScopeMask level;
    bool good;
  };
  for (auto [name, value, level, good] :
       {Case{"wg_mtu", "1280", kAtNode, true},
        {"wg_mtu", "1279", kAtNode, false},
        {"wg_mtu", "big", kAtNode, false},
        {"wg_links.13.wg_peer_keepalive", "65536", kAtNode, false},
        {"lans", "10.1.0.0/24", kAtSite, true},
        {"lans", "[\"10.1.0.0/24\", \"fd00:1::/64\"]", kAtNode, true},
        {"lans", "10.1.0.1/24", kAtSite, false},
        {"lans", "0.0.0.0/0", kAtSite, false},
        {"lans", "fe80::/64", kAtSite, false},
        {"lans", "10.1.0.0/24", kAtGlobal, false},
        {"endpoint", "[2001:db8::1]:51820", kAtNode, true},
        {"endpoint", "none", kAtSite, true},
        {"endpoint", "r1:0", kAtNode, false},
        {"endpoint", "51820", kAtNode, false},
        {"node_hostname", "r1.example.net", kAtNode, true},
        {"node_hostname", "r1.example.net:5", kAtNode, false},
        {"groups", "['hub', 'b1']", kAtSite, true},
        {"groups", "['']", kAtSite, false},
        {"loopbacknet_ipv4", "192.88.99.0/24", kAtGlobal, true},
        {"loopbacknet_ipv4", "fd00::/48", kAtGlobal, false},
        {"loopbacknet_ipv4", "10.0.0.0/31", kAtGlobal, false},
        {"loopbacknet_ipv4", "10.0.0.0/16", kAtSite, false},
        {"internode_transfernet_ipv6", "fe80::/64", kAtGlobal, true},
        {"internode_transfernet_ipv6", "fd00::/64", kAtGlobal, false},
        {"bgp_as_base", "65000", kAtGlobal, true},
        {"drift", "heal", kAtNode, true},
        {"drift", "Heal", kAtGlobal, false},
        {"drift", "report|heal", kAtGlobal, false},
        {"drift", "true", kAtSite, false},
        {"activation_confirm", "4", kAtGlobal, false},
        {"activation_confirm", "5", kAtGlobal, true},
        {"management_hub", "11", kAtGlobal, true},
        {"management_hub", "hub.ams", kAtGlobal, true},
        {"management_hub", "['hub.ams']", kAtGlobal, false},
        {"service.dns.reload", "systemctl reload dnsmasq", kAtSite, true},
        {"service.dns.reload", "5", kAtSite, false},
        {"service.dns.note", "5", kAtSite, true},
        {"node_sshauthkeys", "['ssh-ed25519 AAAA me', 'ecdsa-sha2-nistp256 AAAA']", kAtGlobal, true},
        {"node_sshauthkeys", "['command=\"sh\" ssh-ed25519 AAAA me']", kAtGlobal, false},
        {"node_sshauthkeys", "5", kAtGlobal, false},
        {"my_template_option", "['anything', 1]", kAtNode, true}}) {
    auto status = check_attribute(name, parsed(value), level);
    EXPECT_EQ(status.has_value(), good)
        << name << " = " << value << ": " << (status ? "" : status.error().message);
    EXPECT_TRUE(good || !status.error().fix.empty()) << status.error().message;
  }
}

TEST(AttributeTable, BoundsEveryValue) {
  EXPECT_FALSE(check_attribute("note", std::string(kAttributeValueBytesMax + 1, 'x'), kAtNode));
  EXPECT_TRUE(check_attribute("note", std::string(kAttributeValueBytesMax, 'x'), kAtNode));
  EXPECT_FALSE(check_attribute("note", Items(kAttributeListMax + 1, Scalar(true)), kAtNode));
  EXPECT_FALSE(check_attribute("note", AttributeValue("\xff"), kAtNode));
}

TEST(AttributeTable, NamesAreBoundedAndNeverSecret) {
  for (auto name : {"a", "wg_links.13.x", "attach_address", "Mixed-Case.1"})
    EXPECT_TRUE(check_attribute_name(name)) << name;
  for (auto name : {"", ".", "a.", ".a", "a..b", "a b", "a/b", "\xff", "r\u00e9seau",
                    "bgp_password", "psk", "wg_private_11", "api_token", "x.private-key", "SECRET"})
    EXPECT_FALSE(check_attribute_name(name)) << name;
  EXPECT_FALSE(check_attribute_name(std::string(kAttributeNameBytesMax + 1, 'a')));
}

TEST(AttributeTable, SuggestsTheNearestName) {
  EXPECT_EQ(suggest_attribute("wg_mut"), "wg_mtu");
  EXPECT_EQ(suggest_attribute("keepalive"), "wg_keepalive");
  EXPECT_EQ(suggest_attribute("lan"), "lans");
  EXPECT_EQ(suggest_attribute("wg_links.13.wg_peer_keepaliv"), "wg_links.13.wg_peer_keepalive");
  EXPECT_EQ(suggest_attribute("colour"), std::nullopt);
  EXPECT_EQ(suggest_attribute("wg_mtu"), std::nullopt) << "it is known";
}

TEST(EditDistance, CountsSwapsAsOne) {
  EXPECT_EQ(edit_distance("ams", "asm"), 1u);
  EXPECT_EQ(edit_distance("", "abc"), 3u);
  EXPECT_EQ(edit_distance("kitten", "sitting"), 3u);
  EXPECT_EQ(edit_distance("same", "same"), 0u);
}

TEST(Effective, LowerLevelWinsAndSaysWhere) {
  MeshState state;
  state.genesis.loopbacknet_ipv4 = "100.64.0.0/16";
  state.genesis.bgp_as_base = 4'200'000'000;
  state.global["wg_mtu"] = {int64_t{1400}, Sequence(3)};
  state.global["wg_keepalive"] = {int64_t{20}, Sequence(4)};
  state.sites["ams"].edit().name = "ams";
  state.sites["ams"].edit().attributes["wg_mtu"] = {int64_t{1380}, Sequence(5)};
  Node& node = state.nodes[NodeId(11)].edit();
  node.id = NodeId(11), node.name = "r1", node.site = "ams";
  node.attributes["wg_mtu"] = {int64_t{1300}, Sequence(6)};

  auto all = effective_attributes(state, Scope{Level::node, {}, NodeId(11)});
  EXPECT_EQ(all["wg_mtu"],
            (EffectiveAttribute{int64_t{1300}, Scope{Level::node, {}, NodeId(11)}, Sequence(6)}));
  EXPECT_EQ(all["wg_keepalive"], (EffectiveAttribute{int64_t{20}, Scope{}, Sequence(4)}));
  EXPECT_EQ(all["bfd_interval_ms"], (EffectiveAttribute{int64_t{300}, std::nullopt, {}}));
  EXPECT_EQ(all["loopbacknet_ipv4"], (EffectiveAttribute{"100.64.0.0/16", std::nullopt, {}}));
  EXPECT_FALSE(all.contains("endpoint"));
  EXPECT_EQ(effective_attributes(state, Scope{Level::site, "ams", {}})["wg_mtu"].value,
            AttributeValue(int64_t{1380}));
  EXPECT_EQ(effective_attributes(state, Scope{})["wg_mtu"].value, AttributeValue(int64_t{1400}));
  for (const auto& [name, attribute] : all)
    EXPECT_EQ(effective(state, node, name), attribute.value) << name;
  EXPECT_EQ(effective(state, node, "endpoint"), std::nullopt);
}

}  // namespace
}  // namespace mesh
