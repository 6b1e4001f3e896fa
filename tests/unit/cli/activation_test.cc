// Claim: an activation that waits is started, confirmed, cancelled and extended by exactly the
// command that was typed, and the exit code says what became of it: 0 it is there, 11 it went back,
// 9 it continues, 130 detached. Method: the fake controller decides with the real core; what
// routers do is canned and moves while the program sleeps.
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "cli/json.h"
#include "tests/unit/cli/run_cli.h"

namespace mesh::cli::test {
namespace {

class Confirming : public testing::Test {
 protected:
  Confirming() {
    controller_.given({AddSite{"ams"}, AddSite{"lab"}, AddNode{"r1.ams"}, AddNode{"r1.lab"},
                       SetAttribute{{Level::site, "ams"}, "endpoint", "192.0.2.7"}});
    cli("commit all");
  }
  Ran cli(const std::string& line, const Setting& setting = {}) {
    return run_cli(controller_, line, setting);
  }
  void expect(const std::string& line, int exit, const std::string& said) {
    const Ran ran = cli(line);
    EXPECT_EQ(ran.exit, exit) << line << ": " << ran.out << ran.err;
    EXPECT_NE((ran.out + ran.err).find(said), std::string::npos)
        << line << ": " << ran.out << ran.err;
  }
  /// Two sites without a link between them, with two nodes each.
  void part() {
    controller_.given({AddNode{"r2.ams"}, AddNode{"r2.lab"},
                       SetAttribute{{Level::site, "lab"}, "endpoint", "192.0.2.8"},
                       SetAttribute{{Level::node, "r2.ams"}, "endpoint", "192.0.2.9"},
                       SetAttribute{{Level::node, "r2.lab"}, "endpoint", "192.0.2.10"},
                       SetAttribute{{Level::site, "ams"}, "groups", "a"},
                       SetAttribute{{Level::site, "lab"}, "groups", "b"}});
    const Ran ran = cli("commit all");
    ASSERT_EQ(ran.exit, 0) << ran.err;
  }
  Command newest_command() const { return controller_.requests().back().commands.at(0); }
  bool waits(uint64_t id) const {
    return controller_.replica.state.pending.contains(ActivationId(id));
  }
  /// What the routers say next.
  void now(const std::string& fields, const std::string& items = "") {
    controller_.documents["activation"] =
        R"({"kind":"Activation","id":1,"confirm_s":600,"total":2,)" + fields + R"(,"items":[)" +
        items + "]}";
  }
  static constexpr const char* kApplied =
      R"("state":"pending","left_s":598,"confirm_left_s":588,"applied":2,"failed":0,"waiting":0,"offline":0)";
  static constexpr const char* kWaiting =
      R"("state":"pending","left_s":600,"confirm_left_s":590,"applied":0,"failed":0,"waiting":2,"offline":0)";

