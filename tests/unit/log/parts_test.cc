// Claim: the parts of the durable log that need no RocksDB do what their headers say.
// Method: known answers, round trips, and damage to every byte.
#include <gtest/gtest.h>

#include <map>

#include "eventstore/log/crc32c.h"
#include "eventstore/log/records.h"
#include "eventstore/log/recovery_check.h"
#include "eventstore/log/tree_tiles.h"
#include "tests/unit/log/log_fixture.h"

namespace mesh {
namespace {

TEST(Crc32c, KnownAnswers) {  // RFC 3720, B.4, and the check value of the CRC catalogue
  EXPECT_EQ(crc32c(Bytes(32, 0x00)), 0x8a9136aau);
  EXPECT_EQ(crc32c(Bytes(32, 0xff)), 0x62a8ab43u);
  Bytes ascending(32);
  for (uint8_t i = 0; i < 32; ++i) ascending[i] = i;
  EXPECT_EQ(crc32c(ascending), 0x46dd794eu);
  EXPECT_EQ(crc32c(as_bytes("123456789")), 0xe3069283u);
  EXPECT_EQ(crc32c({}), 0u);
}

TEST(Crc32c, PiecesGiveTheSameAsTheWhole) {
  const Bytes bytes = test_entry(1, 100).body;
  for (size_t cut = 0; cut <= bytes.size(); ++cut)
    ASSERT_EQ(crc32c(crc32c(ByteView(bytes).first(cut)), ByteView(bytes).subspan(cut)),
              crc32c(bytes));
}

TEST(Records, KeysSortAsTheirNumbers) {
  EXPECT_LT(records::entry_key(Sequence(255)), records::entry_key(Sequence(256)));
  EXPECT_LT(records::batch_key(Sequence(1)), records::batch_key(Sequence(~uint64_t{0})));
  EXPECT_LT(records::tile_key(0, ~uint64_t{0}), records::tile_key(1, 0));
  EXPECT_EQ(records::sequence_of(records::entry_key(Sequence(77))), Sequence(77));
  EXPECT_EQ(records::sequence_of(records::snapshot_key(Sequence(77))), std::nullopt);
  EXPECT_EQ(records::sequence_of("e"), std::nullopt);
}

TEST(Records, ASealHoldsForOneKeyAndOneValue) {
  const std::string key = records::entry_key(Sequence(17)), value = "the value";
  const std::string stored = records::seal(key, {"the ", "value"}) + value;
  EXPECT_EQ(records::unseal(key, stored), value);
  EXPECT_EQ(records::unseal(records::entry_key(Sequence(18)), stored), std::nullopt)
      << "a copied record";
  for (size_t bit = 0; bit < stored.size() * 8; ++bit) {
    std::string flipped = stored;
    flipped[bit / 8] = static_cast<char>(flipped[bit / 8] ^ (1 << bit % 8));
    ASSERT_EQ(records::unseal(key, flipped), std::nullopt);
  }
  for (size_t size = 0; size < stored.size(); ++size)
    ASSERT_EQ(records::unseal(key, std::string_view(stored).substr(0, size)), std::nullopt);
}

TEST(Records, BatchesComeBackAndMalformedOnesDoNot) {
  const records::Batch batch{
      Sequence(5), Sequence(6), 3, test_root(6), {test_request(5), RequestId{}}};
  const std::string key = records::batch_key(Sequence(5)), value = records::encode_batch(batch);
  const auto decoded = records::decode_batch(key, value);
  ASSERT_TRUE(decoded);
  EXPECT_EQ(decoded->last, batch.last);
  EXPECT_EQ(decoded->term, batch.term);
  EXPECT_EQ(decoded->root, batch.root);
  EXPECT_EQ(decoded->requests, batch.requests);
  for (size_t size = 0; size < value.size(); ++size)
    ASSERT_FALSE(records::decode_batch(key, std::string_view(value).substr(0, size)));
  EXPECT_FALSE(records::decode_batch(key, value + "x"));
  EXPECT_FALSE(records::decode_batch(records::batch_key(Sequence(4)), value))
      << "three entries, two requests";
  EXPECT_FALSE(records::decode_batch(records::batch_key(Sequence(7)), value))
      << "ends before it begins";
  EXPECT_FALSE(records::decode_entry("\1\1\1"));
  EXPECT_FALSE(records::decode_entry(std::string("\0\0\0\2h", 5)))
      << "a header longer than the record";
  EXPECT_FALSE(records::decode_sequences("123"));
  EXPECT_FALSE(records::decode_tile("123"));
}

TEST(TreeTiles, RestoredAtAnySizeItIsTheSameTree) {
  constexpr uint64_t kSize = 64 * 64 + 64 * 3 + 5;
  TreeTiles grown;
  std::map<std::pair<unsigned, uint64_t>, Tile> stored;
  std::vector<Digest> leaves;
  for (uint64_t size = 1; size <= kSize; ++size) {
    leaves.push_back(leaf_hash(test_entry(size).header));
    grown.append(leaves.back(), [&](unsigned level, uint64_t index, const Tile& tile) {
      ASSERT_TRUE(stored.emplace(std::pair(level, index), tile).second) << "completed twice";
    });
    if (size > 300 && size % 61 != 0 && size % 64 > 1) continue;
    const auto restored = TreeTiles::restore(
        size, [&](uint64_t index) -> Result<Digest> { return leaves[index]; },
        [&](unsigned level, uint64_t index) -> Result<Tile> {
          return stored.at({level, index});
        });
    ASSERT_TRUE(restored);
    ASSERT_EQ(restored->frontier(), grown.frontier()) << size;
    ASSERT_EQ(restored->frontier().root(), test_root(size));
  }
  EXPECT_EQ(stored.size(), 64u + 3u + 1u);
  const auto failing = TreeTiles::restore(
      65,
      [](uint64_t) -> Result<Digest> { return fail(Errc::corrupt, "entry 65: record damaged"); },
      [&](unsigned level, uint64_t index) -> Result<Tile> {
        return stored.at({level, index});
      });
  EXPECT_EQ(failing.error().message, "entry 65: record damaged");
}

// A file of records in RocksDB's format, with where each write begins.
struct RecordFile {
  Bytes bytes;
  std::vector<uint64_t> begins;

