#include "nodes/dataplane/files.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

namespace mesh {

void Fd::reset(int fd) {
  if (fd_ >= 0) ::close(fd_);
  fd_ = fd;
}

std::unexpected<Error> fail_errno(std::string_view doing, int error) {
  Errc code = Errc::io;
  std::string fix;
  if (error == ENOSPC || error == EDQUOT) code = Errc::exhausted, fix = "free some disk space";
  if (error == EPERM || error == EACCES) code = Errc::unavailable, fix = "run as root";
  return fail(code, fmt::format("{}: {}", doing, std::strerror(error)), std::move(fix));
}

namespace {

Status write_all(int fd, std::string_view bytes) {
  while (!bytes.empty()) {
    ssize_t n = ::write(fd, bytes.data(), bytes.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return fail_errno("writing", errno);
    bytes.remove_prefix(static_cast<size_t>(n));
  }
  return {};
}

Status sync_directory(const std::filesystem::path& directory) {
  Fd fd(::open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!fd || ::fsync(fd.get()) != 0) return fail_errno("syncing " + directory.string(), errno);
  return {};
}

Status write_temporary(const std::filesystem::path& path, std::string_view bytes, mode_t mode) {
  Fd fd(::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, mode));
  if (!fd) return fail_errno("creating " + path.string(), errno);
  if (::fchmod(fd.get(), mode) != 0)
    return fail_errno("setting the mode of " + path.string(), errno);
  if (auto written = write_all(fd.get(), bytes); !written)
    return fail_in(path.string(), written.error());
  if (::fsync(fd.get()) != 0) return fail_errno("syncing " + path.string(), errno);
  return {};
}

}  // namespace

Status write_file(const std::filesystem::path& path, std::string_view bytes, mode_t mode) {
  std::filesystem::path temporary = path;
  temporary += ".tmp";
  Status done = write_temporary(temporary, bytes, mode);
  if (done && ::rename(temporary.c_str(), path.c_str()) != 0)
    done = fail_errno("renaming " + temporary.string(), errno);
  if (!done) {
    ::unlink(temporary.c_str());
    return done;
  }
  return sync_directory(path.has_parent_path() ? path.parent_path() : ".");
}

Result<std::string> read_file(const std::filesystem::path& path, size_t limit) {
  Fd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd && errno == ENOENT) return fail(Errc::not_found, path.string() + " does not exist");
  if (!fd) return fail_errno("opening " + path.string(), errno);
  std::string out;
  char chunk[16 * 1024];
  for (;;) {
    ssize_t n = ::read(fd.get(), chunk, sizeof chunk);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return fail_errno("reading " + path.string(), errno);
    if (n == 0) return out;
    out.append(chunk, static_cast<size_t>(n));
    if (out.size() > limit)
      return fail(Errc::exhausted, fmt::format("{} exceeds {} bytes", path.string(), limit));
  }
}

}  // namespace mesh
