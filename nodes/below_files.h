// BelowFiles: a directory of another Files as a Files of its own.
#pragma once

#include <string>
#include <utility>

#include "nodes/files.h"

namespace mesh {

class BelowFiles : public Files {
 public:
  /// Borrows `files`.
  BelowFiles(Files& files, std::string directory) : files_(files), directory_(std::move(directory)) {}

  Result<Bytes> read(const std::string& path) override { return files_.read(at(path)); }
  Status write(const std::string& path, ByteView bytes, uint32_t mode) override {
    return files_.write(at(path), bytes, mode);
  }
  Status append(const std::string& path, ByteView bytes) override { return files_.append(at(path), bytes); }
  Status truncate(const std::string& path, uint64_t size) override { return files_.truncate(at(path), size); }
  Status rename(const std::string& from, const std::string& to) override { return files_.rename(at(from), at(to)); }
  Status symlink(const std::string& target, const std::string& path) override {
    return files_.symlink(target, at(path));
  }
  Result<std::string> read_link(const std::string& path) override { return files_.read_link(at(path)); }
  Status make_dir(const std::string& path) override { return files_.make_dir(at(path)); }
  Result<std::vector<std::string>> list(const std::string& path) override { return files_.list(at(path)); }
  Status remove(const std::string& path) override { return files_.remove(at(path)); }
  Status sync_dir(const std::string& path) override { return files_.sync_dir(at(path)); }

 private:
  std::string at(const std::string& path) const { return path == "." ? directory_ : directory_ + "/" + path; }
  Files& files_;
  std::string directory_;
};

}  // namespace mesh
