// Claim: what an operator types becomes exactly the signed request that it says, with the exit code
// that it deserves. Method: the fake controller decodes, checks and decides every request with the
// real core.
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "cli/json.h"
#include "eventstore/model/crypto.h"
#include "schemas/codec.h"
#include "tests/unit/cli/run_cli.h"

namespace mesh::cli::test {
namespace {

class Changes : public testing::Test {
 protected:
  Changes() {
    controller_.given({AddSite{"ams"}, AddSite{"lab"}, AddNode{"r1.ams"}, AddNode{"r1.lab"},
                       SetAttribute{{Level::site, "ams"}, "endpoint", "192.0.2.7"}});
  }

  Ran cli(const std::string& line, const Setting& setting = {}) {
    return run_cli(controller_, line, setting);
  }
  std::vector<Command> commands_of(const std::string& line) {
    controller_.heard.clear();
    const Ran ran = cli(line);
    EXPECT_EQ(ran.exit, 0) << line << ": " << ran.err;
    const auto requests = controller_.requests();
    EXPECT_EQ(requests.size(), 1u) << line;
    return requests.empty() ? std::vector<Command>() : requests[0].commands;
  }
  Command command_of(const std::string& line) {
    const auto commands = commands_of(line);
    EXPECT_EQ(commands.size(), 1u) << line;
    return commands.empty() ? Command() : commands[0];
  }

