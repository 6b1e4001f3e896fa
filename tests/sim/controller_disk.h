// The controller's disk, and the log as one process of meshd has it open. The disk survives the
// process.
#pragma once

#include <optional>
#include <set>

#include "eventstore/log/memory_event_log.h"

namespace mesh::sim {

/// What the next writes meet.
struct WriteFault {
  enum class Kind : uint8_t {
    fails,  // the write returns io; the process lives
    dies,   // kill -9 in the middle of the write
  } kind{};
  uint64_t writes_before = 0;  // that still succeed
  bool stored = false;         // whether the write reached the disk as a whole
};

struct ControllerDisk {
  explicit ControllerDisk(const LogId& id) : log(id) {}
  MemoryEventLog log;
  bool full = false;
  std::optional<WriteFault> fault;
  std::set<Sequence> damaged;  // snapshots with a bit that flipped: their check finds it
};

/// One process's handle. After `died` every call fails and does nothing.
class DiskLog final : public EventLog {
 public:
  explicit DiskLog(ControllerDisk& disk, bool& died) : disk_(disk), died_(died) {}

  LogId id() const override { return disk_.log.id(); }
  Sequence head() const override { return disk_.log.head(); }
  uint64_t term() const override { return disk_.log.term(); }
  Result<Sequence> append(Sequence expected_head, uint64_t term,
                          std::span<const EncodedEntry> entries,
                          std::span<const RequestId> requests,
                          const CheckpointSigner& sign) override;
  Result<std::vector<EncodedEntry>> read(Sequence from, size_t max_bytes,
                                         size_t max_entries) const override {
    return disk_.log.read(from, max_bytes, max_entries);
  }
  std::optional<Sequence> find_request(const RequestId& request) const override {
    return disk_.log.find_request(request);
  }
  MerkleFrontier frontier() const override { return disk_.log.frontier(); }
  Result<Digest> tree_hash(unsigned level, uint64_t index) const override {
    return disk_.log.tree_hash(level, index);
  }
  std::string checkpoint() const override { return disk_.log.checkpoint(); }
  Status put_checkpoint(std::string_view note) override;
  Status put_blobs(std::span<const Blob> blobs) override;
  Result<Bytes> get_blob(const Digest& digest) const override { return disk_.log.get_blob(digest); }
  Status put_snapshot(Sequence sequence, ByteView bytes) override;
  Status remove_snapshot(Sequence sequence) override;
  std::vector<Sequence> snapshots() const override { return disk_.log.snapshots(); }
  Result<Bytes> get_snapshot(Sequence sequence) const override;

 private:
  /// Arms the log below with what this write shall meet. Errors: io when the process is dead.
  Status before_write();

  ControllerDisk& disk_;
  bool& died_;
};

}  // namespace mesh::sim
