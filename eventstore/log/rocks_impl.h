// The inside of RocksEventLog, shared by the file that opens it and the one that reads and writes.
#pragma once

#include <deque>
#include <memory>
#include <mutex>
#include <shared_mutex>

#include "eventstore/log/log_directory.h"
#include "eventstore/log/progress.h"
#include "eventstore/log/records.h"
#include "eventstore/log/rocks_event_log.h"
#include "eventstore/log/rocks_seams.h"
#include "eventstore/log/write_checks.h"

namespace rocksdb {
class DB;
class Iterator;
class Status;
class WriteBatch;
}  // namespace rocksdb

// Invariants
//   1. A batch record covers exactly the entries that its RocksDB batch wrote. Batch records chain
//      without gaps over the request window; the newest is the head.
//   2. The root in the newest batch record is that of the stored headers; the stored checkpoint
//      agrees with the tree at its size.
//   3. Every RocksDB write is synced before the next begins (recovery_check.h stands on it).
//   4. After a failed write there is no other: `failed_` is set once and for ever.
//   5. What readers see (Visible) is on disk.
//   6. The progress file never names a write that is not on disk (progress.h).

namespace mesh {

class RocksEventLog::Impl {
 public:
  enum class Mode { writing, reading };

  /// What readers see; replaced as a whole by the writer.
  struct Visible {
    Sequence head;
    uint64_t term = 0;
    TreeTiles tree;
    RequestIndex window;
    std::string checkpoint;
    std::vector<Sequence> snapshots;
  };

  Impl(LogDirectory directory, std::filesystem::path path, const RocksSeams& seams);
  ~Impl();

  static Result<std::unique_ptr<Impl>> start(const std::filesystem::path& path,
                                             const RocksSeams& seams, Mode mode);
  static Status create(const std::filesystem::path& path, const LogId& id, const RocksSeams& seams);

  Result<Sequence> append(Sequence expected_head, uint64_t term,
                          std::span<const EncodedEntry> entries,
                          std::span<const RequestId> requests, const CheckpointSigner& sign);
  Status put_checkpoint(std::string_view note);
  Status put_blobs(std::span<const Blob> blobs);
  Status change_snapshots(Sequence sequence, std::optional<ByteView> bytes);

  Result<std::vector<EncodedEntry>> read(Sequence from, size_t max_bytes, size_t max_entries) const;
  Result<Digest> tree_hash(unsigned level, uint64_t index) const;
  /// The value without its seal, or nothing when there is no such key.
  Result<std::optional<std::string>> get_sealed(const std::string& key,
                                                std::string_view what) const;
  Result<Bytes> get_blob(const Digest& digest) const;
  Status compact(unsigned part) const;

  template <class Use>
  auto with_visible(const Use& use) const {
    const std::shared_lock lock(visible_mutex_);
    return use(visible_);
  }
  const LogId& id() const { return directory_.id(); }
  const std::filesystem::path& path() const { return path_; }
  const std::optional<Error>& damage() const { return damage_; }

 private:
  struct BatchSpan {
    Sequence first;
    Sequence last;
  };

  Status open_database(Mode mode);
  Status load();
  void load_what_is_intact(Error damage);
  Status check_progress(const std::optional<uint64_t>& noted) const;
  Status check_meta() const;
  Result<Digest> load_batches();
  Result<std::vector<records::Batch>> read_window_batches() const;
  Status check_nothing_beyond(Sequence head) const;
  Status load_tree(const Digest& expected_root);
  Status check_tail() const;
  Status load_checkpoint();
  Status load_snapshots();
  Result<EncodedEntry> entry_at(const rocksdb::Iterator& it, Sequence sequence) const;
  Result<Tile> read_tile(unsigned level, uint64_t index) const;

  void forget_old_batches(rocksdb::WriteBatch& batch, Sequence head);
  Status commit(rocksdb::WriteBatch& batch, std::string_view doing);
  void step(std::string_view name) const {
    if (seams_.at_step) seams_.at_step(name);
  }
  template <class Change>
  void publish(const Change& change) {
    {
      const std::unique_lock lock(visible_mutex_);
      change(visible_);
    }
    step("visible");
  }

  // Constant after start.
  LogDirectory directory_;  // its lock outlives the database
  std::filesystem::path path_;
  RocksSeams seams_;
  std::unique_ptr<rocksdb::DB> db_;  // provides its own synchronisation
  std::optional<Error> damage_;

  std::mutex write_mutex_;  // one write at a time; guards the next three
  std::optional<Error> failed_;
  Progress progress_;
  std::deque<BatchSpan> batches_;  // whose records are stored

  mutable std::shared_mutex
      visible_mutex_;  // guards visible_, which only the holder of write_mutex_ changes
  Visible visible_;
};

/// A RocksDB failure as one of ours, with what was being done.
Error to_error(const rocksdb::Status& status, std::string_view doing);
/// A record whose checksum or form is wrong.
Error damaged_record(std::string_view what);
/// Puts `value` under `key` behind its checksum.
void put_sealed(rocksdb::WriteBatch& batch, const std::string& key, std::string_view value);

}  // namespace mesh