  FakeController controller_;
};

TEST_F(Changes, EveryVerbMakesItsCommand) {
  const Target global{Level::global, ""}, site{Level::site, "ams"}, node{Level::node, "r1.ams"};
  EXPECT_EQ(command_of("add site x"), Command(AddSite{"x"}));
  EXPECT_EQ(command_of("create node r9.x"), Command(AddNode{"r9.x"}));
  EXPECT_EQ(command_of("del node r9.x"), Command(RemoveNode{"r9.x", false}));
  EXPECT_EQ(command_of("remove site x --force"), Command(RemoveSite{"x", true}));
  EXPECT_EQ(command_of("rename site lab lab2"), Command(RenameSite{"lab", "lab2"}));
  EXPECT_EQ(command_of("rename node r1.lab2 r2"), Command(RenameNode{"r1.lab2", "r2"}));
  EXPECT_EQ(command_of("set global wg_keepalive 20"),
            Command(SetAttribute{global, "wg_keepalive", int64_t{20}}));
  EXPECT_EQ(command_of("set site ams lans 10.2.0.0/24"),
            Command(SetAttribute{site, "lans", "10.2.0.0/24"}));
  EXPECT_EQ(command_of("set node r1.ams groups \"['a', 'b']\""),
            Command(SetAttribute{node, "groups",
                                 std::vector<Scalar>{std::string("a"), std::string("b")}}));
  EXPECT_EQ(command_of("set node r1.ams groups empty"), Command(UnsetAttribute{node, "groups"}));
  EXPECT_EQ(command_of("discard node r1.ams"), Command(Discard{node}));
}

TEST_F(Changes, AnObjectBecomesOneRequestOfLeaves) {
  const Target node{Level::node, "r1.ams"};
  const auto commands = commands_of(
      R"(set node r1.ams wg_links '{"13":{"wg_peer_keepalive":20,"note":"5"},"14":{"x":[1,"a"]}}')");
  ASSERT_EQ(commands.size(), 3u);
  EXPECT_EQ(commands[0], Command(SetAttribute{node, "wg_links.13.wg_peer_keepalive", int64_t{20}}));
  EXPECT_EQ(commands[1], Command(SetAttribute{node, "wg_links.13.note", "5"}))
      << "a JSON string stays a string";
  EXPECT_EQ(commands[2], Command(SetAttribute{node, "wg_links.14.x",
                                              std::vector<Scalar>{int64_t{1}, std::string("a")}}));
  EXPECT_EQ(command_of(R"(set node r1.ams wg_links '{"13":{"note":null}}')"),
            Command(UnsetAttribute{node, "wg_links.13.note"}));
  EXPECT_EQ(cli("set node r1.ams wg_links '{\"a\":'").exit, 64);
  EXPECT_EQ(cli("set node r1.ams wg_links '{}'").exit, 64);
}

TEST_F(Changes, ARequestSaysWhoWhyAndOnWhat) {
  ASSERT_EQ(cli("set global wg_keepalive 20 -m why --ref T-1 --expect-sequence 2").exit, 0);
  const Request request = controller_.requests().at(0);
  EXPECT_EQ(request.log, controller_.replica.state.log);
  EXPECT_EQ(request.epoch, controller_.replica.state.epoch);
  EXPECT_EQ(request.principal, Principal::human("alice"));
  EXPECT_EQ(request.based_on, Sequence(2));
  EXPECT_EQ(request.expect_sequence, Sequence(2));
  EXPECT_EQ(request.message, "why");
  EXPECT_EQ(request.reference, "T-1");
  EXPECT_EQ(request.origin, "cli");
  EXPECT_FALSE(request.id.is_zero());
  const Submit submitted = controller_.heard_of<Submit>().at(0);
  EXPECT_TRUE(verify_signature(controller_.admin_sign.public_key(), kRequestDomain,
                               submitted.request.bytes, submitted.request.signature));
}

TEST_F(Changes, ExitCodesOfErrors) {
  EXPECT_EQ(cli("add node r1.nowhere").exit, 5);
  EXPECT_EQ(cli("set global wg_keepalive 20 --expect-sequence 1").exit, 6);
  EXPECT_EQ(cli("set global wg_mtu 99999").exit, 7);
  EXPECT_EQ(cli("set global wg_mtu").exit, 64);
  EXPECT_EQ(cli("--context /nowhere/c whoami").exit, 5);
  const Setting tlm{.program = "tlm"};
  EXPECT_EQ(cli("add node r1.nowhere", tlm).exit, 1) << "tlm: a domain error";
  EXPECT_EQ(cli("set global wg_mtu", tlm).exit, 2) << "tlm: a usage error";
  EXPECT_EQ(cli("add site new", tlm).exit, 0);
}

TEST_F(Changes, ErrorsAsJsonGoToStandardErrorAlone) {
  for (const char* line : {"-o json add node r1.nowhere", "-ojson add nod r1.nowhere"}) {
    const Ran ran = cli(line);
    EXPECT_EQ(ran.out, "") << line;
    const Json error = value_at(Json::parse(ran.err), "error");
    EXPECT_EQ(number_at(error, "exit"), ran.exit) << line;
    EXPECT_FALSE(text_at(error, "code").empty()) << line;
    EXPECT_FALSE(text_at(error, "message").empty()) << line;
    EXPECT_TRUE(value_at(error, "fix").is_string()) << line;
  }
}

TEST_F(Changes, UnchangedAndDryRun) {
  ASSERT_EQ(cli("set global wg_keepalive 20").exit, 0);
  EXPECT_EQ(cli("set global wg_keepalive 20").exit, 0);
  EXPECT_EQ(cli("set global wg_keepalive 20 --error-unchanged").exit, 3);
  const size_t before = controller_.entries.size();
  const Ran ran = cli("set global wg_keepalive 30 --dry-run -o json");
  EXPECT_EQ(ran.exit, 0);
  const Json document = Json::parse(ran.out);
  EXPECT_TRUE(flag_at(document, "dry_run"));
  EXPECT_TRUE(flag_at(document, "changed"));
  EXPECT_EQ(controller_.entries.size(), before);
}

TEST_F(Changes, UnknownAttributesAreTakenWithAWarning) {
  const Ran ran = cli("set global wg_keepaliv 20 -o json");
  EXPECT_EQ(ran.exit, 0);
  EXPECT_EQ(number_at(Json::parse(ran.out), "sequence"), 3) << "no warning in the data";
  EXPECT_EQ(ran.err,
            "warning: unknown attribute wg_keepaliv: only templates can use it; did you mean "
            "wg_keepalive?\n");
  EXPECT_EQ(cli("set global wg_keepaliv 30 -q").err, "");
  EXPECT_EQ(cli("set global wg_keepaliv 40 -l error").err, "");
  EXPECT_TRUE(cli("set global wg_keepaliv 50 -l warning").err.ends_with("wg_keepalive?\n"))
      << "no hint behind it";
}

TEST_F(Changes, SevereOnesWantTheNameTypedOnATerminal) {
  controller_.documents["links"] = R"({"items":[{"a_name":"r1.ams","b_name":"r1.lab"}]})";
  const Ran refused = cli("node revoke r1.ams", {.typed = "yes\n", .terminal = true});
  EXPECT_EQ(refused.exit, 64);
  EXPECT_NE(refused.err.find("with 1 link"), std::string::npos) << refused.err;
  EXPECT_TRUE(controller_.requests().empty());
  EXPECT_EQ(cli("node revoke r1.ams", {.typed = "r1.ams\n", .terminal = true}).exit, 0);
  EXPECT_EQ(cli("node revoke r1.ams --yes", {.terminal = true}).exit, 0);
  EXPECT_EQ(cli("node revoke r1.ams --no-input", {.terminal = true}).exit, 0);
  EXPECT_EQ(cli("node revoke r1.ams").exit, 0) << "nobody could answer";
  EXPECT_EQ(controller_.requests().size(), 4u);
}

TEST_F(Changes, ACommitSignsWhatWasShown) {
  ASSERT_EQ(cli("commit all -m first").exit, 0);
  const auto requests = controller_.requests();
  const auto& commit = std::get<Commit>(requests.at(0).commands.at(0));
  EXPECT_EQ(commit.prepared_at, Sequence(2));
  EXPECT_EQ(controller_.replica.state.find_node("r1.ams")->latest(), Version(1));
  EXPECT_EQ(cli("commit all").exit, 0);
  EXPECT_EQ(cli("commit all --error-unchanged").exit, 3);
  EXPECT_EQ(cli("plan --detailed-exitcode").exit, 0);
  ASSERT_EQ(cli("set global wg_keepalive 20").exit, 0);
  EXPECT_EQ(cli("plan --detailed-exitcode").exit, 2);
  EXPECT_EQ(cli("commit all --dry-run --detailed-exitcode").exit, 2);
  EXPECT_EQ(controller_.replica.state.find_node("r1.ams")->latest(), Version(1))
      << "a dry run pins nothing";
}

TEST_F(Changes, ACommitPreparesAgainWhenSomebodyWasFaster) {
  int prepares = 0;
  controller_.before_answer = [&](const Body& body) {
    if (std::holds_alternative<Prepare>(body)) ++prepares;
    if (std::holds_alternative<Submit>(body) && prepares == 1)
      controller_.given({SetAttribute{{Level::global, ""}, "wg_keepalive", int64_t{33}}});
  };
  const Ran ran = cli("commit all");
  EXPECT_EQ(ran.exit, 0) << ran.err;
  EXPECT_EQ(prepares, 2);
  EXPECT_NE(ran.err.find("preparing again"), std::string::npos);

  ASSERT_EQ(cli("set global wg_keepalive 34").exit, 0);
  prepares = 0;
  const std::string expected = std::to_string(controller_.entries.size());
  EXPECT_EQ(cli("commit all --expect-sequence " + expected).exit, 6)
      << "not with --expect-sequence";
  EXPECT_EQ(prepares, 1);
}

class Activation : public Changes {
 protected:
  Activation() { cli("commit all"); }

