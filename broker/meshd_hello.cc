#include "broker/meshd_hello.h"

#include <fmt/format.h>
#include <netdb.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

namespace mesh::meshd {

namespace {

constexpr int kPauseMs = 20;  // 50 answers a second, whoever asks
constexpr int kBacklog = 64;

struct Addresses {
  addrinfo* list = nullptr;
  ~Addresses() {
    if (list) ::freeaddrinfo(list);
  }
};

/// A listening socket, or -1 with errno.
int listen_at(const addrinfo& at) {
  const int fd = ::socket(at.ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd < 0) return -1;
  const int yes = 1, no = 0;
  (void)::setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
  if (at.ai_family == AF_INET6) (void)::setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &no, sizeof no);
  if (::bind(fd, at.ai_addr, at.ai_addrlen) == 0 && ::listen(fd, kBacklog) == 0) return fd;
  const int error = errno;
  ::close(fd);
  errno = error;
  return -1;
}

}  // namespace

Result<std::unique_ptr<HelloPort>> HelloPort::open(const std::string& endpoint, std::string text) {
  MESH_ASSERT(text.size() <= kHelloBytesMax);
  constexpr std::string_view kScheme = "tcp://";
  const size_t colon = endpoint.rfind(':');
  if (!endpoint.starts_with(kScheme) || colon < kScheme.size())
    return fail(Errc::usage, fmt::format("\"{}\" is no endpoint", endpoint),
                "write tcp://ADDRESS:PORT, e.g. tcp://*:7402");
  std::string host = endpoint.substr(kScheme.size(), colon - kScheme.size());
  const std::string port = endpoint.substr(colon + 1);
  if (host.starts_with('[') && host.ends_with(']')) host = host.substr(1, host.size() - 2);
  addrinfo wanted{};
  wanted.ai_socktype = SOCK_STREAM;
  wanted.ai_flags = AI_PASSIVE;
  // Everywhere: a socket of IPv6 hears IPv4 too, and where there is no IPv6 the next try is IPv4's.
  const bool everywhere = host == "*";
  for (const int family : {everywhere ? AF_INET6 : AF_UNSPEC, AF_INET}) {
    Addresses found;
    wanted.ai_family = family;
    if (::getaddrinfo(everywhere ? nullptr : host.c_str(), port.c_str(), &wanted, &found.list) != 0) continue;
    for (const addrinfo* at = found.list; at; at = at->ai_next) {
      const int listener = listen_at(*at);
      if (listener < 0 && errno == EADDRINUSE)
        return fail(Errc::conflict, fmt::format("{} is in use", endpoint), "choose another port with --hello");
      if (listener < 0) continue;
      const int stop = ::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
      if (stop >= 0) return std::unique_ptr<HelloPort>(new HelloPort(listener, stop, std::move(text)));
      ::close(listener);
    }
  }
  return fail(Errc::io, fmt::format("cannot listen at {}: {}", endpoint, std::strerror(errno)));
}

HelloPort::HelloPort(int listener, int stop, std::string text)
    : listener_(listener), stop_(stop), text_(std::move(text)), thread_([this] { serve(); }) {}

HelloPort::~HelloPort() {
  const uint64_t one = 1;
  (void)!::write(stop_, &one, sizeof one);
  thread_.join();
  ::close(listener_);
  ::close(stop_);
}

void HelloPort::serve() const {
  pollfd watched[2] = {{stop_, POLLIN, 0}, {listener_, POLLIN, 0}};
  for (;;) {
    if (::poll(watched, 2, -1) < 0 && errno != EINTR) return;
    if (watched[0].revents != 0) return;
    const int fd = ::accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (fd >= 0) {
      (void)!::send(fd, text_.data(), text_.size(), MSG_NOSIGNAL);
      (void)::shutdown(fd, SHUT_WR);
      ::close(fd);
    }
    if (::poll(watched, 1, kPauseMs) > 0) return;
  }
}

}  // namespace mesh::meshd
