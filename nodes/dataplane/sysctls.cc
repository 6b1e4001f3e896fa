#include "nodes/dataplane/sysctls.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "nodes/dataplane/files.h"

namespace mesh {
namespace {

/// One line, inner white space as single spaces.
std::string normalise(std::string_view text) {
  std::string out;
  bool gap = false;
  for (char c : text) {
    if (c == ' ' || c == '\t' || c == '\n') {
      gap = !out.empty();
      continue;
    }
    if (gap) out += ' ';
    gap = false;
    out += c;
  }
  return out;
}

}  // namespace

Result<std::filesystem::path> Sysctls::path_of(const std::string& name) const {
  // The names come from a signed configuration, but a dot too many must not lead out of /proc/sys.
  auto good = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
           c == '-' || c == '.';
  };
  if (name.empty() || !std::ranges::all_of(name, good) || name.contains("..") ||
      name.front() == '.' || name.back() == '.')
    return fail(Errc::invalid, fmt::format("\"{}\" is not the name of a sysctl", name));
  std::string path = name;
  std::ranges::replace(path, '.', '/');
  return root_ / path;
}

Result<std::string> Sysctls::read(const std::string& name) const {
  auto path = path_of(name);
  if (!path) return std::unexpected(path.error());
  auto text = read_file(*path);
  if (!text) return fail_in("sysctl " + name, text.error());
  return normalise(*text);
}

Status Sysctls::write(const std::string& name, const std::string& value) {
  auto before = read(name);
  if (!before) return std::unexpected(before.error());
  if (*before == normalise(value)) return {};
  auto saved = load();
  if (!saved) return std::unexpected(saved.error());
  if (saved->emplace(name, *before).second) {
    std::string text;
    for (const auto& [key, former] : *saved) text += fmt::format("{} = {}\n", key, former);
    MESH_TRY(write_file(saved_, text, 0644));
  }
  return put(name, value);
}

Status Sysctls::put(const std::string& name, const std::string& value) const {
  auto path = path_of(name);
  if (!path) return std::unexpected(path.error());
  Fd fd(::open(path->c_str(), O_WRONLY | O_CLOEXEC));
  if (fd && ::write(fd.get(), value.data(), value.size()) == static_cast<ssize_t>(value.size()))
    return {};
  if (errno == EINVAL)
    return fail(Errc::invalid, fmt::format("the kernel refuses \"{}\" for sysctl {}", value, name));
  if (errno == EROFS)
    return fail(Errc::unavailable, fmt::format("sysctl {} is read-only here", name),
                "set it where this container is started");
  return fail_errno("setting sysctl " + name, errno);
}

Result<std::map<std::string, std::string>> Sysctls::load() const {
  std::map<std::string, std::string> out;
  auto text = read_file(saved_);
  if (!text && text.error().code == Errc::not_found) return out;
  if (!text) return std::unexpected(text.error());
  for (std::string_view left = *text; !left.empty();) {
    std::string_view line = left.substr(0, left.find('\n'));
    left.remove_prefix(std::min(line.size() + 1, left.size()));
    if (size_t middle = line.find(" = "); middle != std::string_view::npos)
      out.emplace(line.substr(0, middle), line.substr(middle + 3));
  }
  return out;
}

Status Sysctls::restore() {
  auto saved = load();
  if (!saved) return std::unexpected(saved.error());
  Status first;
  for (const auto& [name, value] : *saved)
    if (auto done = put(name, value); !done && first) first = done;
  std::error_code error;
  if (first) std::filesystem::remove(saved_, error);
  return first;
}

}  // namespace mesh
