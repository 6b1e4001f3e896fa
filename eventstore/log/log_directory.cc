#include "eventstore/log/log_directory.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <system_error>
#include <utility>

#include "eventstore/log/records.h"

namespace mesh {

namespace fs = std::filesystem;

namespace {

constexpr const char* kMarkName = "meshlog";
constexpr std::string_view kMarkPrefix = "meshlog log ";

std::unexpected<Error> system_failure(std::string_view doing, const fs::path& path, int code) {
  const bool full = code == ENOSPC || code == EDQUOT;
  return fail(full ? Errc::exhausted : Errc::io,
              fmt::format("{} {}: {}", doing, path.string(), std::generic_category().message(code)),
              full ? "free some space" : "");
}

std::unexpected<Error> not_a_log(const fs::path& directory) {
  return fail(Errc::invalid, fmt::format("{} is not a meshlog log", directory.string()),
              "name the data directory that was made with init");
}

Result<std::string> read_mark(int fd, const fs::path& path) {
  char buffer[128];
  const ssize_t count = ::pread(fd, buffer, sizeof buffer, 0);
  if (count < 0) return system_failure("reading", path, errno);
  return std::string(buffer, static_cast<size_t>(count));
}

Result<LogId> parse_mark(std::string_view mark, const fs::path& directory) {
  if (!mark.starts_with(kMarkPrefix) || !mark.ends_with('\n')) return not_a_log(directory);
  mark.remove_prefix(kMarkPrefix.size());
  mark.remove_suffix(1);
  uint32_t format = 0;
  const auto [end, error] = std::from_chars(mark.data(), mark.data() + mark.size(), format);
  if (error != std::errc()) return not_a_log(directory);
  if (format > records::kFormat)
    return fail(Errc::unsupported,
                fmt::format("{} is a log of format {}, this program knows up to {}",
                            directory.string(), format, records::kFormat),
                "upgrade this program");
  mark.remove_prefix(static_cast<size_t>(end - mark.data()));
  const auto id = mark.starts_with(' ') ? array_from_hex<LogId>(mark.substr(1)) : std::nullopt;
  if (format != records::kFormat || !id) return not_a_log(directory);
  return *id;
}

Status write_and_sync(int fd, std::string_view text, const fs::path& path) {
  if (::write(fd, text.data(), text.size()) != static_cast<ssize_t>(text.size()) ||
      ::fsync(fd) != 0)
    return system_failure("writing", path, errno);
  return {};
}

}  // namespace

Status sync_directory(const fs::path& directory) {
  const int fd = ::open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) return system_failure("opening", directory, errno);
  const bool synced = ::fsync(fd) == 0;
  const int code = errno;
  ::close(fd);
  if (!synced) return system_failure("syncing", directory, code);
  return {};
}

Status LogDirectory::make_empty(const fs::path& directory) {
  if (::mkdir(directory.c_str(), 0700) == 0)
    return sync_directory(fs::absolute(directory).parent_path());
  if (errno != EEXIST) return system_failure("making", directory, errno);
  std::error_code error;
  const bool empty = fs::is_empty(directory, error);
  if (error) return system_failure("reading", directory, error.value());
  if (!empty)
    return fail(Errc::conflict, fmt::format("{} holds files already", directory.string()),
                "choose an absent or empty directory");
  return {};
}

Status LogDirectory::mark(const fs::path& directory, const LogId& id) {
  const fs::path path = directory / kMarkName;
  const fs::path temporary = directory / "meshlog.new";
  const int fd = ::open(temporary.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
  if (fd < 0) return system_failure("making", temporary, errno);
  const Status written = write_and_sync(
      fd, fmt::format("{}{} {}\n", kMarkPrefix, records::kFormat, to_hex(id.view())), temporary);
  ::close(fd);
  MESH_TRY(written);
  if (::rename(temporary.c_str(), path.c_str()) != 0)
    return system_failure("renaming", temporary, errno);
  return sync_directory(directory);
}

Result<LogDirectory> LogDirectory::open(const fs::path& directory, bool for_writing) {
  std::error_code error;
  if (!fs::exists(directory, error))
    return fail(Errc::not_found, fmt::format("{} does not exist", directory.string()),
                "name the data directory that was made with init");
  const fs::path path = directory / kMarkName;
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0 && (errno == ENOENT || errno == ENOTDIR)) return not_a_log(directory);
  if (fd < 0) return system_failure("opening", path, errno);
  LogDirectory out(fd, LogId{});
  auto mark = read_mark(fd, path);
  if (!mark) return std::unexpected(std::move(mark).error());
  auto id = parse_mark(*mark, directory);
  if (!id) return std::unexpected(std::move(id).error());
  out.id_ = *id;
  if (for_writing && ::flock(fd, LOCK_EX | LOCK_NB) != 0) {
    if (errno != EWOULDBLOCK) return system_failure("locking", path, errno);
    return fail(Errc::unavailable, fmt::format("{} is open in another process", directory.string()),
                "stop the other one first");
  }
  return out;
}

LogDirectory::LogDirectory(LogDirectory&& other) noexcept
    : fd_(std::exchange(other.fd_, -1)), id_(other.id_) {}

LogDirectory& LogDirectory::operator=(LogDirectory&& other) noexcept {
  std::swap(fd_, other.fd_);
  id_ = other.id_;
  return *this;
}

LogDirectory::~LogDirectory() {
  if (fd_ >= 0) ::close(fd_);
}

}  // namespace mesh
