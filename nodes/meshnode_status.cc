#include "nodes/meshnode_status.h"

#include <fcntl.h>
#include <fmt/core.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstring>
#include <nlohmann/json.hpp>
#include <thread>
#include <utility>

#include "nodes/dataplane/dry_run_dataplane.h"
#include "nodes/meshnode.h"

namespace mesh {

namespace fs = std::filesystem;

namespace {

using Json = nlohmann::ordered_json;

constexpr size_t kDocumentMax = 16 * 1024 * 1024;

/// An address of any length: a socket's path may have 107 bytes only, so it is named through its directory.
class SocketAddress {
 public:
  explicit SocketAddress(const fs::path& data) : directory_(::open(data.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC)) {
    address_.sun_family = AF_UNIX;
    const auto path = fmt::format("/proc/self/fd/{}/status.sock", directory_);
    std::memcpy(address_.sun_path, path.c_str(), path.size() + 1);
  }
  ~SocketAddress() {
    if (directory_ >= 0) ::close(directory_);
  }
  SocketAddress(const SocketAddress&) = delete;
  SocketAddress& operator=(const SocketAddress&) = delete;
  const sockaddr* get() const { return reinterpret_cast<const sockaddr*>(&address_); }
  static socklen_t size() { return sizeof(sockaddr_un); }

 private:
  int directory_;
  sockaddr_un address_{};
};

/// What a running meshnode says; nothing when none answers.
std::optional<std::string> ask_running(const fs::path& data) {
  const SocketAddress address(data);
  const int fd = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return std::nullopt;
  std::optional<std::string> document;
  const timeval patience{10, 0};  // an apply may be under way
  ::setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
  if (::connect(fd, address.get(), SocketAddress::size()) == 0) {
    document.emplace();
    char buffer[65536];
    ssize_t n = 0;
    while (document->size() < kDocumentMax && (n = ::read(fd, buffer, sizeof buffer)) > 0) {
      document->append(buffer, static_cast<size_t>(n));
    }
    if (n != 0 || document->empty()) document.reset();
  }
  ::close(fd);
  return document;
}

/// The same, from the disk of a node that is not running.
Result<std::string> read_stopped(const MeshnodeOptions& options) {
  auto identity = load_identity(options.data);
  if (!identity) return std::unexpected(identity.error());
  PosixFiles files(options.data);
  ReplicaStore store(files);
  MESH_TRY(store.open());
  TunnelKeys keys;
  DryRunDataplane untouched(keys);
  AgentOptions agent_options;
  agent_options.history = {identity->log, identity->log_key, identity->node, identity->anchor};
  agent_options.deployment.log = identity->log;
  agent_options.deployment.node = identity->node;
  agent_options.fullname = identity->fullname;
  Agent agent(std::move(agent_options), store, untouched);
  MESH_TRY(agent.peek());
  auto status = agent.status();
  status.health = {};  // what the router does now, only a running meshnode looks at
  return status_json(status, "meshnode is not running", false);
}

std::string table(const Json& json) {
  std::string out;
  for (const auto& [key, value] : json.items()) {
    if (value.is_structured()) continue;
    out += fmt::format("{:<18}{}\n", key, value.is_string() ? value.get<std::string>() : value.dump());
  }
  for (const auto& link : json["links"]) {
    const auto age_s = link["handshake_age_s"].get<int64_t>();
    out += fmt::format("link {:<13}bgp {}, bfd {}, {}\n", link["interface"].get<std::string>(),
                       link["bgp_up"].get<bool>() ? "up" : "down", link["bfd_up"].get<bool>() ? "up" : "down",
                       age_s < 0 ? "no handshake yet" : fmt::format("handshake {} s ago", age_s));
  }
  return out;
}

}  // namespace

std::string status_json(const AgentStatus& status, const std::string& trouble, bool running) {
  Json json = {{"node", status.node.value()},
               {"fullname", status.fullname},
               {"sequence", status.sequence.value()},
               {"root", to_hex(status.root.view())},
               {"verified", status.verified.value()},
               {"active", status.active.value()},
               {"previous", status.previous.value()},
               {"pending", status.pending.value()},
               {"wanted", status.wanted.value()},
               {"activation", status.activation.value()},
               {"overlay", status.overlay.value()},
               {"controller", status.connected ? "connected" : "unreachable"},
               {"controller_detail", status.connected ? "" : trouble},
               {"running", running},
               {"settled", status.settled},
               {"revoked", status.revoked},
               {"state", status.state},
               {"problem", status.problem},
               {"outcomes_waiting", status.outcomes_waiting},
               {"bird_running", status.health.bird_running},
               {"warnings", status.health.warnings},
               {"links", Json::array()}};
  for (const auto& tunnel : status.health.tunnels) {
    json["links"].push_back({{"peer", tunnel.peer.value()},
                             {"interface", tunnel.name},
                             {"up", tunnel.up},
                             {"bgp_up", tunnel.bgp_up()},
                             {"bfd_up", tunnel.bfd_up()},
                             {"handshake_age_s", tunnel.handshake_age_s},
                             {"rx_bytes", tunnel.rx_bytes},
                             {"tx_bytes", tunnel.tx_bytes},
                             {"endpoint", tunnel.endpoint}});
  }
  // Endpoints and names come from elsewhere: what is not UTF-8 is replaced, never a reason to say nothing.
  return json.dump(-1, ' ', false, Json::error_handler_t::replace) + "\n";
}

Result<StatusSocket> StatusSocket::listen(const fs::path& data) {
  const SocketAddress address(data);
  const auto path = data / "status.sock";
  const int fd = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd < 0) return fail(Errc::io, fmt::format("cannot make a socket: {}", std::strerror(errno)));
  StatusSocket socket(fd, path);
  ::unlink(path.c_str());
  if (::bind(fd, address.get(), SocketAddress::size()) != 0 || ::chmod(path.c_str(), 0600) != 0 ||
      ::listen(fd, 16) != 0) {
    return fail(errno == ENOSPC ? Errc::exhausted : Errc::io,
                fmt::format("cannot listen on {}: {}", path.string(), std::strerror(errno)));
  }
  return socket;
}

