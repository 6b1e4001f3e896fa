// The local sockets of a running meshnode, in its data directory: DATA/status.sock answers whoever connects with one
// document; DATA/control.sock reads one line, the request, and answers it with one. Only root and the user that
// meshnode runs as are answered: the files are 0600, and the kernel says who connected (SO_PEERCRED).
#pragma once

#include <filesystem>
#include <functional>
#include <string>

#include "eventstore/model/result.h"

namespace mesh {

inline constexpr auto kStatusSocket = "status.sock";
inline constexpr auto kControlSocket = "control.sock";

class LocalSocket {
 public:
  /// Replaces a left-over one. Precondition: the data directory is locked. Errors: io, exhausted.
  static Result<LocalSocket> listen(const std::filesystem::path& data, const std::string& name);
  LocalSocket(LocalSocket&& other) noexcept;
  ~LocalSocket();

  int fd() const { return fd_; }
  /// Gives who is waiting one document. Blocks for 200 ms at most.
  void tell(const std::string& document) const;
  /// Reads the request of who is waiting and answers it; the request comes within 200 ms, or is not heard.
  void serve(const std::function<std::string(const std::string& request)>& answer) const;

 private:
  LocalSocket(int fd, std::filesystem::path path) : fd_(fd), path_(std::move(path)) {}
  int fd_;
  std::filesystem::path path_;
};

/// What a running meshnode answers. Errors: unavailable (none answers), timeout (none answered the request, which may
/// have been heard).
Result<std::string> ask_local(const std::filesystem::path& data, const std::string& name, const std::string& request);

/// Errors: not_permitted (neither root nor the owner of the directory), not_found.
Status check_owner(const std::filesystem::path& data, std::string_view verb);

}  // namespace mesh
