// Claim: only a token's holder or an operator's word admits a node; what a node says of another is refused.
// Method: joins and nodes' messages as frames; see desk.h.
#include <fmt/format.h>

#include "eventstore/model/crypto.h"
#include "tests/unit/broker/desk.h"

namespace mesh {
namespace {

using test::Desk;

struct Newcomer {
  SignSecret sign = test::sign_secret("newcomer");
  BoxSecret box = test::box_secret("newcomer");
  SessionId session{box.public_key(), 77, true};

  Join join(const Desk& desk, const std::string& node, TokenId token, const SignSecret* token_key) const {
    JoinStatement statement{desk.controller->state().log, node, token, sign.public_key(), box.public_key(),
                            WireGuardKey{test::box_secret("wg").public_key().bytes}, "host", "machine", {}};
    SignedJoin out{encode_join(statement), {}, {}};
    out.node_signature = sign.sign(kJoinDomain, out.statement);
    if (token_key) out.token_signature = token_key->sign(kJoinDomain, out.statement);
    return Join{out};
  }
};

class Enrolling : public testing::Test {
 protected:
  Enrolling() {
    desk.submit({AddSite{"ams"}, AddNode{"r1.ams"}, AddNode{"r2.ams"},
                 CreateToken{token.public_key(), {Level::node, "r1.ams"}, 1, {}, false},
                 CreateToken{site_token.public_key(), {Level::site, "ams"}, 2, {}, true}});
  }
  SessionId enrolled() {
    desk.ask(newcomer.session, newcomer.join(desk, "r1.ams", TokenId(1), &token));
    return {newcomer.box.public_key(), 78, false};
  }
  Desk desk;
  SignSecret token = test::sign_secret("token"), site_token = test::sign_secret("site token");
  Newcomer newcomer;
};

TEST_F(Enrolling, ATokensHolderIsAdmittedAndARepeatToo) {
  EXPECT_TRUE(desk.controller->enrolment_wanted(desk.now));
  for (int i = 0; i < 2; ++i) {
    Body body = desk.ask(newcomer.session, newcomer.join(desk, "r1.ams", TokenId(1), &token));
    ASSERT_TRUE(std::holds_alternative<Admitted>(body)) << desk.error_of(body).message;
    EXPECT_EQ(std::get<Admitted>(body).fullname, "r1.ams");
  }
  EXPECT_TRUE(desk.controller->admits(newcomer.box.public_key()));
}

TEST_F(Enrolling, AWrongTokenANodeItIsNotForAndAnothersConnectionAreRefused) {
  SignSecret wrong = test::sign_secret("wrong");
  EXPECT_EQ(
      desk.error_of(desk.ask(newcomer.session, newcomer.join(desk, "r1.ams", TokenId(1), &wrong)))
          .code,
      Errc::unauthenticated);
  EXPECT_EQ(
      desk.error_of(desk.ask(newcomer.session, newcomer.join(desk, "r2.ams", TokenId(1), &token)))
          .code,
      Errc::not_permitted);
  SessionId thief{test::box_secret("thief").public_key(), 79, true};
  EXPECT_EQ(desk.error_of(desk.ask(thief, newcomer.join(desk, "r1.ams", TokenId(1), &token))).code,
            Errc::unauthenticated);
  EXPECT_EQ(desk.error_of(desk.ask(newcomer.session, Query{"nodes", {}, {}})).code, Errc::not_permitted);
}

TEST_F(Enrolling, ASitesTokenWaitsForApproval) {
  Join join = newcomer.join(desk, "r2.ams", TokenId(2), &site_token);
  Body body = desk.ask(newcomer.session, join);
  ASSERT_TRUE(std::holds_alternative<Waiting>(body));
  EXPECT_EQ(std::get<Waiting>(body).fingerprint, fingerprint(newcomer.sign.public_key().view()));
  EXPECT_NE(std::get<QueryResult>(desk.ask(desk.alice, Query{"pending", {}, {}}))
                .json.find(std::get<Waiting>(body).fingerprint),
            std::string::npos);
  desk.submit({ApproveNode{"r2.ams", join.join, *decode_join(join.join.statement)}});
  EXPECT_TRUE(std::holds_alternative<Admitted>(desk.ask(newcomer.session, join)));
}

// What a stranger sends, with the address that the bus adds.
Body ask_from(Desk& desk, const SessionId& session, const std::string& address, Body body) {
  Arrival arrival = read_frame(encode_message({++desk.correlation, std::move(body)}));
  arrival.address = address;
  desk.controller->receive(session, std::move(arrival), desk.now);
  for (auto& [to, message] : desk.answers())
    if (to == session && message.correlation == desk.correlation) return std::move(message.body);
  ADD_FAILURE() << "no answer";
  return ErrorReply{};
}

TEST_F(Enrolling, TheDoorIsOpenWhileAnOperatorLooksForNewcomersAndAMinuteLonger) {
  desk.submit({RevokeToken{TokenId(1)}, RevokeToken{TokenId(2)},
               AddOperator{"bob", Role::viewer, {}, test::sign_secret("bob").public_key(),
                           test::box_secret("bob").public_key()}});
  EXPECT_FALSE(desk.controller->enrolment_wanted(desk.now));
  desk.ask(desk.alice, Query{"pending", {}, {}});
  EXPECT_FALSE(desk.controller->enrolment_wanted(desk.now)) << "to look is not to open";
  desk.ask({test::box_secret("bob").public_key(), 5, false}, Query{"pending", {{"gather", "1"}}, {}});
  EXPECT_FALSE(desk.controller->enrolment_wanted(desk.now)) << "a viewer admits nobody";
  desk.ask(desk.alice, Query{"pending", {{"gather", "1"}}, {}});
  EXPECT_TRUE(desk.controller->enrolment_wanted(desk.now));
  desk.now.mono_ms += 59'999;
  EXPECT_TRUE(desk.controller->enrolment_wanted(desk.now));
  desk.now.mono_ms += 1;
  EXPECT_FALSE(desk.controller->enrolment_wanted(desk.now));
}

TEST_F(Enrolling, FromTheGreetingFollowsTheLogAndItsKeys) {
  const Body body = desk.ask(newcomer.session, Query{std::string(kGreetingQuery), {}, {}});
  ASSERT_TRUE(std::holds_alternative<QueryResult>(body));
  const std::string& json = std::get<QueryResult>(body).json;
  EXPECT_LE(json.size(), 4'096u) << "one segment or two";
  const size_t at = json.find(R"("genesis":")") + 11;
  const auto request = decode_request(*from_base64(json.substr(at, json.find('"', at) - at)));
  ASSERT_TRUE(request.has_value());
  const auto& first = std::get<CreateLog>(request->commands.at(0));
  EXPECT_EQ(derive_log_id(first), desk.controller->state().log);
  EXPECT_EQ(first.controller_key, desk.controller->state().genesis.controller_key);
}

TEST_F(Enrolling, WhoWaitsWithoutATokenIsListedWithItsAddressUntilAdmitted) {
  const Join join = newcomer.join(desk, "", TokenId(), nullptr);
  ASSERT_TRUE(std::holds_alternative<Waiting>(ask_from(desk, newcomer.session, "198.51.100.7", join)));
  const auto listed = [&] {
    const std::string json = std::get<QueryResult>(desk.ask(desk.alice, Query{"pending", {}, {}})).json;
    return json.find("198.51.100.7") != std::string::npos;
  };
  EXPECT_TRUE(listed());
  desk.submit({ApproveNode{"r2.ams", join.join, *decode_join(join.join.statement)}});
  EXPECT_FALSE(listed()) << "it is a node now, though it has not heard of it";
  EXPECT_TRUE(desk.controller->enrolment_wanted(desk.now)) << "it has to hear of it";
  EXPECT_TRUE(std::holds_alternative<Admitted>(ask_from(desk, newcomer.session, "198.51.100.7", join)));
}

TEST_F(Enrolling, OneAddressCannotFillTheWaitingRoom) {
  for (size_t i = 0; i <= kWaitingPerAddressMax; ++i) {
    Newcomer each;
    each.sign = test::sign_secret("crowd" + std::to_string(i));
    each.box = test::box_secret("crowd" + std::to_string(i));
    each.session = {each.box.public_key(), static_cast<uint32_t>(100 + i), true};
    const Body body = ask_from(desk, each.session, "203.0.113.9", each.join(desk, "", TokenId(), nullptr));
    EXPECT_EQ(std::holds_alternative<Waiting>(body), i < kWaitingPerAddressMax) << i;
    if (i == kWaitingPerAddressMax) {
      EXPECT_EQ(desk.error_of(body).code, Errc::exhausted);
    }
  }
  EXPECT_TRUE(std::holds_alternative<Waiting>(
      ask_from(desk, newcomer.session, "198.51.100.7", newcomer.join(desk, "", TokenId(), nullptr))));
}

// One machine has a /64 of IPv6 addresses to ask from, and one IPv4 address however it is written.
TEST_F(Enrolling, OneNetworkOfIPv6CannotFillTheWaitingRoom) {
  size_t number = 0;
  const auto waits = [&](const std::string& address) {
    Newcomer each;
    each.sign = test::sign_secret("crowd" + std::to_string(++number));
    each.box = test::box_secret("crowd" + std::to_string(number));
    each.session = {each.box.public_key(), static_cast<uint32_t>(100 + number), true};
    return std::holds_alternative<Waiting>(
        ask_from(desk, each.session, address, each.join(desk, "", TokenId(), nullptr)));
  };
  for (size_t i = 0; i <= kWaitingPerAddressMax; ++i) {
    EXPECT_EQ(waits(fmt::format("2001:db8:1:2::{:x}", i + 1)), i < kWaitingPerAddressMax) << i;
    EXPECT_TRUE(waits(fmt::format("::ffff:203.0.113.{}", i + 1))) << i;
    EXPECT_EQ(waits(fmt::format("fe80::{:x}%eth0", i + 1)), i < kWaitingPerAddressMax) << i;
  }
  EXPECT_TRUE(waits("2001:db8:1:3::1"));
}

TEST_F(Enrolling, AReplacementIsOneEntryAndTheOldHardwareGetsNothing) {
  const SessionId old_node = enrolled();
  ASSERT_TRUE(desk.controller->admits(newcomer.box.public_key()));
  Newcomer other;
  other.sign = test::sign_secret("other");
  other.box = test::box_secret("other");
  other.session = {other.box.public_key(), 90, true};
  Join join = other.join(desk, "", TokenId(), nullptr);
  ASSERT_TRUE(std::holds_alternative<Waiting>(desk.ask(other.session, join)));
  const Sequence before = desk.disk->head();
  const NodeId id = desk.controller->state().find_node("r1.ams")->id;
  desk.submit({RevokeNode{"r1.ams"}, ApproveNode{"r1.ams", join.join, *decode_join(join.join.statement)}});
  EXPECT_EQ(desk.disk->head(), next(before));
  EXPECT_EQ(desk.controller->state().find_node("r1.ams")->id, id);
  EXPECT_FALSE(desk.controller->admits(newcomer.box.public_key()));
  EXPECT_TRUE(desk.controller->admits(other.box.public_key()));
  EXPECT_EQ(std::count(desk.muted.begin(), desk.muted.end(), newcomer.box.public_key()), 1);
  desk.give(old_node, Query{"nodes", {}, {}});
  for (const auto& [to, message] : desk.answers()) EXPECT_NE(to, old_node) << "it gets not even an error";
  // With the join that admitted it once it waits like any stranger.
  const Body again = desk.ask(newcomer.session, newcomer.join(desk, "r1.ams", TokenId(), nullptr));
  EXPECT_TRUE(std::holds_alternative<Waiting>(again));
  EXPECT_EQ(desk.error_of(desk.ask(newcomer.session, newcomer.join(desk, "r1.ams", TokenId(1), &token))).code,
            Errc::not_permitted);
  EXPECT_TRUE(desk.controller->admits(other.box.public_key()));
}

TEST_F(Enrolling, ARejectedNewcomerIsRefusedFromThenOn) {
  Join join = newcomer.join(desk, "", TokenId(), nullptr);
  ASSERT_TRUE(std::holds_alternative<Waiting>(desk.ask(newcomer.session, join)));
  desk.submit({RejectNode{fingerprint(newcomer.sign.public_key().view())}});
  EXPECT_EQ(desk.error_of(desk.ask(newcomer.session, join)).code, Errc::not_permitted);
}

TEST_F(Enrolling, ANodeThatLiesAboutItsIdIsRefused) {
  SessionId node = enrolled();
  Outcome outcome{NodeId(12), 1, OutcomeKind::applied, ActivationId(1), Version(1), ""};
  SignedOutcome report{encode_outcome(outcome), {}, outcome};
  report.signature = newcomer.sign.sign(kOutcomeDomain, report.bytes);
  EXPECT_EQ(desk.error_of(desk.ask(node, OutcomeMessage{report})).code, Errc::unauthenticated);
  EXPECT_EQ(desk.error_of(desk.ask(node, Query{"nodes", {}, {}})).code, Errc::not_permitted);
  EXPECT_EQ(desk.error_of(desk.ask(node, Fetch{Digest{}})).code, Errc::not_permitted);
  EXPECT_EQ(
      desk.error_of(desk.ask(node, Submit{Desk::sign(desk.request({AddSite{"x"}})), false})).code,
      Errc::unauthenticated);
}

TEST_F(Enrolling, OutcomesAreReportedOnceAndAcknowledged) {
  SessionId node = enrolled();
  Outcome outcome{NodeId(11), 1, OutcomeKind::applied, ActivationId(1), Version(1), "fine"};
  SignedOutcome report{encode_outcome(outcome), {}, outcome};
  report.signature = newcomer.sign.sign(kOutcomeDomain, report.bytes);
  desk.give(node, OutcomeMessage{report});
  desk.answers();
  Sequence before = desk.disk->head();
  desk.now.mono_ms += 2'000;
  desk.controller->tick(desk.now);
  bool acknowledged = false;
  for (const auto& [to, message] : desk.answers())
    if (const auto* ack = std::get_if<Ack>(&message.body)) acknowledged = to == node && ack->serial == 1;
  EXPECT_TRUE(acknowledged);
  EXPECT_EQ(desk.disk->head(), next(before));
  EXPECT_EQ(desk.controller->state().reports.at(NodeId(11)).message, "fine");
  // A repeat is acknowledged from what is known.
  EXPECT_TRUE(std::holds_alternative<Ack>(desk.ask(node, OutcomeMessage{report})));
  EXPECT_EQ(desk.disk->head(), next(before));
}

TEST_F(Enrolling, TokensExpireByAnEntryAndTheDoorCloses) {
  desk.submit({RevokeToken{TokenId(1)}, RevokeToken{TokenId(2)}});
  EXPECT_FALSE(desk.controller->enrolment_wanted(desk.now));
  desk.submit({CreateToken{test::sign_secret("short").public_key(), {Level::node, "r1.ams"}, 1,
                           Timestamp(desk.now.wall.value() + 1'000), false}});
  EXPECT_TRUE(desk.controller->enrolment_wanted(desk.now));
  desk.now.wall = Timestamp(desk.now.wall.value() + 2'000);
  EXPECT_FALSE(desk.controller->enrolment_wanted(desk.now));
  desk.controller->tick(desk.now);
  desk.answers();
  EXPECT_EQ(desk.controller->state().tokens.at(TokenId(3)).state, TokenState::expired);
}

}  // namespace
}  // namespace mesh
