// Kernel settings through /proc/sys. What a setting was before we first changed it is kept in a
// file, so that leaving gives it back; the file lies on /run, and is forgotten by a reboot together
// with the settings.
#pragma once

#include <filesystem>
#include <map>
#include <string>

#include "eventstore/model/result.h"

namespace mesh {

class Sysctls {
 public:
  /// `saved`: the file of former values. `root`: /proc/sys.
  explicit Sysctls(std::filesystem::path saved, std::filesystem::path root = "/proc/sys")
      : saved_(std::move(saved)), root_(std::move(root)) {}

  /// "net.ipv4.ip_forward"; several values are joined by single spaces. Errors: not_found (this
  /// kernel has no such setting), invalid (not a name), io.
  Result<std::string> read(const std::string& name) const;
  /// Errors: as read(); unavailable (not root, or /proc/sys is read-only here), invalid (the kernel
  /// refuses the value).
  Status write(const std::string& name, const std::string& value);
  /// Gives every changed setting its former value and forgets it. Goes on after a failure and
  /// returns the first.
  Status restore();

 private:
  Result<std::filesystem::path> path_of(const std::string& name) const;
  Status put(const std::string& name, const std::string& value) const;
  Result<std::map<std::string, std::string>> load() const;
  std::filesystem::path saved_, root_;
};

}  // namespace mesh
