// Claim: root can go back on the box without a controller: to a version on its disk, whole or not at all; the log's
// activation is not followed until a newer one comes, over reboots too; the outcome is signed, kept, and told when the
// controller is back; and the box's own journal of all this survives torn lines and full disks.
// Method: an Agent on a simulated disk and router, with a log that was decided and signed for real.
#include "agent_fixture.h"
#include "nodes/box_journal.h"

namespace mesh::test {
namespace {

struct BoxTest : AgentTest {
  BoxTest() {
    node.follow();
    log.set("wg_keepalive", int64_t{33});
    log.commit();
    log.activate();
    node.follow();
    EXPECT_EQ(status().active, Version(2));
  }
  uint16_t keepalive() { return node.router().state().tunnels.at("tlwg_12").keepalive; }
};

TEST_F(BoxTest, GoesBackWithoutAControllerAndTellsItLater) {
  node.disconnect();
  const auto before = keepalive();
  auto went = node.agent().roll_back(Version(), 5'000);
  ASSERT_TRUE(went) << went.error().message;
  EXPECT_EQ(went->from, Version(2));
  EXPECT_EQ(went->to, Version(1));
  EXPECT_NE(keepalive(), before);
  EXPECT_EQ(status().active, Version(1));
  EXPECT_EQ(status().previous, Version(2));
  EXPECT_EQ(status().problem, "v1 stays, rolled back on the box: v2 -> v1: activate another version");

  // A reboot and the same log again do not lead forward.
  ASSERT_TRUE(node.router().reboot());
  node.start();
  EXPECT_NE(keepalive(), before);
  node.connect();
  node.pass(6'000);
  EXPECT_EQ(status().active, Version(1));
  auto outcomes = node.sent_of<OutcomeMessage>();
  ASSERT_FALSE(outcomes.empty());
  const auto& last = outcomes.back().outcome.outcome;
  EXPECT_EQ(last.kind, OutcomeKind::reverted);
  EXPECT_EQ(last.activation, ActivationId(2));
  EXPECT_EQ(last.version, Version(1));
  EXPECT_EQ(last.message, "rolled back on the box: v2 -> v1");

  // A newer activation is followed.
  log.set("wg_keepalive", int64_t{44});
  log.commit();
  log.activate();
  node.follow();
  EXPECT_EQ(status().active, Version(3));
  EXPECT_EQ(status().problem, "");
  EXPECT_EQ(node.store().pointers().held, std::nullopt) << "and nothing is held any more";
  node.restart();
  EXPECT_EQ(node.store().pointers().held, std::nullopt);
}

// Claim: a confirmation ends a hold too; one that does not come leaves it.
TEST_F(BoxTest, AConfirmedActivationEndsTheHold) {
  ASSERT_TRUE(node.agent().roll_back(Version(1), 0));
  log.set("wg_keepalive", int64_t{44});
  log.commit();
  log.activate_confirmed(20);
  node.follow();
  ASSERT_EQ(status().pending, Version(3));
  log.cancel();
  node.follow();
  EXPECT_EQ(status().active, Version(1));
  EXPECT_NE(node.store().pointers().held, std::nullopt);
  log.activate_confirmed(20);
  log.confirm();
  node.follow();
  EXPECT_EQ(status().active, Version(3));
  EXPECT_EQ(node.store().pointers().held, std::nullopt);
}

// Claim: a rollback that cannot be done does not end what waits for its confirmation.
TEST_F(BoxTest, ARollbackThatCannotBeDoneLeavesWhatWaits) {
  log.set("wg_keepalive", int64_t{44});
  log.commit();
  log.activate_confirmed(600);
  node.follow();
  ASSERT_EQ(status().pending, Version(3));
  const auto router = node.router().state();
  const auto told = node.store().serial();
  EXPECT_EQ(node.agent().roll_back(Version(9), 0).error().code, Errc::not_found);
  auto same = node.agent().roll_back(Version(3), 0);
  ASSERT_FALSE(same);
  EXPECT_EQ(same.error().code, Errc::conflict);
  EXPECT_EQ(same.error().message, "v3 runs already, and waits for its confirmation");
  EXPECT_EQ(node.router().state(), router);
  EXPECT_EQ(status().pending, Version(3));
  EXPECT_EQ(node.store().serial(), told);

  auto went = node.agent().roll_back(Version(1), 0);
  ASSERT_TRUE(went) << went.error().message;
  EXPECT_EQ(went->to, Version(1));
  EXPECT_EQ(status().active, Version(1));
  EXPECT_EQ(status().pending, Version(0));
  log.confirm();
  node.follow();
  EXPECT_EQ(status().active, Version(1)) << "it was ended here";
}

TEST_F(BoxTest, ForwardToWhatTheLogWantsEndsTheHold) {
  ASSERT_TRUE(node.agent().roll_back(Version(1), 0));
  ASSERT_TRUE(node.agent().roll_back(Version(2), 0));
  EXPECT_EQ(status().problem, "");
  EXPECT_EQ(node.store().pointers().held, std::nullopt);
  EXPECT_EQ(node.store().outcomes().back().outcome.kind, OutcomeKind::applied);
}

TEST_F(BoxTest, WorksOnANodeThatIsNotRunning) {
  node.agent().disconnected(0);
  ReplicaStore store(node.disk());
  ASSERT_TRUE(store.open());
  Agent agent(node.options, store, node.router());
  ASSERT_TRUE(agent.peek(0));
  ASSERT_TRUE(agent.roll_back(Version(1), 0));
  node.start();
  EXPECT_EQ(status().active, Version(1));
  EXPECT_EQ(status().outcomes_waiting, 3u);
}

TEST_F(BoxTest, WhatCannotBeDoneChangesNothing) {
  const auto router = node.router().state();
  EXPECT_EQ(node.agent().roll_back(Version(2), 0).error().code, Errc::conflict);
  auto missing = node.agent().roll_back(Version(9), 0);
  ASSERT_FALSE(missing);
  EXPECT_EQ(missing.error().code, Errc::not_found);
  EXPECT_EQ(missing.error().fix, "versions on this box: v1, v2");
  node.disk().set_space(0);
  EXPECT_EQ(node.agent().roll_back(Version(1), 0).error().code, Errc::exhausted);
  node.disk().set_space(std::nullopt);
  EXPECT_EQ(node.router().state(), router);
  node.pass(6'000);
  EXPECT_EQ(status().problem, "");
  EXPECT_EQ(status().active, Version(2));
  EXPECT_EQ(node.store().serial(), 2u);

  log.revoke(NodeId(11));
  node.follow();
  EXPECT_EQ(node.agent().roll_back(Version(1), 0).error().code, Errc::not_permitted);
  EXPECT_EQ(tunnels(), 0u);
}

TEST_F(BoxTest, ARollbackThatDiesAtAnyStepIsDoneOrNot) {
  node.disconnect();
  ASSERT_TRUE(node.agent().roll_back(Version(1), 0));
  const auto back = node.router().state();
  ASSERT_TRUE(node.agent().roll_back(Version(2), 0));
  const auto forward = node.router().state();
  for (uint64_t step = 1;; ++step) {
    ASSERT_LT(step, 60u);
    node.disk().die_at(step);
    (void)node.agent().roll_back(Version(1), 0);  // the machine is gone: nobody hears what it says
    const bool died = node.disk().dead();
    if (died) node.disk().crash(false);
    node.disk().die_at(0);
    ASSERT_TRUE(node.router().reboot());
    node.start();
    const auto active = status().active;
    ASSERT_EQ(node.router().state(), active == Version(1) ? back : forward) << "step " << step;
    ASSERT_EQ(status().pending, Version()) << "step " << step;
    if (!died) break;
    if (active == Version(1)) {
      ASSERT_TRUE(node.agent().roll_back(Version(2), 0));
    }
  }
  EXPECT_EQ(status().active, Version(1));
}

TEST_F(BoxTest, TheJournalSurvivesTornLinesAndIsBounded) {
  MemoryFiles disk;
  const auto outcome = [](uint64_t serial, std::string message) {
    SignedOutcome out;
    out.outcome = {NodeId(11), serial, OutcomeKind::reverted, ActivationId(serial), Version(1), std::move(message)};
    return out;
  };
  BoxJournal journal(disk);
  ASSERT_TRUE(journal.take({outcome(1, "a\nb \"c\" \xff")}, Sequence(5), Timestamp(7)));
  ASSERT_TRUE(journal.take({outcome(1, "again"), outcome(2, "")}, Sequence(6), Timestamp(8)));
  ASSERT_EQ(journal.lines().size(), 2u);
  EXPECT_EQ(BoxJournal(disk).lines().back(), journal.lines().back());
  EXPECT_EQ(BoxJournal(disk).lines().front().sequence, Sequence(5));

  disk.raw("journal")->resize(disk.raw("journal")->size() - 3);
  BoxJournal torn(disk);
  EXPECT_EQ(torn.newest(), 1u);
  ASSERT_TRUE(torn.take({outcome(2, "x"), outcome(3, "y")}, Sequence(9), Timestamp(9)));
  EXPECT_EQ(BoxJournal(disk).lines(), torn.lines());

  disk.set_space(0);
  EXPECT_FALSE(torn.take({outcome(4, std::string(300, 'x'))}, Sequence(9), Timestamp(9)));
  EXPECT_EQ(torn.newest(), 3u);
  disk.set_space(std::nullopt);
  for (uint64_t serial = 4; serial < 1'000; ++serial)
    ASSERT_TRUE(torn.take({outcome(serial, "z")}, Sequence(9), Timestamp(9)));
  BoxJournal read(disk);
  EXPECT_EQ(read.newest(), 999u);
  EXPECT_LE(read.lines().size(), 2 * BoxJournal::kKept);
  EXPECT_GE(read.lines().size(), BoxJournal::kKept);
}

}  // namespace
}  // namespace mesh::test
