// Claim: a node whose controller was restored from a backup keeps routing, says so, follows the
// epoch that an administrator starts on an entry of its own history, hands over what the log lost,
// and refuses every other history. Method: an Agent on a simulated disk and router reads logs that
// were decided and signed for real, which part at a base.
#include "agent_fixture.h"
#include "schemas/codec.h"

namespace mesh::test {
namespace {

struct EpochTest : AgentTest {
  EpochTest() : restored(log) {
    base = log.size();
    log.set("wg_keepalive", int64_t{33});
    log.commit();
    log.activate();
    log.append({AddSite{"lost"}});
    node.follow();
    EXPECT_EQ(status().active, Version(2));
    (void)node.sent();
    routed = node.router().state();
  }
  /// The restored log's entries from where the node wants them.
  void serve() {
    const auto subscribes = node.sent_of<Subscribe>();
    ASSERT_FALSE(subscribes.empty());
    const auto after = subscribes.back().after.value();
    node.give(restored.range(after + 1, restored.size(), true));
  }
  void start_and_serve() {
    restored.start_epoch();
    node.give(Head{Sequence(restored.size()), restored.note(restored.size())});
    serve();
  }
  void expect_followed() {
    EXPECT_EQ(status().root, restored.root(restored.size()));
    EXPECT_EQ(node.agent().state(), restored.state());
    EXPECT_TRUE(status().settled);
    EXPECT_FALSE(node.agent().history().refusal());
  }

