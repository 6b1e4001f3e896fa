// Claim: from one recovery secret the same two key pairs follow everywhere; its text survives being copied, and a
// mistyped one is recognised. Method: vectors from other implementations (BLAKE2b of Python's hashlib; Ed25519 and
// X25519 written after RFC 8032 and RFC 7748); each character of a text changed, and each cut.
#include "broker/bus/recovery_secret.h"

#include <gtest/gtest.h>

#include <numeric>
#include <string>

#include "eventstore/model/crypto.h"

namespace mesh {
namespace {

constexpr std::string_view kText = "mlrec1-AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8PuMaE";

RecoverySecret counted() {
  Bytes bytes(32);
  std::iota(bytes.begin(), bytes.end(), uint8_t{0});
  return std::move(*RecoverySecret::from_bytes(bytes));
}

std::string text_of(const RecoverySecret& secret) { return std::string(as_text(secret.text().view())); }

TEST(RecoverySecret, DerivesWhatOthersDerive) {
  const auto secret = counted();
  EXPECT_EQ(to_hex(secret.sign().reveal_seed()), "e7b5447a64ae72b8a65b56d26e58bc0fa0f0d45f31d8601e51e6a212d97a72c9");
  EXPECT_EQ(to_hex(secret.box().reveal()), "27ae57a9583337cb7aabef688ca4d0aaff6c626176fd0820190c46d220465785");
  EXPECT_EQ(to_hex(secret.sign().public_key().view()),
            "e0ff6b9c001c854e4c0208884ebe97b1a96534505e21c78277b9432963ab77d7");
  EXPECT_EQ(to_hex(secret.box().public_key().view()),
            "e47d8466cfc900ff1e5d0613cb2f7c6cda53576b30366ef8eaa2970496caca01");
  EXPECT_EQ(text_of(secret), kText);
}

TEST(RecoverySecret, EachIsAnother) {
  EXPECT_NE(RecoverySecret::generate().sign().public_key(), RecoverySecret::generate().sign().public_key());
  EXPECT_FALSE(RecoverySecret::from_bytes(Bytes(31)));
}

TEST(RecoverySecret, ATextIsReadBackWithBlanksAroundIt) {
  const auto secret = RecoverySecret::generate();
  const auto read = RecoverySecret::parse(" \t" + text_of(secret) + "\r\n");
  ASSERT_TRUE(read) << read.error().message;
  EXPECT_EQ(read->sign().public_key(), secret.sign().public_key());
  EXPECT_EQ(read->box().public_key(), secret.box().public_key());
}

TEST(RecoverySecret, AMistypedOneIsRecognised) {
  for (size_t i = 0; i < kText.size(); ++i) {
    std::string other(kText);
    other[i] = other[i] == 'x' ? 'y' : 'x';
    EXPECT_FALSE(RecoverySecret::parse(other)) << other;
    EXPECT_FALSE(RecoverySecret::parse(kText.substr(0, i))) << i;
  }
  EXPECT_FALSE(RecoverySecret::parse(std::string(kText) + "A"));
  EXPECT_FALSE(RecoverySecret::parse(std::string(10'000, 'A')));
  EXPECT_EQ(RecoverySecret::parse("mlrec2-AAAA").error().code, Errc::unsupported);
  EXPECT_EQ(RecoverySecret::parse("").error().code, Errc::corrupt);
}

}  // namespace
}  // namespace mesh
