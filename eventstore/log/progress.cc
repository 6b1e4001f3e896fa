#include "eventstore/log/progress.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <system_error>

#include "eventstore/log/crc32c.h"

namespace mesh {

namespace {

constexpr const char* kName = "progress";
constexpr size_t kDigits = 20;  // of any 64-bit number

/// line = number:20 decimal digits ' ' crc32c:8 hex digits '\n'
std::string line_of(uint64_t number) {
  const std::string digits = fmt::format("{:020}", number);
  return fmt::format("{} {:08x}\n", digits, crc32c(as_bytes(digits)));
}

std::unexpected<Error> failed(std::string_view doing, const std::filesystem::path& path, int code) {
  return fail(code == ENOSPC || code == EDQUOT ? Errc::exhausted : Errc::io,
              fmt::format("{} {}: {}", doing, path.string(), std::generic_category().message(code)));
}

}  // namespace

Result<std::optional<uint64_t>> Progress::read(const std::filesystem::path& directory) {
  const auto path = directory / kName;
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0 && errno == ENOENT) return std::nullopt;
  if (fd < 0) return failed("opening", path, errno);
  char buffer[64];
  const ssize_t count = ::pread(fd, buffer, sizeof buffer, 0);
  const int code = errno;
  ::close(fd);
  if (count < 0) return failed("reading", path, code);
  const std::string_view line(buffer, static_cast<size_t>(count));
  if (std::ranges::all_of(line, [](char c) { return c == '\0'; })) return std::nullopt;
  uint64_t number = 0;
  for (const char c : line.substr(0, kDigits)) number = number * 10 + static_cast<uint64_t>(c - '0');
  if (line != line_of(number))
    return fail(Errc::corrupt, fmt::format("{} is damaged", path.string()),
                "when nothing else is: remove this file, it is made again");
  return number;
}

Status Progress::open(const std::filesystem::path& directory) {
  const auto path = directory / kName;
  fd_ = ::open(path.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
  if (fd_ < 0) return failed("opening", path, errno);
  return {};
}

void Progress::note(uint64_t number) {
  const std::string line = line_of(number);
  [[maybe_unused]] const ssize_t noted = ::pwrite(fd_, line.data(), line.size(), 0);
}

Progress::~Progress() {
  if (fd_ >= 0) ::close(fd_);
}

}  // namespace mesh
