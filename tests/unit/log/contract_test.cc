// Claim: every implementation of the EventLog port keeps the contract in event_log.h.
// Method: the same cases against each implementation, reopened where it matters.
#include <gtest/gtest.h>

#include <memory>

#include "eventstore/log/memory_event_log.h"
#include "eventstore/log/rocks_event_log.h"
#include "tests/unit/log/log_fixture.h"

namespace mesh {
namespace {

struct MemorySubject {
  MemoryEventLog log{test_log_id()};
  EventLog& get() { return log; }
  void reopen() { log.reopen(); }
};

struct RocksSubject {
  TempDir dir;
  std::unique_ptr<RocksEventLog> log =
      RocksEventLog::create(dir.path() / "log", test_log_id()).value();
  EventLog& get() { return *log; }
  void reopen() {
    log.reset();
    log = RocksEventLog::open(dir.path() / "log").value();
  }
};

template <class Subject>
class EventLogContract : public testing::Test {
 protected:
  EventLog& log() { return subject_.get(); }
  void reopen() { subject_.reopen(); }
  Subject subject_;
};

using Subjects = testing::Types<MemorySubject, RocksSubject>;
TYPED_TEST_SUITE(EventLogContract, Subjects);

TYPED_TEST(EventLogContract, AnEmptyLogHasNothing) {
  for (int round = 0; round < 2; ++round) {
    EventLog& log = this->log();
    EXPECT_EQ(log.id(), test_log_id());
    EXPECT_EQ(log.head(), Sequence(0));
    EXPECT_EQ(log.term(), 0u);
    EXPECT_EQ(log.checkpoint(), "");
    EXPECT_EQ(log.frontier().root(), sha256({}));
    EXPECT_TRUE(log.read(Sequence(1), 1000, 10).value().empty());
    EXPECT_TRUE(log.snapshots().empty());
    EXPECT_EQ(log.newest_snapshot(Sequence(9)).value().snapshot, std::nullopt);
    EXPECT_EQ(log.tree_hash(0, 0).error().code, Errc::not_found);
    EXPECT_EQ(log.get_blob(Digest{}).error().code, Errc::not_found);
    this->reopen();
  }
}

TYPED_TEST(EventLogContract, WhatWasAppendedIsReadBack) {
  ASSERT_EQ(append_entries(this->log(), 3).value(), Sequence(3));
  ASSERT_EQ(append_entries(this->log(), 200).value(), Sequence(203));
  for (int round = 0; round < 2; ++round) {
    EventLog& log = this->log();
    EXPECT_EQ(log.head(), Sequence(203));
    EXPECT_EQ(log.term(), 1u);
    const auto all = log.read(Sequence(1), 1 << 20, 1000).value();
    ASSERT_EQ(all.size(), 203u);
    for (uint64_t i = 1; i <= 203; ++i) {
      ASSERT_EQ(all[i - 1], test_entry(i));
      ASSERT_EQ(log.find_request(test_request(i)), Sequence(i));
    }
    EXPECT_EQ(log.find_request(test_request(204)), std::nullopt);
    EXPECT_EQ(log.frontier().root(), test_root(203));
    EXPECT_EQ(log.checkpoint(), test_note(203, test_root(203)));
    this->reopen();
  }
}

TYPED_TEST(EventLogContract, ReadKeepsItsBounds) {
  EventLog& log = this->log();
  ASSERT_TRUE(append_entries(log, 20));
  const size_t size = test_entry(12).size();
  EXPECT_EQ(log.read(Sequence(12), size * 3, 100).value().size(), 3u);
  EXPECT_EQ(log.read(Sequence(12), size * 3 - 1, 100).value().size(), 2u);
  EXPECT_EQ(log.read(Sequence(12), 0, 100).value().size(), 1u)
      << "progress with the smallest budget";
  EXPECT_EQ(log.read(Sequence(12), 1000, 2).value().size(), 2u);
  EXPECT_EQ(log.read(Sequence(12), 1000, 0).value().size(), 0u);
  EXPECT_EQ(log.read(Sequence(20), 1000, 9).value(), std::vector{test_entry(20)});
  EXPECT_TRUE(log.read(Sequence(21), 1000, 9).value().empty());
  EXPECT_TRUE(log.read(Sequence(~uint64_t{0}), 1000, 9).value().empty());
  EXPECT_EQ(log.read(Sequence(0), 1000, 9).error().code, Errc::usage);
}

TYPED_TEST(EventLogContract, ARefusedAppendChangesNothing) {
  ASSERT_TRUE(append_entries(this->log(), 2));
  EventLog& log = this->log();
  const std::vector entry{test_entry(3)};
  const std::vector request{test_request(3)};
  const auto code = [&](Sequence head, uint64_t term, std::span<const EncodedEntry> entries,
                        std::span<const RequestId> requests) {
    const auto result = log.append(head, term, entries, requests, test_note);
    return result ? Errc{} : result.error().code;
  };
  EXPECT_EQ(code(Sequence(1), 1, entry, request), Errc::conflict);
  EXPECT_EQ(code(Sequence(3), 1, entry, request), Errc::conflict);
  EXPECT_EQ(code(Sequence(2), 0, entry, request), Errc::conflict) << "an old term";
  EXPECT_EQ(code(Sequence(2), 1, entry, std::vector{test_request(1)}), Errc::conflict);
  EXPECT_EQ(code(Sequence(2), 1, std::vector{test_entry(3), test_entry(4)},
                 std::vector{test_request(3), test_request(3)}),
            Errc::conflict);
  EXPECT_EQ(code(Sequence(2), 1, {}, {}), Errc::usage);
  EXPECT_EQ(code(Sequence(2), 1, entry, {}), Errc::usage);
  EXPECT_EQ(code(Sequence(2), 1, std::vector{test_entry(3, kEntryBytesMax + 1)}, request),
            Errc::exhausted);
  EXPECT_EQ(code(Sequence(2), 1, std::vector<EncodedEntry>(kAppendEntriesMax + 1),
                 std::vector<RequestId>(kAppendEntriesMax + 1)),
            Errc::exhausted);
  EXPECT_EQ(code(Sequence(2), 1, std::vector<EncodedEntry>(17, test_entry(3, kEntryBytesMax)),
                 std::vector<RequestId>(17)),
            Errc::exhausted);
  const auto liar = [](uint64_t size, const Digest& root) { return test_note(size + 1, root); };
  EXPECT_EQ(log.append(Sequence(2), 1, entry, request, liar).error().code, Errc::usage);
  for (int round = 0; round < 2; ++round) {
    EXPECT_EQ(this->log().head(), Sequence(2));
    EXPECT_EQ(this->log().frontier().root(), test_root(2));
    this->reopen();
  }
  EXPECT_EQ(append_entries(this->log(), 1).value(), Sequence(3));
}

TYPED_TEST(EventLogContract, TheHighestTermIsKept) {
  const std::vector<RequestId> none(1);
  ASSERT_TRUE(this->log().append(Sequence(0), 7, std::vector{test_entry(1)}, none, {}));
  this->reopen();
  EXPECT_EQ(this->log().term(), 7u);
  EXPECT_EQ(this->log().append(Sequence(1), 6, std::vector{test_entry(2)}, none, {}).error().code,
            Errc::conflict);
  ASSERT_TRUE(this->log().append(Sequence(1), 9, std::vector{test_entry(2)}, none, {}));
  EXPECT_EQ(this->log().term(), 9u);
}

TYPED_TEST(EventLogContract, RequestsAreFoundForExactlyTheWindow) {
  while (this->log().head().value() < kRequestWindow)
    ASSERT_TRUE(append_entries(this->log(), 1000 < kRequestWindow - this->log().head().value()
                                                ? 1000
                                                : kRequestWindow - this->log().head().value()));
  EXPECT_EQ(this->log().find_request(test_request(1)), Sequence(1));
  ASSERT_TRUE(append_entries(this->log(), 3));
  for (int round = 0; round < 2; ++round) {
    EXPECT_EQ(this->log().find_request(test_request(3)), std::nullopt);
    EXPECT_EQ(this->log().find_request(test_request(4)), Sequence(4));
    EXPECT_EQ(this->log().find_request(RequestId{}), std::nullopt);
    this->reopen();
  }
  const std::vector again{test_request(3)};
  EXPECT_TRUE(this->log().append(this->log().head(), 1, std::vector{test_entry(1)}, again, {}))
      << "what left the window may come again";
}

TYPED_TEST(EventLogContract, EntriesWithoutARequestMayBeMany) {
  const std::vector<RequestId> none(5);
  const std::vector<EncodedEntry> entries(5, test_entry(1));
  ASSERT_TRUE(this->log().append(Sequence(0), 0, entries, none, {}));
  ASSERT_TRUE(this->log().append(Sequence(5), 0, entries, none, {}));
  this->reopen();
  EXPECT_EQ(this->log().head(), Sequence(10));
}

TYPED_TEST(EventLogContract, EmptyHeadersAndBodiesAreKept) {
  const std::vector<EncodedEntry> entries{{{}, {}}, {text_bytes("h"), {}}, {{}, text_bytes("b")}};
  ASSERT_TRUE(this->log().append(Sequence(0), 0, entries, std::vector<RequestId>(3), {}));
  this->reopen();
  EXPECT_EQ(this->log().read(Sequence(1), 100, 9).value(), entries);
}

TYPED_TEST(EventLogContract, EveryStoredSubtreeServesProofs) {
  MerkleFrontier expected;
  std::map<std::pair<unsigned, uint64_t>, Digest> subtrees;
  for (const size_t batch : {1, 2, 60, 1, 1, 63, 64, 128, 5, 4000, 1}) {
    for (size_t i = 0; i < batch; ++i)
      expected.append(leaf_hash(test_entry(expected.size() + 1).header),
                      [&](unsigned level, uint64_t index, const Digest& hash) {
                        subtrees.emplace(std::pair(level, index), hash);
                      });
    ASSERT_TRUE(append_entries(this->log(), batch));
    this->reopen();
    ASSERT_EQ(this->log().frontier(), expected);
  }
  const EventLog& log = this->log();
  for (const auto& [at, hash] : subtrees)
    ASSERT_EQ(log.tree_hash(at.first, at.second).value(), hash);
  for (unsigned level = 0; level < 64; ++level)
    ASSERT_EQ(log.tree_hash(level, expected.size() >> level).error().code, Errc::not_found)
        << level;
  EXPECT_EQ(log.tree_hash(64, 0).error().code, Errc::not_found);
  EXPECT_EQ(log.tree_hash(1000, 5).error().code, Errc::not_found);
  EXPECT_EQ(log.tree_hash(63, ~uint64_t{0}).error().code, Errc::not_found);
  for (const uint64_t index : {0, 63, 64, 2000, 4325}) {
    const auto proof = inclusion_proof(index, expected.size(), log.hash_reader()).value();
    EXPECT_TRUE(verify_inclusion(leaf_hash(test_entry(index + 1).header), index, expected.size(),
                                 proof, expected.root()));
  }
  for (const uint64_t old_size : {1, 63, 64, 65, 3000, 4326}) {
    const auto proof = consistency_proof(old_size, expected.size(), log.hash_reader()).value();
    EXPECT_TRUE(
        verify_consistency(old_size, test_root(old_size), expected.size(), expected.root(), proof));
    EXPECT_EQ(root_at(old_size, log.hash_reader()).value(), test_root(old_size));
  }
}

TYPED_TEST(EventLogContract, TheNewestCheckpointIsKept) {
  ASSERT_TRUE(append_entries(this->log(), 2));
  const std::vector<RequestId> none(1);
  ASSERT_TRUE(this->log().append(Sequence(2), 1, std::vector{test_entry(3)}, none, {}));
  this->reopen();
  EXPECT_EQ(this->log().checkpoint(), test_note(2, test_root(2)))
      << "an unsigned append keeps the old note";
  EXPECT_EQ(this->log().put_checkpoint(test_note(2, test_root(2))).error().code, Errc::usage);
  EXPECT_EQ(this->log().put_checkpoint(test_note(3, test_root(2))).error().code, Errc::usage);
  EXPECT_EQ(this->log().put_checkpoint("").error().code, Errc::usage);
  ASSERT_TRUE(this->log().put_checkpoint(test_note(3, test_root(3))));
  EXPECT_EQ(this->log().checkpoint(), test_note(3, test_root(3)));
  this->reopen();
  EXPECT_EQ(this->log().checkpoint(), test_note(3, test_root(3)));
}

TYPED_TEST(EventLogContract, BlobsAreFoundByDigest) {
  const std::vector blobs{make_blob(text_bytes("one")), make_blob({}),
                          make_blob(Bytes(5'000'000, 7)), make_blob(Bytes(6'000'000, 8))};
  ASSERT_TRUE(this->log().put_blobs(blobs));
  ASSERT_TRUE(this->log().put_blobs(blobs)) << "again changes nothing";
  ASSERT_TRUE(this->log().put_blobs({}));
  for (int round = 0; round < 2; ++round) {
    for (const Blob& blob : blobs) EXPECT_EQ(this->log().get_blob(blob.digest).value(), blob.bytes);
    EXPECT_EQ(this->log().get_blob(sha256(as_bytes("two"))).error().code, Errc::not_found);
    this->reopen();
  }
  Blob wrong = make_blob(text_bytes("three"));
  wrong.bytes.push_back('!');
  EXPECT_EQ(this->log().put_blobs(std::vector{wrong}).error().code, Errc::usage);
  EXPECT_EQ(this->log().put_blobs(std::vector{make_blob(Bytes(kBlobBytesMax + 1))}).error().code,
            Errc::exhausted);
}

TYPED_TEST(EventLogContract, SnapshotsAreFoundBySequence) {
  ASSERT_TRUE(append_entries(this->log(), 10));
  ASSERT_TRUE(this->log().put_snapshot(Sequence(4), as_bytes("four")));
  ASSERT_TRUE(this->log().put_snapshot(Sequence(9), as_bytes("nine, first")));
  ASSERT_TRUE(this->log().put_snapshot(Sequence(9), as_bytes("nine")));
  ASSERT_TRUE(this->log().put_snapshot(Sequence(2), as_bytes("two")));
  EXPECT_EQ(this->log().put_snapshot(Sequence(11), as_bytes("future")).error().code, Errc::usage);
  EXPECT_EQ(this->log().put_snapshot(Sequence(0), as_bytes("nothing")).error().code, Errc::usage);
  this->reopen();
  EXPECT_EQ(this->log().snapshots(), (std::vector{Sequence(2), Sequence(4), Sequence(9)}));
  const auto at = [&](uint64_t limit) {
    const auto found = this->log().newest_snapshot(Sequence(limit)).value();
    EXPECT_TRUE(found.damaged.empty());
    return found.snapshot ? std::string(as_text(found.snapshot->bytes)) : "none";
  };
  EXPECT_EQ(at(1), "none");
  EXPECT_EQ(at(3), "two");
  EXPECT_EQ(at(4), "four");
  EXPECT_EQ(at(100), "nine");
  ASSERT_TRUE(this->log().remove_snapshot(Sequence(4)));
  ASSERT_TRUE(this->log().remove_snapshot(Sequence(5)));
  this->reopen();
  EXPECT_EQ(at(8), "two");
  EXPECT_EQ(this->log().get_snapshot(Sequence(4)).error().code, Errc::not_found);
}

// Claim: the model of a failed write is that of the real log: refused until reopened, then whole or
// absent.
TEST(MemoryEventLog, AfterAFailedWriteNothingIsTakenUntilReopened) {
  for (const bool stored : {false, true}) {
    MemoryEventLog log(test_log_id());
    ASSERT_TRUE(append_entries(log, 2));
    log.fail_next_write({Errc::exhausted, "no space left on device", {}}, stored);
    EXPECT_EQ(append_entries(log, 1).error().code, Errc::exhausted);
    EXPECT_EQ(append_entries(log, 1).error().code, Errc::unavailable);
    EXPECT_EQ(log.put_checkpoint(test_note(2, test_root(2))).error().code, Errc::unavailable);
    EXPECT_EQ(log.put_blobs(std::vector{make_blob({})}).error().code, Errc::unavailable);
    EXPECT_EQ(log.put_snapshot(Sequence(1), {}).error().code, Errc::unavailable);
    EXPECT_EQ(log.remove_snapshot(Sequence(1)).error().code, Errc::unavailable);
    EXPECT_EQ(log.head(), Sequence(2)) << "nobody knows yet";
    log.reopen();
    EXPECT_EQ(log.head(), Sequence(stored ? 3 : 2));
    EXPECT_EQ(append_entries(log, 1).value(), Sequence(stored ? 4 : 3));
  }
}

}  // namespace
}  // namespace mesh
