// The reference model of the port: what RocksEventLog must do, without a disk. The simulator's log.
#pragma once

#include <map>

#include "eventstore/log/event_log.h"
#include "eventstore/log/request_index.h"

namespace mesh {

/// Keeps everything in memory. Not thread-safe. The object stands for the disk: it survives the
/// simulated controller that uses it, and reopen() is what a restart does.
class MemoryEventLog final : public EventLog {
 public:
  explicit MemoryEventLog(const LogId& id) : id_(id) {}

  /// Makes the next write fail with `error`, having reached the disk (`stored`) or not. As on a
  /// real disk the writer cannot know which: head() and all reads stay as they were until reopen().
  void fail_next_write(Error error, bool stored);
  /// What closing and opening again does: shows what reached the disk, takes writes again.
  void reopen();

  LogId id() const override { return id_; }
  Sequence head() const override { return visible_.head(); }
  uint64_t term() const override { return visible_.term; }
  Result<Sequence> append(Sequence expected_head, uint64_t term,
                          std::span<const EncodedEntry> entries,
                          std::span<const RequestId> requests,
                          const CheckpointSigner& sign) override;
  Result<std::vector<EncodedEntry>> read(Sequence from, size_t max_bytes,
                                         size_t max_entries) const override;
  std::optional<Sequence> find_request(const RequestId& request) const override;
  MerkleFrontier frontier() const override { return visible_.frontier; }
  Result<Digest> tree_hash(unsigned level, uint64_t index) const override;
  std::string checkpoint() const override { return visible_.checkpoint; }
  Status put_checkpoint(std::string_view note) override;
  Status put_blobs(std::span<const Blob> blobs) override;
  Result<Bytes> get_blob(const Digest& digest) const override;
  Status put_snapshot(Sequence sequence, ByteView bytes) override;
  Status remove_snapshot(Sequence sequence) override;
  std::vector<Sequence> snapshots() const override;
  Result<Bytes> get_snapshot(Sequence sequence) const override;

 private:
  struct Contents {
    uint64_t term = 0;
    std::vector<EncodedEntry> entries;
    RequestIndex window;
    MerkleFrontier frontier;
    std::vector<std::vector<Digest>> tree;  // by level, every perfect subtree
    std::string checkpoint;
    std::map<Digest, Bytes> blobs;
    std::map<Sequence, Bytes> snapshots;
    Sequence head() const { return Sequence(entries.size()); }
  };
  struct Failure {
    Error error;
    bool stored = false;
  };

  Status write(const std::function<void(Contents&)>& change);

  LogId id_;
  Contents visible_;
  std::optional<Contents> after_reopen_;  // set when a failed write reached the disk
  std::optional<Failure> next_failure_;
  std::optional<Error> failed_;
};

}  // namespace mesh
