#include "nodes/dataplane/wireguard_backend.h"

#include <fmt/format.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <thread>

#include "nodes/dataplane/process.h"
#include "nodes/dataplane/unix_socket.h"

namespace mesh {
namespace {

using namespace std::chrono_literals;

// wireguard-go has this path built in.
std::string socket_path(const std::string& name) { return "/var/run/wireguard/" + name + ".sock"; }

constexpr auto kProgramDeadline = 10s;
constexpr auto kAnswerDeadline = 5000ms;
constexpr auto kExitDeadline = 2000ms;
constexpr auto kExitPoll = 2ms;

/// The line that says why; the rest is a banner.
std::string reason_of(const std::string& err) {
  size_t begin = err.find("ERROR:");
  std::string reason = begin == std::string::npos ? err : err.substr(begin);
  std::ranges::replace(reason, '\n', ' ');
  while (reason.ends_with(' ')) reason.pop_back();
  return reason;
}

Result<SecretString> run_wg(const std::vector<std::string>& words, std::string_view input) {
  auto wg = find_program("wg", "wireguard-tools");
  if (!wg) return std::unexpected(wg.error());
  std::vector<std::string> arguments{*wg};
  arguments.insert(arguments.end(), words.begin(), words.end());
  auto done = run_program(arguments, input, kProgramDeadline);
  if (!done) return std::unexpected(done.error());
  if (done->code != 0)
    return fail(Errc::io, fmt::format("wg {}: {}", words[0], reason_of(done->err)));
  return std::move(done->out);
}

/// One request and its answer, which ends with an empty line.
Result<SecretString> ask_uapi(const std::string& name, std::string_view request) {
  auto socket = connect_unix(socket_path(name), kAnswerDeadline);
  if (!socket) return std::unexpected(socket.error());
  MESH_TRY(send_all(*socket, request));
  SecretString answer;
  answer.reserve(4096);
  while (!answer.ends_with("\n\n")) {
    char chunk[4096];
    ssize_t n = ::recv(socket->get(), chunk, sizeof chunk, 0);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return fail(Errc::timeout, fmt::format("wireguard-go of {} does not answer", name));
    if (n == 0) return fail(Errc::io, fmt::format("wireguard-go of {} broke off", name));
    answer.append(chunk, static_cast<size_t>(n));
    explicit_bzero(chunk, sizeof chunk);
  }
  return answer;
}

Result<WireGuardDevice> read_uapi(const std::string& name) {
  auto answer = ask_uapi(name, "get=1\n\n");
  if (!answer) return std::unexpected(answer.error());
  return parse_uapi(*answer);
}

Status remove_link(Rtnetlink& netlink, const std::string& name) {
  auto link = netlink.link(name);
  if (!link) return link.error().code == Errc::not_found ? Status() : std::unexpected(link.error());
  return netlink.remove(link->index);
}

std::string hint_for(const std::string& reason) {
  if (reason.contains("too many open files")) return "sysctl -w fs.inotify.max_user_instances=8192";
  if (reason.contains("not permitted")) return "run as root";
  return {};
}

}  // namespace

Result<std::map<std::string, WireGuardDevice>> KernelWireGuard::read(
    const std::vector<std::string>& names) {
  std::map<std::string, WireGuardDevice> out;
  if (names.empty()) return out;
  auto dump = run_wg({"show", "all", "dump"}, {});
  if (!dump) return std::unexpected(dump.error());
  auto devices = parse_dump(*dump);
  if (!devices) return devices;
  for (const std::string& name : names)
    if (auto it = devices->find(name); it != devices->end()) out.insert(devices->extract(it));
  return out;
}

Status KernelWireGuard::create(const std::string& name) {
  return netlink_.create(name, "wireguard");
}

Status KernelWireGuard::configure(const InterfaceSettings& wanted) {
  auto done = run_wg({"syncconf", wanted.name, "/dev/stdin"}, setconf_text(wanted));
  return done ? Status() : std::unexpected(done.error());
}

Status KernelWireGuard::remove(const std::string& name) { return remove_link(netlink_, name); }

Result<std::map<std::string, WireGuardDevice>> UserspaceWireGuard::read(
    const std::vector<std::string>& names) {
  std::map<std::string, WireGuardDevice> out;
  for (const std::string& name : names)
    if (auto device = read_uapi(name)) out.emplace(name, std::move(*device));
  return out;
}

Status UserspaceWireGuard::create(const std::string& name) {
  auto program = find_program("wireguard-go", "wireguard-go");
  if (!program) return std::unexpected(program.error());
  if (::access("/dev/net/tun", R_OK | W_OK) != 0)
    return fail(Errc::unavailable,
                "this kernel has no WireGuard, and /dev/net/tun cannot be opened for wireguard-go",
                "modprobe wireguard, or modprobe tun");
  // It forks into the background once the interface and the socket are there, so success means
  // both.
  auto done = run_program({*program, name}, {}, kProgramDeadline);
  if (!done) return std::unexpected(done.error());
  if (done->code == 0) return {};
  std::string reason = reason_of(done->err);
  return fail(Errc::io, fmt::format("wireguard-go {}: {}", name, reason), hint_for(reason));
}

Status UserspaceWireGuard::configure(const InterfaceSettings& wanted) {
  auto current = read_uapi(wanted.name);
  if (!current) return std::unexpected(current.error());
  SecretString request = uapi_request(*current, wanted);
  if (request.empty()) return {};
  auto answer = ask_uapi(wanted.name, request);
  if (!answer) return std::unexpected(answer.error());
  return parse_uapi_status(*answer);
}

Status UserspaceWireGuard::remove(const std::string& name) {
  MESH_TRY(remove_link(netlink_, name));
  // The process ends by itself and unlinks its socket on the way. A successor of the same name must
  // not be started before, or it would lose its own socket.
  const std::string path = socket_path(name);
  const auto deadline = std::chrono::steady_clock::now() + kExitDeadline;
  while (::access(path.c_str(), F_OK) == 0 && connect_unix(path, kAnswerDeadline)) {
    if (std::chrono::steady_clock::now() > deadline)
      return fail(Errc::timeout, fmt::format("wireguard-go of {} does not end", name));
    std::this_thread::sleep_for(kExitPoll);
  }
  ::unlink(path.c_str());  // left by one that was killed
  return {};
}

}  // namespace mesh
