// Claim: what is acknowledged is in the log, what is wrong changes nothing and says why, and a retry is recognised.
// Method: a Controller over a log in memory, driven with encoded frames; see desk.h.
#include "broker/controller.h"

#include "tests/unit/broker/desk.h"

namespace mesh {
namespace {

using test::Desk;

Sequence acknowledged(const Body& body) {
  const auto* reply = std::get_if<Reply>(&body);
  EXPECT_TRUE(reply) << (std::get_if<ErrorReply>(&body) ? std::get<ErrorReply>(body).error.message : "no reply");
  return reply ? reply->sequence : Sequence();
}

TEST(Controller, OneFlushAppendsEverythingThatWaitedAsOneBatch) {
  Desk desk;
  int before = desk.appends;
  for (int i = 0; i < 20; ++i)
    desk.give(desk.alice, Submit{Desk::sign(desk.request(
                                     {AddSite{"s" + std::string(1, static_cast<char>('a' + i))}})),
                                 false});
  EXPECT_TRUE(desk.controller->take_output().frames.empty()) << "answered before it was durable";
  EXPECT_EQ(desk.answers().size(), 20u);
  EXPECT_EQ(desk.appends, before + 1);
  EXPECT_EQ(desk.disk->head(), Sequence(21));
}

TEST(Controller, ARetryGetsTheFirstAnswer) {
  Desk desk;
  SignedRequest bytes = Desk::sign(desk.request({AddSite{"ams"}}));
  Sequence first = acknowledged(desk.ask(desk.alice, Submit{bytes, false}));
  desk.submit({AddSite{"lab"}});
  EXPECT_EQ(acknowledged(desk.ask(desk.alice, Submit{bytes, false})), first);
  EXPECT_EQ(desk.disk->head(), Sequence(3));
  // Both in one batch: the second waits for the first.
  SignedRequest twice = Desk::sign(desk.request({AddSite{"hub"}}));
  desk.give(desk.alice, Submit{twice, false});
  desk.give(desk.alice, Submit{twice, false});
  auto answers = desk.answers();
  ASSERT_EQ(answers.size(), 2u);
  EXPECT_EQ(acknowledged(answers[0].second.body), acknowledged(answers[1].second.body));
  EXPECT_EQ(desk.disk->head(), Sequence(4));
}

// A second copy that was under way must not do what its sender was told is refused.
TEST(Controller, ARetryOfWhatWasRefusedIsRefusedAlthoughItWouldBeRightByNow) {
  Desk desk;
  desk.ask(desk.alice, Submit{Desk::sign(desk.request({AddSite{"one"}})), false});
  const SignedRequest again = Desk::sign(desk.request({AddSite{"one"}}));
  const SignedRequest remove = Desk::sign(desk.request({RemoveSite{"one", false}}));
  const SignedRequest other = Desk::sign(desk.request({AddSite{"two"}}));
  desk.give(desk.alice, Submit{other, false});  // so that the answers wait for its flush
  desk.give(desk.alice, Submit{again, false});
  desk.give(desk.alice, Submit{remove, false});
  desk.give(desk.alice, Submit{again, false});
  size_t refused = 0;
  for (const auto& [to, message] : desk.answers()) refused += std::holds_alternative<ErrorReply>(message.body);
  EXPECT_EQ(refused, 2u);
  EXPECT_EQ(desk.controller->state().find_site("one"), nullptr);
  EXPECT_TRUE(std::holds_alternative<ErrorReply>(desk.ask(desk.alice, Submit{again, false}))) << "later, too";
  EXPECT_EQ(desk.controller->state().find_site("one"), nullptr);
}

TEST(Controller, ARetryAfterARestartIsRecognisedToo) {
  Desk desk;
  SignedRequest bytes = Desk::sign(desk.request({AddSite{"ams"}}));
  Sequence first = acknowledged(desk.ask(desk.alice, Submit{bytes, false}));
  desk.disk->fail_next_write(Error{Errc::io, "the disk is gone", ""}, false);
  desk.error_of(desk.submit({AddSite{"lab"}}));
  desk.now.mono_ms += 5'000;
  desk.controller->tick(desk.now);
  EXPECT_EQ(desk.controller->broken(), "");
  EXPECT_EQ(acknowledged(desk.ask(desk.alice, Submit{bytes, false})), first);
}

TEST(Controller, RefusesWhatIsNotItsSigners) {
  Desk desk;
  Request request = desk.request({AddSite{"ams"}});
  EXPECT_EQ(desk.error_of(desk.ask(desk.alice, Submit{Desk::sign(request, "mallory"), false})).code,
            Errc::unauthenticated);
  SignedRequest altered = Desk::sign(request);
  altered.bytes.back() ^= 1;
  desk.error_of(desk.ask(desk.alice, Submit{altered, false}));
  Request other_log = request;
  other_log.log.bytes[3] ^= 1;
  Error error = desk.error_of(desk.ask(desk.alice, Submit{Desk::sign(other_log), false}));
  EXPECT_EQ(error.code, Errc::unauthenticated);
  EXPECT_NE(error.message.find("another log"), std::string::npos);
  Request as_controller = request;
  as_controller.principal = Principal::controller();
  EXPECT_EQ(desk.error_of(desk.ask(desk.alice, Submit{Desk::sign(as_controller), false})).code, Errc::unauthenticated);
  EXPECT_EQ(desk.disk->head(), Sequence(1));
}

TEST(Controller, GarbageGetsAnErrorAndChangesNothing) {
  Desk desk;
  uint32_t random = 7;
  for (int round = 0; round < 500; ++round) {
    Bytes garbage(static_cast<size_t>(round % 97));
    for (uint8_t& byte : garbage) byte = static_cast<uint8_t>((random = random * 1'664'525 + 1'013'904'223) >> 24);
    desk.controller->receive(desk.alice, garbage, desk.now);
  }
  auto answers = desk.answers();
  ASSERT_EQ(answers.size(), 500u);
  for (const auto& [to, message] : answers) EXPECT_TRUE(std::holds_alternative<ErrorReply>(message.body));
  EXPECT_EQ(desk.disk->head(), Sequence(1));
}

TEST(Controller, AnUnknownKeyGetsNothing) {
  Desk desk;
  SessionId stranger{test::box_secret("stranger").public_key(), 9, false};
  EXPECT_FALSE(desk.controller->admits(stranger.user));
  desk.give(stranger, Query{"nodes", {}, {}});
  desk.give(stranger, Subscribe{Sequence(), 1'000'000, false});
  EXPECT_TRUE(desk.answers().empty());
}

TEST(Controller, ABannedOperatorIsMutedAndGetsNothingMore) {
  Desk desk;
  auto keys = [](const std::string& name) {
    return std::pair(test::sign_secret(name).public_key(), test::box_secret(name).public_key());
  };
  auto [sign, box] = keys("otto");
  acknowledged(desk.submit({AddOperator{"otto", Role::operator_, {}, sign, box}}));
  SessionId otto{box, 5, false};
  EXPECT_TRUE(desk.controller->admits(box));
  desk.give(otto, Subscribe{Sequence(), 1'000'000, false});
  EXPECT_EQ(desk.answers().size(), 1u);
  acknowledged(desk.submit({BanOperator{"otto"}}));
  EXPECT_EQ(desk.muted, std::vector<BoxKey>{box});
  EXPECT_FALSE(desk.controller->admits(box));
  acknowledged(desk.submit({AddSite{"secret"}}));
  desk.give(otto, Query{"nodes", {}, {}});
  EXPECT_TRUE(desk.answers().empty());
}

TEST(Controller, AFailedAppendAcknowledgesNothingAndGoesBack) {
  Desk desk;
  acknowledged(desk.submit({AddSite{"ams"}}));
  MeshState before = desk.controller->state();
  desk.disk->fail_next_write(Error{Errc::exhausted, "the disk is full", ""}, false);
  Error error = desk.error_of(desk.submit({AddSite{"lab"}}));
  EXPECT_EQ(error.code, Errc::exhausted);
  EXPECT_EQ(desk.controller->state(), before);
  EXPECT_EQ(desk.error_of(desk.submit({AddSite{"lab"}})).code, Errc::unavailable);
  // Reading goes on; while there is no space, nothing is tried.
  EXPECT_TRUE(std::holds_alternative<QueryResult>(desk.ask(desk.alice, Query{"sites", {}, {}})));
  desk.reopening_allowed = false;
  desk.now.mono_ms += 10'000;
  desk.controller->tick(desk.now);
  EXPECT_NE(desk.controller->broken(), "");
  desk.reopening_allowed = true;
  desk.controller->tick(desk.now);
  EXPECT_EQ(desk.controller->broken(), "");
  acknowledged(desk.submit({AddSite{"lab"}}));
}

// Claim: what rests on an entry that did not become durable is not said either.
// Method: two equal requests, a refusal and a dry run in one group whose append fails; then the second one again.
TEST(Controller, WhatRestsOnAFailedAppendIsNotSaid) {
  Desk desk;
  acknowledged(desk.submit({AddSite{"ams"}}));
  const SetAttribute change{{Level::site, "ams"}, "wg_mtu", int64_t{1'300}};
  SignedRequest second = Desk::sign(desk.request({change}));
  desk.disk->fail_next_write(Error{Errc::exhausted, "the disk is full", ""}, false);
  desk.give(desk.alice, Submit{Desk::sign(desk.request({change, AddSite{"lab"}})), false});
  desk.give(desk.alice, Submit{second, false});                                    // already true
  desk.give(desk.alice, Submit{Desk::sign(desk.request({AddSite{"lab"}})), false});  // exists already
  desk.give(desk.alice, Submit{Desk::sign(desk.request({RemoveSite{"lab"}})), true});
  auto answers = desk.answers();
  ASSERT_EQ(answers.size(), 4u);
  for (const auto& [to, message] : answers) EXPECT_EQ(desk.error_of(message.body).code, Errc::exhausted);
  desk.now.mono_ms += 10'000;
  desk.controller->tick(desk.now);
  EXPECT_EQ(acknowledged(desk.ask(desk.alice, Submit{second, false})), Sequence(3));
}

TEST(Controller, ADryRunDecidesAndWritesNothing) {
  Desk desk;
  Body body = desk.ask(desk.alice, Submit{Desk::sign(desk.request({AddSite{"ams"}, AddNode{"r1.ams"}})), true});
  ASSERT_TRUE(std::holds_alternative<Reply>(body));
  EXPECT_EQ(std::get<Reply>(body).sequence, Sequence());
  EXPECT_EQ(std::get<Reply>(body).events.size(), 2u);
  EXPECT_EQ(desk.disk->head(), Sequence(1));
}

TEST(Controller, CommitTakesWhatWasPreparedAndNothingElse) {
  Desk desk;
  desk.submit({AddSite{"ams"}, AddNode{"r1.ams"}});
  Body body = desk.ask(desk.alice, Prepare{Target{}, false, false});
  ASSERT_TRUE(std::holds_alternative<Prepared>(body)) << desk.error_of(body).message;
  const auto& prepared = std::get<Prepared>(body);
  ASSERT_EQ(prepared.rows.size(), 1u);
  Commit commit{Target{}, prepared.sequence, prepared.root, false, false};
  Commit forged = commit;
  forged.root.bytes[0] ^= 1;
  EXPECT_EQ(desk.error_of(desk.submit({forged})).code, Errc::conflict);
  acknowledged(desk.submit({commit}));
  EXPECT_EQ(desk.controller->state().find_node("r1.ams")->latest(), Version(1));
  auto blob = desk.disk->get_blob(prepared.rows[0].digest);
  EXPECT_TRUE(blob.has_value()) << "the pinned configuration can be fetched";
}

// Claim: a write beside the entries that fails makes the log open again, too; else no commit would ever pass.
// Method: the configurations of a commit meet a full disk; the same commit again.
TEST(Controller, AFailedWriteOfConfigurationsIsRepairedToo) {
  Desk desk;
  desk.submit({AddSite{"ams"}, AddNode{"r1.ams"}});
  const auto prepared = std::get<Prepared>(desk.ask(desk.alice, Prepare{Target{}, false, false}));
  SignedRequest commit = Desk::sign(desk.request({Commit{Target{}, prepared.sequence, prepared.root, false, false}}));
  desk.disk->fail_next_write(Error{Errc::exhausted, "the disk is full", ""}, false);
  EXPECT_EQ(desk.error_of(desk.ask(desk.alice, Submit{commit, false})).code, Errc::exhausted);
  EXPECT_NE(desk.controller->broken(), "");
  desk.now.mono_ms += 10'000;
  desk.controller->tick(desk.now);
  acknowledged(desk.ask(desk.alice, Submit{commit, false}));
}

TEST(Controller, SubscribersGetEveryEntryOnceInOrderWithinTheirCredit) {
  Desk desk;
  desk.give(desk.alice, Subscribe{Sequence(), 1, false});
  std::vector<uint64_t> got;
  auto collect = [&] {
    for (const auto& [to, message] : desk.answers())
      if (const auto* entries = std::get_if<Entries>(&message.body))
        for (const EncodedEntry& entry : entries->entries) got.push_back(decode_header(entry.header)->sequence.value());
  };
  collect();
  EXPECT_EQ(got, std::vector<uint64_t>{1});
  desk.give(desk.alice, Submit{Desk::sign(desk.request({AddSite{"ams"}})), false});
  collect();
  EXPECT_EQ(got.size(), 1u) << "nothing is sent beyond the credit";
  desk.give(desk.alice, Credit{1 << 20});
  collect();
  desk.give(desk.alice, Submit{Desk::sign(desk.request({AddSite{"lab"}})), false});
  collect();
  EXPECT_EQ(got, (std::vector<uint64_t>{1, 2, 3}));
}

TEST(Controller, QuietSessionsAreForgotten) {
  Desk desk;
  for (uint32_t i = 10; i < 30; ++i) desk.ask(SessionId{desk.alice.user, i, false}, Query{"whoami", {}, {}});
  auto sessions = [&] {
    return std::get<QueryResult>(desk.ask(desk.alice, Query{"controller", {}, {}})).json;
  };
  EXPECT_NE(sessions().find("\"sessions\":21"), std::string::npos) << sessions();
  desk.now.mono_ms += 120'000;
  desk.controller->tick(desk.now);
  EXPECT_NE(sessions().find("\"sessions\":1,"), std::string::npos) << sessions();
}

}  // namespace
}  // namespace mesh