StatusSocket::StatusSocket(StatusSocket&& other) noexcept
    : fd_(std::exchange(other.fd_, -1)), path_(std::move(other.path_)) {}

StatusSocket::~StatusSocket() {
  if (fd_ < 0) return;
  ::close(fd_);
  ::unlink(path_.c_str());
}

void StatusSocket::answer(const std::string& document) const {
  const int fd = ::accept4(fd_, nullptr, nullptr, SOCK_CLOEXEC);
  if (fd < 0) return;
  const timeval patience{0, 200'000};
  ::setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
  std::string_view rest = document;
  while (!rest.empty()) {
    const auto n = ::send(fd, rest.data(), rest.size(), MSG_NOSIGNAL);
    if (n <= 0) break;
    rest.remove_prefix(static_cast<size_t>(n));
  }
  ::close(fd);
}

Status show_status(const MeshnodeOptions& options) {
  Result<std::string> document = fail(Errc::unavailable, "");
  // Between its lock and its socket, a meshnode that starts can do neither; that takes as long as an apply.
  for (int attempt = 0; attempt < 50; ++attempt) {
    if (auto running = ask_running(options.data)) {
      document = std::move(*running);
      break;
    }
    if (auto lock = DataLock::take(options.data)) {
      document = read_stopped(options);
      break;
    } else if (lock.error().code != Errc::conflict) {
      return std::unexpected(lock.error());
    } else {
      document = std::unexpected(lock.error());
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(200));
  }
  if (!document) return std::unexpected(document.error());
  fmt::print("{}", options.output == "json" ? *document : table(Json::parse(*document)));
  return {};
}

}  // namespace mesh
