// Claim: what waits for a confirmation ends as time, its nodes' signed words or an operator decide, also when the
// controller was restarted, its disk was full or its clock was set back in between; and every list tells how it is.
// Method: two enrolled nodes whose outcomes come as frames; time is moved by hand; see desk.h.
#include <nlohmann/json.hpp>

#include "eventstore/model/crypto.h"
#include "tests/unit/broker/desk.h"

namespace mesh {
namespace {

using nlohmann::json;
using test::Desk;

constexpr int64_t kSecond = 1'000'000;

class Activations : public testing::Test {
 protected:
  Activations() {
    desk.submit({AddSite{"ams"}, AddSite{"lab"}, AddNode{"r1.ams"}, AddNode{"r1.lab"},
                 SetAttribute{{Level::node, "r1.ams"}, "endpoint", {"192.0.2.1"}}});
    for (const char* name : {"r1.ams", "r1.lab"}) enrol(name);
    commit();
    desk.submit({Activate{Target{}, {}}});
    desk.submit({SetAttribute{{Level::global, ""}, "wg_keepalive", {int64_t{20}}}});
    commit();
  }

  void enrol(const std::string& name) {
    const SignSecret token = test::sign_secret("token " + name);
    desk.submit({CreateToken{token.public_key(), {Level::node, name}, 1, {}, false}});
    const SessionId session{test::box_secret(name).public_key(), 77, true};
    const TokenId id(desk.controller->state().next_token.value() - 1);
    const JoinStatement statement{desk.controller->state().log, name, id, test::sign_secret(name).public_key(),
                                  session.user, WireGuardKey{test::box_secret("wg " + name).public_key().bytes},
                                  "host", "machine", {}};
    SignedJoin join{encode_join(statement), {}, {}};
    join.node_signature = test::sign_secret(name).sign(kJoinDomain, join.statement);
    join.token_signature = token.sign(kJoinDomain, join.statement);
    ASSERT_TRUE(std::holds_alternative<Admitted>(desk.ask(session, Join{join})));
  }

  void commit() {
    auto prepared = std::get<Prepared>(desk.ask(desk.alice, Prepare{Target{}, false, false}));
    desk.submit({Commit{Target{}, prepared.sequence, prepared.root, false, false}});
  }

  ActivationId start(uint32_t confirm_s, std::vector<std::string> health = {}, uint32_t for_s = 0) {
    Activate command{Target{}, {}};
    command.confirm_s = confirm_s;
    command.health = std::move(health);
    command.for_s = for_s;
    const Body body = desk.submit({command});
    EXPECT_TRUE(std::holds_alternative<Reply>(body)) << desk.error_of(body).message;
    return ActivationId(desk.controller->state().next_activation.value() - 1);
  }

  void say(const std::string& name, ActivationId activation, OutcomeKind kind, const std::string& message = {}) {
    const Node& node = *desk.controller->state().find_node(name);
    const bool runs = kind == OutcomeKind::applied || kind == OutcomeKind::healthy;
    const Outcome outcome{node.id, ++serials[name], kind, activation, Version(runs ? 2 : 1), message};
    SignedOutcome report{encode_outcome(outcome), {}, outcome};
    report.signature = test::sign_secret(name).sign(kOutcomeDomain, report.bytes);
    desk.give(SessionId{node.box_key, 78, false}, OutcomeMessage{report});
    desk.answers();
  }

  void pass(int64_t seconds) {
    desk.now.wall = Timestamp(desk.now.wall.value() + seconds * kSecond);
    desk.now.mono_ms += seconds * 1'000;
    tick();
  }
  void tick() {
    desk.controller->tick(desk.now);
    desk.answers();
  }
  bool waits(ActivationId id) const { return desk.controller->state().pending.contains(id); }
  ActivationEnd end_of(ActivationId id) const {
    for (const ClosedActivation& closed : desk.controller->state().closed)
      if (closed.id == id) return closed.how;
    ADD_FAILURE() << "activation " << id.value() << " is not over";
    return {};
  }
  Version active(const std::string& name) const { return desk.controller->state().find_node(name)->active; }

