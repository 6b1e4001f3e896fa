#include "broker/bus/router.h"

#include <fmt/format.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <sodium.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <map>
#include <zmq.hpp>

#include "broker/bus/socket.h"

namespace mesh::bus {

namespace {

constexpr const char* kZapEndpoint = "inproc://zeromq.zap.01";
constexpr const char* kMonitorEndpoint = "inproc://monitor";
constexpr size_t kZapParts = 7;
constexpr int kUnbindMs = 1'000;
constexpr auto kCheckEvery = std::chrono::milliseconds(Router::kServeMs);

// A routing id that libzmq gave: a zero byte and a counter. Any other was chosen by the peer.
std::optional<uint32_t> connection_of(const zmq::message_t& routing) {
  const auto* id = routing.data<uint8_t>();
  if (routing.size() != 5 || id[0] != 0) return std::nullopt;
  return uint32_t{id[1]} << 24 | uint32_t{id[2]} << 16 | uint32_t{id[3]} << 8 | id[4];
}

// The key that ZAP admitted. libzmq would let a connection in that no ZAP handler saw (refusing it
// is in its draft interface): that one has no User-Id, and its frames are dropped.
std::optional<BoxKey> user_of(zmq::message_t& frame) {
  const char* text = zmq_msg_gets(frame.handle(), "User-Id");
  if (text == nullptr) return std::nullopt;
  BoxKey key;
  size_t size = 0;
  if (sodium_hex2bin(key.bytes.data(), BoxKey::kSize, text, 2 * BoxKey::kSize, nullptr, &size,
                     nullptr) != 0 ||
      size != BoxKey::kSize) {
    return std::nullopt;
  }
  return key;
}

// Fewer parts than a ZAP request has, or other ones, give nothing.
struct ZapRequest {
  zmq::message_t id;
  std::optional<BoxKey> key;
};

std::optional<ZapRequest> next_zap(zmq::socket_t& zap) {
  std::array<zmq::message_t, kZapParts> part;
  size_t count = 0;
  for (bool more = true; more; ++count) {
    zmq::message_t extra;
    zmq::message_t& into = count < kZapParts ? part[count] : extra;
    if (!zap.recv(into, zmq::recv_flags::dontwait)) return std::nullopt;
    more = into.more();
  }
  // version, request id, domain, address, identity, mechanism, credentials (RFC 27/ZAP)
  ZapRequest request{std::move(part[1]), std::nullopt};
  if (count == kZapParts && part[5].to_string_view() == "CURVE") {
    request.key = BoxKey::from({part[6].data<uint8_t>(), part[6].size()});
  }
  return request;
}

void answer_zap(zmq::socket_t& zap, zmq::message_t id, std::string_view code,
                const std::string& user) {
  auto part = [&](std::string_view text, zmq::send_flags flags) {
    zap.send(zmq::buffer(text), flags);
  };
  part("1.0", zmq::send_flags::sndmore);
  zap.send(id, zmq::send_flags::sndmore);
  part(code, zmq::send_flags::sndmore);
  part("", zmq::send_flags::sndmore);
  part(user, zmq::send_flags::sndmore);
  part("", zmq::send_flags::none);
}

uint64_t bytes_received(int fd) {
  tcp_info info{};
  socklen_t size = sizeof info;
  if (::getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &size) != 0) return 0;
  return info.tcpi_bytes_received;
}

}  // namespace

void Bucket::refill(Clock::time_point now) {
  if (now <= at_) return;
  level_ = std::min(2 * rate_, level_ + rate_ * std::chrono::duration<double>(now - at_).count());
  at_ = now;
}

bool Bucket::take(Clock::time_point now) {
  if (empty(now)) return false;
  level_ -= 1;
  return true;
}

bool Bucket::empty(Clock::time_point now) {
  refill(now);
  return level_ < 1;
}

struct Router::Impl {
  explicit Impl(RouterOptions o) : options(std::move(o)) {}

  RouterOptions options;
  zmq::context_t context{1};
  zmq::socket_t zap{context, zmq::socket_type::rep};
  zmq::socket_t router{context, zmq::socket_type::router};
  zmq::socket_t monitor;
  std::vector<std::string> bound;
  std::map<int, Clock::time_point>
      connections;  // descriptors that libzmq accepted and has not closed
  int source = -1;  // the descriptor that the last frame came over
  Clock::time_point next_check{};

