#include "nodes/meshnode_socket.h"

#include <fcntl.h>
#include <fmt/core.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <utility>

#include "eventstore/model/result.h"
#include "nodes/dataplane/files.h"

namespace mesh {

namespace fs = std::filesystem;

namespace {

constexpr size_t kDocumentMax = 16 * 1024 * 1024;
constexpr size_t kRequestMax = 16 * 1024;
constexpr int kRequestMs = 200;

/// An address of any length: a socket's path may have 107 bytes only, so it is named through its directory.
class SocketAddress {
 public:
  SocketAddress(const fs::path& data, const std::string& name)
      : directory_(::open(data.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC)) {
    address_.sun_family = AF_UNIX;
    const auto path = fmt::format("/proc/self/fd/{}/{}", directory_.get(), name);
    MESH_ASSERT(path.size() < sizeof address_.sun_path);
    std::memcpy(address_.sun_path, path.c_str(), path.size() + 1);
  }
  const sockaddr* get() const { return reinterpret_cast<const sockaddr*>(&address_); }
  static socklen_t size() { return sizeof(sockaddr_un); }

 private:
  Fd directory_;
  sockaddr_un address_{};
};

void send_all(int fd, std::string_view rest) {
  while (!rest.empty()) {
    const auto n = ::send(fd, rest.data(), rest.size(), MSG_NOSIGNAL);
    if (n <= 0) break;
    rest.remove_prefix(static_cast<size_t>(n));
  }
}

/// One line, without its end; empty when it did not come whole in time: the program waits for nobody's next letter.
std::string read_request(int fd) {
  using Clock = std::chrono::steady_clock;
  const auto until = Clock::now() + std::chrono::milliseconds(kRequestMs);
  const auto left_ms = [&] {
    return static_cast<int>(std::chrono::ceil<std::chrono::milliseconds>(until - Clock::now()).count());
  };
  std::string request;
  char buffer[1024];
  pollfd item{fd, POLLIN, 0};
  while (request.size() < kRequestMax && !request.ends_with('\n') &&
         ::poll(&item, 1, std::max(0, left_ms())) == 1) {
    const auto n = ::recv(fd, buffer, sizeof buffer, 0);
    if (n <= 0) break;
    request.append(buffer, static_cast<size_t>(n));
  }
  if (!request.ends_with('\n')) return {};
  request.pop_back();
  return request;
}

/// The next one that waits; nobody when there is none, or it may not ask.
Fd accept_ours(int listener) {
  Fd fd(::accept4(listener, nullptr, nullptr, SOCK_CLOEXEC));
  if (!fd) return fd;
  ucred peer{};
  socklen_t size = sizeof peer;
  const bool known = ::getsockopt(fd.get(), SOL_SOCKET, SO_PEERCRED, &peer, &size) == 0;
  if (!known || (peer.uid != 0 && peer.uid != ::geteuid())) return Fd();
  const timeval patience{0, kRequestMs * 1000};
  ::setsockopt(fd.get(), SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
  return fd;
}

}  // namespace

Result<LocalSocket> LocalSocket::listen(const fs::path& data, const std::string& name) {
  const SocketAddress address(data, name);
  const auto path = data / name;
  const int fd = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd < 0) return fail(Errc::io, fmt::format("cannot make a socket: {}", std::strerror(errno)));
  LocalSocket socket(fd, path);
  ::unlink(path.c_str());
  if (::bind(fd, address.get(), SocketAddress::size()) != 0 || ::chmod(path.c_str(), 0600) != 0 ||
      ::listen(fd, 16) != 0) {
    return fail(errno == ENOSPC ? Errc::exhausted : Errc::io,
                fmt::format("cannot listen on {}: {}", path.string(), std::strerror(errno)));
  }
  return socket;
}

LocalSocket::LocalSocket(LocalSocket&& other) noexcept
    : fd_(std::exchange(other.fd_, -1)), path_(std::move(other.path_)) {}

LocalSocket::~LocalSocket() {
  if (fd_ < 0) return;
  ::close(fd_);
  ::unlink(path_.c_str());
}

void LocalSocket::tell(const std::string& document) const {
  const Fd peer = accept_ours(fd_);
  if (peer) send_all(peer.get(), document);
}

void LocalSocket::serve(const std::function<std::string(const std::string& request)>& answer) const {
  const Fd peer = accept_ours(fd_);
  if (!peer) return;
  const auto request = read_request(peer.get());
  if (!request.empty()) send_all(peer.get(), answer(request));
}

Result<std::string> ask_local(const fs::path& data, const std::string& name, const std::string& request) {
  const SocketAddress address(data, name);
  const Fd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  const auto nobody = [] { return fail(Errc::unavailable, "no meshnode answers"); };
  if (!fd) return nobody();
  const timeval patience{60, 0};  // an apply, there and back
  ::setsockopt(fd.get(), SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
  if (::connect(fd.get(), address.get(), SocketAddress::size()) != 0) return nobody();
  if (!request.empty()) send_all(fd.get(), request + "\n");
  std::string document;
  char buffer[65536];
  ssize_t n = 0;
  while (document.size() < kDocumentMax && (n = ::read(fd.get(), buffer, sizeof buffer)) > 0) {
    document.append(buffer, static_cast<size_t>(n));
  }
  if (n == 0 && !document.empty()) return document;
  if (request.empty()) return nobody();
  // It may have been heard: who asks again may have it done twice.
  return fail(Errc::timeout, fmt::format("the running meshnode was asked for {} and gave no answer", request),
              "look at meshnode history whether it was done");
}

Status check_owner(const fs::path& data, std::string_view verb) {
  struct stat info {};
  if (::stat(data.c_str(), &info) != 0) {
    const bool hidden = errno == EACCES || errno == EPERM;
    return fail(hidden ? Errc::not_permitted : Errc::not_found,
                fmt::format("cannot look at {}: {}", data.string(), std::strerror(errno)),
                hidden ? "run as root" : "name the node's directory with --data");
  }
  if (::geteuid() == 0 || ::geteuid() == info.st_uid) return {};
  return fail(Errc::not_permitted,
              fmt::format("meshnode {} is for root, or for the owner of {} (uid {})", verb, data.string(),
                          info.st_uid),
              "run as root");
}

}  // namespace mesh