  FakeController controller_;
};

TEST_F(Confirming, OptionsBecomeTheCommand) {
  const auto command = [&](const std::string& options, int exit = 0) {
    EXPECT_EQ(cli("activate all --dry-run " + options).exit, exit) << options;
    return newest_command();
  };
  constexpr int kNobodyThere = 7;  // no node of lab is enrolled, so a gate that asks for one is refused
  Activate wanted{};
  EXPECT_EQ(command(""), Command(wanted));
  wanted.confirm_s = 600;
  EXPECT_EQ(command("--confirmed"), Command(wanted));
  wanted.confirm_s = 90;
  EXPECT_EQ(command("--confirmed=1m30s"), Command(wanted));
  wanted.health = {"bgp", "controller", "reach:lab"};
  wanted.for_s = 20;
  EXPECT_EQ(command("--confirmed=90 --health bgp,controller --health reach:lab --for 20s", kNobodyThere),
            Command(wanted));
  Activate at_once{};
  at_once.unconfirmed = true;
  EXPECT_EQ(command("--unconfirmed"), Command(at_once));
  Activate earlier{{Level::node, "r1.ams"}, Version(1)};
  earlier.confirm_s = 300;
  EXPECT_EQ(cli("activate node r1.ams v1 --confirmed=5m --dry-run").exit, 0);
  EXPECT_EQ(newest_command(), Command(earlier));
}

TEST_F(Confirming, WrongOptionsAreUsageErrors) {
  expect("activate all --confirmed 5m", 64, "fix: --confirmed=5m");
  expect("activate all --confirmed=soon", 64, "is not a duration");
  expect("activate all --confirmed=30d", 64, "out of range");
  expect("activate all --confirmed --unconfirmed", 64, "contradicts");
  expect("activate all --for 30s", 64, "--health");
  expect("activate all --health nonsense", 7, "gates are controller, bgp, bfd and reach:SITE");
  expect("commit all --confirmed", 64, "add --activate");
  EXPECT_EQ(controller_.replica.state.next_activation, ActivationId(1));
}

TEST_F(Confirming, AppliedEverywhereIsSuccessWithTheNextStep) {
  now(kWaiting);
  Setting setting;
  setting.while_sleeping = [&](int64_t ms) {
    if (ms > 500) now(kApplied);
  };
  const Ran ran = cli("activate all --confirmed", setting);
  EXPECT_EQ(ran.exit, 0) << ran.err;
  EXPECT_NE(ran.out.find("(#4, activation 1, goes back in 10m unless confirmed)"),
            std::string::npos)
      << ran.out;
  EXPECT_NE(ran.err.find("activation 1: 2 of 2 applied\n"), std::string::npos) << ran.err;
  EXPECT_NE(ran.err.find("next: meshcli confirm 1, within 9m48s; or meshcli cancel 1\n"),
            std::string::npos)
      << ran.err;
}

TEST_F(Confirming, WhatEndsMeanwhileExitsWith11) {
  for (const auto& [state, text] : {std::pair("expired", "nobody confirmed it in time"),
                                    {"cancelled", "by bob"},
                                    {"failed", "could not hold it"}}) {
    now(kWaiting);
    Setting setting;
    setting.while_sleeping = [&, name = state](int64_t ms) {
      if (ms > 500)
        now(R"("ended":{"sequence":9,"by":"bob"},"applied":0,"failed":1,"waiting":1,"offline":0,"state":")" +
                std::string(name) + "\"",
            R"({"fullname":"r1.lab","state":"reverted","message":"bird"})");
    };
    const Ran ran = cli("activate all --confirmed", setting);
    EXPECT_EQ(ran.exit, 11) << state << ran.err;
    EXPECT_NE(ran.err.find(text), std::string::npos) << ran.err;
    EXPECT_NE(ran.err.find("reverted r1.lab: bird"), std::string::npos) << ran.err;
    cli("cancel");
  }
}

TEST_F(Confirming, OneThatWentBackExitsWith11ThoughItWaits) {
  now(R"("state":"pending","left_s":590,"confirm_left_s":580,"applied":1,"failed":1,"waiting":0,"offline":0)",
      R"({"fullname":"r1.lab","state":"failed","message":"no route"})");
  const Ran ran = cli("activate all --confirmed");
  EXPECT_EQ(ran.exit, 11) << ran.err;
  EXPECT_NE(ran.err.find("failed   r1.lab: no route"), std::string::npos) << ran.err;
  EXPECT_NE(ran.err.find("meshcli cancel 1"), std::string::npos) << ran.err;
}

TEST_F(Confirming, WithGatesItWaitsUntilTheyDecided) {
  for (const bool good : {true, false}) {
    now(kApplied);
    Setting setting;
    int64_t over = 0;
    setting.while_sleeping = [&](int64_t ms) {
      if (ms < 200'000) return;
      if (over == 0) over = ms;
      now(good ? R"("state":"confirmed","applied":2,"healthy":2,"failed":0,"waiting":0,"offline":0)"
               : R"("state":"failed","applied":1,"failed":1,"waiting":0,"offline":0)");
    };
    const Ran ran = cli("activate all --confirmed --health bgp --for 1m", setting);
    EXPECT_EQ(ran.exit, good ? 0 : 11) << ran.err;
    EXPECT_GE(over, 200'000);
    if (good) {
      EXPECT_NE(ran.err.find("2 of 2 applied, healthy and confirmed"), std::string::npos)
          << ran.err;
    }
    controller_.documents.erase("activation");
    cli("cancel");
  }
}

TEST_F(Confirming, ASilentControllerIsWaitedForWhileTheNodesGoBack) {
  now(kWaiting);
  Setting setting;
  setting.while_sleeping = [&](int64_t ms) {
    controller_.unreachable = ms > 100 && ms < 25'000;
    if (ms >= 25'000)
      now(R"("state":"expired","ended":{"sequence":9,"by":"controller"},"applied":0,"failed":2,)"
          R"("waiting":0,"offline":0)");
  };
  const Ran ran = cli("activate all --confirmed=20s", setting);
  EXPECT_EQ(ran.exit, 11) << ran.err;
  EXPECT_NE(ran.err.find("no answer from the controller; without a confirmation all nodes go back"),
            std::string::npos)
      << ran.err;

  controller_.documents.erase("activation");
  cli("cancel");
  setting.while_sleeping = [&](int64_t ms) { controller_.unreachable = ms > 100; };
  now(kWaiting);
  EXPECT_EQ(cli("activate all --confirmed=20s", setting).exit, 8)
      << "it is not waited for for ever";
  controller_.unreachable = false;
}

TEST_F(Confirming, WhoWasCutOffIsWaitedForAndWhoWasAwayIsNot) {
  now(R"("state":"pending","left_s":590,"confirm_left_s":580,"applied":1,"failed":0,"waiting":0,"offline":1)",
      R"({"fullname":"r1.lab","state":"offline"})");
  const Ran away = cli("activate all --confirmed=20s");
  EXPECT_EQ(away.exit, 0) << away.err;
  EXPECT_NE(away.err.find("offline  r1.lab; it has not heard of it"), std::string::npos) << away.err;
  controller_.documents.erase("activation");
  cli("cancel");

  now(kWaiting);
  Setting setting;
  setting.while_sleeping = [&](int64_t ms) {
    if (ms > 15'000)
      now(R"("state":"pending","left_s":5,"confirm_left_s":0,"applied":1,"failed":0,"waiting":0,"offline":1)");
    if (ms > 21'000)
      now(R"("state":"expired","ended":{"sequence":9,"by":"controller"},"applied":1,"failed":0,)"
          R"("waiting":0,"offline":1)");
  };
  EXPECT_EQ(cli("activate all --confirmed=20s", setting).exit, 11);
}

TEST_F(Confirming, InterruptAndTimeOutSayHowToGoOn) {
  now(kWaiting);
  const Ran stopped = cli("activate all --confirmed", {.interrupt_after_sleeps = 1});
  EXPECT_EQ(stopped.exit, 130);
  EXPECT_NE(stopped.err.find(
                "detached; activation 1 continues: `meshcli confirm 1` within 9m50s keeps it"),
            std::string::npos)
      << stopped.err;
  controller_.documents.erase("activation");
  cli("cancel");
  now(kWaiting);
  const Ran late = cli("activate all --confirmed --timeout 3s");
  EXPECT_EQ(late.exit, 9);
  EXPECT_NE(late.err.find("activation 2 continues"), std::string::npos) << late.err;
}

TEST_F(Confirming, TheOnlyOneIsMeantWithoutAnId) {
  ASSERT_EQ(cli("activate all --confirmed --no-wait").exit, 0);
  expect("extend 20m", 0, "goes back in 20m from now unless confirmed");
  EXPECT_EQ(newest_command(), Command(ExtendActivation{ActivationId(1), 1200}));
  expect("confirm", 0, "activation 1: confirmed on 2 nodes  (#6)");
  EXPECT_EQ(newest_command(), Command(ConfirmActivation{ActivationId(1), false, {}}));
  EXPECT_EQ(controller_.replica.state.find_node("r1.ams")->active, Version(1));
  expect("confirm 1", 0, "(nothing changed)");
  expect("confirm 1 --error-unchanged", 3, "");
  expect("confirm", 5, "no activation waits for a confirmation");
  expect("cancel 1", 6, "is over: confirmed by #6");
}

TEST_F(Confirming, SeveralHaveToBeNamed) {
  part();
  ASSERT_EQ(cli("activate site ams --confirmed --no-wait").exit, 0);
  ASSERT_EQ(cli("activate site lab --confirmed=5m --no-wait").exit, 0);
  expect("confirm", 6, "2 activations wait for a confirmation");
  expect("cancel", 6, "activation 2: alice on 2 nodes");
  expect("extend 20m", 6, "name one");
  expect("confirm 7", 5, "these wait: 1, 2");
  expect("confirm seven", 64, "is not a number");
  expect("cancel 2", 0, "activation 2: cancelled, its nodes go back");
  expect("confirm", 0, "activation 1: confirmed on 2 nodes");
}

TEST_F(Confirming, TooLateIs11) {
  ASSERT_EQ(cli("activate all --confirmed=60s --no-wait").exit, 0);
  controller_.time = Timestamp(controller_.time.value() + 70'000'000);
  expect("confirm 1", 6, "too late");
  controller_.given_by_controller({ExpireActivation{ActivationId(1)}});
  for (const char* line : {"confirm 1", "confirm", "extend 1 10m"})
    expect(line, 11, "activation 1 expired: nobody confirmed it in time, all nodes go back");
  const Ran json = cli("confirm 1 -o json");
  EXPECT_EQ(number_at(value_at(Json::parse(json.err), "error"), "exit"), 11) << json.err;
  EXPECT_EQ(json.out, "");
  expect("cancel 1", 0, "(nothing changed)");
  expect("cancel", 5, "no activation waits");
  EXPECT_EQ(cli("confirm 1", {.program = "tlm"}).exit, 1);
}

TEST_F(Confirming, ASecondOperatorMeanwhileIsAConflict) {
  ASSERT_EQ(cli("activate all --confirmed --no-wait").exit, 0);
  ASSERT_EQ(cli("set global wg_keepalive 20").exit, 0);
  ASSERT_EQ(cli("commit all").exit, 0);
  expect("activate all", 6, "meshcli confirm 1 or meshcli cancel 1");
}

TEST_F(Confirming, ThePolicyIsTold) {
  part();
  ASSERT_EQ(cli("set global activation_confirm 120").exit, 0);
  expect("activate site ams --no-wait", 0,
         "the attribute activation_confirm wants a confirmation within 2m");
  EXPECT_TRUE(waits(1));
  expect("activate site lab --unconfirmed --no-wait", 0, "activation 2)");
  EXPECT_FALSE(waits(2));
}

TEST_F(Confirming, CommitAndActivateInOne) {
  ASSERT_EQ(cli("set global wg_keepalive 20").exit, 0);
  const Ran ran = cli("commit all --activate --confirmed=5m -o json");
  EXPECT_EQ(ran.exit, 0) << ran.err;
  const Json document = Json::parse(ran.out);
  EXPECT_EQ(text_at(value_at(document, "activation"), "state"), "pending");
  EXPECT_EQ(number_at(value_at(document, "activation"), "confirm_s"), 300);
}

TEST_F(Confirming, StatusCountsDownOnATerminal) {
  const auto status = [&](int left) {
    controller_.documents["status"] =
        R"({"kind":"Status","sequence":4,"controller":{},"items":[],"pending":[{"id":1,"state":"pending","left_s":)" +
        std::to_string(left) + R"(,"confirm_left_s":)" + std::to_string(left - 10) +
        R"(,"health":[],"started":{"by":"alice"},"total":1,"items":[{"fullname":"r1.ams","from":1,"to":2,"state":)" +
        R"("offline","left_s":null}]}]})";
  };
  status(60);
  Setting setting{.terminal = true, .interrupt_after_sleeps = 3};
  setting.while_sleeping = [&](int64_t ms) {
    status(60 - static_cast<int>(ms / 1000));
    controller_.unreachable = ms == 1000;
  };
  const Ran ran = cli("status --watch --color never", setting);
  EXPECT_EQ(ran.exit, 130);
  for (const char* text :
       {"50s left to confirm, all nodes go back in 1m\n", "48s left to confirm", "unreachable"})
    EXPECT_NE(ran.out.find(text), std::string::npos) << text << ran.out;
  EXPECT_NE(ran.err.find("no answer from the controller"), std::string::npos) << ran.err;
}

}  // namespace
}  // namespace mesh::cli::test
