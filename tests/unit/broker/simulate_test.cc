// Claim: simulate says what failures cut and which single ones do, by names, of the committed state or the working
// one, now or then; and a plan says what a commit does to LANs before it is refused for it. Method: five sites in a
// ring with a spur, through the controller; documents read as JSON. (tests/unit/compile holds the model.)
#include <nlohmann/json.hpp>

#include "tests/unit/broker/desk.h"

namespace mesh {
namespace {

using nlohmann::json;
using test::Desk;

class Simulate : public testing::Test {
 protected:
  Simulate() {
    // r1.s1 - r1.s2 - r1.s3 - r1.s4 - r1.s1, and r1.s5 behind r1.s3.
    const std::vector<std::vector<Scalar>> groups = {{std::string("a"), std::string("d")},
                                                     {std::string("a"), std::string("b")},
                                                     {std::string("b"), std::string("c"), std::string("e")},
                                                     {std::string("c"), std::string("d")},
                                                     {std::string("e")}};
    for (int i = 1; i <= 5; ++i) {
      const std::string number = std::to_string(i), site = "s" + number, node = "r1." + site;
      desk.submit({AddSite{site}, AddNode{node}, SetAttribute{{Level::node, node}, "endpoint", {"192.0.2." + number}},
                   SetAttribute{{Level::node, node}, "groups", {groups[static_cast<size_t>(i) - 1]}},
                   SetAttribute{{Level::site, site}, "lans", {"10." + number + ".0.0/24"}}});
    }
    desk.submit(commit({}, false));
    // s5 moves into the ring, which nobody has committed.
    desk.submit({SetAttribute{{Level::node, "r1.s5"}, "groups", {std::vector<Scalar>{std::string("a")}}}});
  }
  std::vector<Command> commit(const Target& target, bool allow_loss) {
    auto prepared = std::get<Prepared>(desk.ask(desk.alice, Prepare{target, false, false}));
    plan = json::parse(prepared.plan);
    return {Commit{target, prepared.sequence, prepared.root, false, false, allow_loss}};
  }
  json ask(std::map<std::string, std::string> arguments, const std::string& kind = "simulate", uint64_t at = 0) {
    Body body = desk.ask(desk.alice, Query{kind, std::move(arguments), Sequence(at)});
    if (!std::holds_alternative<QueryResult>(body)) {
      const Error error = desk.error_of(body);
      return {{"error", error.message}, {"code", errc_name(error.code)}};
    }
    return json::parse(std::get<QueryResult>(body).json);
  }
  Desk desk;
  json plan;
};

TEST_F(Simulate, SaysWhatIsCutLongerAndDown) {
  json one = ask({{"fail", "link r1.s1 12\nsite s3"}});
  EXPECT_EQ(one["kind"], "Simulation");
  EXPECT_EQ(one["state"], "committed");
  EXPECT_EQ(one["failed"], json::parse(R"({"links":[{"a":"r1.s1","b":"r1.s2"}],"nodes":["r1.s3"]})"));
  EXPECT_EQ(one["network"], json::parse(R"({"before":{"nodes":5,"links":5,"parts":1},
                                            "after":{"nodes":4,"links":1,"parts":3}})"));
  EXPECT_EQ(one["totals"], json::parse(R"({"pairs":10,"unreached":0,"lost":5,"longer":0,"down":1,"pairs_down":4})"));
  EXPECT_EQ(one["down"], json::parse(R"(["10.3.0.0/24"])"));
  EXPECT_EQ(one["lost"].size(), 5u);
  EXPECT_EQ(one["lost"][0], json::parse(R"({"from":"10.1.0.0/24","to":"10.2.0.0/24","family":"ipv4"})"));
  json two = ask({{"fail", "link r1.s1 r1.s2"}, {"want", "pairs"}});
  EXPECT_EQ(two["longer"][0], json::parse(R"({"from":"10.1.0.0/24","to":"10.2.0.0/24","family":"ipv4",
                                              "hops_before":1,"hops_after":3})"));
  EXPECT_EQ(two["hops_before"], json::parse(R"([{"hops":1,"pairs":5},{"hops":2,"pairs":4},{"hops":3,"pairs":1}])"));
}

TEST_F(Simulate, ShowsTheWayBetweenTwoPlaces) {
  json way = ask({{"want", "reach"}, {"reach", "s1 10.5.0.9"}, {"fail", "node 12"}});
  EXPECT_EQ(way["before"], json::parse(R"({"reaches":true,"hops":3,"path":["r1.s1","r1.s2","r1.s3","r1.s5"]})"));
  EXPECT_EQ(way["after"], json::parse(R"({"reaches":true,"hops":3,"path":["r1.s1","r1.s4","r1.s3","r1.s5"]})"));
  way = ask({{"want", "reach"}, {"reach", "s1 10.5.0.9"}, {"fail", "node r1.s3"}});
  EXPECT_EQ(way["after"], json::parse(R"({"reaches":false,"hops":null,"path":[]})"));
  way = ask({{"want", "reach"}, {"reach", "s1 r1.s5"}, {"fail", "node r1.s3"}, {"working", "1"}});
  EXPECT_EQ(way["state"], "working");
  EXPECT_EQ(way["after"]["hops"], 1);
  way = ask({{"want", "reach"}, {"reach", "s1 s2"}, {"fail", "node r1.s1"}});
  EXPECT_FALSE(way["after"]["reaches"]) << "it is down itself";
}

TEST_F(Simulate, NamesSinglePointsOfFailure) {
  json points = ask({{"want", "points"}});
  ASSERT_EQ(points["items"].size(), 2u);
  EXPECT_EQ(points["totals"], json::parse(R"({"nodes":1,"links":1})"));
  EXPECT_EQ(points["items"][0]["what"], "link");
  EXPECT_EQ(points["items"][0]["a"], "r1.s3");
  EXPECT_EQ(points["items"][0]["pairs"], 4);
  EXPECT_EQ(points["items"][0]["apart"], json::parse(R"(["r1.s5"])"));
  EXPECT_EQ(points["items"][1]["fullname"], "r1.s3");
  EXPECT_EQ(points["items"][1]["pairs"], 3);
  EXPECT_TRUE(ask({{"want", "points"}, {"working", "1"}})["items"].empty());
  EXPECT_EQ(ask({{"want", "points"}, {"fail", "node r1.s2"}})["items"].size(), 5u)
      << "of what is left, which is a line";
}

TEST_F(Simulate, GivesTheNextHopsOfEveryNode) {
  json routes = ask({{"want", "routes"}, {"fail", "node r1.s2"}});
  ASSERT_EQ(routes["items"].size(), 5u);
  const json& first = routes["items"][0]["routes"];
  EXPECT_EQ(first.size(), 15u) << "a LAN and two loopbacks of each";
  EXPECT_EQ(first["10.1.0.0/24"], json::parse(R"({"via":"local"})"));
  EXPECT_EQ(first["10.3.0.0/24"], json::parse(R"({"via":"tlwg_14","peer":14,"hops":2})"));
  EXPECT_EQ(first["10.2.0.0/24"], json());
  EXPECT_FALSE(routes["items"][1]["up"]);
  EXPECT_TRUE(routes["items"][1]["routes"].empty());
  EXPECT_EQ(ask({{"want", "routes"}, {"node", "r1.s4"}})["items"].size(), 1u);
}

TEST_F(Simulate, RefusesWhatIsNotThere) {
  EXPECT_EQ(ask({{"fail", "link r1.s1 r1.s3"}})["error"], "r1.s1 and r1.s3 have no link");
  EXPECT_EQ(ask({{"fail", "node r9.s1"}})["code"], "not_found");
  EXPECT_EQ(ask({{"fail", "site nowhere"}})["code"], "not_found");
  EXPECT_EQ(ask({{"fail", "cable"}})["code"], "usage");
  EXPECT_EQ(ask({{"want", "luck"}})["code"], "usage");
  EXPECT_EQ(ask({{"want", "reach"}})["code"], "usage");
  EXPECT_EQ(ask({{"want", "reach"}, {"reach", "s1 10.9.0.1"}})["error"], "no node has 10.9.0.1");
  EXPECT_EQ(ask({{"want", "reach"}, {"reach", "s1 nowhere"}})["code"], "not_found");
  EXPECT_EQ(ask({{"want", "reach"}, {"reach", "10.1.0.1 fd00::1"}})["code"], "usage");
  EXPECT_EQ(ask({}, "simulate", 3)["totals"]["pairs"], 0) << "then nothing was committed";
  EXPECT_EQ(ask({{"working", "1"}}, "simulate", 3)["totals"]["pairs"], 1);
}

TEST_F(Simulate, APlanSaysWhatItsCommitLosesAndTheCommitIsRefused) {
  desk.submit({SetAttribute{{Level::site, "s4"}, "lans", {"10.40.0.0/24"}}});
  auto refused = commit({}, false);
  EXPECT_EQ(plan["reachability"]["totals"], json::parse(R"({"lost":4,"gained":4})"));
  EXPECT_EQ(plan["reachability"]["refused"], true);
  EXPECT_EQ(plan["reachability"]["lost"][0],
            json::parse(R"({"from":"10.1.0.0/24","to":"10.4.0.0/24","family":"ipv4"})"));
  const Error error = desk.error_of(desk.submit(refused));
  EXPECT_EQ(error.code, Errc::invalid);
  EXPECT_TRUE(error.message.starts_with("4 pairs of LANs would no longer reach each other: 10.1.0.0/24 and 10.4."))
      << error.message;
  EXPECT_TRUE(std::holds_alternative<Reply>(desk.submit(commit({Level::site, "s2"}, false))))
      << "it takes nothing of s4";
  EXPECT_EQ(plan["reachability"]["refused"], false);
  EXPECT_EQ(ask({{"scope", "site s4"}}, "changed")["reachability"]["totals"]["lost"], 4);
  EXPECT_TRUE(std::holds_alternative<Reply>(desk.submit(commit({}, true))));
  EXPECT_EQ(ask({{"scope", "global"}}, "changed")["reachability"]["refused"], false);
}

}  // namespace
}  // namespace mesh
