// The file `meshlog` that makes a directory a log, and the lock on it.
#pragma once

#include <filesystem>

#include "eventstore/model/ids.h"
#include "eventstore/model/result.h"

namespace mesh {

/// Line format: "meshlog log <format> <log id in hex>\n". Read before RocksDB touches anything, so
/// that another project's database is refused unchanged.
///
/// Holds an exclusive flock on the file when it was opened for writing; it ends with the object or
/// the process, also by kill -9.
class LogDirectory {
 public:
  /// Errors: conflict unless `directory` is absent or empty; io, exhausted. Makes it, mode 0700.
  static Status make_empty(const std::filesystem::path& directory);
  /// Makes the directory a log, durably, as the last step of creating it. Errors: io, exhausted.
  static Status mark(const std::filesystem::path& directory, const LogId& id);
  /// Errors: not_found, invalid, unsupported, unavailable (locked), io.
  static Result<LogDirectory> open(const std::filesystem::path& directory, bool for_writing);

  LogDirectory(LogDirectory&& other) noexcept;
  LogDirectory& operator=(LogDirectory&& other) noexcept;
  ~LogDirectory();
  const LogId& id() const { return id_; }

 private:
  LogDirectory(int fd, const LogId& id) : fd_(fd), id_(id) {}
  int fd_ = -1;
  LogId id_;
};

/// fsync of a directory: the names in it survive power loss. Errors: io.
Status sync_directory(const std::filesystem::path& directory);

}  // namespace mesh