  void configure(const BoxSecret& secret);
  void on_report(const MonitorEvent& report, ServerStats& stats);
  void judge(ZapRequest request, ServerStats& stats);
  void cut(int fd, ServerStats& stats);
  void cut_exceeding(ServerStats& stats);
};

void Router::Impl::configure(const BoxSecret& secret) {
  zap.set(zmq::sockopt::linger, 0);
  zap.bind(kZapEndpoint);

  router.set(zmq::sockopt::ipv6, true);
  router.set(zmq::sockopt::curve_server, true);
  router.set(zmq::sockopt::curve_secretkey,
             zmq::buffer(secret.reveal().data(), secret.reveal().size()));
  router.set(zmq::sockopt::zap_domain, "meshlog");
  router.set(zmq::sockopt::router_mandatory, true);
  router.set(zmq::sockopt::maxmsgsize, static_cast<int64_t>(options.frame_max));
  router.set(zmq::sockopt::handshake_ivl, options.handshake_ms);
  router.set(zmq::sockopt::backlog, options.backlog);
  router.set(zmq::sockopt::heartbeat_ivl, options.heartbeat_ms);
  router.set(zmq::sockopt::heartbeat_timeout, options.heartbeat_timeout_ms);
  router.set(zmq::sockopt::sndhwm, options.queue_max);
  router.set(zmq::sockopt::rcvhwm, options.receive_queue_max);
  router.set(zmq::sockopt::linger, options.linger_ms);
}

Result<std::unique_ptr<Router>> Router::open(const BoxSecret& secret, RouterOptions options) {
  MESH_ASSERT(!options.endpoints.empty());
  for (const std::string& each : options.endpoints) MESH_TRY(check_endpoint(each, true));
  std::string endpoint;
  try {
    auto impl = std::make_unique<Impl>(std::move(options));
    impl->configure(secret);
    impl->monitor = bus::watch(impl->context, impl->router, kMonitorEndpoint,
                               ZMQ_EVENT_ACCEPTED | ZMQ_EVENT_DISCONNECTED | ZMQ_EVENT_CLOSED);
    for (const std::string& each : impl->options.endpoints) {
      endpoint = each;
      impl->router.bind(endpoint);
      impl->bound.push_back(impl->router.get(zmq::sockopt::last_endpoint));
    }
    return std::unique_ptr<Router>(new Router(std::move(impl)));
  } catch (const zmq::error_t& error) {
    return std::unexpected(bind_error(endpoint, error.num()));
  }
}

