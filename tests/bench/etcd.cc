#include "tests/bench/etcd.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <spawn.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <csignal>
#include <fstream>
#include <map>
#include <vector>

#include "broker/bus/keys.h"
#include "tests/bench/network.h"

extern char** environ;

namespace mesh::bench {

namespace {

constexpr const char* kProgram = "/usr/bin/etcd";
constexpr int kReadyMs = 20'000;
constexpr int64_t kStuckUs = 20'000'000;

// ---- HTTP/2 (RFC 9113) and gRPC, as much as one unary call at a time needs

enum FrameType : uint8_t {
  kData = 0,
  kHeaders = 1,
  kReset = 3,
  kSettings = 4,
  kPing = 6,
  kGoAway = 7,
  kWindow = 8
};
constexpr uint8_t kEndStream = 1, kAck = 1, kEndHeaders = 4;

void put_number(std::string& out, uint32_t value, int bytes) {
  for (int shift = 8 * (bytes - 1); shift >= 0; shift -= 8)
    out.push_back(static_cast<char>(value >> shift));
}

std::string frame(FrameType type, uint8_t flags, uint32_t stream, std::string_view payload) {
  std::string out;
  put_number(out, static_cast<uint32_t>(payload.size()), 3);
  out.push_back(static_cast<char>(type));
  out.push_back(static_cast<char>(flags));
  put_number(out, stream, 4);
  return out.append(payload);
}

/// HPACK (RFC 7541), literals without indexing: no state on either side.
std::string header(std::string_view name, std::string_view value) {
  std::string out(1, '\0');
  out.push_back(static_cast<char>(name.size()));
  out.append(name);
  out.push_back(static_cast<char>(value.size()));
  return out.append(value);
}

std::string grpc_headers(std::string_view path) {
  return header(":method", "POST") + header(":scheme", "http") + header(":path", path) +
         header(":authority", "localhost") + header("content-type", "application/grpc") +
         header("te", "trailers");
}

std::string varint(uint64_t value) {
  std::string out;
  for (; value >= 128; value >>= 7) out.push_back(static_cast<char>(value | 128));
  out.push_back(static_cast<char>(value));
  return out;
}

std::string bytes_field(int number, std::string_view bytes) {
  return varint(static_cast<uint64_t>(number) << 3 | 2) + varint(bytes.size()) + std::string(bytes);
}

/// One connection; one call at a time.
class Connection {
 public:
  explicit Connection(uint16_t port) : fd_(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(port);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    const int on = 1;
    setsockopt(fd_, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    good_ = connect(fd_, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0;
    std::string window;
    put_number(window, 0x7fffffff - 65'535, 4);  // all answers of a run fit
    write("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + frame(kSettings, 0, 0, {}) +
          frame(kWindow, 0, 0, window));
  }
  ~Connection() { close(fd_); }
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  int fd() const { return fd_; }
  bool good() const { return good_; }
  void call(const std::string& headers, std::string_view message) {
    std::string data(1, '\0');
    put_number(data, static_cast<uint32_t>(message.size()), 4);
    data.append(message);
    write(frame(kHeaders, kEndHeaders, stream_, headers) + frame(kData, kEndStream, stream_, data));
    answer_.clear();
  }
  /// Reads what there is. True when the call has ended; answer() is its message.
  bool receive() {
    std::array<char, 16'384> buffer;
    const ssize_t got = recv(fd_, buffer.data(), buffer.size(), 0);
    if (got <= 0) good_ = false;
    if (got > 0) in_.append(buffer.data(), static_cast<size_t>(got));
    bool ended = false;
    size_t at = 0;
    while (in_.size() - at >= 9) {
      const auto* head = reinterpret_cast<const uint8_t*>(in_.data() + at);
      const size_t size =
          static_cast<size_t>(head[0]) << 16 | static_cast<size_t>(head[1]) << 8 | head[2];
      if (in_.size() - at < 9 + size) break;
      ended = take(static_cast<FrameType>(head[3]), head[4], in_.substr(at + 9, size)) || ended;
      at += 9 + size;
    }
    in_.erase(0, at);
    if (ended) stream_ += 2;
    return ended;
  }
  /// Empty when the call failed.
  const std::string& answer() const { return answer_; }

 private:
  bool take(FrameType type, uint8_t flags, const std::string& payload) {
    if (type == kPing && (flags & kAck) == 0) write(frame(kPing, kAck, 0, payload));
    if (type == kSettings && (flags & kAck) == 0) write(frame(kSettings, kAck, 0, {}));
    if (type == kReset || type == kGoAway) good_ = false;
    if (type == kData && payload.size() > 5) answer_ = payload.substr(5);
    return (type == kHeaders || type == kData) && (flags & kEndStream) != 0;
  }
  void write(const std::string& bytes) {
    good_ = good_ && send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL) ==
                         static_cast<ssize_t>(bytes.size());
  }

  int fd_;
  bool good_ = false;
  uint32_t stream_ = 1;
  std::string in_, answer_;
};

uint16_t free_port() {
  const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof address;
  MESH_ASSERT(bind(fd, reinterpret_cast<sockaddr*>(&address), size) == 0);
  MESH_ASSERT(getsockname(fd, reinterpret_cast<sockaddr*>(&address), &size) == 0);
  close(fd);
  return ntohs(address.sin_port);
}

}  // namespace

struct Etcd::Impl {
  int pid = -1;
  uint16_t port = 0;
  std::map<size_t, std::vector<std::unique_ptr<Connection>>> clients;  // by their number, kept open
  uint64_t next_key = 0;

