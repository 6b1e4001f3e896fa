// Claim: RocksEventLog behaves as MemoryEventLog, its reference model, also across reopening,
// flushes and compactions. Method: the same random operations on both, valid and not, and every
// answer compared, with its error. The write buffer is RocksDB's smallest, so that data moves
// through all its stages. MESH_SEED repeats a run.
#include <gtest/gtest.h>

#include <cstdlib>
#include <memory>
#include <random>

#include "eventstore/log/memory_event_log.h"
#include "eventstore/log/rocks_event_log.h"
#include "eventstore/log/rocks_seams.h"
#include "tests/unit/log/log_fixture.h"

namespace mesh {
namespace {

class LogModel {
 public:
  explicit LogModel(uint64_t seed) : random_(seed) {
    EXPECT_TRUE(RocksEventLog::create(path(), test_log_id()));
    reopen();
  }

  void step() {
    switch (below(16)) {
      case 0:
      case 1:
      case 2:
      case 3:
        append();
        break;
      case 4:
      case 5:
        read();
        break;
      case 6:
        look_up();
        break;
      case 7:
      case 8:
        hashes();
        break;
      case 9:
        checkpoints();
        break;
      case 10:
      case 11:
        blobs();
        break;
      case 12:
      case 13:
        snapshots();
        break;
      case 14:
        compare_all();
        break;
      default:
        reopen();
    }
  }

  void compare_all() {
    ASSERT_EQ(rocks_->head(), model_.head());
    ASSERT_EQ(rocks_->term(), model_.term());
    ASSERT_EQ(rocks_->frontier(), model_.frontier());
    ASSERT_EQ(rocks_->checkpoint(), model_.checkpoint());
    ASSERT_EQ(rocks_->snapshots(), model_.snapshots());
    ASSERT_EQ(rocks_->read(Sequence(1), ~size_t{0}, ~size_t{0}),
              model_.read(Sequence(1), ~size_t{0}, ~size_t{0}));
  }

 private:
  std::filesystem::path path() const { return dir_.path() / "log"; }
  uint64_t below(uint64_t bound) { return random_() % bound; }
  bool one_in(uint64_t chances) { return below(chances) == 0; }

  void reopen() {
    rocks_.reset();
    auto opened = RocksEventLog::open_with(path(), {nullptr, {}, 64 * 1024});
    ASSERT_TRUE(opened) << opened.error().message;
    rocks_ = std::move(*opened);
    compare_all();
  }

  Bytes bytes(size_t bound) {
    Bytes out(below(bound));
    for (uint8_t& byte : out) byte = static_cast<uint8_t>(random_());
    return out;
  }

  RequestId request() {
    if (one_in(10)) return {};
    if (one_in(200)) return test_request(below(requests_ + 1));  // perhaps one that is known
    return test_request(++requests_);
  }

  void append() {
    const size_t count = one_in(40) ? 500 + below(1'500) : below(20);
    std::vector<EncodedEntry> entries;
    std::vector<RequestId> requests;
    for (size_t i = 0; i < count; ++i) {
      entries.push_back({bytes(200), bytes(one_in(50) ? 20'000 : 300)});
      requests.push_back(request());
    }
    if (one_in(30)) requests.push_back({});
    Sequence expected = model_.head();
    if (one_in(20)) expected = Sequence(below(model_.head().value() + 2));
    const uint64_t term =
        model_.term() + (one_in(20) ? 1 : 0) - (model_.term() > 0 && one_in(20) ? 1 : 0);
    const CheckpointSigner sign = one_in(4) ? CheckpointSigner() : test_note;
    ASSERT_EQ(rocks_->append(expected, term, entries, requests, sign),
              model_.append(expected, term, entries, requests, sign));
  }

  void read() {
    const Sequence from(below(model_.head().value() + 3));
    const size_t max_bytes = below(30'000), max_entries = below(100);
    ASSERT_EQ(rocks_->read(from, max_bytes, max_entries),
              model_.read(from, max_bytes, max_entries));
  }

  void look_up() {
    for (int i = 0; i < 50; ++i) {
      const RequestId id = test_request(below(requests_ + 2));
      ASSERT_EQ(rocks_->find_request(id), model_.find_request(id));
    }
  }

  void hashes() {
    for (int i = 0; i < 10; ++i) {
      const auto level = static_cast<unsigned>(below(14));
      const uint64_t index = below((model_.head().value() >> level) + 2);
      ASSERT_EQ(rocks_->tree_hash(level, index), model_.tree_hash(level, index));
    }
    if (model_.head().value() == 0) return;
    const uint64_t size = 1 + below(model_.head().value()), index = below(size);
    const auto proof = inclusion_proof(index, size, rocks_->hash_reader()).value();
    const Digest leaf = leaf_hash(model_.read(Sequence(index + 1), 0, 1).value().front().header);
    ASSERT_TRUE(
        verify_inclusion(leaf, index, size, proof, root_at(size, model_.hash_reader()).value()));
  }

  void checkpoints() {
    const Digest root = one_in(3) ? Digest{} : model_.frontier().root();
    const std::string note = test_note(model_.head().value(), root);
    ASSERT_EQ(rocks_->put_checkpoint(note), model_.put_checkpoint(note));
  }

  void blobs() {
    std::vector<Blob> blobs;
    for (uint64_t i = below(5); i > 0; --i) {
      blobs.push_back(make_blob(bytes(3'000)));
      digests_.push_back(blobs.back().digest);
    }
    if (one_in(10) && !blobs.empty()) blobs.back().digest.bytes[0] ^= 1;
    ASSERT_EQ(rocks_->put_blobs(blobs), model_.put_blobs(blobs));
    for (int i = 0; i < 5 && !digests_.empty(); ++i) {
      const Digest digest = digests_[below(digests_.size())];
      ASSERT_EQ(rocks_->get_blob(digest).value_or(Bytes()),
                model_.get_blob(digest).value_or(Bytes()));
    }
  }

  void snapshots() {
    const Sequence sequence(below(model_.head().value() + 2));
    if (one_in(3)) {
      ASSERT_EQ(rocks_->remove_snapshot(sequence), model_.remove_snapshot(sequence));
    } else {
      const Bytes state = bytes(5'000);
      ASSERT_EQ(rocks_->put_snapshot(sequence, state), model_.put_snapshot(sequence, state));
    }
    const auto found = rocks_->newest_snapshot(sequence).value(),
               expected = model_.newest_snapshot(sequence).value();
    ASSERT_EQ(found.snapshot.has_value(), expected.snapshot.has_value());
    if (!found.snapshot) return;
    ASSERT_EQ(found.snapshot->sequence, expected.snapshot->sequence);
    ASSERT_EQ(found.snapshot->bytes, expected.snapshot->bytes);
  }

  std::mt19937_64 random_;
  TempDir dir_;
  MemoryEventLog model_{test_log_id()};
  std::unique_ptr<RocksEventLog> rocks_;
  uint64_t requests_ = 0;
  std::vector<Digest> digests_;
};

TEST(LogModel, TheDurableLogBehavesAsItsModel) {
  const char* const chosen = std::getenv("MESH_SEED");
  const uint64_t first = chosen ? std::strtoull(chosen, nullptr, 10) : 1;
  for (uint64_t seed = first; seed < first + (chosen ? 1 : 12) && !testing::Test::HasFailure();
       ++seed) {
    SCOPED_TRACE(testing::Message() << "seed " << seed);
    LogModel model(seed);
    for (int step = 0; step < 250 && !testing::Test::HasFailure(); ++step) model.step();
    model.compare_all();
  }
}

}  // namespace
}  // namespace mesh