  json ask(const std::string& kind, std::map<std::string, std::string> arguments = {}) {
    const Body body = desk.ask(desk.alice, Query{kind, std::move(arguments), {}});
    if (!std::holds_alternative<QueryResult>(body)) return {{"error", desk.error_of(body).message}};
    return json::parse(std::get<QueryResult>(body).json);
  }
  /// What a node says of itself, up to date.
  void report_status(const std::string& name, Version active_version, ActivationId pending = {}, int64_t left_s = 0,
                     const std::string& problem = {}) {
    NodeStatus status;
    status.head = desk.controller->state().sequence;
    status.active = active_version;
    status.state = problem.empty() ? "ok" : "diverged";
    status.problem = problem;
    if (pending != ActivationId()) status.pending = Version(2);
    status.pending_activation = pending;
    status.pending_left_s = left_s;
    desk.give(SessionId{desk.controller->state().find_node(name)->box_key, 78, false}, status);
    desk.answers();
  }
  std::string state_of(const std::string& name) {
    const json document = ask("nodes");
    for (const json& item : document["items"])
      if (item["fullname"] == name) return item["state"];
    return "";
  }

  Desk desk;
  std::map<std::string, uint64_t> serials;
};

TEST_F(Activations, AnOperatorConfirmsWhatAllApplied) {
  const ActivationId id = start(60);
  EXPECT_EQ(active("r1.ams"), Version(1)) << "active moves at the confirmation";
  say("r1.ams", id, OutcomeKind::applied);
  pass(2);
  EXPECT_EQ(desk.error_of(desk.submit({ConfirmActivation{id, false, {}}})).code, Errc::conflict) << "r1.lab is missing";
  say("r1.lab", id, OutcomeKind::applied);
  pass(2);
  EXPECT_TRUE(std::holds_alternative<Reply>(desk.submit({ConfirmActivation{id, false, {}}})));
  EXPECT_EQ(active("r1.ams"), Version(2));
  EXPECT_EQ(active("r1.lab"), Version(2));
  EXPECT_EQ(end_of(id), ActivationEnd::confirmed);
}

TEST_F(Activations, WhoWentBackDoesNotCountAsApplied) {
  const ActivationId id = start(60);
  for (const char* name : {"r1.ams", "r1.lab"}) say(name, id, OutcomeKind::applied);
  say("r1.lab", id, OutcomeKind::reverted, "the machine was rebooted");
  pass(2);
  EXPECT_TRUE(waits(id)) << "without gates the operator decides";
  EXPECT_EQ(desk.error_of(desk.submit({ConfirmActivation{id, false, {}}})).code, Errc::conflict);
  EXPECT_TRUE(std::holds_alternative<Reply>(desk.submit({ConfirmActivation{id, true, {}}})));
  EXPECT_EQ(active("r1.ams"), Version(2));
  EXPECT_EQ(active("r1.lab"), Version(1));
}

TEST_F(Activations, ItExpiresAtTheDeadlineAndNotBefore) {
  const ActivationId id = start(60);
  pass(59);
  EXPECT_TRUE(waits(id));
  pass(1);
  EXPECT_FALSE(waits(id));
  EXPECT_EQ(end_of(id), ActivationEnd::expired);
  EXPECT_EQ(active("r1.ams"), Version(1));
}

TEST_F(Activations, AnExtensionMovesTheDeadline) {
  const ActivationId id = start(20);
  pass(5);
  EXPECT_TRUE(std::holds_alternative<Reply>(desk.submit({ExtendActivation{id, 60}})));
  pass(59);
  EXPECT_TRUE(waits(id));
  pass(1);
  EXPECT_EQ(end_of(id), ActivationEnd::expired);
}

TEST_F(Activations, ItExpiresAfterARestartAndAfterAFullDisk) {
  ActivationId id = start(60);
  desk.now.wall = Timestamp(desk.now.wall.value() + 120 * kSecond);
  desk.now.mono_ms = 5;  // another boot
  desk.restart();
  EXPECT_TRUE(waits(id));
  tick();
  EXPECT_EQ(end_of(id), ActivationEnd::expired);

  id = start(60);
  tick();  // the reports and tokens of before are out of the way
  desk.disk->fail_next_write(Error{Errc::exhausted, "the disk is full", ""}, false);
  desk.reopening_allowed = false;
  pass(61);
  EXPECT_NE(desk.controller->broken(), "");
  EXPECT_TRUE(waits(id)) << "what is not in the log has not happened";
  desk.reopening_allowed = true;
  pass(5);
  EXPECT_EQ(end_of(id), ActivationEnd::expired);
}

TEST_F(Activations, AClockThatIsSetBackDoesNotKeepItWaiting) {
  const ActivationId id = start(60);
  const Timestamp deadline = desk.controller->state().pending.at(id).deadline;
  tick();
  desk.now.wall = Timestamp(desk.now.wall.value() - 3'600 * kSecond);
  desk.now.mono_ms += 59'000;
  tick();
  EXPECT_TRUE(waits(id));
  desk.now.mono_ms += 2'000;
  tick();
  EXPECT_EQ(end_of(id), ActivationEnd::expired);
  EXPECT_EQ(desk.controller->state().time, deadline);
}

TEST_F(Activations, GatesConfirmWhenEveryNodeIsHealthy) {
  const ActivationId id = start(120, {"bgp", "controller"}, 10);
  say("r1.ams", id, OutcomeKind::applied);
  say("r1.lab", id, OutcomeKind::applied);
  pass(2);
  say("r1.ams", id, OutcomeKind::healthy);
  pass(2);
  EXPECT_TRUE(waits(id));
  // Half of the evidence was heard by the program before.
  desk.restart();
  say("r1.lab", id, OutcomeKind::healthy);
  pass(2);
  tick();
  EXPECT_EQ(end_of(id), ActivationEnd::confirmed);
  EXPECT_EQ(active("r1.lab"), Version(2));
  const auto entries = desk.disk->read(desk.controller->state().closed.back().sequence, 1, 1);
  const Entry entry = *decode_entry(entries->front());
  EXPECT_EQ(entry.header.principal, Principal::controller());
  EXPECT_EQ(std::get<ConfirmActivation>(entry.body->request.commands[0]).evidence.size(), 2u);
}

TEST_F(Activations, GatesCancelAtTheFirstNodeThatGoesBack) {
  const ActivationId id = start(120, {"bgp"}, 10);
  say("r1.ams", id, OutcomeKind::applied);
  say("r1.lab", id, OutcomeKind::reverted, "health: bgp session tlwg_11 is Active");
  pass(2);
  EXPECT_EQ(end_of(id), ActivationEnd::failed);
  EXPECT_EQ(active("r1.ams"), Version(1));
}

TEST_F(Activations, HealthyTooLateExpires) {
  const ActivationId id = start(60, {"bgp"}, 10);
  for (const char* name : {"r1.ams", "r1.lab"}) say(name, id, OutcomeKind::applied);
  pass(55);
  for (const char* name : {"r1.ams", "r1.lab"}) say(name, id, OutcomeKind::healthy);
  pass(2);
  EXPECT_TRUE(waits(id)) << "the nodes would not hear of it in time";
  pass(4);
  EXPECT_EQ(end_of(id), ActivationEnd::expired);
}

TEST_F(Activations, EveryListTellsHowItIs) {
  const ActivationId id = start(60);
  report_status("r1.ams", Version(1), id, 60);
  say("r1.ams", id, OutcomeKind::applied);
  pass(2);
  report_status("r1.ams", Version(1), id, 58);
  EXPECT_EQ(state_of("r1.ams"), "pending");
  EXPECT_EQ(state_of("r1.lab"), "unknown");
  pass(3);
  const json status = ask("status");
  ASSERT_EQ(status["pending"].size(), 1u);
  const json& told = status["pending"][0];
  EXPECT_EQ(told["state"], "pending");
  EXPECT_EQ(told["left_s"], 55);
  EXPECT_EQ(told["confirm_left_s"], 45);
  EXPECT_EQ(told["started"]["by"], "alice");
  EXPECT_EQ(told["items"][0]["state"], "applied");
  EXPECT_EQ(told["items"][0]["left_s"], 55);
  EXPECT_EQ(told["items"][1]["state"], "offline");
  EXPECT_EQ(status["items"][0]["pending"], 2);
  EXPECT_EQ(status["items"][0]["pending_left_s"], 55);
  EXPECT_EQ(status["items"][0]["version_active"], 1);

  desk.submit({CancelActivation{id, {}}});
  report_status("r1.ams", Version(1));
  say("r1.ams", id, OutcomeKind::reverted, "cancelled");
  pass(2);
  const json over = ask("activation", {{"id", std::to_string(id.value())}});
  EXPECT_EQ(over["state"], "cancelled");
  EXPECT_EQ(over["ended"]["by"], "alice");
  EXPECT_EQ(over["left_s"], json());
  EXPECT_EQ(over["items"][0]["state"], "reverted");
  EXPECT_EQ(over["items"][0]["from"], 1);
  EXPECT_EQ(over["items"][0]["to"], 2);
  start(60);
  const json all = ask("activations");
  ASSERT_EQ(all["items"].size(), 2u);
  EXPECT_EQ(all["items"][0]["state"], "pending");
  EXPECT_EQ(all["items"][1], [&] {
    json copy = over;
    for (const char* key : {"kind", "sequence"}) copy.erase(key);
    return copy;
  }());
  EXPECT_EQ(ask("activations", {{"limit", "0"}})["items"].size(), 1u);
}

TEST_F(Activations, ANodeThatWentBackFromWhatWasConfirmedHasDiverged) {
  const ActivationId id = start(60);
  for (const char* name : {"r1.ams", "r1.lab"}) say(name, id, OutcomeKind::applied);
  pass(2);
  desk.submit({ConfirmActivation{id, false, {}}});
  say("r1.lab", id, OutcomeKind::reverted, "not confirmed within 60 s");
  pass(2);
  report_status("r1.ams", Version(2));
  report_status("r1.lab", Version(1), {}, 0, "v1 runs: activate again");
  EXPECT_EQ(state_of("r1.ams"), "ok");
  EXPECT_EQ(state_of("r1.lab"), "diverged");
}

TEST_F(Activations, OneThatNeverWasIsNotFound) {
  const ActivationId id = start(60);
  EXPECT_EQ(ask("activation", {{"id", std::to_string(id.value())}})["total"], 2);
  EXPECT_EQ(ask("activation", {{"id", std::to_string(id.value() + 1)}})["error"],
            "activation " + std::to_string(id.value() + 1) + " does not exist");
}

TEST_F(Activations, AnEntryNamesWhatItEnds) {
  const ActivationId id = start(60);
  const auto began = desk.controller->state().pending.at(id).started;
  desk.submit({CancelActivation{id, {}}});
  const auto ended = desk.controller->state().sequence;
  const json cause = ask("entry", {{"sequence", std::to_string(ended.value())}})["causes"][0];
  EXPECT_EQ(cause["relation"], "ends");
  EXPECT_EQ(cause["sequence"], began.value());
  const json effect = ask("entry", {{"sequence", std::to_string(began.value())}})["effects"][0];
  EXPECT_EQ(effect["relation"], "ended_by");
  EXPECT_EQ(effect["sequence"], ended.value());
}

}  // namespace
}  // namespace mesh
