// Tells a write that the power cut short from a write that was damaged later, before RocksDB opens
// its files.
#pragma once

#include <filesystem>
#include <optional>
#include <string>

#include "eventstore/model/ids.h"
#include "eventstore/model/result.h"

namespace mesh {

/// Reads the write-ahead logs of a stream of files, block by block, in RocksDB's format (its wiki,
/// "Write Ahead Log File Format"; the same as LevelDB's doc/log_format.md).
///
/// RocksDB's point-in-time recovery drops everything after the first record that does not check:
/// right after a power cut, silent loss of acknowledged entries after a flipped bit. Its stricter
/// modes refuse both. We can tell them apart, because each write is synced before the next one
/// begins:
///   - only the last write can be torn, so a broken record with a later write behind it was
///   damaged;
///   - a torn write lacks its end, or whole sectors of it are still zero; a broken last record that
///   is
///     neither was damaged.
/// Rejected: skipping broken records and looking for gaps, because RocksDB then skips the rest of a
/// 32 KiB block, which may be the whole log.
class WalScan {
 public:
  static constexpr size_t kBlockBytes = 32 * 1024;

  /// The next block of `file`: kBlockBytes, fewer only at its end. `offset`: the block's place in
  /// it.
  void add_block(const std::string& file, uint64_t offset, ByteView block);

  /// Success when all writes are whole, or all but the last, which was torn and was never
  /// acknowledged. Errors: corrupt, naming the file and the byte.
  Status verdict() const;

 private:
  struct Place {
    std::string file;
    uint64_t offset = 0;
  };
  struct Damage {
    Place place;
    bool torn = false;
  };
  void accept(uint8_t type, const Place& place);
  void note_damage(const Place& place, bool torn);

  std::optional<Place> unfinished_;  // a write whose last fragment has not come yet
  std::optional<Damage> damage_;     // the first
  bool followed_ = false;            // by another write
};

/// Scans all write-ahead logs of a RocksDB directory, oldest first. Changes nothing. Errors:
/// corrupt, io.
Status check_write_ahead_logs(const std::filesystem::path& directory);

}  // namespace mesh
