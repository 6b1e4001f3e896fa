// Files: the port through which ReplicaStore reaches a disk. PosixFiles is a disk; MemoryFiles (memory_files.h) is the
// simulator's and the fault tests'.
//
// Every call that writes bytes has synced them when it returns; names (create, rename, symlink, remove) are durable
// only after sync_dir() of their directory. Paths are relative to the root that the implementation was opened with.
// Errors: not_found, exhausted (disk full or over quota), not_permitted, io. Thread: one at a time.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "eventstore/model/ids.h"
#include "eventstore/model/result.h"

namespace mesh {

class Files {
 public:
  virtual ~Files() = default;

  virtual Result<Bytes> read(const std::string& path) = 0;
  /// The file is new or emptied first, and has that mode whatever the umask. After an error it may hold a part.
  virtual Status write(const std::string& path, ByteView bytes, uint32_t mode) = 0;
  /// Makes the file when missing. After an error a part of `bytes` may be there.
  virtual Status append(const std::string& path, ByteView bytes) = 0;
  virtual Status truncate(const std::string& path, uint64_t size) = 0;
  /// Replaces a file or symbolic link; a directory must not be there.
  virtual Status rename(const std::string& from, const std::string& to) = 0;
  virtual Status symlink(const std::string& target, const std::string& path) = 0;
  virtual Result<std::string> read_link(const std::string& path) = 0;
  /// Existing = success.
  virtual Status make_dir(const std::string& path) = 0;
  /// Names in a directory, ascending.
  virtual Result<std::vector<std::string>> list(const std::string& path) = 0;
  /// A file, a symbolic link, or a directory with all that is in it. Missing = success.
  virtual Status remove(const std::string& path) = 0;
  /// "." is the root.
  virtual Status sync_dir(const std::string& path) = 0;
};

/// A directory on a real disk.
class PosixFiles : public Files {
 public:
  explicit PosixFiles(std::filesystem::path root) : root_(std::move(root)) {}

  Result<Bytes> read(const std::string& path) override;
  Status write(const std::string& path, ByteView bytes, uint32_t mode) override;
  Status append(const std::string& path, ByteView bytes) override;
  Status truncate(const std::string& path, uint64_t size) override;
  Status rename(const std::string& from, const std::string& to) override;
  Status symlink(const std::string& target, const std::string& path) override;
  Result<std::string> read_link(const std::string& path) override;
  Status make_dir(const std::string& path) override;
  Result<std::vector<std::string>> list(const std::string& path) override;
  Status remove(const std::string& path) override;
  Status sync_dir(const std::string& path) override;

 private:
  std::string at(const std::string& path) const { return root_ / path; }
  Status put(const std::string& path, ByteView bytes, int flags, uint32_t mode);
  std::filesystem::path root_;
};

/// Temporary, synced, renamed, directory synced: after a crash the old or the new, never a half.
Status write_atomic(Files& files, const std::string& path, ByteView bytes, uint32_t mode = 0600);
/// The same for a symbolic link.
Status link_atomic(Files& files, const std::string& target, const std::string& path);

}  // namespace mesh
