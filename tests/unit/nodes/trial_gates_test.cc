// Claim: the gates of an activation have their time to come up and then have to hold: `healthy` is said once, and what
// never comes up, or is lost, is gone back from at once, with what was not in order.
// Method: as agent_trial_test.cc; what the router's sessions do and who answers an echo is scripted.
#include <map>
#include <set>

#include "nodes/trial.h"
#include "trial_fixture.h"

namespace mesh::test {
namespace {

PendingActivation with_gates(std::vector<std::string> health, uint32_t for_s = 5) {
  PendingActivation out;
  out.health = std::move(health);
  out.for_s = for_s;
  return out;
}

struct GatesTest : TrialTest {
  GatesTest() {
    node.router().set_look([this](Health& health) {
      for (auto& tunnel : health.tunnels) {
        tunnel.bgp_state = bgp.contains(tunnel.name) ? bgp[tunnel.name] : "Established";
        tunnel.bfd_state = bfd.contains(tunnel.name) ? bfd[tunnel.name] : "Up";
      }
    });
    node.router().set_answers([this](const IpAddress& address) { return !silent.contains(to_text(address)); });
  }
  void hear() { node.give(Head{Sequence(log.size()), log.note(log.size())}); }
  std::map<std::string, std::string> bgp, bfd;
  std::set<std::string> silent;
};

TEST_F(GatesTest, WhatComesUpAndHoldsIsHealthyOnce) {
  begin(60, {"bgp", "bfd"}, 5);
  bgp["tlwg_12"] = "Active";
  node.pass(3'000);
  bgp.clear();
  node.pass(4'000);
  EXPECT_EQ(reported(), (Words{"applied v1", "applied v2"})) << "not for 5 s in one piece";
  node.pass(3'000);
  EXPECT_EQ(reported(), (Words{"applied v1", "applied v2", "healthy v2"}));
  EXPECT_EQ(last().activation, log.newest());
  EXPECT_EQ(status().pending, Version(2)) << "it still waits";
  bgp["tlwg_12"] = "Active";
  node.pass(20'000);
  node.restart();
  node.pass(10'000);
  EXPECT_TRUE(on_v2()) << "it has given its word: only the log and the deadline end it";
  EXPECT_EQ(reported(), (Words{"applied v1", "applied v2", "healthy v2"}));
  node.pass(30'000);
  EXPECT_TRUE(back());
  EXPECT_EQ(last().message, "not confirmed within 60 s");
}

TEST_F(GatesTest, WhatNeverComesUpIsGoneBackFrom) {
  begin(60, {"bgp"}, 5);
  bgp["tlwg_13"] = "Active";
  node.pass(4'750);
  EXPECT_TRUE(on_v2());
  node.pass(1'500);
  EXPECT_TRUE(back());
  EXPECT_EQ(last().kind, OutcomeKind::reverted);
  EXPECT_EQ(last().message, "health: bgp session tlwg_13 is Active");
  EXPECT_EQ(last().version, Version(1));
  bgp.clear();
  node.pass(60'000);
  EXPECT_TRUE(back()) << "not again";
}

TEST_F(GatesTest, WhatIsLostAfterItWasUpIsGoneBackFromAtOnce) {
  begin(60, {"bfd"}, 5);
  node.pass(1'000);
  bfd["tlwg_12"] = "Down";
  node.pass(1'000);
  bfd.clear();
  node.pass(1'000);
  EXPECT_TRUE(on_v2()) << "sessions may start anew in their time to come up";
  node.pass(3'500);
  bfd["tlwg_12"] = "Down";
  node.pass(1'000);
  EXPECT_TRUE(back());
  EXPECT_EQ(last().message, "health: bfd session tlwg_12 is Down");
}

TEST_F(GatesTest, APeerThatWasDownBeforeIsNotWaitedFor) {
  bgp["tlwg_12"] = bfd["tlwg_12"] = "Down";
  begin(60, {"bgp", "bfd"}, 5);
  node.pass(2'000);
  node.restart();  // what was there before is on disk
  node.pass(6'500);
  EXPECT_EQ(reported(), (Words{"applied v1", "applied v2", "healthy v2"}));
}

TEST_F(GatesTest, TheControllerHasToBeHeardAfterTheChange) {
  begin(60, {"controller"}, 5);
  node.pass(2'000);
  for (int i = 0; i < 3; ++i) {
    hear();
    node.pass(2'000);
  }
  EXPECT_EQ(reported(), (Words{"applied v1", "applied v2", "healthy v2"}));
}

TEST_F(GatesTest, WithoutAControllerItsGateNeverOpens) {
  begin(60, {"controller"}, 5);
  node.pass(6'500);  // what came before the change is no sign that the way still is there
  EXPECT_TRUE(back());
  EXPECT_EQ(last().message, "health: the controller is not heard");
}

TEST_F(GatesTest, AControllerThatIsLostClosesItsGate) {
  begin(60, {"controller"}, 5);
  node.pass(1'000);
  hear();
  node.pass(3'000);
  node.disconnect();
  node.pass(2'500);
  EXPECT_TRUE(back());
}

TEST_F(GatesTest, ASiteIsReachedWhenEachOfItsNodesAnswers) {
  begin(60, {"reach:s2", "reach:s1"}, 5);
  node.pass(6'500);
  EXPECT_EQ(reported(), (Words{"applied v1", "applied v2", "healthy v2"}));
  log.cancel();
  node.follow();
  // One of both addresses is enough.
  const auto gates = make_gates(log.state(), NodeId(11), with_gates({"reach:s2"}));
  ASSERT_EQ(gates.reach.size(), 1u);
  ASSERT_EQ(gates.reach[0].addresses.size(), 2u);
  silent = {to_text(gates.reach[0].addresses[0])};
  begin(60, {"reach:s2"}, 5);
  node.pass(6'500);
  EXPECT_EQ(last().kind, OutcomeKind::healthy);
  log.cancel();
  node.follow();
  silent.insert(to_text(gates.reach[0].addresses[1]));
  begin(60, {"reach:s2"}, 5);
  node.pass(6'500);
  EXPECT_TRUE(back());
  EXPECT_EQ(last().message, "health: node r2.s2 does not answer");
}

TEST_F(GatesTest, OnlyEnrolledNodesHaveToAnswer) {
  log.append({AddNode{"r9.s3"}});
  const auto gates = make_gates(log.state(), NodeId(11), with_gates({"reach:s1", "reach:s3"}, 7));
  ASSERT_EQ(gates.reach.size(), 1u) << "neither itself nor one that has no keys";
  EXPECT_EQ(gates.reach[0].name, "node r3.s3");
  EXPECT_EQ(gates.for_ms, 7'000);
}

// Claim: a gate never opens because there is nobody left to ask.
TEST_F(GatesTest, ASiteWithoutNodesIsNotReached) {
  begin(60, {"bgp", "reach:s2"}, 5);
  log.revoke(NodeId(12));
  node.follow();
  node.pass(6'500);
  EXPECT_EQ(last().kind, OutcomeKind::reverted);
  EXPECT_EQ(last().message, "health: site s2 (no node is enrolled) does not answer");
}

// Claim: a site that is renamed meanwhile still has to be reached.
TEST_F(GatesTest, ARenamedSiteStillHasToAnswer) {
  const auto gates = make_gates(log.state(), NodeId(11), with_gates({"reach:s2"}));
  for (const auto& address : gates.reach.at(0).addresses) silent.insert(to_text(address));
  begin(60, {"bgp", "reach:s2"}, 5);
  log.append({RenameSite{"s2", "berlin"}});
  node.follow();
  node.pass(6'500);
  EXPECT_EQ(last().kind, OutcomeKind::reverted);
  EXPECT_EQ(last().message, "health: node r2.berlin does not answer");
}

// Claim: what was confirmed and superseded before this node heard of either is not said to be confirmed without it.
TEST_F(TrialTest, WhatCameAfterItIsNamed) {
  begin(600);
  const auto first = log.newest();
  log.confirm();
  log.activate(Version(1));
  node.give(log.range(node.agent().history().head().value() + 1, log.size(), true));
  ASSERT_EQ(status().sequence, Sequence(log.size()));
  EXPECT_TRUE(back());
  std::string why;
  for (const auto& each : node.store().outcomes())
    if (each.outcome.kind == OutcomeKind::reverted) why = each.outcome.message;
  EXPECT_EQ(why, "activation " + std::to_string(first.value()) + " is over, and " +
                     std::to_string(log.newest().value()) + " came after it");
  EXPECT_EQ(status().state, "ok");
}

TEST_F(GatesTest, TheDeadlineComesFirst) {
  begin(10, {"bgp"}, 3);
  bgp["tlwg_12"] = "Active";
  node.pass(2'750);
  bgp.clear();
  node.sleep(10'000);
  node.pass(250);
  EXPECT_TRUE(back());
  EXPECT_EQ(last().message, "not confirmed within 10 s");
}

// --- without an agent ---

Gates bgp_for(int64_t milliseconds) {
  Gates out;
  out.bgp = true;
  out.for_ms = milliseconds;
  return out;
}

Tunnel tunnel(const char* name, uint32_t peer) {
  Tunnel out;
  out.name = name;
  out.peer = NodeId(peer);
  return out;
}

TunnelHealth seen(const char* name, uint32_t peer, const char* bgp) {
  TunnelHealth out;
  out.name = name;
  out.peer = NodeId(peer);
  out.bgp_state = bgp;
  return out;
}

TEST(Trial, OneOfTwoTunnelsToAPeerIsEnough) {
  const auto gates = bgp_for(0);
  Sight sight;
  sight.tunnels = {tunnel("tlwg_12", 12), tunnel("tlwg_12b", 12)};
  sight.health = Health{{seen("tlwg_12", 12, "Active"), seen("tlwg_12b", 12, "Established")}, true, {}, {}};
  Trial trial({}, std::nullopt, false);
  EXPECT_EQ(trial.look(gates, sight, 0), Trial::Verdict::healthy);
}

TEST(Trial, ANewTunnelHasToComeUp) {
  const auto gates = bgp_for(1'000);
  Sight sight;
  sight.tunnels = {tunnel("tlwg_12", 12)};
  sight.health = Health{};
  Trial trial({}, std::nullopt, false);
  EXPECT_EQ(trial.look(gates, sight, 0), Trial::Verdict::waits);
  EXPECT_EQ(trial.look(gates, sight, 1'000), Trial::Verdict::lost);
  EXPECT_EQ(trial.why(), "health: bgp session tlwg_12 is missing");
}

TEST(Trial, ARouterThatCannotBeReadOnceLosesNothing) {
  const auto gates = bgp_for(2'000);
  Sight sight;
  sight.tunnels = {tunnel("tlwg_12", 12)};
  sight.health = Health{{seen("tlwg_12", 12, "Established")}, true, {}, {}};
  Trial trial({}, std::nullopt, false);
  EXPECT_EQ(trial.look(gates, sight, 1'000), Trial::Verdict::waits);
  auto blind = sight;
  blind.health.reset();
  EXPECT_EQ(trial.look(gates, blind, 2'500), Trial::Verdict::waits);
  EXPECT_EQ(trial.look(gates, sight, 3'000), Trial::Verdict::healthy);
  Trial never({}, std::nullopt, false);
  EXPECT_EQ(never.look(gates, blind, 0), Trial::Verdict::waits);
  EXPECT_EQ(never.look(gates, blind, 2'000), Trial::Verdict::lost);
  EXPECT_EQ(never.why(), "health: bgp sessions cannot be read");
}

}  // namespace
}  // namespace mesh::test
