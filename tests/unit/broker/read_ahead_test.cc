// Claim: entries come in order and as they are, whoever read, decoded and checked them; a check
// ahead never lets through what a check on the spot would refuse; and what cannot be read or
// decoded is named with its number. Method: a world's log in chunks of random size, with no helper
// to three, replayed and compared; the same with a signature that is wrong, with keys that are
// wrong, with a damaged and with a missing entry. The seed is printed.
#include "broker/read_ahead.h"

#include <gtest/gtest.h>

#include <atomic>
#include <random>

#include "eventstore/model/crypto.h"
#include "eventstore/model/replay.h"
#include "schemas/codec.h"
#include "tests/support/world.h"

namespace mesh {
namespace {

constexpr int kEntries = 200;

struct Source {
  Source() {
    world.must(AddOperator{"bob", Role::operator_, {}, test::sign_secret("bob").public_key(),
                           test::box_secret("bob").public_key()});
    world.must(AddSite{"ams"});
    while (world.entries().size() < kEntries) {
      const auto number = static_cast<int64_t>(world.entries().size());
      const Principal who = Principal::human(number % 3 == 0 ? "bob" : "alice");
      EXPECT_TRUE(world.submit(who, {SetAttribute{{Level::site, "ams"}, "note", {number}}}));
    }
    entries = world.entries();
  }
  /// At most `missing` - 1 entries, in chunks of one to twenty.
  Result<std::vector<EncodedEntry>> read(Sequence from) {
    EXPECT_FALSE(reading.exchange(true)) << "two threads read at once";
    std::vector<EncodedEntry> out;
    for (uint64_t at = from.value(), count = 1 + random() % 20; count > 0 && at < missing; --count, ++at)
      out.push_back(entries[at - 1]);
    reading = false;
    if (out.empty()) return fail(Errc::io, "entry 150: the disk is gone");
    return out;
  }
  ReadAhead ahead(size_t helpers) {
    return ReadAhead([this](Sequence from) { return read(from); }, Sequence(1), Sequence(kEntries), helpers);
  }

  uint64_t seed = std::random_device{}();
  std::mt19937_64 random{seed};
  std::atomic<bool> reading = false;
  test::World world;
  std::vector<EncodedEntry> entries;
  uint64_t missing = kEntries + 1;
};

/// Replays to the end and learns on the way, as verifying does. Returns how many had been checked ahead.
Result<size_t> replay_all(ReadAhead& ahead, Replica& replica, const LogId& log) {
  size_t checked = 0;
  while (!ahead.at_end()) {
    auto entry = ahead.next();
    if (!entry) return std::unexpected(entry.error());
    checked += entry->checked ? 1 : 0;
    if (auto key = signer_key(replica.state, entry->body->request); key && !entry->checked)
      ahead.learn(entry->header.principal, *key);
    MESH_TRY(replay(replica, *entry, log));
  }
  return checked;
}

TEST(ReadAhead, GivesTheSameReplicaAsReadingOnTheSpot) {
  for (size_t helpers = 0; helpers <= 3; ++helpers) {
    Source source;
    SCOPED_TRACE("seed " + std::to_string(source.seed));
    ReadAhead ahead = source.ahead(helpers);
    Replica replica;
    auto checked = replay_all(ahead, replica, source.world.state().log);
    ASSERT_TRUE(checked) << checked.error().message;
    EXPECT_EQ(replica, source.world.replica());
    EXPECT_GT(*checked, 0u);
  }
}

TEST(ReadAhead, AWrongSignatureIsFoundWhateverWasLearnt) {
  for (size_t helpers = 0; helpers <= 2; ++helpers)
    for (bool right_key : {false, true}) {
      Source source;
      SCOPED_TRACE("seed " + std::to_string(source.seed));
      auto body = *decode_entry(source.entries[120])->body;
      body.signed_request.signature = test::sign_secret("mallory").sign(kRequestDomain, body.signed_request.bytes);
      source.entries[120] = encode_entry(decode_entry(source.entries[120])->header, body);
      ReadAhead ahead = source.ahead(helpers);
      for (const char* who : {"alice", "bob"})
        ahead.learn(Principal::human(who), test::sign_secret(right_key ? who : "mallory").public_key());
      Replica replica;
      auto checked = replay_all(ahead, replica, source.world.state().log);
      ASSERT_FALSE(checked);
      EXPECT_NE(checked.error().message.find("entry 121: the signature"), std::string::npos) << checked.error().message;
      EXPECT_EQ(replica.head(), Sequence(120));
    }
}

TEST(ReadAhead, NamesWhatIsDamagedOrMissingAfterWhatIsGood) {
  for (size_t helpers = 0; helpers <= 2; ++helpers) {
    Source damaged;
    SCOPED_TRACE("seed " + std::to_string(damaged.seed));
    Bytes& body = damaged.entries[99].body;
    body[body.size() / 2] ^= 1;
    ReadAhead ahead = damaged.ahead(helpers);
    Replica replica;
    auto checked = replay_all(ahead, replica, damaged.world.state().log);
    ASSERT_FALSE(checked);
    EXPECT_TRUE(checked.error().message.starts_with("entry 100: ")) << checked.error().message;
    EXPECT_EQ(replica.head(), Sequence(99));
    EXPECT_TRUE(ahead.at_end());

    Source missing;
    missing.missing = 150;
    ReadAhead until = missing.ahead(helpers);
    Replica so_far;
    checked = replay_all(until, so_far, missing.world.state().log);
    ASSERT_FALSE(checked);
    EXPECT_EQ(checked.error().message, "entry 150: the disk is gone");
    EXPECT_EQ(so_far.head(), Sequence(149));
  }
}

TEST(ReadAhead, CanBeLeftEarly) {
  Source source;
  ReadAhead ahead = source.ahead(3);
  EXPECT_EQ(ahead.next()->header.sequence, Sequence(1));
}

}  // namespace
}  // namespace mesh