  /// One call on a connection of its own.
  Result<std::string> call_once(std::string_view path, std::string_view message) const {
    Connection connection(port);
    if (connection.good()) connection.call(grpc_headers(path), message);
    const int64_t begin = now_us();
    while (connection.good() && now_us() - begin < kStuckUs) {
      pollfd waiting{connection.fd(), POLLIN, 0};
      if (poll(&waiting, 1, 100) > 0 && connection.receive() && !connection.answer().empty())
        return connection.answer();
    }
    return fail(Errc::io, "etcd does not answer");
  }
};

Etcd::Etcd(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}

Etcd::~Etcd() {
  impl_->clients.clear();
  kill(impl_->pid, SIGTERM);
  waitpid(impl_->pid, nullptr, 0);
}

bool Etcd::installed() { return access(kProgram, X_OK) == 0; }

Result<std::unique_ptr<Etcd>> Etcd::start(const std::filesystem::path& directory) {
  auto impl = std::make_unique<Impl>();
  impl->port = free_port();
  const std::string client = fmt::format("http://127.0.0.1:{}", impl->port),
                    peer = fmt::format("http://127.0.0.1:{}", free_port());
  std::vector<std::string> arguments = {kProgram,
                                        "--data-dir",
                                        directory.string(),
                                        "--listen-client-urls",
                                        client,
                                        "--advertise-client-urls",
                                        client,
                                        "--listen-peer-urls",
                                        peer,
                                        "--initial-advertise-peer-urls",
                                        peer,
                                        "--initial-cluster",
                                        "default=" + peer,
                                        "--log-level",
                                        "error"};
  std::vector<char*> argv;
  for (std::string& argument : arguments) argv.push_back(argument.data());
  argv.push_back(nullptr);
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  const std::string errors = directory.string() + ".errors";
  for (int fd : {1, 2})
    posix_spawn_file_actions_addopen(&actions, fd, errors.c_str(), O_WRONLY | O_CREAT | O_APPEND,
                                     0600);
  const int failed = posix_spawn(&impl->pid, kProgram, &actions, nullptr, argv.data(), environ);
  posix_spawn_file_actions_destroy(&actions);
  if (failed != 0) return fail(Errc::io, "etcd does not start", "apt-get install etcd-server");
  std::unique_ptr<Etcd> etcd(new Etcd(std::move(impl)));
  for (int64_t begin = now_us(); now_us() - begin < kReadyMs * 1'000;) {
    if (etcd->keys()) return etcd;
    poll(nullptr, 0, 100);
  }
  return fail(Errc::io, "etcd did not become ready", "see " + errors);
}

Result<uint64_t> Etcd::keys() {
  // RangeRequest: all keys from "\0" on, only their count.
  const std::string zero(1, '\0');
  auto answer =
      impl_->call_once("/etcdserverpb.KV/Range",
                       bytes_field(1, zero) + bytes_field(2, zero) + varint(9 << 3) + varint(1));
  if (!answer) return std::unexpected(answer.error());
  // RangeResponse: header = 1, count = 4.
  const std::string& text = *answer;
  uint64_t count = 0;
  for (size_t at = 0; at < text.size();) {
    auto number = [&] {
      uint64_t value = 0;
      for (int shift = 0; at < text.size(); shift += 7) {
        const auto byte = static_cast<uint8_t>(text[at++]);
        value |= static_cast<uint64_t>(byte & 127) << shift;
        if (byte < 128) break;
      }
      return value;
    };
    const uint64_t key = number(), value = number();
    if ((key & 7) == 2) at += value;
    if (key == (4 << 3)) count = value;
  }
  return count;
}

double Etcd::processor_seconds() const { return bench::processor_seconds(impl_->pid); }

Result<LoadResult> Etcd::put(size_t clients, size_t count, size_t value_bytes) {
  auto& connections = impl_->clients[clients];
  while (connections.size() < clients)
    connections.push_back(std::make_unique<Connection>(impl_->port));
  static const std::string kHeadersOfPut = grpc_headers("/etcdserverpb.KV/Put");
  std::string value(value_bytes, '\0');
  fill_random({reinterpret_cast<uint8_t*>(value.data()), value.size()});
  LoadResult out;
  std::vector<int64_t> since(clients);
  size_t sent = 0;
  auto send_next = [&](size_t i) {
    if (sent == count) return;
    ++sent;
    since[i] = now_us();
    connections[i]->call(
        kHeadersOfPut,
        bytes_field(1, fmt::format("key{:012}", impl_->next_key++)) + bytes_field(2, value));
  };
  const int poller = epoll_create1(EPOLL_CLOEXEC);
  for (size_t i = 0; i < clients; ++i) {
    epoll_event event{};
    event.events = EPOLLIN;
    event.data.u64 = i;
    epoll_ctl(poller, EPOLL_CTL_ADD, connections[i]->fd(), &event);
  }
  const int64_t begin = now_us();
  int64_t last = begin;
  for (size_t i = 0; i < clients; ++i) send_next(i);
  Status status;
  while (status && out.latencies_us.size() < count) {
    std::array<epoll_event, 64> events;
    const int ready = epoll_wait(poller, events.data(), static_cast<int>(events.size()), 100);
    for (int e = 0; e < ready; ++e) {
      const size_t i = events[static_cast<size_t>(e)].data.u64;
      const bool ended = connections[i]->receive();
      if (!connections[i]->good()) status = fail(Errc::io, "etcd ended a connection");
      if (!ended) continue;
      if (connections[i]->answer().empty()) status = fail(Errc::io, "etcd refused a put");
      last = now_us();
      out.latencies_us.push_back(static_cast<double>(last - since[i]));
      send_next(i);
    }
    if (ready == 0 && now_us() - last > kStuckUs)
      status = fail(Errc::timeout, "etcd stopped answering");
  }
  close(poller);
  if (!status) return std::unexpected(status.error());
  out.seconds = static_cast<double>(last - begin) / 1e6;
  return out;
}

}  // namespace mesh::bench
