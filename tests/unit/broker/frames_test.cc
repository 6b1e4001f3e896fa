// Claim: however many cores check signatures, frames come out in the order in which they came in, with what a check on
// the spot would have said; and a right that ended in between is gone.
// Method: random frames of several operators and nodes, some with a wrong signature, through readers of one to four
// helpers, against what was put in; a Controller that is given what was checked under a key that no longer counts.
#include "broker/meshd_frames.h"

#include <map>
#include <random>

#include "tests/unit/broker/desk.h"

namespace mesh {
namespace {

using meshd::FrameReader;
using test::Desk;

SessionId session_of(const std::string& name) { return {test::box_secret(name).public_key(), 1, false}; }

TEST(Frames, ComeOutInOrderWithWhatACheckOnTheSpotSays) {
  const uint64_t seed = std::random_device{}();
  SCOPED_TRACE("seed " + std::to_string(seed));
  std::mt19937_64 random(seed);
  Desk desk;
  const std::vector<std::string> operators = {"alice", "bob", "carol"};
  std::map<SessionId, SignKey> keys;
  for (const std::string& name : operators) keys[session_of(name)] = test::sign_secret(name).public_key();
  auto signer = [&](const SessionId& session) {
    auto it = keys.find(session);
    return it == keys.end() ? std::nullopt : std::optional(it->second);
  };
  for (size_t helpers = 1; helpers <= 4; ++helpers) {
    FrameReader reader(helpers);
    for (uint64_t correlation = 1; correlation < 300;) {
      std::vector<Incoming> frames;
      std::vector<std::optional<SignKey>> checked;
      const uint64_t first = correlation;
      for (uint64_t count = random() % 40; count > 0; --count, ++correlation) {
        const std::string& name = operators[random() % operators.size()];
        const bool good = random() % 4 != 0, node = random() % 5 == 0;
        SignedRequest request = Desk::sign(desk.request({AddSite{"ams"}}, name), good ? name : "mallory");
        SessionId session = session_of(node ? "node" : name);
        frames.push_back({session, node ? encode_message({correlation, Credit{7}})
                                        : encode_message({correlation, Submit{request, false}})});
        checked.push_back(good && !node ? std::optional(keys[session]) : std::nullopt);
      }
      std::vector<Arrival> read = reader.read(frames, signer);
      ASSERT_EQ(read.size(), checked.size());
      for (size_t i = 0; i < read.size(); ++i) {
        EXPECT_EQ(read[i].correlation, first + i);
        EXPECT_EQ(read[i].checked, checked[i]);
      }
    }
  }
}

TEST(Frames, AKeyThatEndedMeanwhileCountsForNothing) {
  Desk desk;
  const SignKey sign = test::sign_secret("otto").public_key();
  const SessionId otto = session_of("otto");
  EXPECT_FALSE(desk.controller->signer_of(otto));
  desk.submit({AddOperator{"otto", Role::operator_, {}, sign, otto.user}});
  ASSERT_EQ(desk.controller->signer_of(otto), sign);
  Arrival late = read_frame(
      encode_message({7, Submit{Desk::sign(desk.request({AddSite{"ams"}}, "otto"), "otto"), false}}), sign);
  ASSERT_EQ(late.checked, sign);
  // In one batch with the ban: decided in order, so the ban is first although it is not durable yet.
  desk.give(desk.alice, Submit{Desk::sign(desk.request({BanOperator{"otto"}})), false});
  desk.controller->receive(otto, std::move(late), desk.now);
  EXPECT_TRUE(desk.controller->state().sites.empty());
  desk.answers();
  EXPECT_TRUE(desk.controller->state().sites.empty());
}

TEST(Frames, ACheckUnderAnotherKeyIsDoneAgain) {
  Desk desk;
  auto arrival = [&](const std::string& signer, const std::string& checked) {
    Bytes frame = encode_message({7, Submit{Desk::sign(desk.request({AddSite{"ams"}}), signer), false}});
    return read_frame(frame, test::sign_secret(checked).public_key());
  };
  Arrival forged = arrival("mallory", "mallory");
  ASSERT_TRUE(forged.checked);
  desk.controller->receive(desk.alice, std::move(forged), desk.now);
  auto answers = desk.answers();
  ASSERT_EQ(answers.size(), 1u);
  EXPECT_EQ(desk.error_of(answers[0].second.body).code, Errc::unauthenticated);
  Arrival honest = arrival("alice", "mallory");
  EXPECT_FALSE(honest.checked);
  desk.controller->receive(desk.alice, std::move(honest), desk.now);
  desk.controller->receive(desk.alice, arrival("alice", "alice"), desk.now);  // another id: already there
  EXPECT_EQ(desk.answers().size(), 2u);
  EXPECT_EQ(desk.disk->head(), Sequence(2));
}

}  // namespace
}  // namespace mesh
