// Claim: a router follows an adoption only when it is signed with the recovery key of its own log, for that log, that
// router and the call that is open, in time; and nothing else that anybody sends is taken for one.
// Method: real keys; each member forged in turn with a right signature, each byte of a document changed, and what fits
// no adoption.
#include "schemas/adoption.h"

#include <gtest/gtest.h>
#include <sodium.h>

#include <nlohmann/json.hpp>

#include "eventstore/model/crypto.h"

namespace mesh {
namespace {

struct Keys {
  explicit Keys(uint8_t number) {
    std::array<uint8_t, 32> seed{};
    seed.fill(number);
    crypto_sign_seed_keypair(key.bytes.data(), secret.data(), seed.data());
  }
  Signature operator()(std::string_view domain, ByteView text) const {
    std::string message(domain);
    message += as_text(text);
    Signature out;
    crypto_sign_detached(out.bytes.data(), nullptr, as_bytes(message).data(), message.size(), secret.data());
    return out;
  }
  SignKey key;
  std::array<uint8_t, 64> secret{};
};

template <class Array>
Array filled(uint8_t with) {
  Array out;
  out.bytes.fill(with);
  return out;
}

struct AdoptionCheck : ::testing::Test {
  AdoptionCheck() {
    TokenText token;
    token.log = filled<LogId>(9);
    token.token = TokenId(3);
    token.log_key = filled<SignKey>(4);
    token.controller_key = filled<BoxKey>(5);
    token.enrol_endpoints = {"tcp://198.51.100.7:7401"};
    token.node = "r1.ams";
    token.seed.fill(7);
    adoption = {filled<LogId>(1), filled<SignKey>(2), filled<Digest>(3), 60, encode_token(token)};
    call = {adoption.log, adoption.router, recovery.key, adoption.nonce, 1'000};
  }
  std::string document() const { return adoption_document(adoption, recovery); }
  std::string why() const {
    const auto checked = check_adoption(document(), call);
    return checked ? "followed" : checked.error().message;
  }

  Keys recovery{11}, other{12};
  Adoption adoption;
  AdoptionCall call;
};

TEST_F(AdoptionCheck, TheRightOneGivesTheToken) {
  const auto token = check_adoption(document(), call);
  ASSERT_TRUE(token) << token.error().message;
  EXPECT_EQ(token->log, filled<LogId>(9));
  EXPECT_EQ(token->node, "r1.ams");
  EXPECT_EQ(token->seed[0], 7);
  call.age_ms = 60'000;
  EXPECT_EQ(why(), "followed") << "up to its last second";
}

TEST_F(AdoptionCheck, AForeignAReplayedAndALateOneAreRefused) {
  const std::string refused = "an adoption was refused: ";
  const auto right = adoption;
  adoption.log = filled<LogId>(8);
  EXPECT_EQ(why(), refused + "it is for a node of another log");
  adoption = right;
  adoption.router = filled<SignKey>(8);
  EXPECT_EQ(why(), refused + "it is for another node");
  adoption = right;
  adoption.nonce = filled<Digest>(8);
  EXPECT_EQ(why(), refused + "it answers another call");
  adoption = right;
  call.age_ms = 60'001;
  EXPECT_EQ(why(), refused + "it came too late");
  call.age_ms = -1;
  EXPECT_EQ(why(), refused + "it came too late") << "no clock goes back";
  call.age_ms = 0;
  call.nonce = {};
  adoption.nonce = {};
  EXPECT_EQ(why(), refused + "it answers another call") << "no call is open";
}

TEST_F(AdoptionCheck, NobodyElseMay) {
  call.recovery = other.key;
  EXPECT_EQ(why(), "an adoption was refused: it is not signed with the recovery key of this node");
  call.recovery = {};
  EXPECT_EQ(why(), "an adoption was refused: this node's log names nobody who may");
  // Nor with the right key for another purpose.
  call.recovery = recovery.key;
  const auto in_another_domain = [&](std::string_view, ByteView text) { return recovery(kJoinDomain, text); };
  EXPECT_FALSE(check_adoption(adoption_document(adoption, in_another_domain), call));
}

TEST_F(AdoptionCheck, ALogIsNotLeftForItself) {
  auto token = decode_token(adoption.token);
  ASSERT_TRUE(token);
  token->log = adoption.log;
  adoption.token = encode_token(*token);
  EXPECT_EQ(why(), "an adoption was refused: it leads to the log that this node is in");
}

TEST_F(AdoptionCheck, NoChangedByteIsFollowed) {
  const auto whole = document();
  for (size_t i = 0; i < whole.size(); ++i) {
    for (const char bit : {1, 0x20, 0x40}) {
      auto changed = whole;
      changed[i] = static_cast<char>(changed[i] ^ bit);
      const auto token = check_adoption(changed, call);
      // JSON has more than one way to write the same.
      EXPECT_TRUE(!token || nlohmann::json::parse(changed) == nlohmann::json::parse(whole)) << i;
    }
    EXPECT_FALSE(check_adoption(whole.substr(0, i), call)) << i;
  }
}

TEST_F(AdoptionCheck, ATextHasOneForm) {
  const auto text = adoption_text(adoption);
  ASSERT_TRUE(parse_adoption_text(text));
  EXPECT_EQ(adoption_text(*parse_adoption_text(text)), text);
  for (const std::string& wrong :
       {text + "\n", text.substr(0, text.size() - 1), " " + text, text + "more 1\n", std::string(),
        std::string(20'000, 'a'), std::string("meshlog adoption 1\nlog \n"),
        text.substr(0, text.find("seconds")) + "seconds 060\n" + text.substr(text.find("token"))})
    EXPECT_FALSE(parse_adoption_text(wrong)) << wrong.substr(0, 200);
  adoption.seconds = 0;
  EXPECT_FALSE(parse_adoption_text(adoption_text(adoption)));
  adoption.seconds = kAdoptionSecondsMax + 1;
  EXPECT_FALSE(parse_adoption_text(adoption_text(adoption)));
}

TEST_F(AdoptionCheck, WhatIsNoAdoptionIsNoneAndHarmsNobody) {
  for (const std::string& wrong :
       {std::string(), std::string("null"), std::string("[]"), std::string("{}"), std::string(R"({"kind":"Adoption"})"),
        std::string(R"({"kind":7,"text":[],"signature":{}})"), std::string(100'000, '['),
        std::string(kAdoptionBytesMax + 1, ' ')})
    EXPECT_FALSE(check_adoption(wrong, call));
}

}  // namespace
}  // namespace mesh
