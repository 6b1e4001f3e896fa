#include "nodes/files.h"

#include <fcntl.h>
#include <fmt/core.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <system_error>

namespace mesh {

namespace {

std::unexpected<Error> fail_with(int error, std::string_view doing, const std::string& path) {
  const auto message = fmt::format("{} {}: {}", doing, path, std::strerror(error));
  switch (error) {
    case ENOENT:
    case ENOTDIR:
      return fail(Errc::not_found, message);
    case ENOSPC:
    case EDQUOT:
      return fail(Errc::exhausted, message, "free some space; nothing was lost, and it goes on by itself");
    case EACCES:
    case EPERM:
    case EROFS:
      return fail(Errc::not_permitted, message);
    default:
      return fail(Errc::io, message);
  }
}

class Descriptor {
 public:
  explicit Descriptor(int fd) : fd_(fd) {}
  ~Descriptor() {
    if (fd_ >= 0) ::close(fd_);
  }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  int get() const { return fd_; }
  explicit operator bool() const { return fd_ >= 0; }

 private:
  int fd_;
};

std::string parent_of(const std::string& path) {
  const auto slash = path.rfind('/');
  return slash == std::string::npos ? "." : path.substr(0, slash);
}

}  // namespace

Result<Bytes> PosixFiles::read(const std::string& path) {
  const auto full = at(path);
  Descriptor file(::open(full.c_str(), O_RDONLY | O_CLOEXEC));
  if (!file) return fail_with(errno, "opening", full);
  struct stat info {};
  if (::fstat(file.get(), &info) != 0) return fail_with(errno, "reading", full);
  if (!S_ISREG(info.st_mode)) return fail(Errc::io, fmt::format("reading {}: not a file", full));
  Bytes bytes(static_cast<size_t>(info.st_size));
  size_t done = 0;
  while (done < bytes.size()) {
    const auto n = ::read(file.get(), bytes.data() + done, bytes.size() - done);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return fail_with(errno, "reading", full);
    if (n == 0) break;
    done += static_cast<size_t>(n);
  }
  bytes.resize(done);
  return bytes;
}

Status PosixFiles::put(const std::string& path, ByteView bytes, int flags, uint32_t mode) {
  const auto full = at(path);
  Descriptor file(::open(full.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC | flags, static_cast<mode_t>(mode)));
  if (!file) return fail_with(errno, "opening", full);
  if ((flags & O_TRUNC) != 0 && ::fchmod(file.get(), static_cast<mode_t>(mode)) != 0)
    return fail_with(errno, "setting the mode of", full);
  while (!bytes.empty()) {
    const auto n = ::write(file.get(), bytes.data(), bytes.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return fail_with(errno, "writing", full);
    bytes = bytes.subspan(static_cast<size_t>(n));
  }
  if (::fdatasync(file.get()) != 0) return fail_with(errno, "syncing", full);
  return {};
}

Status PosixFiles::write(const std::string& path, ByteView bytes, uint32_t mode) {
  return put(path, bytes, O_TRUNC, mode);
}

Status PosixFiles::append(const std::string& path, ByteView bytes) { return put(path, bytes, O_APPEND, 0600); }

Status PosixFiles::truncate(const std::string& path, uint64_t size) {
  const auto full = at(path);
  Descriptor file(::open(full.c_str(), O_WRONLY | O_CLOEXEC));
  if (!file) return fail_with(errno, "opening", full);
  if (::ftruncate(file.get(), static_cast<off_t>(size)) != 0) return fail_with(errno, "truncating", full);
  if (::fdatasync(file.get()) != 0) return fail_with(errno, "syncing", full);
  return {};
}

Status PosixFiles::rename(const std::string& from, const std::string& to) {
  if (::rename(at(from).c_str(), at(to).c_str()) != 0) return fail_with(errno, "renaming to", at(to));
  return {};
}

Status PosixFiles::symlink(const std::string& target, const std::string& path) {
  if (::symlink(target.c_str(), at(path).c_str()) != 0) return fail_with(errno, "linking", at(path));
  return {};
}

Result<std::string> PosixFiles::read_link(const std::string& path) {
  std::error_code error;
  auto target = std::filesystem::read_symlink(at(path), error);
  if (error) return fail_with(error.value(), "reading the link", at(path));
  return target.string();
}

Status PosixFiles::make_dir(const std::string& path) {
  if (::mkdir(at(path).c_str(), 0700) != 0 && errno != EEXIST) return fail_with(errno, "making", at(path));
  return {};
}

Result<std::vector<std::string>> PosixFiles::list(const std::string& path) {
  std::error_code error;
  std::vector<std::string> names;
  auto each = std::filesystem::directory_iterator(at(path), error);
  for (; !error && each != std::filesystem::directory_iterator(); each.increment(error)) {
    names.push_back(each->path().filename().string());
  }
  if (error) return fail_with(error.value(), "listing", at(path));
  std::ranges::sort(names);
  return names;
}

Status PosixFiles::remove(const std::string& path) {
  std::error_code error;
  std::filesystem::remove_all(at(path), error);
  if (error) return fail_with(error.value(), "removing", at(path));
  return {};
}

Status PosixFiles::sync_dir(const std::string& path) {
  const auto full = at(path);
  Descriptor dir(::open(full.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!dir) return fail_with(errno, "opening", full);
  if (::fsync(dir.get()) != 0) return fail_with(errno, "syncing", full);
  return {};
}

Status write_atomic(Files& files, const std::string& path, ByteView bytes, uint32_t mode) {
  const auto temporary = path + ".tmp";
  if (auto written = files.write(temporary, bytes, mode); !written) {
    (void)files.remove(temporary);  // the first error is the one to tell
    return written;
  }
  MESH_TRY(files.rename(temporary, path));
  return files.sync_dir(parent_of(path));
}

Status link_atomic(Files& files, const std::string& target, const std::string& path) {
  const auto temporary = path + ".tmp";
  MESH_TRY(files.remove(temporary));
  MESH_TRY(files.symlink(target, temporary));
  MESH_TRY(files.rename(temporary, path));
  return files.sync_dir(parent_of(path));
}

}  // namespace mesh
