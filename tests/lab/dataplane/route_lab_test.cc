// Claim: routes that were removed, changed or added by hand are named, also when BIRD has put them back before we look,
// and mending them disturbs no other; a protocol that was switched off is named and switched on again.
// Method: two routers in network namespaces with real WireGuard and BIRD; edits by ip(8) and birdc.
#include "tests/lab/dataplane/routers.h"

namespace mesh::test {
namespace {

TEST_F(DataplaneLab, EditedRoutesAreSeenAndMendedWithoutLoss) {
  bring_up();
  auto look = [&] {
    auto seen = one->ns.run([&] { return one->dataplane->look_at_routes(one->desired()); });
    EXPECT_TRUE(seen) << seen.error().message;
    return seen ? *seen : RouteLook();
  };
  auto texts = [](const RouteLook& seen) {
    std::string out;
    for (const RouteDifference& each : seen.differences)
      out += fmt::format("{}: {} | {}{}\n", to_text(each.to), each.expected ? to_text(*each.expected) : "",
                         each.found ? to_text(*each.found) : "", each.passed ? " passed" : "");
    return out;
  };
  ASSERT_TRUE(eventually([&] { return look().known; }));
  const RouteLook untouched = look();
  EXPECT_EQ(texts(untouched), "");
  EXPECT_TRUE(untouched.disabled.empty());
  one->ns.must(
      "ip route del 10.2.0.0/24; ip -6 route del fd00:2::/64; ip route add 10.77.0.0/24 dev tlwg_12;"
      "ip route change 100.64.0.12/32 via inet6 fe80::99 dev tlwg_12 proto bird metric 2048");
  const RouteLook edited = look();
  const std::string named = texts(edited);
  EXPECT_EQ(edited.differences.size(), 4u) << named;
  EXPECT_TRUE(named.contains("10.2.0.0/24: 10.2.0.0/24 via fe80::12 dev tlwg_12 src 100.64.0.11 metric 2048 proto "
                             "bird | \n"))
      << named;
  EXPECT_TRUE(named.contains("10.77.0.0/24:  | 10.77.0.0/24 dev tlwg_12 metric 0 proto boot\n")) << named;
  EXPECT_TRUE(named.contains("| 100.64.0.12/32 via fe80::99 dev tlwg_12 metric 2048 proto bird\n")) << named;
  EXPECT_TRUE(named.contains("fd00:2::/64: fd00:2::/64 via fe80::12 dev tlwg_12 src fd64::11")) << named;
  EXPECT_NE(edited.digest, untouched.digest);

  const std::string log = one->run_directory_ / "routes";
  one->ns.must("setsid ip monitor route > " + log + " 2>&1 < /dev/null & sleep 0");
  ASSERT_TRUE(eventually([&] { return one->ns.processes("ip monitor").size() == 1; }));
  ASSERT_TRUE(one->ns.run([&] { return one->dataplane->mend_routes(edited.differences); }));
  EXPECT_TRUE(eventually([&] { return look().digest == untouched.digest; })) << texts(look());
  EXPECT_FALSE(one->ns.must("cat " + log).contains("Deleted fd64::12")) << "what was right stays";
  EXPECT_TRUE(pings_now());

  // BIRD puts back what it misses when it reads the kernel's routes again; it was seen nevertheless.
  (void)look();
  one->ns.must("R=$(ip route show 10.2.0.0/24); ip route del 10.2.0.0/24; ip route add $R");
  EXPECT_TRUE(texts(look()).contains("10.2.0.0/24 via fe80::12 dev tlwg_12 src 100.64.0.11 metric 2048 proto bird |  "
                                     "passed"));
  EXPECT_EQ(texts(look()), "");

  ASSERT_EQ(one->ns.sh("birdc -s " + (one->run_directory_ / "bird/bird.ctl").string() + " disable peer_12").code, 0);
  EXPECT_TRUE(eventually([&] { return look().disabled == std::vector<std::string>{"peer_12"}; }));
  ASSERT_TRUE(one->ns.run([&] { return one->dataplane->enable_protocol("peer_12"); }));
  EXPECT_TRUE(look().disabled.empty());
  expect_routed();
}

}  // namespace
}  // namespace mesh::test