  void now(const std::string& counts, const std::string& items = "") {
    controller_.documents["activation"] =
        R"({"kind":"Activation","id":1,"total":2,)" + counts + R"(,"items":[)" + items + "]}";
  }
};

TEST_F(Activation, WaitsForEveryConnectedNode) {
  now(R"("applied":0,"failed":0,"waiting":2,"offline":0)");
  Setting setting;
  setting.while_sleeping = [&](int64_t ms) {
    if (ms > 500) now(R"("applied":2,"failed":0,"waiting":0,"offline":0)");
  };
  const Ran ran = cli("activate all", setting);
  EXPECT_EQ(ran.exit, 0) << ran.err;
  EXPECT_NE(ran.out.find("all: latest activated on 2 nodes  (#4, activation 1)\n"),
            std::string::npos)
      << ran.out;
  EXPECT_NE(ran.err.find("activate 0/2  ok 0  waiting 2  failed 0\n"), std::string::npos)
      << ran.err;
  EXPECT_NE(ran.err.find("activation 1: 2 of 2 applied\n"), std::string::npos) << ran.err;
}

TEST_F(Activation, NamesOfflineNodesAndDoesNotWait) {
  now(R"("applied":1,"failed":0,"waiting":0,"offline":1)",
      R"({"fullname":"r1.lab","state":"offline"})");
  const Ran ran = cli("activate all");
  EXPECT_EQ(ran.exit, 0);
  EXPECT_NE(ran.err.find("offline  r1.lab"), std::string::npos);
}

TEST_F(Activation, ExitCodesOfWhatBecameOfIt) {
  now(R"("applied":1,"failed":1,"waiting":0,"offline":0)",
      R"({"fullname":"r1.lab","state":"failed","message":"no route"})");
  const Ran failed = cli("activate all");
  EXPECT_EQ(failed.exit, 10);
  EXPECT_NE(failed.err.find("failed   r1.lab: no route"), std::string::npos) << failed.err;
  now(R"("applied":1,"failed":1,"waiting":0,"offline":0)",
      R"({"fullname":"r1.lab","state":"reverted","message":"bird"})");
  EXPECT_EQ(cli("activate node r1.lab v1").exit, 0) << "it is wanted already";
  EXPECT_EQ(cli("activate node r1.lab v1 --error-unchanged").exit, 3);
}

TEST_F(Activation, WentBackIsItsOwnExitCode) {
  now(R"("applied":1,"failed":1,"waiting":0,"offline":0)",
      R"({"fullname":"r1.lab","state":"reverted","message":"bird"})");
  EXPECT_EQ(cli("activate all").exit, 11);
}

TEST_F(Activation, TimeOutAndInterruptLeaveItRunning) {
  now(R"("applied":1,"failed":0,"waiting":1,"offline":0)",
      R"({"fullname":"r1.lab","state":"waiting"})");
  const Ran late = cli("activate all --timeout 3s");
  EXPECT_EQ(late.exit, 9);
  EXPECT_NE(late.err.find("activation 1 continues"), std::string::npos) << late.err;
  ASSERT_EQ(cli("set global wg_keepalive 20").exit, 0);
  ASSERT_EQ(cli("commit all").exit, 0);
  const Ran stopped = cli("activate all", {.interrupt_after_sleeps = 1});
  EXPECT_EQ(stopped.exit, 130);
  EXPECT_NE(stopped.err.find("detached"), std::string::npos) << stopped.err;
}

TEST_F(Activation, CommitAndActivateInOne) {
  now(R"("applied":2,"failed":0,"waiting":0,"offline":0)");
  ASSERT_EQ(cli("set global wg_keepalive 20").exit, 0);
  const Ran ran = cli("commit all --activate -o json");
  EXPECT_EQ(ran.exit, 0) << ran.err;
  const Json document = Json::parse(ran.out);
  EXPECT_EQ(text_at(document, "kind"), "CommitResult");
  EXPECT_EQ(number_at(value_at(document, "activation"), "applied"), 2);
  EXPECT_EQ(controller_.replica.state.find_node("r1.ams")->active, Version(2));
}

}  // namespace
}  // namespace mesh::cli::test
