// A controller owns its log; a disk outlives the controller. BorrowedLog is the one, MemoryEventLog the other.
#pragma once

#include "eventstore/log/memory_event_log.h"

namespace mesh::test {

/// Passes everything on to a log that somebody else owns, and counts the appends.
class BorrowedLog final : public EventLog {
 public:
  BorrowedLog(EventLog& log, int& appends) : log_(log), appends_(appends) {}
  LogId id() const override { return log_.id(); }
  Sequence head() const override { return log_.head(); }
  uint64_t term() const override { return log_.term(); }
  Result<Sequence> append(Sequence expected, uint64_t term, std::span<const EncodedEntry> entries,
                          std::span<const RequestId> requests, const CheckpointSigner& sign) override {
    ++appends_;
    return log_.append(expected, term, entries, requests, sign);
  }
  Result<std::vector<EncodedEntry>> read(Sequence from, size_t bytes, size_t count) const override {
    return log_.read(from, bytes, count);
  }
  std::optional<Sequence> find_request(const RequestId& id) const override { return log_.find_request(id); }
  MerkleFrontier frontier() const override { return log_.frontier(); }
  Result<Digest> tree_hash(unsigned level, uint64_t index) const override { return log_.tree_hash(level, index); }
  std::string checkpoint() const override { return log_.checkpoint(); }
  Status put_checkpoint(std::string_view note) override { return log_.put_checkpoint(note); }
  Status put_blobs(std::span<const Blob> blobs) override { return log_.put_blobs(blobs); }
  Result<Bytes> get_blob(const Digest& digest) const override { return log_.get_blob(digest); }
  Status put_snapshot(Sequence at, ByteView bytes) override { return log_.put_snapshot(at, bytes); }
  Status remove_snapshot(Sequence at) override { return log_.remove_snapshot(at); }
  std::vector<Sequence> snapshots() const override { return log_.snapshots(); }
  Result<Bytes> get_snapshot(Sequence at) const override { return log_.get_snapshot(at); }

 private:
  EventLog& log_;
  int& appends_;
};

}  // namespace mesh::test