  void add(ByteView payload) {
    begins.push_back(bytes.size());
    for (bool first = true; first || !payload.empty(); first = false) {
      const size_t room = RecordFileScan::kBlockBytes - bytes.size() % RecordFileScan::kBlockBytes;
      if (room < 7) {
        bytes.resize(bytes.size() + room);
        first = true;
        continue;
      }
      const size_t length = std::min(payload.size(), room - 7);
      const bool last = length == payload.size();
      Bytes covered{static_cast<uint8_t>(first ? (last ? 1 : 2) : (last ? 4 : 3))};
      covered.insert(covered.end(), payload.begin(),
                     payload.begin() + static_cast<ptrdiff_t>(length));
      const uint32_t crc = crc32c(covered), masked = (crc >> 15 | crc << 17) + 0xa282ead8;
      for (int shift = 0; shift < 32; shift += 8)
        bytes.push_back(static_cast<uint8_t>(masked >> shift));
      bytes.push_back(static_cast<uint8_t>(length));
      bytes.push_back(static_cast<uint8_t>(length >> 8));
      bytes.insert(bytes.end(), covered.begin(), covered.end());
      payload = payload.subspan(length);
      if (last) break;
    }
  }
};

Result<std::optional<TornWrite>> scan(ByteView bytes) {
  RecordFileScan out;
  for (uint64_t at = 0; at < bytes.size(); at += RecordFileScan::kBlockBytes)
    out.add_block(
        "000007.log", at,
        bytes.subspan(at, std::min<uint64_t>(RecordFileScan::kBlockBytes, bytes.size() - at)));
  return out.verdict();
}

Bytes payload(size_t size, uint64_t which) {
  Bytes out = test_entry(which, size).body;
  out.resize(size, 0x55);
  return out;
}

TEST(RecoveryCheck, WholeFilesPass) {
  EXPECT_EQ(scan({}).value(), std::nullopt);
  RecordFile file;
  for (const size_t size : {1, 100, 40'000, 32'755, 70'000, 20, 600}) file.add(payload(size, size));
  EXPECT_EQ(scan(file.bytes).value(), std::nullopt);
}

// A power loss may leave the file longer than what was written of its last record's header.
TEST(RecoveryCheck, ZerosThatAreTooFewForAHeaderAreTorn) {
  RecordFile file;
  file.add(payload(100, 1));
  const uint64_t end = file.bytes.size();
  for (size_t zeros = 1; zeros < 7; ++zeros) {
    file.bytes.resize(end + zeros);
    const auto torn = scan(file.bytes);
    ASSERT_TRUE(torn) << zeros << ": " << torn.error().message;
    ASSERT_TRUE(*torn) << zeros;
    EXPECT_EQ((*torn)->offset, end);
  }
}

TEST(RecoveryCheck, AFileCutAnywhereIsTornAtTheWriteThatWasCut) {
  RecordFile file;
  for (const size_t size : {10, 30, 33'000, 5}) file.add(payload(size, size));
  for (size_t size = 0; size<file.bytes.size(); size += size> 200 && size < 32'600 ? 37 : 1) {
    const auto torn = scan(ByteView(file.bytes).first(size));
    ASSERT_TRUE(torn) << size << ": " << torn.error().message;
    const auto next_begin = std::upper_bound(file.begins.begin(), file.begins.end(), size);
    const uint64_t begin = *(next_begin - 1);
    if (size == begin) {
      ASSERT_EQ(*torn, std::nullopt) << size;
    } else {
      ASSERT_TRUE(*torn) << size;
      ASSERT_EQ((*torn)->offset, begin) << size;
      ASSERT_EQ((*torn)->file, "000007.log");
    }
  }
}

TEST(RecoveryCheck, AFlippedBitIsDamageNotATornWrite) {
  RecordFile file;
  for (const size_t size : {10, 30, 33'000, 5, 1200}) file.add(payload(size, size));
  for (size_t at = 0; at<file.bytes.size(); at += at> 200 && at < 32'600 ? 37 : 1) {
    Bytes flipped = file.bytes;
    flipped[at] ^= static_cast<uint8_t>(1 << at % 8);
    const auto torn = scan(flipped);
    ASSERT_FALSE(torn) << at;
    ASSERT_EQ(torn.error().code, Errc::corrupt);
    ASSERT_TRUE(torn.error().message.starts_with("000007.log is damaged at byte "))
        << torn.error().message;
  }
}

TEST(RecoveryCheck, SectorsThatNeverReachedTheDiskAreATornWriteOnlyAtTheEnd) {
  RecordFile file;
  for (const size_t size : {10, 2'000, 70'000}) file.add(payload(size, size));
  for (uint64_t sector = 2; sector * 512 < file.bytes.size(); ++sector) {
    Bytes zeroed = file.bytes;
    const uint64_t begin = std::max<uint64_t>(sector * 512, 0),
                   end = std::min<uint64_t>(begin + 512, zeroed.size());
    std::fill(zeroed.begin() + static_cast<ptrdiff_t>(begin),
              zeroed.begin() + static_cast<ptrdiff_t>(end), 0);
    const auto torn = scan(zeroed);
    if (end <= file.begins[2]) {
      ASSERT_FALSE(torn) << "an earlier write lost a sector: damage";
    } else if (begin >= file.begins[2]) {
      ASSERT_TRUE(torn) << sector << ": " << torn.error().message;
      ASSERT_EQ(torn->value().offset, file.begins[2]);
    }
  }
}

}  // namespace
}  // namespace mesh
