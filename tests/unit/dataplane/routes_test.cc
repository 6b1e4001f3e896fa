// Claim: what BIRD wants in the kernel is read from its replies; a route that is missing, changed or foreign is found,
// and nothing else is; what a reply does not say is an error.
// Method: replies recorded from BIRD 2.0.12 and routes as values.
#include "nodes/dataplane/routes.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "eventstore/model/overlay.h"

namespace mesh {
namespace {

BirdReply read(std::string_view text) {
  BirdReplyReader reader;
  auto complete = reader.feed(text);
  EXPECT_TRUE(complete && *complete);
  return reader.take();
}

constexpr std::string_view kExported =
    "1007-Table master4:\n"
    " 10.3.233.0/24        unicast [peer_12 03:19:41.184] * (100) [AS4200000012i]\n"
    " \tvia fe80::c on tlwg_12\n"
    " 10.2.0.0/24          unreachable [peer_13 2026-11-20] * (100/?) [AS4200000013i]\n"
    " 100.64.0.12/32       unicast [peer_12 03:19:41.184] * (100) [AS4200000012i]\n"
    " \tvia fe80::c on tlwg_12\n"
    "0000 \n";

Route route(const char* to, const char* via = "fe80::c", const char* interface = "tlwg_12") {
  Route out;
  out.to = *parse_prefix(to);
  out.via = *parse_address(via);
  out.interface = interface;
  out.source = *parse_address(out.to.v6() ? "fd64::b" : "100.64.0.11");
  return out;
}

TEST(BirdRoutes, AreReadWithTheSourceThatOurConfigurationSets) {
  auto routes = parse_bird_routes(read(kExported), {*parse_address("100.64.0.11"), *parse_address("fd64::b")});
  ASSERT_TRUE(routes) << routes.error().message;
  ASSERT_EQ(routes->size(), 3u);
  EXPECT_EQ(to_text((*routes)[0]), "unreachable 10.2.0.0/24 src 100.64.0.11 metric 2048 proto bird");
  EXPECT_EQ((*routes)[1], route("10.3.233.0/24"));
  EXPECT_EQ(to_text((*routes)[2]), "100.64.0.12/32 via fe80::c dev tlwg_12 src 100.64.0.11 metric 2048 proto bird");
  EXPECT_TRUE(parse_bird_routes(read("0000 \n"), {})->empty());
}

TEST(BirdRoutes, WhatIsNoRouteIsAnError) {
  for (const std::string_view line : {"nonsense", "\tvia fe80::c on x", "10.0.0.0/24 unicast []\n \tover fe80::c"})
    EXPECT_FALSE(parse_bird_routes(read(fmt::format("1007-{}\n0000 \n", line)), {})) << line;
}

TEST(BirdRoutes, MarksChangeWithWhatIsExported) {
  constexpr std::string_view kReply =
      "2002-Name       Proto      Table      State  Since         Info\n"
      "1002-kernel4    Kernel     master4    up     03:19:40.374  \n"
      "1006-  Channel ipv4\n"
      "     Routes:         0 imported, {0} exported, 0 preferred\n"
      "       Import updates:              0          0          0          0          0\n"
      "       Export updates:          {0}          0          0        ---      {0}\n"
      "       Export withdraws:            0        ---        ---        ---          0\n"
      "0000 \n";
  const auto marks = [&](int count) { return export_marks(read(fmt::format(fmt::runtime(kReply), count))); };
  EXPECT_EQ(marks(7), marks(7));
  EXPECT_NE(marks(7), marks(8));
  EXPECT_TRUE(marks(7).contains("03:19:40.374")) << "a restart counts from 0 again";
}

TEST(BirdRoutes, DisabledProtocolsAreThoseThatAreDown) {
  EXPECT_EQ(parse_disabled(read("2002-Name       Proto      Table      State  Since         Info\n"
                                "1002-kernel4    Kernel     master4    up     03:21:42.571  \n"
                                " peer_13    BGP        ---        down   03:21:51.567  \n"
                                " peer_14    BGP        ---        start  03:21:51.567  Active        \n"
                                "0000 \n")),
            std::vector<std::string>{"peer_13"});
}

TEST(CompareRoutes, FindsWhatIsMissingChangedOrForeign) {
  const std::vector<Route> bird{route("10.2.0.0/24"), route("10.3.0.0/24"), route("10.4.0.0/24"), route("10.5.0.0/24")};
  const std::vector<std::string> up{"tlwg_12", "eth0"};
  EXPECT_TRUE(compare_routes(bird, bird, up).empty());
  auto kernel = bird;
  kernel.erase(kernel.begin());                           // missing
  kernel[0].via = *parse_address("fe80::99");             // changed
  kernel[1].protocol = 3;                                 // replaced by one that leads elsewhere
  kernel[1].interface = "eth0";
  kernel.push_back(route("10.9.0.0/24"));                 // beside the others
  kernel.back().protocol = 4;
  kernel.back().metric = 0;
  kernel.push_back(route("10.200.0.0/16", "192.0.2.1", "eth0"));  // of the machine itself
  kernel.back().protocol = 4;
  std::ranges::sort(kernel);
  const auto found = compare_routes(kernel, bird, up);
  ASSERT_EQ(found.size(), 4u);
  EXPECT_EQ(found[0].expected, bird[0]);
  EXPECT_FALSE(found[0].found);
  EXPECT_EQ(found[1].expected, bird[1]);
  EXPECT_EQ(found[1].found->via, *parse_address("fe80::99"));
  EXPECT_EQ(found[2].found->interface, "eth0");
  EXPECT_FALSE(found[3].expected);
  EXPECT_EQ(to_text(found[3].to), "10.9.0.0/24");
}

TEST(CompareRoutes, ARouteGoesWithItsInterface) {
  const std::vector<Route> bird{route("10.2.0.0/24"), route("10.3.0.0/24", "fe80::d", "tlwg_13")};
  const auto found = compare_routes({}, bird, {"tlwg_13"});
  ASSERT_EQ(found.size(), 1u);
  EXPECT_EQ(found[0].expected, bird[1]);
}

TEST(CompareRoutes, OnlyRoutesOfOursConcernUs) {
  Route other = route("10.2.0.0/24");
  other.metric = 100;
  EXPECT_TRUE(concerns_us(other));
  other.protocol = kKernelRoutes;
  EXPECT_FALSE(concerns_us(other)) << "made by the kernel for an address";
  other.protocol = 4;
  EXPECT_TRUE(concerns_us(other)) << "over a tunnel of ours";
  other.interface = "eth0";
  EXPECT_FALSE(concerns_us(other));
  other.metric = kRouteMetric;
  EXPECT_TRUE(concerns_us(other)) << "in the place of one of BIRD's";
}

TEST(CompareRoutes, TheMetricIsTheOneThatIsRendered) {
  NodeConfig config;
  EXPECT_TRUE(render_bird(config, {}).contains(fmt::format("metric {};", kRouteMetric)));
}

}  // namespace
}  // namespace mesh
