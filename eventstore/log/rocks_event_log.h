// The durable log: RocksDB in one directory. RocksDB itself stays in rocks_event_log.cc.
#pragma once

#include <filesystem>
#include <memory>

#include "eventstore/log/event_log.h"

namespace mesh {

struct RocksSeams;

/// A log directory holds RocksDB's files and the file `meshlog`, one line of text that names the
/// format and the log id. One process at a time has it open for writing; the others get
/// `unavailable`.
///
/// Opening checks what is bounded: the line, the write-ahead log, the head, the newest 64 entries
/// and the tree's edge against the root stored with the head. Older entries are checked whenever
/// they are read.
class RocksEventLog final : public EventLog {
 public:
  /// Makes an empty log in `directory`, which must be absent or empty.
  /// Errors: conflict (the directory holds files), exhausted, io.
  static Result<std::unique_ptr<RocksEventLog>> create(const std::filesystem::path& directory,
                                                       const LogId& id);
  /// Opens a log for reading and writing. A write that was never acknowledged may be gone, or
  /// there. Errors: not_found (no such directory), invalid (not a meshlog log), unsupported (a
  /// newer format), unavailable (open in another place), corrupt (names what is damaged or that
  /// the end is missing; nothing that can be read was changed), io.
  static Result<std::unique_ptr<RocksEventLog>> open(const std::filesystem::path& directory);
  /// Opens a log for reading only, as it is now, also while another process writes to it, and also
  /// when it is damaged: damage() then says how, and what is intact can be read. Errors: as open,
  /// without unavailable.
  static Result<std::unique_ptr<const RocksEventLog>> open_read_only(
      const std::filesystem::path& directory);
  /// open and create for tests: see rocks_seams.h.
  static Result<std::unique_ptr<RocksEventLog>> open_with(const std::filesystem::path& directory,
                                                          const RocksSeams& seams);
  static Result<std::unique_ptr<RocksEventLog>> create_with(const std::filesystem::path& directory,
                                                            const LogId& id,
                                                            const RocksSeams& seams);
  ~RocksEventLog() override;

  /// What a read-only open found damaged; while it is set, frontier() is empty.
  const std::optional<Error>& damage() const;
  /// Bytes on disk, for status reports.
  uint64_t disk_bytes() const;
  /// Rewrites one part of the store (0 to kCompactParts - 1), so that what was replaced or removed
  /// no longer takes space. Any thread, beside reads and writes; blocks for as long as it takes. Ends
  /// harmlessly wherever it is interrupted. Errors: io, exhausted, corrupt.
  Status compact(unsigned part) const;
  static constexpr unsigned kCompactParts = 58;

  LogId id() const override;
  Sequence head() const override;
  uint64_t term() const override;
  Result<Sequence> append(Sequence expected_head, uint64_t term,
                          std::span<const EncodedEntry> entries,
                          std::span<const RequestId> requests,
                          const CheckpointSigner& sign) override;
  Result<std::vector<EncodedEntry>> read(Sequence from, size_t max_bytes,
                                         size_t max_entries) const override;
  std::optional<Sequence> find_request(const RequestId& request) const override;
  MerkleFrontier frontier() const override;
  Result<Digest> tree_hash(unsigned level, uint64_t index) const override;
  std::string checkpoint() const override;
  Status put_checkpoint(std::string_view note) override;
  Status put_blobs(std::span<const Blob> blobs) override;
  Result<Bytes> get_blob(const Digest& digest) const override;
  Status put_snapshot(Sequence sequence, ByteView bytes) override;
  Status remove_snapshot(Sequence sequence) override;
  std::vector<Sequence> snapshots() const override;
  Result<Bytes> get_snapshot(Sequence sequence) const override;

 private:
  class Impl;
  explicit RocksEventLog(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace mesh
