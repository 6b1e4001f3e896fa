// Claim: an Agent follows a verified history; whatever a controller or the network does (repeats, reorders, gaps, lies,
// damage), it routes on, says why it refuses, and recovers when it can.
// Method: an Agent on a simulated disk and router reads logs that were decided and signed for real; time is a number.
#include <random>

#include "agent_fixture.h"
#include "eventstore/model/canonical.h"
#include "eventstore/model/compile.h"
#include "eventstore/model/crypto.h"
#include "schemas/codec.h"

namespace mesh::test {
namespace {

TEST_F(AgentTest, SubscribesAfterItsHeadAndAppliesWhatTheLogWants) {
  const auto subscribes = node.sent_of<Subscribe>();
  ASSERT_EQ(subscribes.size(), 1u);
  EXPECT_EQ(subscribes[0].after, Sequence(0));
  EXPECT_EQ(subscribes[0].credit, kCreditBytesDefault);
  node.follow();
  EXPECT_EQ(status().sequence, Sequence(log.size()));
  EXPECT_EQ(status().root, log.root(log.size()));
  EXPECT_EQ(status().active, Version(1));
  EXPECT_EQ(status().state, "ok");
  EXPECT_EQ(tunnels(), 2u);
  EXPECT_TRUE(node.router().state().bird_running);
  const auto outcomes = node.sent_of<OutcomeMessage>();
  ASSERT_EQ(outcomes.size(), 1u);
  EXPECT_EQ(outcomes[0].outcome.outcome,
            (Outcome{NodeId(11), 1, OutcomeKind::applied, ActivationId(1), Version(1), {}}));
  EXPECT_TRUE(verify_signature(node.signer().key, kOutcomeDomain, outcomes[0].outcome.bytes,
                               outcomes[0].outcome.signature));
}

TEST_F(AgentTest, ActsOnlyOnASettledHead) {
  node.give(log.range(1, log.size(), false));
  EXPECT_EQ(status().sequence, Sequence(log.size()));
  EXPECT_EQ(tunnels(), 0u) << "without a checkpoint nothing is acted on";
  node.give(Head{Sequence(log.size()), log.note(log.size())});
  EXPECT_EQ(tunnels(), 2u);
}

TEST_F(AgentTest, TheCosignedCheckpointAndTheRootAreInTheStatus) {
  node.follow();
  const auto statuses = node.sent_of<NodeStatus>();
  ASSERT_FALSE(statuses.empty());
  const auto& last = statuses.back();
  EXPECT_EQ(last.head, Sequence(log.size()));
  ASSERT_EQ(last.links.size(), 2u);
  for (const auto& link : last.links) {
    EXPECT_EQ(link.rtt_us, 1'000 + link.peer.value()) << "as the simulated router measures";
    EXPECT_EQ(link.rtt_age_s, 0);
    EXPECT_EQ(link.mtu, 1'420);
    EXPECT_EQ(link.path_mtu, link.mtu);
    EXPECT_EQ(link.path_mtu_age_s, 0);
  }
  EXPECT_EQ(last.machine.load_milli, 250u);
  EXPECT_EQ(last.machine.disk_free_bytes, 5'000'000'000u);
  EXPECT_EQ(last.machine.kernel, "dry run");
  EXPECT_TRUE(open_note(last.cosignature, cosigner_name(log.id(), NodeId(11)), node.signer().key));
  EXPECT_TRUE(open_checkpoint(last.cosignature, checkpoint_origin(log.id(), 1), log.log_key()));
}

TEST_F(AgentTest, DuplicatesChangeNothing) {
  node.follow();
  const auto executed = node.router().executed();
  for (int i = 0; i < 3; ++i) node.give(log.range(1, log.size(), true));
  node.give(log.range(2, 5, false));
  EXPECT_EQ(status().sequence, Sequence(log.size()));
  EXPECT_EQ(status().state, "ok");
  EXPECT_EQ(node.router().executed(), executed);
  EXPECT_EQ(node.store().serial(), 1u);
}

TEST_F(AgentTest, AGapIsAskedForOnceAndFilled) {
  (void)node.sent();
  node.give(log.range(1, 3, true));
  node.give(log.range(5, 6, true));
  node.give(log.range(7, 8, true));
  EXPECT_EQ(status().sequence, Sequence(3));
  const auto subscribes = node.sent_of<Subscribe>();
  ASSERT_EQ(subscribes.size(), 1u) << "one question for everything behind the gap";
  EXPECT_EQ(subscribes[0].after, Sequence(3));
  node.give(log.range(4, log.size(), true));
  EXPECT_EQ(status().active, Version(1));
  EXPECT_EQ(status().state, "ok");
}

TEST_F(AgentTest, ReorderedFramesAndOldHeadsAreNoContradiction) {
  const auto end = log.size();
  node.give(Head{Sequence(end), log.note(end)});
  node.give(log.range(1, 4, true));
  node.give(log.range(5, end, true));
  node.give(Head{Sequence(4), log.note(4)});
  EXPECT_EQ(status().sequence, Sequence(end));
  EXPECT_TRUE(status().settled);
  EXPECT_FALSE(node.agent().history().refusal());
}

TEST_F(AgentTest, AForgedEntryIsRefusedAndRoutingGoesOn) {
  node.follow();
  const auto before = node.router().state();
  const auto good = log.size();
  log.forge({AddSite{"other"}}, {NodeRevoked{NodeId(12)}});
  node.follow();
  EXPECT_EQ(status().sequence, Sequence(good));
  EXPECT_NE(status().state.find("refused: entry " + std::to_string(good + 1)), std::string::npos) << status().state;
  EXPECT_EQ(node.router().state(), before);
  const auto reported = node.sent_of<NodeStatus>();
  ASSERT_FALSE(reported.empty());
  EXPECT_TRUE(reported.back().state.starts_with("refused: entry"));
  EXPECT_FALSE(reported.back().problem.empty());
  // Later entries of that history do not come in either, nor after a restart.
  log.append({AddSite{"more"}});
  node.give(log.range(good + 2, good + 2, true));
  EXPECT_EQ(status().sequence, Sequence(good));
  node.start();
  EXPECT_EQ(status().sequence, Sequence(good));
  EXPECT_EQ(node.router().state(), before);
  node.connect();
  node.follow();
  EXPECT_EQ(status().sequence, Sequence(good));
  EXPECT_TRUE(status().state.starts_with("refused")) << status().state;
}

TEST_F(AgentTest, AfterARefusalItAsksWithBackOffAndTakesARepairedHistory) {
  node.follow();
  const auto good = log.size();
  log.forge({AddSite{"other"}}, {NodeRevoked{NodeId(12)}});
  node.follow();
  (void)node.sent();
  size_t asked = 0;
  for (int second = 0; second < 120; ++second) {
    node.give(Head{Sequence(log.size()), log.note(log.size())});
    node.pass(1'000);
    for (const auto& subscribe : node.sent_of<Subscribe>()) {
      ++asked;
      EXPECT_EQ(subscribe.after, Sequence(good));
      node.follow();
    }
  }
  EXPECT_GE(asked, 3u);
  EXPECT_LE(asked, 6u) << "5, 10, 20, 40, ... seconds apart";
  log.cut(good);
  log.append({AddSite{"honest"}});
  node.follow();
  EXPECT_EQ(status().sequence, Sequence(log.size()));
  EXPECT_EQ(status().state, "ok");
}

TEST_F(AgentTest, EntriesThatDoNotGiveTheSignedRootAreRefusedBeforeTheyAreFolded) {
  node.follow();
  const auto good = log.size();
  log.append({AddSite{"x"}});
  auto entries = log.range(good + 1, good + 1, false);
  entries.checkpoint = log.note(good + 1, Digest{});
  node.give(entries);
  EXPECT_EQ(status().sequence, Sequence(good));
  EXPECT_NE(status().state.find("equivocation"), std::string::npos) << status().state;
}

TEST_F(AgentTest, TwoRootsForOneSizeAreAnEquivocation) {
  node.follow();
  node.give(Head{Sequence(log.size()), log.note(log.size(), Digest{})});
  EXPECT_NE(status().state.find("equivocation"), std::string::npos) << status().state;
  EXPECT_EQ(tunnels(), 2u);
  node.give(Head{Sequence(log.size()), log.note(log.size())});
  EXPECT_EQ(status().state, "ok");
}

// Claim: two signed roots for one size are an equivocation also before this node has the entries: ahead of its head,
// and where it had verified before it lost its end.
TEST_F(AgentTest, TwoRootsAheadOfTheHeadAreAnEquivocation) {
  node.follow();
  const auto good = log.size();
  log.append({AddSite{"a"}});
  node.give(Head{Sequence(good + 1), log.note(good + 1)});
  EXPECT_EQ(status().state.find("equivocation"), std::string::npos) << status().state;
  node.give(Head{Sequence(good + 1), log.note(good + 1, Digest{})});
  EXPECT_NE(status().state.find("equivocation"), std::string::npos) << status().state;
  node.follow();
  EXPECT_EQ(status().state, "ok");
  auto* tail = node.disk().raw("replica/tail");
  tail->resize(tail->size() / 2);
  node.start();
  node.connect();
  node.give(Head{Sequence(good + 1), log.note(good + 1, Digest{})});
  EXPECT_NE(status().state.find("equivocation"), std::string::npos) << status().state;
  EXPECT_EQ(tunnels(), 2u);
}

TEST_F(AgentTest, AHistoryWithoutTheVerifiedOneIsRefused) {
  node.follow();
  const auto good = log.size();
  log.cut(good - 1);
  log.append({AddSite{"x"}});
  log.append({AddSite{"y"}});
  node.give(log.range(good + 1, good + 1, true));
  EXPECT_EQ(status().sequence, Sequence(good));
  EXPECT_NE(status().state.find("equivocation"), std::string::npos) << status().state;
}

TEST_F(AgentTest, AnUnverifiedEndThatTurnsOutWrongIsGivenUpAndFetchedAgain) {
  const auto good = log.size();
  node.follow();
  auto other = log;
  other.append({AddSite{"a"}});
  other.append({AddSite{"b"}});
  log.append({AddSite{"c"}});
  log.append({AddSite{"d"}});
  node.give(other.range(good + 1, good + 1, false));  // holds by itself, no checkpoint yet
  EXPECT_EQ(status().sequence, Sequence(good + 1));
  (void)node.sent();
  node.give(log.range(good + 2, good + 2, true));
  const auto subscribes = node.sent_of<Subscribe>();
  ASSERT_EQ(subscribes.size(), 1u);
  EXPECT_EQ(subscribes[0].after, Sequence(good));
  node.follow();
  EXPECT_EQ(status().root, log.root(log.size()));
  EXPECT_EQ(status().state, "ok");
}

TEST_F(AgentTest, AControllerBehindTheVerifiedHeadIsTold) {
  node.follow();
  node.give(Head{Sequence(3), log.note(3)});
  EXPECT_EQ(status().problem, "") << "one may have been overtaken on the way";
  node.give(Head{Sequence(3), log.note(3)});
  EXPECT_NE(status().problem.find("restored from a backup at #3"), std::string::npos) << status().problem;
  node.give(Head{Sequence(log.size()), log.note(log.size())});
  EXPECT_EQ(status().problem, "");
}

TEST_F(AgentTest, NewerRulesAreUpgradeRequiredAndRoutingGoesOn) {
  node.follow();
  const auto good = log.size();
  const auto before = node.router().state();
  log.append_newer({AddSite{"x"}});
  node.follow();
  EXPECT_EQ(status().state, "upgrade required");
  EXPECT_NE(status().problem.find("rules"), std::string::npos) << status().problem;
  EXPECT_EQ(status().sequence, Sequence(good));
  node.pass(60'000);
  EXPECT_EQ(node.router().state(), before);
}

TEST_F(AgentTest, ARaiseBeyondThisProgramIsUpgradeRequiredAndRoutingGoesOn) {
  node.follow();
  const auto good = log.size();
  const auto before = node.router().state();
  log.raise_rules(kRulesNewest + 1);
  log.append({AddSite{"x"}});
  node.follow();
  EXPECT_EQ(status().state, "upgrade required") << "at the raise, not only after it";
  EXPECT_EQ(status().sequence, Sequence(good));
  node.pass(60'000);
  EXPECT_EQ(node.router().state(), before);
  node.start();
  EXPECT_EQ(status().sequence, Sequence(good));
  EXPECT_EQ(node.router().state(), before) << "a restart does not change that";
}

struct OldLogTest : AgentTest {
  OldLogTest() : AgentTest(1) {}
};

TEST_F(OldLogTest, RaisedRulesThatThisProgramKnowsAreFollowed) {
  node.follow();
  log.raise_rules(kRulesNewest);
  log.append({AddTag{"raised", {}}});
  log.set("wg_keepalive", int64_t{7});
  log.commit();
  node.follow();
  EXPECT_EQ(status().state, "ok");
  EXPECT_EQ(node.agent().state(), log.state());
  EXPECT_TRUE(node.agent().state().tags.contains("raised"));
  node.start();
  EXPECT_EQ(node.agent().state(), log.state());
}

TEST_F(OldLogTest, ACommandBeforeItsRulesIsRefused) {
  node.follow();
  const auto good = log.size();
  log.forge({AddTag{"early", Sequence(1)}}, {TagAdded{"early", Sequence(1)}});
  node.follow();
  EXPECT_EQ(status().sequence, Sequence(good));
  EXPECT_TRUE(status().state.starts_with("refused")) << status().state;
  EXPECT_NE(status().problem.find("needs rules 2, this log is at 1"), std::string::npos) << status().problem;
}

// Its disk was written by a newer program, and an older one was put back.
TEST_F(AgentTest, AReplicaWithNewerRulesIsUpgradeRequired) {
  node.follow();
  const auto good = log.size();
  log.raise_rules(kRulesNewest + 1);
  ASSERT_TRUE(node.store().append({log.entries().back()}));
  ReplicaStore store(node.disk());
  ASSERT_TRUE(store.open());
  const auto loaded = store.load();
  ASSERT_FALSE(loaded);
  EXPECT_EQ(loaded.error().code, Errc::unsupported);
  EXPECT_NE(loaded.error().message.find(std::to_string(good + 1)), std::string::npos) << loaded.error().message;
}

TEST_F(AgentTest, ALongTailBecomesASnapshotAndReadsTheSame) {
  node.follow();
  const std::string long_text(900, 'x');
  for (int i = 0; i < 24; ++i) {
    std::vector<Command> commands;
    for (int k = 0; k < 60; ++k) {
      commands.push_back(SetAttribute{{}, "note_" + std::to_string(k), long_text + std::to_string(i)});
    }
    log.append(std::move(commands));
    node.follow();
  }
  ASSERT_NE(node.disk().raw("replica/snapshot"), nullptr);
  EXPECT_LT(node.disk().raw("replica/tail")->size(), ReplicaStore::kTailBytesMin);
  EXPECT_EQ(status().root, log.root(log.size()));
  node.start();
  EXPECT_EQ(status().root, log.root(log.size()));
  EXPECT_EQ(node.agent().state(), log.state());
  EXPECT_TRUE(status().settled);
}

// Frames with random damage never crash an agent, never move it off the true history and never touch the router;
// afterwards the true frames bring it to the head.
TEST_F(AgentTest, DamagedFramesDoNoHarm) {
  node.follow();
  const auto before = node.router().state();
  const auto good = log.size();
  log.append({AddSite{"x"}});
  log.append({AddSite{"y"}});
  const auto config = config_text(compile(log.state(), NodeId(11)).value());
  const auto snapshot = encode_snapshot(log.at(log.size()));
  const std::vector<Bytes> frames{
      encode_message({0, log.range(good + 1, log.size(), true)}),
      encode_message({0, Head{Sequence(log.size()), log.note(log.size())}}),
      encode_message({0, Ack{1}}),
      encode_message({0, BlobChunk{{}, 0, config.size(), Bytes(config.begin(), config.end())}}),
      encode_message({0, SnapshotChunk{Sequence(log.size()), 0, snapshot.size(), snapshot}}),
      encode_message({0, ErrorReply{{Errc::io, "what", "how"}}}),
  };
  const auto seed = std::random_device{}();
  SCOPED_TRACE("seed " + std::to_string(seed));
  std::mt19937 random(seed);
  for (int i = 0; i < 2'000; ++i) {
    auto frame = frames[random() % frames.size()];
    for (auto flips = 1 + random() % 4; flips > 0; --flips) frame[random() % frame.size()] ^= 1 << random() % 8;
    if (random() % 4 == 0) frame.resize(random() % frame.size());
    node.agent().receive(frame, 2'000);
    const auto now = status();
    ASSERT_EQ(now.root, log.root(now.sequence.value()));
    ASSERT_EQ(node.router().state(), before);
  }
  node.connect();
  node.follow();
  node.give(Head{Sequence(log.size()), log.note(log.size())});
  EXPECT_EQ(status().root, log.root(log.size()));
  EXPECT_FALSE(node.agent().history().refusal());
}

TEST_F(AgentTest, AForeignSignatureOrGarbageIsRefused) {
  node.follow();
  WrittenLog stranger(1);
  node.give(Head{Sequence(2), "garbage"});
  EXPECT_TRUE(status().state.starts_with("refused")) << status().state;
  node.agent().receive(as_bytes("not a frame"), 2'000);
  EXPECT_EQ(tunnels(), 2u);
}

TEST_F(AgentTest, CreditIsGivenBackButNotForEveryEntry) {
  (void)node.sent();
  node.follow();
  EXPECT_TRUE(node.sent_of<Credit>().empty());
  node.pass(5'250);
  const auto credits = node.sent_of<Credit>();
  ASSERT_EQ(credits.size(), 1u) << "with the next status";
  EXPECT_EQ(credits[0].bytes, encode_message({0, log.range(1, log.size(), true)}).size());
}

TEST_F(AgentTest, AHeadWithoutEntriesIsAskedAboutAndSilenceReconnects) {
  (void)node.sent();
  node.give(Head{Sequence(log.size()), log.note(log.size())});
  node.pass(4'000);
  EXPECT_TRUE(node.sent_of<Subscribe>().empty());
  node.pass(2'000);
  EXPECT_EQ(node.sent_of<Subscribe>().size(), 1u);
  EXPECT_FALSE(node.agent().take_reconnect());
  node.pass(4'000);
  EXPECT_TRUE(node.agent().take_reconnect()) << "three heartbeats without a word";
}

TEST_F(AgentTest, ALostTailIsFetchedAgainAndNothingOlderIsActedOn) {
  log.set("wg_keepalive", int64_t{33});
  log.commit();
  log.activate();
  node.follow();
  ASSERT_EQ(status().active, Version(2));
  const auto before = node.router().state();
  auto* tail = node.disk().raw("replica/tail");
  tail->resize(tail->size() / 2);
  node.start();
  const auto left = status().sequence;
  ASSERT_LT(left, Sequence(log.size()));
  node.connect();
  const auto subscribes = node.sent_of<Subscribe>();
  ASSERT_EQ(subscribes.size(), 1u);
  EXPECT_EQ(subscribes[0].after, left);
  node.give(log.range(left.value() + 1, log.size() - 1, true));
  EXPECT_EQ(status().active, Version(2)) << "v1 was active at that entry, but this node has seen more";
  node.follow();
  EXPECT_EQ(status().state, "ok");
  EXPECT_EQ(node.router().state(), before);
}

// Claim: a newcomer whose token is older than the controller's anchor cannot check that snapshot, and replays instead.
// Method: a snapshot of another entry; what the node subscribes to next.
TEST_F(AgentTest, ASnapshotOfAnotherAnchorMeansReplayingEverything) {
  const auto at = log.size() - 1;
  node.options.history.anchor = Anchor{Sequence(at), state_digest(log.at(at).state), log.root(at), "admin"};
  node.start();
  node.connect();
  EXPECT_TRUE(node.sent_of<Subscribe>().at(0).snapshots);
  const auto bytes = encode_snapshot(log.at(log.size()));
  node.give(SnapshotChunk{Sequence(log.size()), 0, bytes.size(), bytes});
  EXPECT_EQ(status().sequence, Sequence(0));
  EXPECT_EQ(status().problem, "") << "an honest controller does this";
  const auto again = node.sent_of<Subscribe>();
  ASSERT_EQ(again.size(), 1u);
  EXPECT_FALSE(again[0].snapshots);
  node.follow();
  EXPECT_EQ(status().sequence, Sequence(log.size()));
}

TEST_F(AgentTest, ANewcomerStartsFromTheSignedSnapshotOnly) {
  const auto at = log.size() - 1;  // v1 is committed before it, and activated after it
  log.set("wg_keepalive", int64_t{33});
  node.options.history.anchor = Anchor{Sequence(at), state_digest(log.at(at).state), log.root(at), "admin"};
  node.start();
  node.connect();
  const auto subscribes = node.sent_of<Subscribe>();
  ASSERT_EQ(subscribes.size(), 1u);
  EXPECT_TRUE(subscribes[0].snapshots);
  const auto give_snapshot = [&](const Replica& replica) {
    const auto bytes = encode_snapshot(replica);
    const auto half = bytes.begin() + static_cast<ptrdiff_t>(bytes.size() / 2);
    const auto sequence = replica.head();
    node.give(SnapshotChunk{sequence, 0, bytes.size(), Bytes(bytes.begin(), half)});
    node.give(SnapshotChunk{sequence, bytes.size() / 2, bytes.size(), Bytes(half, bytes.end())});
  };
  auto forged = log.at(at);
  forged.state.operators.at("admin").sign_key = Signer(66).key;
  give_snapshot(forged);
  EXPECT_EQ(status().sequence, Sequence(0));
  EXPECT_NE(status().state.find("not one that an administrator signed"), std::string::npos) << status().state;
  give_snapshot(log.at(at));
  EXPECT_EQ(status().sequence, Sequence(at));
  node.follow();
  EXPECT_EQ(status().root, log.root(log.size()));
  const auto fetches = node.sent_of<Fetch>();
  ASSERT_FALSE(fetches.empty()) << "this node never saw the commit";
  const auto text = config_text(compile(log.at(at).state, NodeId(11)).value());
  node.give(BlobChunk{fetches[0].digest, 0, text.size(), Bytes(text.begin(), text.end())});
  EXPECT_EQ(status().active, Version(1));
  node.start();
  EXPECT_EQ(status().root, log.root(log.size()));
}

}  // namespace
}  // namespace mesh::test
