// Claim: `controller endpoints` says who knows where the controller is, moves it in one signed request, and leaves no
// node looking where nothing is served unless it is told to. Method: the fake controller decides with the real core;
// what nodes have seen is given to it.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "cli/json.h"
#include "tests/unit/cli/run_cli.h"

namespace mesh::cli::test {
namespace {

constexpr auto kOld = "tcp://192.0.2.1:7400", kNew = "tcp://203.0.113.9:7400";

class Endpoints : public testing::Test {
 protected:
  Endpoints() {
    controller_.given({AddSite{"ams"}, AddNode{"r1.ams"}, AddNode{"r2.ams"}, AddNode{"r3.ams"}});
    seen(1, 1);
  }
  /// r1 has seen everything up to `one`, r2 up to `two`; r3 never joined.
  void seen(uint64_t one, uint64_t two) {
    Json items = Json::array();
    items.push_back({{"fullname", "r1.ams"}, {"state", "ok"}, {"head", one}});
    items.push_back({{"fullname", "r2.ams"}, {"state", "unreachable"}, {"head", two}});
    items.push_back({{"fullname", "r3.ams"}, {"state", "not enrolled"}, {"head", 0}});
    controller_.documents["status"] = Json{{"kind", "Status"}, {"sequence", head()}, {"items", items}}.dump();
  }
  uint64_t head() const { return controller_.entries.size(); }
  Ran cli(const std::string& line) { return run_cli(controller_, "controller endpoints " + line); }
  std::vector<std::string> in_force() const { return mesh::controller_endpoints(controller_.replica.state); }

  FakeController controller_;
};

TEST_F(Endpoints, AMoveStepByStepLosesNobody) {
  EXPECT_EQ(cli("remove tcp://192.0.2.1:7400").exit, 7) << "the last one";
  const Ran added = cli(std::string("add ") + kNew + " -m move");
  ASSERT_EQ(added.exit, 0) << added.err;
  EXPECT_NE(added.out.find("controller endpoints: tcp://192.0.2.1:7400, tcp://203.0.113.9:7400"), std::string::npos);
  EXPECT_EQ(in_force(), (std::vector<std::string>{kOld, kNew}));
  const uint64_t move = head();

  // r2 was away.
  seen(move, move - 1);
  const Ran refused = cli(std::string("remove ") + kOld);
  EXPECT_EQ(refused.exit, 6);
  EXPECT_NE(refused.err.find("1 of 2 nodes"), std::string::npos) << refused.err;
  EXPECT_NE(refused.err.find(fmt::format("r2.ams (last heard of at #{})", move - 1)), std::string::npos)
      << refused.err;
  const Json shown = Json::parse(cli("-o json").out);
  EXPECT_EQ(shown["items"][1]["since"], move);
  EXPECT_EQ(shown["items"][1]["seen"], 1);
  EXPECT_EQ(shown["unseen"][0]["fullname"], "r2.ams");

  seen(move, move);
  ASSERT_EQ(cli(std::string("remove ") + kOld).exit, 0);
  EXPECT_EQ(in_force(), std::vector<std::string>{kNew});
  EXPECT_EQ(Json::parse(cli("-o json").out)["items"][0]["since"], move) << "it stayed in the list";
}

TEST_F(Endpoints, WhatLosesNodesNeedsForce) {
  seen(head(), head());
  EXPECT_EQ(cli(std::string("set ") + kNew).exit, 6) << "nobody has heard of it yet";
  EXPECT_EQ(cli(std::string("set ") + kNew + " --force --dry-run").exit, 0);
  EXPECT_EQ(in_force(), std::vector<std::string>{kOld});
  ASSERT_EQ(cli(std::string("set ") + kNew + " --force --enrol tcp://203.0.113.9:7401").exit, 0);
  EXPECT_EQ(in_force(), std::vector<std::string>{kNew});
  EXPECT_EQ(mesh::controller_enrol_endpoints(controller_.replica.state),
            std::vector<std::string>{"tcp://203.0.113.9:7401"});
}

TEST_F(Endpoints, WhatSomebodyAddsMeanwhileIsNotLost) {
  constexpr auto kOther = "tcp://198.51.100.3:7400";
  bool done = false;
  controller_.before_answer = [&](const Body& question) {
    const auto* query = std::get_if<Query>(&question);
    if (query && query->kind == "status" && !std::exchange(done, true))
      controller_.given({SetEndpoints{{kOld, kOther}, {}}});
  };
  EXPECT_EQ(cli(std::string("add ") + kNew).exit, 6);
  EXPECT_EQ(in_force(), (std::vector<std::string>{kOld, kOther}));
  EXPECT_EQ(cli(std::string("add ") + kNew).exit, 0);
  EXPECT_EQ(in_force(), (std::vector<std::string>{kOld, kOther, kNew}));
}

TEST_F(Endpoints, MistakesAreNamed) {
  EXPECT_EQ(cli("remove tcp://192.0.2.77:7400").exit, 5);
  EXPECT_EQ(cli("add").exit, 64);
  EXPECT_EQ(cli("replace tcp://192.0.2.77:7400").exit, 64);
  EXPECT_EQ(cli("add 192.0.2.77").exit, 7);
  const Ran told = cli("");
  EXPECT_NE(told.out.find("new nodes join at tcp://192.0.2.1:7401"), std::string::npos) << told.out;
}

}  // namespace
}  // namespace mesh::cli::test
