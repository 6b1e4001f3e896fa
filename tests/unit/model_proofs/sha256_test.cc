// Claim: SHA-256 with the processor's instructions gives what libsodium gives, however the bytes are split.
// Method: the vectors of FIPS 180-4; then every length up to four blocks, and random bytes in random pieces, against
// libsodium. The seed is printed.
#include <gtest/gtest.h>
#include <sodium.h>

#include <random>

#include "eventstore/model/crypto.h"

namespace mesh {
namespace {

constexpr uint32_t kSeed = 7;

Digest by_sodium(ByteView bytes) {
  Digest out;
  crypto_hash_sha256(out.bytes.data(), bytes.data(), bytes.size());
  return out;
}

TEST(Sha256, PublishedVectors) {
  EXPECT_EQ(to_hex(sha256({}).view()), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  EXPECT_EQ(to_hex(sha256(as_bytes("abc")).view()),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  EXPECT_EQ(to_hex(sha256(as_bytes("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq")).view()),
            "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
  EXPECT_EQ(to_hex(sha256(Bytes(1'000'000, 'a')).view()),
            "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
}

TEST(Sha256, EveryLengthInOnePiece) {
  std::mt19937 random(kSeed);
  Bytes bytes;
  for (size_t size = 0; size <= 256; ++size) {
    EXPECT_EQ(sha256(bytes), by_sodium(bytes)) << size;
    bytes.push_back(static_cast<uint8_t>(random()));
  }
}

TEST(Sha256, RandomPieces) {
  SCOPED_TRACE(kSeed);
  std::mt19937 random(kSeed);
  for (int round = 0; round < 300; ++round) {
    Bytes all;
    Sha256 hash;
    for (size_t pieces = random() % 8; pieces > 0; --pieces) {
      Bytes piece(random() % 200);
      for (uint8_t& byte : piece) byte = static_cast<uint8_t>(random());
      hash.add(piece);
      all.insert(all.end(), piece.begin(), piece.end());
    }
    ASSERT_EQ(hash.finish(), by_sodium(all));
  }
}

}  // namespace
}  // namespace mesh
