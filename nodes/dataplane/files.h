// Small files, written so that a crash leaves the old or the new one, and never a half.
#pragma once

#include <sys/types.h>

#include <filesystem>
#include <string>
#include <string_view>

#include "eventstore/model/result.h"

namespace mesh {

/// An owned file descriptor.
class Fd {
 public:
  Fd() = default;
  explicit Fd(int fd) : fd_(fd) {}
  ~Fd() { reset(); }
  Fd(Fd&& other) noexcept : fd_(other.release()) {}
  Fd& operator=(Fd&& other) noexcept {
    if (this != &other) reset(other.release());
    return *this;
  }
  int get() const { return fd_; }
  explicit operator bool() const { return fd_ >= 0; }
  int release() {
    int fd = fd_;
    fd_ = -1;
    return fd;
  }
  void reset(int fd = -1);

 private:
  int fd_ = -1;
};

/// "opening /x: permission denied" from errno, as Errc::io (ENOSPC: exhausted, EPERM and EACCES:
/// unavailable).
std::unexpected<Error> fail_errno(std::string_view doing, int error);

/// Temporary in the same directory, sync, rename, sync of the directory.
Status write_file(const std::filesystem::path& path, std::string_view bytes, mode_t mode);
/// At most `limit` bytes, else exhausted. Errors: not_found, io.
Result<std::string> read_file(const std::filesystem::path& path, size_t limit = 16 * 1024 * 1024);

}  // namespace mesh
