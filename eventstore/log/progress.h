// How far the log was written, noted beside RocksDB's files: a lower bound that shows a lost end.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>

#include "eventstore/model/result.h"

namespace mesh {

/// The file `progress` of a log directory: the number of RocksDB's newest acknowledged write and its
/// checksum, one line. A write-ahead log that was cut at the end of a record, or deleted, looks like a
/// shorter log in itself; with this file it is damage.
///
/// The line is overwritten in place after each synced write, and not synced: that would double the
/// time of a write. So it never says more than is on the disk; after kill -9 it says all, after a
/// power cut what the system had written back, usually all but the last seconds. An absent or empty
/// file (an older log, a power cut right after it was made) says nothing. Not thread-safe.
class Progress {
 public:
  /// Nothing when the file is absent or empty. Errors: corrupt (the checksum is wrong), io.
  static Result<std::optional<uint64_t>> read(const std::filesystem::path& directory);

  Progress() = default;
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;
  ~Progress();

  /// Makes the file when it is absent; until then nothing is noted. Errors: io, exhausted.
  Status open(const std::filesystem::path& directory);
  /// Notes that write `number` is on the disk, in about a microsecond. That it could not be noted only
  /// weakens a later check, so it is no error.
  void note(uint64_t number);

 private:
  int fd_ = -1;
};

}  // namespace mesh
