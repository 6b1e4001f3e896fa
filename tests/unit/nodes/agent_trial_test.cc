// Claim: a version that has to be confirmed runs until its deadline and no longer, whatever happens to the controller,
// the program and the machine; only the confirmation in the log makes it the active one; and what this node went back
// from is never begun again by itself.
// Method: an Agent on a simulated disk and router reads logs that were decided and signed for real; time is a number.
#include <algorithm>

#include "eventstore/model/canonical.h"
#include "eventstore/model/compile.h"
#include "trial_fixture.h"

namespace mesh::test {
namespace {

TEST_F(TrialTest, RunsAndBecomesActiveWithItsConfirmation) {
  (void)node.sent();
  begin(20);
  EXPECT_TRUE(on_v2());
  EXPECT_EQ(status().active, Version(1)) << "it moves with the confirmation";
  EXPECT_EQ(status().pending, Version(2));
  EXPECT_EQ(status().pending_activation, log.newest());
  EXPECT_EQ(status().pending_left_s, 20);
  EXPECT_EQ(status().state, "ok");
  EXPECT_EQ(reported(), (Words{"applied v1", "applied v2"}));
  EXPECT_EQ(last().activation, log.newest());
  const auto told = node.sent_of<NodeStatus>();
  ASSERT_FALSE(told.empty());
  EXPECT_EQ(told.back().active, Version(1));
  EXPECT_EQ(told.back().pending, Version(2));
  EXPECT_EQ(told.back().pending_activation, log.newest());
  EXPECT_EQ(told.back().pending_left_s, 20);
  node.pass(7'000);
  EXPECT_EQ(status().pending_left_s, 13) << "a countdown";
  const auto executed = node.router().executed();
  log.confirm();
  node.follow();
  EXPECT_EQ(status().active, Version(2));
  EXPECT_EQ(status().previous, Version(1));
  EXPECT_EQ(status().pending, Version(0));
  EXPECT_EQ(status().pending_left_s, 0);
  node.pass(60'000);
  node.restart();
  EXPECT_EQ(status().active, Version(2));
  EXPECT_TRUE(on_v2());
  EXPECT_EQ(status().state, "ok");
  EXPECT_EQ(node.router().executed(), executed) << "the router was not touched again";
  EXPECT_EQ(node.store().serial(), 2u) << "nor is there anything more to report";
}

TEST_F(TrialTest, GoesBackByItselfWithoutAController) {
  begin(20);
  node.disconnect();
  node.pass(19'750);
  EXPECT_TRUE(on_v2());
  node.pass(250);
  EXPECT_TRUE(back());
  EXPECT_EQ(status().active, Version(1));
  EXPECT_EQ(status().pending, Version(0));
  EXPECT_EQ(last().kind, OutcomeKind::reverted);
  EXPECT_EQ(last().version, Version(1));
  EXPECT_EQ(last().message, "not confirmed within 20 s");
  EXPECT_NE(status().problem.find("not confirmed within 20 s"), std::string::npos) << status().problem;
  log.expire();
  node.connect();
  node.follow();
  node.pass(6'000);
  EXPECT_EQ(status().state, "ok") << "the log agrees with what runs";
  EXPECT_TRUE(back());
  EXPECT_EQ(reported(), (Words{"applied v1", "applied v2", "reverted v1"}));
}

TEST_F(TrialTest, AFailedApplyDisarmsTheTimer) {
  node.router().set_fault([](const Action& action) -> Status {
    const auto* update = std::get_if<UpdateTunnel>(&action);
    if (!update || update->tunnel.name != "tlwg_13" || update->tunnel.keepalive != 33) return {};
    return fail(Errc::io, "the kernel said no");
  });
  begin(20);
  EXPECT_TRUE(back()) << "at once, and as a whole";
  EXPECT_EQ(last().kind, OutcomeKind::failed);
  EXPECT_EQ(last().activation, log.newest());
  EXPECT_EQ(last().version, Version(1));
  EXPECT_NE(last().message.find("the kernel said no"), std::string::npos);
  EXPECT_EQ(status().pending, Version(0));
  EXPECT_FALSE(node.disk().read("pending"));
  EXPECT_NE(status().problem.find("the kernel said no"), std::string::npos) << status().problem;
  node.router().set_fault({});
  const auto executed = node.router().executed();
  node.pass(30'000);
  log.revoke(NodeId(12));
  node.follow();
  node.restart();
  node.pass(30'000);
  EXPECT_FALSE(on_v2()) << "never tried again for this activation, although the log still waits";
  EXPECT_EQ(node.router().executed(), executed + 2) << "only the overlay: the tunnel and the routing daemon";
  EXPECT_EQ(reported(), (Words{"applied v1", "failed v1"})) << "and nothing expired here";
  EXPECT_NE(status().problem, "");
}

TEST_F(TrialTest, AnApplyThatTakesLongerThanTheDeadlineGoesBack) {
  bool slow = true;
  node.router().set_fault([&](const Action&) -> Status {
    if (std::exchange(slow, false)) node.sleep(25'000);
    return {};
  });
  begin(20);
  node.disconnect();
  node.pass(250);
  EXPECT_TRUE(back());
  EXPECT_EQ(reported(), (Words{"applied v1", "applied v2", "reverted v1"}));
}

TEST_F(TrialTest, AConfirmationThatCameDuringALongApplyCounts) {
  bool slow = true;
  node.router().set_fault([&](const Action&) -> Status {
    if (std::exchange(slow, false)) node.sleep(25'000);
    return {};
  });
  begin(20);
  log.confirm();
  node.follow();  // was in the queue
  node.pass(1'000);
  EXPECT_TRUE(on_v2());
  EXPECT_EQ(status().active, Version(2));
}

TEST_F(TrialTest, AnExtensionCountsFromItsReceipt) {
  begin(20);
  node.pass(15'000);
  log.extend(60);
  node.follow();
  EXPECT_EQ(status().pending_left_s, 60);
  node.give(Head{Sequence(log.size()), log.note(log.size())});
  node.pass(10'000);
  node.disconnect();
  node.restart();
  EXPECT_EQ(status().pending_left_s, 50) << "it is on disk, and counts once";
  node.pass(49'750);
  EXPECT_TRUE(on_v2());
  node.pass(250);
  EXPECT_TRUE(back());
  EXPECT_EQ(last().message, "not confirmed within 60 s");
}

TEST_F(TrialTest, ALateConfirmationIsNotFollowed) {
  begin(20);
  node.disconnect();
  node.pass(21'000);
  ASSERT_TRUE(back());
  log.confirm();
  node.connect();
  node.follow();
  for (const bool restarted : {false, true}) {
    if (restarted) node.restart();
    node.pass(6'000);
    EXPECT_TRUE(back());
    EXPECT_EQ(status().active, Version(1));
    EXPECT_EQ(status().wanted, Version(2));
    EXPECT_TRUE(status().state.starts_with("diverged: v1 runs")) << status().state;
  }
  EXPECT_EQ(reported(), (Words{"applied v1", "applied v2", "reverted v1"}));
  log.append({Activate{{}, {}, true}});
  node.connect();
  node.follow();
  EXPECT_TRUE(on_v2()) << "something newer was activated";
  EXPECT_EQ(status().active, Version(2));
  EXPECT_EQ(status().state, "ok");
}

TEST_F(TrialTest, ANodeThatDivergedTakesTheNextActivationThatWaits) {
  begin(20);
  node.disconnect();
  node.pass(21'000);
  log.confirm();
  log.set("wg_keepalive", int64_t{44});
  log.commit();
  log.activate_confirmed(20);
  node.connect();
  node.follow();
  EXPECT_EQ(status().pending, Version(3));
  EXPECT_EQ(status().state, "ok");
  log.cancel();
  node.follow();
  EXPECT_TRUE(back()) << "to what ran here, not to what was confirmed for others";
  EXPECT_TRUE(status().state.starts_with("diverged")) << status().state;
}

TEST_F(TrialTest, AConfirmationThatOneTargetNeverHears) {
  begin(20);
  node.disconnect();
  (void)node.sent();
  log.confirm();  // for all three
  node.pass(60'000);
  EXPECT_TRUE(back());
  node.connect();
  const auto told = node.sent_of<OutcomeMessage>();
  const auto reverted = std::ranges::count_if(
      told, [](const auto& each) { return each.outcome.outcome.kind == OutcomeKind::reverted; });
  EXPECT_EQ(reverted, 1) << "the operator hears of it as soon as there is a way";
}

TEST_F(TrialTest, ARebootOfTheMachineCountsAsNotConfirmed) {
  begin(600);
  node.reboot();
  EXPECT_TRUE(back()) << "from the disk alone, before anything else";
  EXPECT_EQ(status().active, Version(1));
  EXPECT_EQ(last().kind, OutcomeKind::reverted);
  EXPECT_EQ(last().message, "the machine was rebooted while v2 waited for its confirmation");
  node.connect();
  node.give(Head{Sequence(log.size()), log.note(log.size())});
  node.pass(30'000);
  EXPECT_TRUE(back()) << "not begun again, although the log still waits";
  EXPECT_EQ(reported(), (Words{"applied v1", "applied v2", "reverted v1"}));
}

TEST_F(TrialTest, ARestartOfTheProgramGoesOn) {
  begin(20);
  node.pass(5'000);
  node.disconnect();
  const auto executed = node.router().executed();
  node.disk().raw("replica/tail")->assign({1, 2, 3});  // what waits needs no replica
  node.sleep(3'000);
  node.restart();
  EXPECT_TRUE(on_v2());
  EXPECT_EQ(status().pending, Version(2));
  EXPECT_EQ(status().pending_left_s, 12);
  EXPECT_EQ(node.router().executed(), executed) << "nothing is touched";
  node.pass(12'000);
  EXPECT_TRUE(back());
  EXPECT_EQ(reported(), (Words{"applied v1", "applied v2", "reverted v1"}));
}

TEST_F(TrialTest, ARestartAfterTheDeadlineGoesBackFirst) {
  begin(20);
  node.disconnect();
  node.sleep(21'000);
  node.restart();
  EXPECT_TRUE(back()) << "without a tick";
  EXPECT_EQ(last().message, "not confirmed within 20 s");
  node.restart();
  node.pass(1'000);
  EXPECT_EQ(reported(), (Words{"applied v1", "applied v2", "reverted v1"})) << "told once";
}

TEST_F(TrialTest, WhatWasClosedBeforeItWasSeenIsIgnored) {
  const auto executed = node.router().executed();
  log.activate_confirmed(20);
  log.cancel();
  log.activate_confirmed(20);
  log.expire();
  node.follow();
  node.pass(6'000);
  EXPECT_EQ(node.router().executed(), executed);
  EXPECT_EQ(reported(), (Words{"applied v1"}));
  EXPECT_EQ(status().state, "ok");
  log.activate_confirmed(20);
  log.confirm();
  node.follow();
  EXPECT_TRUE(on_v2()) << "like any activation";
  EXPECT_EQ(status().active, Version(2));
  node.pass(60'000);
  EXPECT_TRUE(on_v2());
}

TEST_F(TrialTest, ACancelledOneGoesBackAtOnce) {
  begin(600);
  log.cancel();
  node.follow();
  EXPECT_TRUE(back());
  EXPECT_EQ(last().kind, OutcomeKind::reverted);
  EXPECT_EQ(last().activation, log.newest());
  EXPECT_NE(last().message.find("was cancelled"), std::string::npos) << last().message;
  EXPECT_EQ(status().state, "ok");
  node.pass(700'000);
  EXPECT_EQ(reported(), (Words{"applied v1", "applied v2", "reverted v1"}));
}

TEST_F(TrialTest, AConfirmationForOthersOnlyGoesBackAtOnce) {
  log.append({SetAttribute{{}, "bfd_interval_ms", int64_t{500}}});
  log.commit();
  begin(600);
  ASSERT_FALSE(back());
  log.confirm({NodeId(12)});
  node.follow();
  EXPECT_TRUE(back());
  EXPECT_NE(last().message.find("confirmed without this node"), std::string::npos) << last().message;
  EXPECT_EQ(status().state, "ok");
}

TEST_F(TrialTest, TwoActivationsOneAfterTheOther) {
  begin(20);
  log.confirm();
  node.follow();
  const auto second = node.router().state();
  log.set("wg_keepalive", int64_t{44});
  log.commit();
  begin(20);
  EXPECT_EQ(status().pending, Version(3));
  node.pass(20'000);
  EXPECT_EQ(node.router().state(), second) << "back to the first one, which was confirmed";
  EXPECT_EQ(status().active, Version(2));
  log.expire();
  begin(20);
  EXPECT_EQ(status().pending, Version(3)) << "a new activation is another try";
  log.confirm();
  log.activate(Version(1));
  node.follow();
  EXPECT_EQ(status().active, Version(1));
  EXPECT_EQ(status().state, "ok");
}

TEST_F(TrialTest, ANodeThatComesBackTakesWhatIsActiveAndThenWhatWaits) {
  node.disconnect();
  log.activate();
  const auto plain = log.newest();
  log.set("wg_keepalive", int64_t{44});
  log.commit();
  log.activate_confirmed(20);
  node.connect();
  node.follow();
  EXPECT_EQ(status().active, Version(2)) << "what is gone back to comes first";
  EXPECT_EQ(status().pending, Version(3));
  EXPECT_EQ(status().pending_left_s, 20) << "counted from when this node heard of it";
  node.pass(20'000);
  EXPECT_TRUE(on_v2());
  EXPECT_EQ(node.store().pointers().activation, plain);
}

TEST_F(TrialTest, KeysAndRevocationsActOnWhatWaits) {
  begin(20);
  log.revoke(NodeId(12));
  node.follow();
  EXPECT_TRUE(on_v2());
  EXPECT_FALSE(node.router().state().tunnels.contains("tlwg_12")) << "at once";
  EXPECT_EQ(status().pending, Version(2));
  node.pass(20'000);
  EXPECT_FALSE(on_v2());
  EXPECT_FALSE(node.router().state().tunnels.contains("tlwg_12")) << "going back does not bring it back";
  EXPECT_TRUE(node.router().state().tunnels.contains("tlwg_13"));
}

TEST_F(TrialTest, ItsOwnRevocationEndsIt) {
  begin(20);
  log.revoke(NodeId(11));
  node.follow();
  EXPECT_EQ(tunnels(), 0u);
  EXPECT_EQ(status().state, "revoked");
  EXPECT_EQ(status().pending, Version(0));
  node.pass(30'000);
  EXPECT_EQ(tunnels(), 0u);
}

TEST_F(TrialTest, ThePeriodicRepairKeepsWhatWaits) {
  begin(600);
  const auto second = node.router().state();
  node.router().edit([](DryRunState& state) {
    state.tunnels.clear();
    state.bird_running = false;
  });
  node.pass(6'000);
  EXPECT_EQ(node.router().state(), second);
  EXPECT_EQ(status().pending, Version(2));
}

TEST_F(TrialTest, TheFirstVersionOfAllGoesBackToNothing) {
  WrittenLog fresh(3);
  TestNode first(fresh);
  fresh.commit();
  fresh.admit(NodeId(12), Signer(12), SecretKey::random().public_key());
  fresh.activate_confirmed(20);
  first.connect();
  first.follow();
  EXPECT_EQ(first.router().state().tunnels.size(), 1u);
  first.disconnect();
  first.pass(20'000);
  EXPECT_EQ(first.router().state(), DryRunState{});
  fresh.confirm({NodeId(11)});
  first.connect();
  first.follow();
  EXPECT_EQ(first.router().state(), DryRunState{}) << "a late confirmation";
  EXPECT_TRUE(first.agent().status().state.starts_with("diverged")) << first.agent().status().state;
}

TEST_F(TrialTest, AVersionThatIsRefusedIsNotBegun) {
  log.set("wg_keepalive", int64_t{44});
  log.commit([](auto& rows) {
    for (auto& row : rows) {
      if (row.node == NodeId(11)) row.digest.bytes.fill(7);
    }
  });
  begin(20);
  node.pass(30'000);
  EXPECT_TRUE(back());
  EXPECT_EQ(reported(), (Words{"applied v1", "refused v1"}));
}

TEST_F(TrialTest, AVersionThatHasToBeFetchedHasTheTimeFromWhenItWasHeardOf) {
  node.follow();
  const auto config = compile(log.state(), NodeId(11)).value();
  ASSERT_TRUE(node.disk().remove("versions/v2"));
  node.restart();
  node.connect();
  (void)node.sent();
  begin(20);
  EXPECT_TRUE(back());
  ASSERT_EQ(node.sent_of<Fetch>().size(), 1u);
  node.pass(5'000);
  const auto text = config_text(config);
  const Bytes bytes(text.begin(), text.end());
  node.give(BlobChunk{config_digest(config), 0, bytes.size(), bytes});
  EXPECT_TRUE(on_v2());
  EXPECT_EQ(status().pending_left_s, 15);
}

// Claim: the time also runs while what is active has to be fetched first.
TEST_F(TrialTest, WhatWaitsBehindAFetchHasTheTimeFromWhenItWasHeardOf) {
  node.follow();
  const auto active = compile(log.state(), NodeId(11)).value();
  ASSERT_TRUE(node.disk().remove("versions/v2"));
  node.restart();
  log.activate();
  log.set("wg_keepalive", int64_t{44});
  log.commit();
  log.activate_confirmed(20);
  node.connect();
  node.follow();
  EXPECT_EQ(status().active, Version(1));
  EXPECT_EQ(status().pending, Version(0));
  node.pass(5'000);
  const auto text = config_text(active);
  node.give(BlobChunk{config_digest(active), 0, text.size(), Bytes(text.begin(), text.end())});
  EXPECT_EQ(status().active, Version(2));
  EXPECT_EQ(status().pending, Version(3));
  EXPECT_EQ(status().pending_left_s, 15);
}

TEST_F(TrialTest, AVersionThatCannotBeFetchedInTimeFails) {
  node.follow();
  ASSERT_TRUE(node.disk().remove("versions/v2"));
  node.restart();
  node.connect();
  begin(20);
  node.pass(30'000);
  EXPECT_TRUE(back());
  EXPECT_EQ(reported(), (Words{"applied v1", "failed v1"}));
}

// Claim: what is gone back to is readable before anything is begun. Method: v1 is damaged on disk while it runs.
TEST_F(TrialTest, TheWayBackIsOnDiskBeforeItBegins) {
  auto* bytes = node.disk().raw("versions/v1/config.json");
  ASSERT_NE(bytes, nullptr);
  (*bytes)[10] ^= 1;
  begin(20);
  EXPECT_TRUE(on_v2());
  node.disconnect();
  node.sleep(30'000);
  node.restart();
  EXPECT_TRUE(back());
}

TEST_F(TrialTest, ADamagedFileIsNoConfirmationAndNoOtherDeadline) {
  begin(20);
  node.disconnect();
  const auto whole = *node.disk().raw("pending");
  const auto handled = *node.disk().raw("outcomes.json");
  for (size_t at = 0; at < whole.size(); ++at) {
    auto damaged = whole;
    damaged[at] ^= 0x04;
    *node.disk().raw("pending") = damaged;
    *node.disk().raw("outcomes.json") = handled;
    node.restart();
    ASSERT_TRUE(back()) << "byte " << at;
    ASSERT_EQ(last().kind, OutcomeKind::reverted) << "byte " << at;
    ASSERT_TRUE(node.disk().write("pending", whole, 0600));
  }
}

// Claim: on a disk that cannot hold what waits, nothing is touched; when it can, it begins, and its time counts from
// when it was heard of. Method: a directory is in the place of the file.
TEST_F(TrialTest, ADiskThatCannotHoldItRefusesIt) {
  ASSERT_TRUE(node.disk().make_dir("pending"));
  begin(20);
  EXPECT_TRUE(back());
  EXPECT_NE(status().problem.find("pending"), std::string::npos) << status().problem;
  node.pass(5'000);
  EXPECT_TRUE(back());
  EXPECT_EQ(reported(), (Words{"applied v1"}));
  ASSERT_TRUE(node.disk().remove("pending"));
  node.pass(6'000);
  EXPECT_TRUE(on_v2());
  EXPECT_LE(status().pending_left_s, 15);
  node.disconnect();
  node.pass(15'000);
  EXPECT_TRUE(back());
}

// Claim: a disk that runs full while a version waits keeps nobody from going back, and what became of it is told when
// there is space.
TEST_F(TrialTest, ADiskThatRunsFullMeanwhileDoesNotKeepItFromGoingBack) {
  begin(20);
  node.disk().set_space(0);
  node.disconnect();
  node.pass(25'000);
  EXPECT_TRUE(back());
  EXPECT_EQ(reported(), (Words{"applied v1", "applied v2"}));
  node.disk().set_space(std::nullopt);
  node.pass(2'000);
  EXPECT_EQ(reported(), (Words{"applied v1", "applied v2", "reverted v1"}));
  EXPECT_FALSE(node.disk().read("pending"));
}

// Claim: what has been gone back from does not wait, although the full disk still says so.
TEST_F(TrialTest, WhatAFullDiskStillKeepsDoesNotWait) {
  begin(20);
  node.disk().set_space(0);
  node.disconnect();
  node.pass(25'000);
  ASSERT_TRUE(node.store().waiting());
  EXPECT_EQ(status().pending, Version(0));
  EXPECT_EQ(status().pending_activation, ActivationId(0));
  EXPECT_EQ(status().pending_left_s, 0);
  (void)node.sent();
  node.connect();
  node.pass(10'000);
  const auto told = node.sent_of<NodeStatus>();
  ASSERT_FALSE(told.empty());
  EXPECT_EQ(told.back().pending, Version(0));
}

// Claim: a confirmation counts from when the log has it, also when there is no space to write down that it came.
// Method: every amount of space up to where nothing is missing.
TEST_F(TrialTest, AConfirmationThatTheDiskCannotTakeDisarmsTheTimer) {
  log.activate_confirmed(20);
  log.confirm();
  bool held_up = false;
  for (uint64_t space = 0; space < 1'000'000; space += 120) {
    TestNode full(log, node);
    full.connect();
    full.follow(log.size() - 1);
    ASSERT_TRUE(is_v2(full));
    full.disk().set_space(space);
    full.follow();
    const auto at = full.agent().status();
    if (!at.settled) continue;  // not even the entry fits
    full.pass(60'000);
    ASSERT_TRUE(is_v2(full)) << "with " << space;
    held_up |= full.store().waiting().has_value();
    full.disk().set_space(std::nullopt);
    full.pass(2'000);
    ASSERT_EQ(full.agent().status().active, Version(2)) << "with " << space;
    ASSERT_FALSE(full.store().waiting()) << "with " << space;
    full.restart();
    ASSERT_TRUE(is_v2(full)) << "with " << space;
    if (at.problem.empty()) break;
  }
  EXPECT_TRUE(held_up);
}

TEST_F(TrialTest, RootOnTheBoxEndsIt) {
  begin(600);
  auto went = node.agent().roll_back(Version(), 5'000);
  ASSERT_TRUE(went) << went.error().message;
  EXPECT_EQ(went->from, Version(2));
  EXPECT_EQ(went->to, Version(1));
  EXPECT_TRUE(back());
  EXPECT_EQ(last().message, "rolled back on the box: v2 -> v1");
  EXPECT_EQ(last().activation, log.newest());
  node.pass(6'000);
  node.restart();
  EXPECT_TRUE(back()) << "not begun again";
  log.confirm();
  node.connect();
  node.follow();
  EXPECT_TRUE(back());
  EXPECT_TRUE(status().state.starts_with("diverged")) << status().state;
}

TEST_F(TrialTest, WhatANewEpochDoesNotKnowGoesBack) {
  WrittenLog restored = log;
  begin(600);
  restored.start_epoch();
  restored.append({AddSite{"new"}});
  node.give(Head{Sequence(restored.size()), restored.note(restored.size())});
  for (int part = 0; part < 2; ++part) {  // the end, by which it sees the epoch, and then all of it
    node.give(restored.range(node.agent().history().wanted_after().value() + 1, restored.size(), true));
  }
  EXPECT_EQ(status().root, restored.root(restored.size()));
  EXPECT_TRUE(back());
  EXPECT_EQ(last().kind, OutcomeKind::reverted);
  restored.activate_confirmed(20);
  ASSERT_GT(restored.newest(), log.newest()) << "numbers of lost entries are not given again";
  node.follow(restored);
  node.pass(500);
  EXPECT_TRUE(on_v2());
}

}  // namespace
}  // namespace mesh::test
