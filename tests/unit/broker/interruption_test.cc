// Claim: a plan says of every line what it does to traffic, which links begin anew and which way their traffic goes
// meanwhile, and which LANs lose each other. Method: three nodes, one of them behind NAT; plans read as JSON.
#include <nlohmann/json.hpp>

#include "tests/unit/broker/desk.h"

namespace mesh {
namespace {

using nlohmann::json;
using test::Desk;

class Planning : public testing::Test {
 protected:
  Planning() {
    desk.submit({AddSite{"ams"}, AddSite{"hub"}, AddSite{"lab"}});
    desk.submit({AddNode{"r1.ams"}, AddNode{"r1.hub"}, AddNode{"r1.lab"},
                 SetAttribute{{Level::node, "r1.ams"}, "endpoint", {"192.0.2.1"}},
                 SetAttribute{{Level::node, "r1.hub"}, "endpoint", {"192.0.2.2"}},
                 SetAttribute{{Level::node, "r1.ams"}, "lans", {"10.1.0.0/24"}},
                 SetAttribute{{Level::node, "r1.lab"}, "lans", {"10.2.0.0/24"}}});
    const auto prepared = std::get<Prepared>(desk.ask(desk.alice, Prepare{Target{}, false, false}));
    desk.submit({Commit{Target{}, prepared.sequence, prepared.root, false, false}});
  }
  json plan() {
    Body body = desk.ask(desk.alice, Prepare{Target{}, false, false});
    const auto* prepared = std::get_if<Prepared>(&body);
    return prepared ? json::parse(prepared->plan) : json(desk.error_of(body).message);
  }
  Desk desk;
};

TEST_F(Planning, EveryLineHasItsClass) {
  desk.submit({SetAttribute{{Level::node, "r1.lab"}, "wg_keepalive", {int64_t{20}}}});
  const json plan = this->plan();
  ASSERT_EQ(plan["nodes"].size(), 1u) << plan.dump();
  EXPECT_EQ(plan["nodes"][0]["effect"], "hot");
  EXPECT_EQ(plan["nodes"][0]["classes"].size(), plan["nodes"][0]["changes"].size());
  EXPECT_EQ(plan["nodes"][0]["classes"][0], "hot");
  EXPECT_TRUE(plan["nodes"][0]["interrupts"].empty());
  EXPECT_TRUE(plan["interrupted"].empty());
}

TEST_F(Planning, AnInterruptedLinkHasAnotherWay) {
  desk.submit({SetAttribute{{Level::node, "r1.ams"}, "wg_listenport_base", {int64_t{40'000}}}});
  const json plan = this->plan();
  ASSERT_EQ(plan["nodes"].size(), 3u) << plan.dump();
  const json& ams = plan["nodes"][0];
  EXPECT_EQ(ams["effect"], "session reset");
  EXPECT_EQ(ams["interrupts"][0],
            "session reset: link r1.ams - r1.lab, until r1.lab has changed too "
            "(its traffic goes another way: via r1.hub)");
  EXPECT_EQ(ams["interrupts"].size(), 1u) << "r1.hub hears of the other port by itself";
  EXPECT_TRUE(plan["interrupted"].empty()) << plan["interrupted"].dump();
}

TEST_F(Planning, LansThatLoseEachOtherAreNamed) {
  desk.submit({SetAttribute{{Level::global, ""}, "bgp_as_base", {int64_t{4'210'000'000}}}});
  const json plan = this->plan();
  EXPECT_EQ(plan["interrupted"],
            json::parse(R"(["interrupted: 10.1.0.0/24 <-> 10.2.0.0/24 have no other path"])"))
      << plan.dump();
}

}  // namespace
}  // namespace mesh