Router::Router(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Router::~Router() { unwatch(impl_->router); }

const std::vector<std::string>& Router::endpoints() const { return impl_->bound; }

void Router::watch(zmq_pollitem_t* items, bool frames) const {
  items[0] = {impl_->router.handle(), -1, static_cast<short>(frames ? ZMQ_POLLIN : 0), 0};
  items[1] = {impl_->zap.handle(), -1, ZMQ_POLLIN, 0};
  items[2] = {impl_->monitor.handle(), -1, ZMQ_POLLIN, 0};
}

void Router::Impl::on_report(const MonitorEvent& report, ServerStats& stats) {
  const int fd = static_cast<int>(report.value);
  if (report.event == ZMQ_EVENT_DISCONNECTED) {
    connections.erase(fd);
  } else if (report.event == ZMQ_EVENT_ACCEPTED) {
    connections[fd] = Clock::now();
    if (connections.size() > options.connections_max) cut(fd, stats);
  }
}

void Router::Impl::cut(int fd, ServerStats& stats) {
  ::shutdown(fd, SHUT_RDWR);
  connections.erase(fd);
  ++stats.cut;
}

void Router::Impl::cut_exceeding(ServerStats& stats) {
  const auto now = Clock::now();
  if (!options.enrolment || now < next_check) return;
  next_check = now + kCheckEvery;
  std::vector<int> over;
  for (const auto& [fd, accepted] : connections) {
    const bool old = now - accepted > std::chrono::milliseconds(options.connection_ms);
    if (old || bytes_received(fd) > options.bytes_per_connection) over.push_back(fd);
  }
  for (int fd : over) cut(fd, stats);
}

void Router::Impl::judge(ZapRequest request, ServerStats& stats) {
  const Verdict verdict = request.key ? options.verdict(*request.key) : Verdict::refuse;
  // 300 closes without a word, and the peer tries again later; 400 tells it that it was refused.
  const std::string_view code = verdict == Verdict::admit   ? "200"
                                : verdict == Verdict::later ? "300"
                                                            : "400";
  ++(verdict == Verdict::admit ? stats.admitted : stats.refused);
  answer_zap(zap, std::move(request.id), code,
             verdict == Verdict::admit ? to_hex(request.key->view()) : "");
}

void Router::serve(ServerStats& stats) {
  // Reports first: a connection is counted before its key is judged, so one too many is cut before
  // it can be admitted.
  while (auto report = next_event(impl_->monitor)) impl_->on_report(*report, stats);
  while (auto request = next_zap(impl_->zap)) impl_->judge(std::move(*request), stats);
  impl_->cut_exceeding(stats);
}

bool Router::receive(std::vector<Incoming>& out, ServerStats& stats) {
  zmq::message_t routing;
  if (!impl_->router.recv(routing, zmq::recv_flags::dontwait)) return false;
  zmq::message_t frame;
  MESH_ASSERT(routing.more() && impl_->router.recv(frame, zmq::recv_flags::dontwait));
  const bool single = !frame.more();
  for (bool more = !single; more;) {
    zmq::message_t extra;
    more = impl_->router.recv(extra, zmq::recv_flags::dontwait) && extra.more();
  }
  auto connection = connection_of(routing);
  auto user = user_of(frame);
  impl_->source = zmq_msg_get(frame.handle(), ZMQ_SRCFD);
  if (!single || !connection || !user) {
    ++stats.dropped_strange;
    cut_source(stats);
    return true;
  }
  const auto* data = frame.data<uint8_t>();
  out.push_back({{*user, *connection, impl_->options.enrolment}, Bytes(data, data + frame.size())});
  if (impl_->options.enrolment)
    if (const char* address = zmq_msg_gets(frame.handle(), "Peer-Address")) out.back().address = address;
  return true;
}

void Router::cut_source(ServerStats& stats) {
  if (impl_->connections.contains(impl_->source)) impl_->cut(impl_->source, stats);
}

Status Router::send(uint32_t connection, zmq::message_t& frame) {
  const std::array<uint8_t, 5> routing{
      0, static_cast<uint8_t>(connection >> 24), static_cast<uint8_t>(connection >> 16),
      static_cast<uint8_t>(connection >> 8), static_cast<uint8_t>(connection)};
  void* socket = impl_->router.handle();
  // The C call, since a peer that has gone is no exception here.
  if (zmq_send(socket, routing.data(), routing.size(), ZMQ_SNDMORE | ZMQ_DONTWAIT) < 0) {
    const int error = zmq_errno();
    if (error == EHOSTUNREACH) return fail(Errc::unavailable, "the peer has gone");
    if (error == EAGAIN) return fail(Errc::exhausted, "the peer does not read: its queue is full");
    return fail(Errc::io, fmt::format("cannot send: {}", zmq_strerror(error)));
  }
  zmq::message_t part;
  part.copy(frame);
  if (zmq_msg_send(part.handle(), socket, ZMQ_DONTWAIT) < 0) {
    return fail(Errc::io, fmt::format("cannot send: {}", zmq_strerror(zmq_errno())));
  }
  return {};
}

void Router::unbind() {
  for (const std::string& endpoint : impl_->bound) {
    try {
      impl_->router.unbind(endpoint);
      while (true) {
        zmq_pollitem_t item{impl_->monitor.handle(), -1, ZMQ_POLLIN, 0};
        if (zmq_poll(&item, 1, kUnbindMs) == 0) break;
        auto report = next_event(impl_->monitor);
        if (report && report->event == ZMQ_EVENT_CLOSED) break;
      }
    } catch (const zmq::error_t&) {
      // Not bound any more: what was wanted.
    }
  }
}

}  // namespace mesh::bus
