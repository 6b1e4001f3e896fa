#include "nodes/dataplane/udp_ports.h"

#include <arpa/inet.h>
#include <fmt/format.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <filesystem>
#include <set>
#include <sstream>
#include <thread>

#include "nodes/dataplane/files.h"

namespace mesh {
namespace {

using namespace std::chrono_literals;
constexpr auto kPoll = 50ms;

/// 0, or why a socket cannot be bound.
int bind_error(int family, const sockaddr* address, socklen_t size) {
  Fd socket(::socket(family, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  if (!socket) return errno == EAFNOSUPPORT ? 0 : errno;
  const int on = 1;
  if (family == AF_INET6) ::setsockopt(socket.get(), IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on);
  return ::bind(socket.get(), address, size) == 0 ? 0 : errno;
}

int bind_error(uint16_t port) {
  sockaddr_in four{};
  four.sin_family = AF_INET;
  four.sin_port = htons(port);
  if (int error = bind_error(AF_INET, reinterpret_cast<const sockaddr*>(&four), sizeof four); error != 0)
    return error;
  sockaddr_in6 six{};
  six.sin6_family = AF_INET6;
  six.sin6_port = htons(port);
  return bind_error(AF_INET6, reinterpret_cast<const sockaddr*>(&six), sizeof six);
}

/// Inodes of the sockets on `port`, as /proc/*/fd names them: "socket:[4711]".
std::set<std::string> sockets_on(uint16_t port) {
  std::set<std::string> out;
  const std::string ending = fmt::format(":{:04X}", port);
  for (const char* file : {"/proc/thread-self/net/udp", "/proc/thread-self/net/udp6"}) {
    std::istringstream lines(read_file(file).value_or(std::string()));
    for (std::string line; std::getline(lines, line);) {
      std::istringstream words(line);
      std::string slot, local, word, inode;
      words >> slot >> local;
      for (int i = 0; i < 7; ++i) words >> word;  // remote, state, queues, timer, retransmits, uid, timeout
      if (words >> inode && local.ends_with(ending)) out.insert("socket:[" + inode + "]");
    }
  }
  return out;
}

bool holds_one(const std::filesystem::path& process, const std::set<std::string>& sockets) {
  std::error_code error;
  std::filesystem::directory_iterator descriptors(process / "fd", error);
  if (error) return false;
  return std::ranges::any_of(descriptors, [&](const auto& entry) {
    return sockets.contains(std::filesystem::read_symlink(entry.path(), error).string());
  });
}

}  // namespace

std::string udp_port_holder(uint16_t port) {
  const auto sockets = sockets_on(port);
  std::error_code error;
  if (sockets.empty()) return {};
  for (const auto& entry : std::filesystem::directory_iterator("/proc", error)) {
    const std::string pid = entry.path().filename();
    if (!std::ranges::all_of(pid, [](char c) { return c >= '0' && c <= '9'; })) continue;
    if (!holds_one(entry.path(), sockets)) continue;
    std::string name = read_file(entry.path() / "comm").value_or("?");
    if (name.ends_with('\n')) name.pop_back();
    return fmt::format("{} (pid {})", name, pid);
  }
  return {};
}

Status check_udp_port(uint16_t port, std::chrono::milliseconds patience) {
  const auto deadline = std::chrono::steady_clock::now() + patience;
  int error = bind_error(port);
  while (error == EADDRINUSE && std::chrono::steady_clock::now() < deadline) {
    std::this_thread::sleep_for(kPoll);
    error = bind_error(port);
  }
  if (error == 0) return {};
  if (error != EADDRINUSE) return fail_errno(fmt::format("binding UDP port {}", port), error);
  const std::string holder = udp_port_holder(port);
  return fail(Errc::conflict,
              fmt::format("UDP port {} is held by {}", port, holder.empty() ? "another program" : holder),
              "end that program, or set another wg_listenport_base for this node");
}

}  // namespace mesh
