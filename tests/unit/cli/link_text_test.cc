// Claim: a link that carries less than its MTU is told once, with the fix at the end that has fewer links, or at the
// network below when IPv6 would not fit; what was measured long ago is no round-trip time.
// Method: items of status documents, and the texts made of them.
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "cli/link_text.h"

namespace mesh::cli {
namespace {

Json item(int id, const std::string& name, int links, Json low) {
  return {{"id", id}, {"fullname", name}, {"links", links}, {"path_mtu_low", std::move(low)}};
}
Json low(int peer, const std::string& name, Json links, int path_mtu) {
  return {{"peer", peer}, {"peer_name", name}, {"peer_links", std::move(links)}, {"mtu", 1420}, {"path_mtu", path_mtu}};
}

TEST(PathFindings, NameEachLinkOnceAndMendTheEndWithFewerLinks) {
  const Json items{item(11, "hub.ams", 40, {low(12, "r1.lab", 2, 1360), low(13, "r1.oslo", 1, 1300)}),
                   item(12, "r1.lab", 2, {low(11, "hub.ams", 40, 1344), low(13, "r1.oslo", 2, 1340)}),
                   item(14, "r1.rome", 3, Json::array())};
  const auto found = path_findings(items);
  ASSERT_EQ(found.size(), 3u);
  EXPECT_EQ(found[0].detail, "the link r1.lab - hub.ams carries packets of up to 1344 bytes, its MTU is 1420");
  EXPECT_EQ(found[0].fix, "meshcli set node r1.lab wg_mtu 1340, then commit and activate") << "for both its links";
  EXPECT_EQ(found[1].detail, "the link r1.oslo - hub.ams carries packets of up to 1300 bytes, its MTU is 1420");
  EXPECT_EQ(found[1].fix, "meshcli set node r1.oslo wg_mtu 1300, then commit and activate");
  EXPECT_EQ(found[2].detail, "the link r1.lab - r1.oslo carries packets of up to 1340 bytes, its MTU is 1420");
}

TEST(PathFindings, WhatNobodyKnowsOrNoMtuMends) {
  EXPECT_TRUE(path_findings(Json::array()).empty());
  EXPECT_TRUE(path_findings(Json{{{"fullname", "r1.ams"}}}).empty()) << "an older controller";
  const auto found = path_findings(Json{item(11, "hub.ams", 40, {low(12, "r1.lab", nullptr, 1200)})});
  ASSERT_EQ(found.size(), 1u);
  EXPECT_EQ(found[0].detail, "the link hub.ams - r1.lab carries packets of up to 1200 bytes, its MTU is 1420");
  EXPECT_EQ(found[0].fix, "raise the MTU of the network between them to 1360: IPv6 needs packets of 1280 bytes");
}

TEST(LinkTexts, OldRoundTripsAreNone) {
  Json link{{"rtt_us", 250}, {"rtt_age_s", 180}, {"mtu", 1420}, {"path_mtu", 1420}, {"bgp_up", true}};
  add_link_texts(link);
  EXPECT_EQ(link["rtt_text"], "0.2 ms");
  EXPECT_EQ(link["mtu_text"], "1420");
  EXPECT_EQ(link["bgp_up"], "up");
  Json old{{"rtt_us", 250}, {"rtt_age_s", 181}, {"mtu", 1420}, {"path_mtu", 1344}};
  add_link_texts(old);
  EXPECT_FALSE(old.contains("rtt_text"));
  EXPECT_EQ(old["mtu_text"], "1344 of 1420");
  Json never{{"rtt_us", nullptr}, {"rtt_age_s", nullptr}, {"mtu", nullptr}};
  add_link_texts(never);
  EXPECT_FALSE(never.contains("rtt_text") || never.contains("mtu_text"));
}

}  // namespace
}  // namespace mesh::cli
