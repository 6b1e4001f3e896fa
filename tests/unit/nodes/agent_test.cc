// Claim: an Agent follows a verified history and its router what the log wants at the head; whatever a controller or
// the network does (repeats, reorders, gaps, lies), it routes on, says why it refuses, and recovers when it can.
// Method: an Agent on a simulated disk and router reads logs that were decided and signed for real; time is a number.
#include <gtest/gtest.h>

#include <random>

#include "eventstore/model/canonical.h"
#include "eventstore/model/compile.h"
#include "eventstore/model/crypto.h"
#include "schemas/codec.h"
#include "written_log.h"

namespace mesh::test {
namespace {

const WireGuardKey kPeerKey = [] {
  TunnelKeys keys;
  return keys.generate(1).value();
}();

/// Three sites; node 11 is ours, 12 and 13 are enrolled; v1 is committed and active everywhere.
struct AgentTest : ::testing::Test {
  AgentTest() : node(log) {
    log.admit(NodeId(12), Signer(12), kPeerKey);
    TunnelKeys keys;
    log.admit(NodeId(13), Signer(13), keys.generate(1).value());
    log.commit();
    log.activate();
    node.connect();
  }
  AgentStatus status() { return node.agent().status(); }
  size_t tunnels() { return node.router().state().tunnels.size(); }
  WrittenLog log{3};
  TestNode node;
};

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
  EXPECT_EQ(last.links.size(), 2u);
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
  EXPECT_NE(status().problem.find("restored from an old backup"), std::string::npos) << status().problem;
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

TEST_F(AgentTest, ARevokedPeersTunnelVanishesAtOnce) {
  node.follow();
  log.revoke(NodeId(12));
  node.follow();
  EXPECT_EQ(tunnels(), 1u);
  EXPECT_FALSE(node.router().state().tunnels.contains("tlwg_12"));
  EXPECT_EQ(status().overlay, Sequence(log.size()));
  EXPECT_EQ(node.store().serial(), 1u) << "an overlay is no activation";
  // The stored overlay is what a boot binds: the revoked key does not come back.
  ASSERT_TRUE(node.router().reboot());
  node.start();
  EXPECT_EQ(tunnels(), 1u);
}

TEST_F(AgentTest, ItsOwnRevocationRemovesTheTunnels) {
  node.follow();
  log.revoke(NodeId(11));
  node.follow();
  EXPECT_EQ(tunnels(), 0u);
  EXPECT_EQ(status().state, "revoked");
}

TEST_F(AgentTest, AnotherMachineInItsPlaceCountsAsRevoked) {
  node.follow();
  log.revoke(NodeId(11));
  TunnelKeys keys;
  log.admit(NodeId(11), Signer(77), keys.generate(1).value());
  node.follow();
  EXPECT_EQ(tunnels(), 0u);
  EXPECT_EQ(status().state, "revoked");
}

TEST_F(AgentTest, GoesForwardAndBackBetweenVersions) {
  node.follow();
  log.set("wg_keepalive", int64_t{33});
  log.commit();
  log.activate();
  node.follow();
  EXPECT_EQ(status().active, Version(2));
  EXPECT_EQ(status().previous, Version(1));
  log.activate(Version(1));
  node.follow();
  EXPECT_EQ(status().active, Version(1));
  EXPECT_EQ(status().previous, Version(2));
  EXPECT_EQ(node.store().serial(), 3u);
}

TEST_F(AgentTest, WhatWasSupersededOnTheWayIsNotApplied) {
  log.set("wg_keepalive", int64_t{33});
  log.commit();
  log.activate();
  log.activate(Version(1));
  node.follow();
  EXPECT_EQ(status().active, Version(1));
  EXPECT_EQ(status().previous, Version(0));
  EXPECT_EQ(node.store().serial(), 1u);
}

TEST_F(AgentTest, AFailedActivationGoesBackReportsAndIsNotRepeated) {
  node.follow();
  const auto before = node.router().state();
  log.set("wg_keepalive", int64_t{33});
  log.commit();
  log.activate();
  node.router().set_fault([](const Action& action) -> Status {
    const auto* update = std::get_if<UpdateTunnel>(&action);
    if (update && update->tunnel.keepalive == 33) return fail(Errc::io, "the kernel said no");
    return {};
  });
  (void)node.sent();
  node.follow();
  EXPECT_EQ(status().active, Version(1));
  EXPECT_EQ(node.router().state(), before);
  EXPECT_NE(status().problem.find("the kernel said no"), std::string::npos) << status().problem;
  const auto outcomes = node.sent_of<OutcomeMessage>();
  ASSERT_FALSE(outcomes.empty());
  const auto& outcome = outcomes.back().outcome.outcome;
  EXPECT_EQ(outcome.kind, OutcomeKind::failed);
  EXPECT_EQ(outcome.version, Version(1)) << "what it now runs";
  EXPECT_NE(outcome.message.find("the kernel said no"), std::string::npos);
  node.router().set_fault({});
  node.pass(30'000);
  EXPECT_EQ(status().active, Version(1)) << "not again by itself";
  EXPECT_NE(status().problem, "");
  EXPECT_EQ(node.store().serial(), 2u);
  log.revoke(NodeId(13));
  node.follow();
  EXPECT_EQ(status().active, Version(2)) << "something changed, so it was tried again";
  EXPECT_EQ(status().problem, "");
  EXPECT_EQ(node.store().serial(), 3u);
}

TEST_F(AgentTest, AFailedFirstActivationLeavesNothingBehind) {
  node.follow(log.size() - 1);
  EXPECT_EQ(node.router().state(), DryRunState{}) << "a router without a version is not touched";
  node.router().set_fault([](const Action& action) -> Status {
    if (std::holds_alternative<ConfigureBird>(action)) return fail(Errc::unavailable, "bird is not installed");
    return {};
  });
  node.follow();
  EXPECT_EQ(status().active, Version(0));
  EXPECT_EQ(node.router().state(), DryRunState{});
  EXPECT_NE(status().problem.find("bird is not installed"), std::string::npos) << status().problem;
  EXPECT_EQ(node.store().outcomes().back().outcome.version, Version(0));
  node.router().set_fault({});
  node.start();
  EXPECT_EQ(status().active, Version(1)) << "after a restart it is tried again";
}

TEST_F(AgentTest, AVersionThatDoesNotFollowFromTheLogIsRefusedAndNeverFetched) {
  node.follow();
  log.set("wg_keepalive", int64_t{33});
  log.commit([](auto& rows) {
    for (auto& row : rows) {
      if (row.node == NodeId(11)) row.digest.bytes.fill(7);
    }
  });
  log.activate();
  node.follow();
  EXPECT_EQ(status().active, Version(1));
  EXPECT_EQ(node.store().outcomes().back().outcome.kind, OutcomeKind::refused);
  EXPECT_NE(status().problem.find("v2 is refused"), std::string::npos) << status().problem;
  EXPECT_TRUE(node.sent_of<Fetch>().empty());
  node.start();
  node.connect();
  node.give(Head{Sequence(log.size()), log.note(log.size())});
  EXPECT_TRUE(node.sent_of<Fetch>().empty());
  EXPECT_EQ(node.store().serial(), 2u) << "told once";
}

TEST_F(AgentTest, AVersionThatIsMissingIsFetchedByItsDigest) {
  node.follow();
  log.set("wg_keepalive", int64_t{33});
  log.commit();
  node.follow();
  const auto config = compile(log.state(), NodeId(11)).value();
  ASSERT_TRUE(node.disk().remove("versions/v2"));
  node.start();
  node.connect();
  (void)node.sent();
  log.activate();
  node.follow();
  EXPECT_EQ(status().active, Version(1));
  const auto fetches = node.sent_of<Fetch>();
  ASSERT_EQ(fetches.size(), 1u);
  EXPECT_EQ(fetches[0].digest, config_digest(config));
  const auto text = config_text(config);
  const Bytes bytes(text.begin(), text.end());
  const auto half = static_cast<ptrdiff_t>(bytes.size() / 2);
  auto wrong = bytes;
  wrong[20] ^= 1;
  node.give(BlobChunk{fetches[0].digest, 0, wrong.size(), wrong});
  EXPECT_EQ(status().active, Version(1)) << "a wrong digest is not applied";
  node.give(BlobChunk{fetches[0].digest, 0, bytes.size(), Bytes(bytes.begin(), bytes.begin() + half)});
  node.give(BlobChunk{fetches[0].digest, static_cast<uint64_t>(half), bytes.size(),
                      Bytes(bytes.begin() + half, bytes.end())});
  EXPECT_EQ(status().active, Version(2));
}

TEST_F(AgentTest, OutcomesAreRepeatedUntilTheyAreAcknowledged) {
  node.follow();
  EXPECT_FALSE(node.sent_of<OutcomeMessage>().empty());
  node.disconnect();
  node.start();
  node.connect();
  EXPECT_EQ(node.sent_of<OutcomeMessage>().size(), 1u) << "on reconnect";
  node.pass(10'500);
  EXPECT_EQ(node.sent_of<OutcomeMessage>().size(), 1u) << "and after a while without an answer";
  node.give(Ack{1});
  node.pass(30'000);
  EXPECT_TRUE(node.sent_of<OutcomeMessage>().empty());
  EXPECT_EQ(status().outcomes_waiting, 0u);
  node.start();
  EXPECT_EQ(node.store().serial(), 1u);
}

TEST_F(AgentTest, ANodeThatLostItsCountIsNumberedBehindWhatTheLogHas) {
  node.follow();
  node.give(Ack{7});
  ASSERT_EQ(node.store().outcomes().size(), 1u);
  const auto& outcome = node.store().outcomes()[0];
  EXPECT_EQ(outcome.outcome.serial, 8u);
  EXPECT_TRUE(verify_signature(node.signer().key, kOutcomeDomain, outcome.bytes, outcome.signature));
  EXPECT_EQ(decode_outcome(outcome.bytes).value(), outcome.outcome);
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

TEST_F(AgentTest, BootsFromItsDiskWithoutReadingTheReplica) {
  node.follow();
  const auto before = node.router().state();
  ASSERT_TRUE(node.router().reboot());
  node.disk().raw("replica/tail")->assign({1, 2, 3});
  node.start();
  EXPECT_EQ(node.router().state(), before);
  EXPECT_EQ(status().active, Version(1));
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
  give_snapshot(log.at(at - 1));
  EXPECT_EQ(status().sequence, Sequence(0));
  EXPECT_NE(status().state.find("not one that an administrator signed"), std::string::npos) << status().state;
  auto forged = log.at(at);
  forged.state.operators.at("admin").sign_key = Signer(66).key;
  give_snapshot(forged);
  EXPECT_EQ(status().sequence, Sequence(0));
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

// A crash of the machine at any change of the disk: afterwards the node boots, reads what it has, and ends where it
// would have ended.
TEST_F(AgentTest, ACrashAtAnyStepEndsWhereItWouldHaveEnded) {
  log.set("wg_keepalive", int64_t{33});
  log.commit();
  log.activate();
  log.revoke(NodeId(13));
  const auto live = [this](TestNode& it) {
    it.connect();
    it.follow(log.size() - 5);
    it.follow(log.size() - 1);
    it.follow();
    it.give(Head{Sequence(log.size()), log.note(log.size())});
    it.give(Ack{it.store().serial()});
  };
  TestNode whole(log, node);
  const auto begin = whole.disk().changes();
  live(whole);
  const auto wanted = whole.router().state();
  const auto steps = whole.disk().changes() - begin;
  ASSERT_GT(steps, 20u);
  for (uint64_t step = 1; step <= steps; ++step) {
    for (const bool lucky : {false, true}) {
      TestNode crashing(log, node);
      crashing.disk().die_at(step);
      live(crashing);
      ASSERT_TRUE(crashing.disk().dead());
      crashing.disk().crash(lucky);
      ASSERT_TRUE(crashing.router().reboot());
      crashing.start();
      live(crashing);
      const auto now = crashing.agent().status();
      ASSERT_EQ(now.state, "ok") << "step " << step;
      ASSERT_EQ(now.root, log.root(log.size())) << "step " << step;
      ASSERT_EQ(now.active, Version(2)) << "step " << step;
      ASSERT_EQ(now.outcomes_waiting, 0u) << "step " << step;
      ASSERT_EQ(crashing.router().state(), wanted) << "step " << step;
    }
  }
}

TEST_F(AgentTest, AFullDiskIsAClearStateAndItGoesOnWhenThereIsSpace) {
  node.follow(log.size() - 2);
  node.disk().set_space(0);
  node.follow();
  EXPECT_EQ(status().active, Version(0));
  EXPECT_NE(status().problem.find("no space left"), std::string::npos) << status().problem;
  EXPECT_FALSE(status().settled);
  node.disk().set_space(std::nullopt);
  node.pass(6'000);
  node.follow();
  EXPECT_EQ(status().active, Version(1));
  EXPECT_EQ(status().state, "ok");
}

TEST_F(AgentTest, TheRouterIsLookedAtAndRepaired) {
  node.follow();
  const auto before = node.router().state();
  ASSERT_TRUE(node.router().reboot());
  ASSERT_NE(node.router().state(), before);
  node.pass(6'000);
  EXPECT_EQ(node.router().state(), before);
}

}  // namespace
}  // namespace mesh::test