  WrittenLog restored;  // the same history up to `base`
  uint64_t base = 0;
  DryRunState routed;
};

TEST_F(EpochTest, ARestoredControllerIsToldAndRoutingGoesOn) {
  for (int i = 0; i < 2; ++i) node.give(Head{Sequence(base), restored.note(base)});
  EXPECT_NE(status().problem.find("the controller was restored from a backup at #" + std::to_string(base) +
                                  "; this node has entries up to #" + std::to_string(log.size())),
            std::string::npos)
      << status().problem;
  EXPECT_EQ(node.router().state(), routed);
}

// A frame that was damaged on the way must not keep a node from its own history for good.
TEST_F(EpochTest, AnEntryThatOnlyLooksLikeALaterEpochIsForgottenAtTheNextSignedHead) {
  log.append({AddSite{"next"}});
  Entries damaged = log.range(log.size(), log.size(), false);
  Bytes& header = damaged.entries[0].header;
  bool found = false;
  for (size_t bit = 0; bit < header.size() * 8 && !found; ++bit) {
    header[bit / 8] ^= static_cast<uint8_t>(1u << (bit % 8));
    const auto read = decode_header(header);
    found = read && read->epoch > 1 && read->sequence == Sequence(log.size());
    if (!found) header[bit / 8] ^= static_cast<uint8_t>(1u << (bit % 8));
  }
  ASSERT_TRUE(found);
  node.give(damaged);
  ASSERT_TRUE(node.agent().history().changing_epoch());
  node.give(log.range(1, log.size(), true));
  node.give(Head{Sequence(log.size()), log.note(log.size())});
  EXPECT_FALSE(node.agent().history().changing_epoch());
  node.pass(6'000);
  node.follow();
  EXPECT_EQ(status().root, log.root(log.size()));
  EXPECT_TRUE(status().settled);
}

TEST_F(EpochTest, TheNewEpochIsFollowedAndWhatRunsStaysUntilSomethingIsActivated) {
  start_and_serve();
  expect_followed();
  EXPECT_EQ(status().active, Version(2)) << "which the restored log does not know";
  EXPECT_EQ(status().wanted, Version(1));
  EXPECT_EQ(node.router().state(), routed);
  EXPECT_NE(status().problem.find("v2 stays"), std::string::npos) << status().problem;
  node.start();
  expect_followed();
  EXPECT_EQ(status().active, Version(2)) << "after a restart, too";
  EXPECT_EQ(node.router().state(), routed);
  node.connect();
  restored.set("wg_keepalive", int64_t{21});
  restored.commit();
  node.follow(restored);
  EXPECT_EQ(status().active, Version(2));
  restored.activate();
  node.follow(restored);
  EXPECT_EQ(status().active, Version(1000)) << "numbers that were lost are not given again";
  EXPECT_EQ(status().problem, "");
}

TEST_F(EpochTest, ABaseBeforeTheSnapshotIsReachedFromTheFirstEntry) {
  const std::string long_text(900, 'x');
  for (int i = 0; i < 9; ++i) {  // one snapshot, and some
    std::vector<Command> commands;
    for (int k = 0; k < 60; ++k)
      commands.push_back(
          SetAttribute{{}, "note_" + std::to_string(k), long_text + std::to_string(i)});
    log.append(std::move(commands));
    node.follow();
  }
  ASSERT_NE(node.disk().raw("replica/snapshot"), nullptr);
  (void)node.sent();
  restored.start_epoch();
  while (restored.size() < log.size() + 3) restored.set("wg_keepalive", static_cast<int64_t>(restored.size()));
  node.give(restored.range(log.size() + 1, restored.size(), true));
  serve();  // after its snapshot: that is beyond the base
  node.pass(6'000);
  serve();  // from the first
  expect_followed();
  const auto handed = node.sent_of<Orphans>();
  ASSERT_FALSE(handed.empty()) << "the tail before the snapshot is kept for this";
  EXPECT_EQ(decode_header(handed[0].entries[0].header).value().sequence, Sequence(base + 1));
  EXPECT_EQ(handed[0].entries[0], log.entries()[base]);
}

TEST_F(EpochTest, WhatTheLogLostIsHandedOverUntilTheControllerHasIt) {
  start_and_serve();
  const std::vector<EncodedEntry> lost(log.entries().begin() + static_cast<ptrdiff_t>(base), log.entries().end());
  auto handed = node.sent_of<Orphans>();
  ASSERT_EQ(handed.size(), 1u);
  EXPECT_EQ(handed[0].epoch, 1u);
  EXPECT_EQ(handed[0].entries, lost);
  node.start();
  node.connect();
  handed = node.sent_of<Orphans>();
  ASSERT_EQ(handed.size(), 1u) << "until it is confirmed";
  node.give(OrphansKept{1, Sequence(base + 2)});
  handed = node.sent_of<Orphans>();
  ASSERT_EQ(handed.size(), 1u);
  EXPECT_EQ(handed[0].entries, std::vector(lost.begin() + 2, lost.end()));
  node.give(OrphansKept{1, Sequence(log.size())});
  EXPECT_TRUE(node.sent_of<Orphans>().empty());
  node.start();
  node.connect();
  EXPECT_TRUE(node.sent_of<Orphans>().empty());
}

TEST_F(EpochTest, AnEpochOnAHistoryThatIsNotOursIsRefused) {
  const auto good = log.size();
  restored.cut(base - 1);
  restored.append({AddSite{"other"}});
  start_and_serve();
  EXPECT_EQ(status().sequence, Sequence(good));
  EXPECT_NE(status().state.find("equivocation"), std::string::npos) << status().state;
  EXPECT_EQ(node.router().state(), routed);
  const auto statuses = node.sent_of<NodeStatus>();
  ASSERT_FALSE(statuses.empty());
  EXPECT_EQ(statuses.back().contradiction, restored.note(restored.size())) << "evidence for the operator";
  EXPECT_TRUE(node.sent_of<Orphans>().empty());
  node.start();
  EXPECT_EQ(status().sequence, Sequence(good));
  EXPECT_EQ(node.router().state(), routed);
}

TEST_F(EpochTest, AForgedEpochIsRefused) {
  const auto good = log.size();
  restored.forge({AddSite{"x"}}, {EpochStarted{2, Sequence(base), restored.root(base), NodeId(2000), Version(2000)}});
  node.give(Head{Sequence(restored.size()), restored.note(restored.size())});
  serve();
  EXPECT_EQ(status().sequence, Sequence(good));
  EXPECT_TRUE(status().state.starts_with("refused")) << status().state;
  EXPECT_EQ(node.router().state(), routed);
}

TEST_F(EpochTest, ANodeThatWasDownFollowsEntriesBeyondItsOwnHead) {
  node.disconnect();
  restored.start_epoch();
  while (restored.size() < log.size() + 2) restored.set("wg_keepalive", static_cast<int64_t>(restored.size()));
  node.start();
  node.connect();
  (void)node.sent();
  node.give(restored.range(log.size() + 1, restored.size(), false));  // no checkpoint in this frame
  serve();
  expect_followed();
  EXPECT_EQ(node.router().state(), routed);
}

TEST_F(EpochTest, AnEpochOnTheHeadIsAnEntryLikeOthers) {
  log.start_epoch();
  node.follow();
  EXPECT_EQ(status().root, log.root(log.size()));
  EXPECT_EQ(status().problem, "");
  log.append({AddSite{"next"}});
  node.follow();
  EXPECT_EQ(status().root, log.root(log.size()));
  EXPECT_TRUE(status().settled);
  EXPECT_TRUE(node.sent_of<Orphans>().empty());
  node.start();
  EXPECT_TRUE(status().settled);
  EXPECT_EQ(node.agent().state(), log.state());
}

TEST_F(EpochTest, TwoEpochsAfterOneAnother) {
  restored.start_epoch();
  restored.append({AddSite{"between"}});
  restored.start_epoch();
  node.give(Head{Sequence(restored.size()), restored.note(restored.size())});
  serve();
  expect_followed();
}

TEST_F(EpochTest, NothingOfTheOldEpochCountsAfterwards) {
  start_and_serve();
  const auto head = status().sequence;
  node.give(Head{Sequence(log.size()), log.note(log.size())});
  node.give(log.range(base + 1, log.size(), true));
  EXPECT_EQ(status().sequence, head);
  expect_followed();
}

// A node at the end of the old history, which dies in the `step`-th change of its disk while it
// follows the new one, and comes back. True when it died.
bool die_and_come_back(uint64_t step, bool lucky) {
  const auto where = testing::Message() << "step " << step << (lucky ? ", names written early" : "");
  WrittenLog log(3);
  TestNode node(log);
  log.commit();
  log.activate();
  WrittenLog restored = log;
  log.set("wg_keepalive", int64_t{33});
  log.commit();
  log.activate();
  restored.start_epoch();
  restored.append({AddSite{"new"}});
  node.connect();
  node.follow();
  EXPECT_EQ(node.agent().status().active, Version(2)) << where;
  const auto end = restored.size();
  const auto serve = [&] {
    node.give(Head{Sequence(end), restored.note(end)});
    const auto after = node.agent().history().wanted_after().value();
    if (after < end) node.give(restored.range(after + 1, end, true));
  };
  node.disk().die_at(step);
  serve();
  const bool died = node.disk().dead();
  node.disk().crash(lucky);
  node.start();
  const auto root = node.agent().status().root;
  EXPECT_TRUE(root == restored.root(end) || root == log.root(log.size())) << where;
  EXPECT_EQ(node.agent().status().active, Version(2)) << where;
  node.connect();
  serve();
  EXPECT_EQ(node.agent().status().root, restored.root(end)) << where;
  EXPECT_EQ(node.agent().status().active, Version(2)) << where;
  EXPECT_FALSE(node.sent_of<Orphans>().empty()) << where;
  return died;
}

TEST(EpochCrash, AtAnyStepLeavesOneHistoryOrTheOtherAndLosesNoEntry) {
  for (const bool lucky : {false, true}) {
    uint64_t step = 1;
    while (die_and_come_back(step, lucky) && step < 200) ++step;
    EXPECT_GT(step, 10u);
    EXPECT_LT(step, 200u);
  }
}

}  // namespace
}  // namespace mesh::test
