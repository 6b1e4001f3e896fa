// Tells a write that the power cut short from one that was damaged later, before RocksDB opens it.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "eventstore/model/ids.h"
#include "eventstore/model/result.h"

namespace mesh {

/// Where a write begins that the power cut short: it was never acknowledged and may be cut off.
struct TornWrite {
  std::string file;
  uint64_t offset = 0;
};

/// Reads files of records block by block, in the format of RocksDB's write-ahead logs and manifest
/// (its wiki, "Write Ahead Log File Format"; the same as LevelDB's doc/log_format.md).
///
/// RocksDB's point-in-time recovery drops everything after the first record that does not check:
/// right after a power cut, silent loss of acknowledged entries after a flipped bit. Its stricter
/// modes refuse both, and no mode minds a flipped bit in the last record's length. We can tell them
/// apart, because each write is synced before the next one begins:
///   - only the last write can be torn: a broken record with a later write behind it was damaged;
///   - a torn write lacks its end, or whole sectors of it are still zero: a broken last record that
///     is neither was damaged.
///
/// Rejected: skipping broken records and looking for gaps, because RocksDB then skips the rest of a
/// 32 KiB block, which may be the whole log; and track_and_verify_wals_in_manifest, which in 7.8
/// takes a log that was rightly deleted for a missing one (after one I/O error in our own test).
class RecordFileScan {
 public:
  static constexpr size_t kBlockBytes = 32 * 1024;

  /// The next block of `file`: kBlockBytes, fewer only at its end. `offset`: its place in the file.
  void add_block(const std::string& file, uint64_t offset, ByteView block);

  /// The torn write, or nothing when all are whole. Errors: corrupt, naming the file and the byte.
  Result<std::optional<TornWrite>> verdict() const;

 private:
  using Place = TornWrite;
  struct Damage {
    Place record;  // the broken one
    Place write;   // that it belongs to
    bool torn = false;
  };
  void accept(uint8_t type, const Place& place);
  void note_damage(const Place& place, bool torn);

  std::optional<Place> unfinished_;  // a write whose last fragment has not come yet
  std::optional<Damage> damage_;     // the first
  bool followed_ = false;            // by another write
};

/// Scans the manifest and all write-ahead logs of a RocksDB directory. Changes nothing. Returns the
/// last write of either where it was torn. Errors: corrupt, io.
Result<std::vector<TornWrite>> check_recovery_files(const std::filesystem::path& directory);

/// Cuts a torn write off its file, durably: RocksDB refuses some of them, and a log that it leaves
/// behind would be taken for a damaged one once whole writes follow in the next. Errors: io.
Status cut_torn_write(const std::filesystem::path& directory, const TornWrite& torn);

}  // namespace mesh
