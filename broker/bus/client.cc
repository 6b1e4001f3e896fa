#include "broker/bus/client.h"

#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <mutex>
#include <optional>
#include <random>
#include <utility>
#include <zmq.hpp>

#include "broker/bus/socket.h"
#include "eventstore/model/crypto.h"

namespace mesh {

namespace {

using Clock = std::chrono::steady_clock;
using Kind = ClientEvent::Kind;
using std::chrono::milliseconds;

constexpr int kEvents = ZMQ_EVENT_CONNECTED | ZMQ_EVENT_CLOSED | ZMQ_EVENT_DISCONNECTED |
                        ZMQ_EVENT_HANDSHAKE_SUCCEEDED | ZMQ_EVENT_HANDSHAKE_FAILED_AUTH |
                        ZMQ_EVENT_HANDSHAKE_FAILED_PROTOCOL | ZMQ_EVENT_HANDSHAKE_FAILED_NO_DETAIL;
constexpr int kSocketsMax =
    60'000;  // three for a client; libzmq's 1,023 are too few for a load test
constexpr int kNeverMs = 24 * 3'600'000;
constexpr size_t kDrainFrames = 4'096;
constexpr size_t kDrainBytes = 64 * 1024 * 1024;

Status check_endpoints(const std::vector<Endpoint>& endpoints) {
  if (endpoints.empty() || endpoints.size() > kClientEndpointsMax) {
    return fail(Errc::usage, fmt::format("{} controller endpoints, expected 1 to {}",
                                         endpoints.size(), kClientEndpointsMax));
  }
  for (const Endpoint& endpoint : endpoints) MESH_TRY(bus::check_endpoint(endpoint.address, false));
  return {};
}

// One I/O thread serves all clients of a process: a program has one, a load test thousands.
std::shared_ptr<zmq::context_t> shared_context() {
  static std::mutex mutex;
  static std::weak_ptr<zmq::context_t> current;
  std::lock_guard lock(mutex);
  auto context = current.lock();
  if (!context) {
    context = std::make_shared<zmq::context_t>(1);
    context->set(zmq::ctxopt::max_sockets, kSocketsMax);
    current = context;
  }
  return context;
}

std::string next_monitor_address() {
  static std::atomic<uint64_t> count = 0;
  return fmt::format("inproc://monitor-{}", ++count);
}

int remaining_ms(Clock::time_point until) {
  auto left = std::chrono::ceil<milliseconds>(until - Clock::now()).count();
  return static_cast<int>(std::clamp<int64_t>(left, 0, 1'000'000'000));
}

}  // namespace

struct BusClient::Impl {
  enum class State { waiting, connecting, handshaking, connected };

  Impl(const BoxSecret& secret, ClientOptions o)
      : options(std::move(o)),
        random(options.jitter_seed),
        key(secret.reveal().size()),
        own(secret.public_key()) {
    std::ranges::copy(secret.reveal(), key.writable().begin());
  }
  ~Impl() { drop(options.linger_ms); }

  ClientOptions options;
  std::mt19937_64 random;
  SecretBytes key;
  BoxKey own;
  WakeFd wake;
  std::shared_ptr<zmq::context_t> context = shared_context();
  zmq::socket_t socket;
  zmq::socket_t monitor;

  State state = State::waiting;
  Clock::time_point due{};    // waiting: the next attempt; connecting and handshaking: its end
  Clock::time_point since{};  // connected
  size_t walk = 0;            // the endpoint to try next
  uint64_t rounds = 0;        // all endpoints failed, in a row
  uint64_t failures = 0;      // attempts that failed, in a row
  Endpoint current;
  std::vector<ClientEvent> events;  // for the caller's next poll
  std::optional<Error> last_failure;
  bool ended_handshake = false;  // the last failure; it looks alike for a wrong key and a controller that ends

  bool live() const { return state != State::waiting; }
  void begin();
  void configure();
  void drop(int linger_ms);
  void pause();
  void failed(Kind kind, std::string detail, Errc code, std::string fix);
  void lost();
  void take_frames(std::vector<ClientEvent>& frames);
  void take_reports();
  void on_report(const bus::MonitorEvent& report, std::vector<ClientEvent>& frames);
  void expire();
  bool poll_once(int timeout_ms, std::span<Watched> watched);
};

void BusClient::Impl::configure() {
  socket.set(zmq::sockopt::ipv6, true);
  socket.set(zmq::sockopt::curve_serverkey, zmq::buffer(current.server.bytes));
  socket.set(zmq::sockopt::curve_publickey, zmq::buffer(own.bytes));
  socket.set(zmq::sockopt::curve_secretkey, zmq::buffer(key.view().data(), key.size()));
  socket.set(zmq::sockopt::maxmsgsize, static_cast<int64_t>(options.frame_max));
  socket.set(zmq::sockopt::connect_timeout, options.connect_ms);
  socket.set(zmq::sockopt::handshake_ivl, options.handshake_ms);
  socket.set(zmq::sockopt::heartbeat_ivl, options.heartbeat_ms);
  socket.set(zmq::sockopt::heartbeat_timeout, options.heartbeat_timeout_ms);
  socket.set(zmq::sockopt::sndhwm, options.queue_max);
  // Each attempt is a socket of its own, so libzmq's reconnecting must never come to act. Neither
  // -1 nor ZMQ_IMMEDIATE, though: both throw away what was received and not yet read when a
  // connection ends (4.3.4).
  socket.set(zmq::sockopt::reconnect_ivl, kNeverMs);
  socket.set(zmq::sockopt::linger, 0);
}

void BusClient::Impl::begin() {
  current = options.endpoints[walk];
  due = Clock::now() + milliseconds(options.connect_ms);
  state = State::connecting;
  try {
    socket = zmq::socket_t(*context, zmq::socket_type::dealer);
    configure();
    monitor = bus::watch(*context, socket, next_monitor_address(), kEvents);
    socket.connect(current.address);
  } catch (const zmq::error_t& error) {
    failed(Kind::unreachable,
           fmt::format("cannot connect to {}: {}", current.address, error.what()),
           Errc::unavailable, {});
  }
}

void BusClient::Impl::drop(int linger_ms) {
  if (socket.handle() == nullptr) return;
  bus::unwatch(socket);
  socket.set(zmq::sockopt::linger, linger_ms);
  socket.close();
  monitor.close();
}

// Half of the pause is fixed and half is chance, so that a fleet does not return in step.
void BusClient::Impl::pause() {
  const uint64_t shift = std::min<uint64_t>(rounds, 20);
  const int64_t most =
      std::min<int64_t>(int64_t{options.backoff_min_ms} << shift, options.backoff_max_ms);
  const int64_t least = most / 2;
  due = Clock::now() + milliseconds(least + static_cast<int64_t>(random() % static_cast<uint64_t>(
                                                                                most - least + 1)));
  ++rounds;
}

void BusClient::Impl::failed(Kind kind, std::string detail, Errc code, std::string fix) {
  drop(0);
  state = State::waiting;
  ended_handshake = false;
  ++failures;
  due = Clock::now();
  if (++walk >= options.endpoints.size()) {
    walk = 0;
    pause();
  }
  // A refusal says more than an endpoint that is down.
  if (!last_failure || last_failure->code == Errc::unavailable)
    last_failure = Error{code, detail, std::move(fix)};
  events.push_back({kind, {}, std::move(detail)});
}

void BusClient::Impl::lost() {
  drop(0);
  state = State::waiting;
  walk = 0;
  // A connection that outlived the longest pause was a good one; a shorter one may be part of a
  // crash loop.
  if (Clock::now() - since > milliseconds(options.backoff_max_ms)) rounds = 0;
  pause();
  events.push_back({Kind::disconnected, {}, current.address});
}

void BusClient::Impl::take_frames(std::vector<ClientEvent>& frames) {
  size_t bytes = 0;
  while (frames.size() < kDrainFrames && bytes < kDrainBytes) {
    zmq::message_t message;
    if (!socket.recv(message, zmq::recv_flags::dontwait)) return;
    const auto* data = message.data<uint8_t>();
    frames.push_back({Kind::frame, Bytes(data, data + message.size()), {}});
    bytes += message.size();
  }
}

// Frames are taken before reports: the frames that a report of success precedes are then never
// returned without it.
void BusClient::Impl::take_reports() {
  std::vector<ClientEvent> frames;
  take_frames(frames);
  while (live()) {
    auto report = bus::next_event(monitor);
    if (!report) break;
    on_report(*report, frames);
  }
  std::ranges::move(frames, std::back_inserter(events));
}

void BusClient::Impl::on_report(const bus::MonitorEvent& report, std::vector<ClientEvent>& frames) {
  const std::string& where = current.address;
  switch (report.event) {
    case ZMQ_EVENT_CONNECTED:
      state = State::handshaking;
      due = Clock::now() + milliseconds(options.handshake_ms);
      return;
    case ZMQ_EVENT_HANDSHAKE_SUCCEEDED:
      state = State::connected;
      since = Clock::now();
      failures = 0;
      last_failure.reset();
      events.push_back({Kind::connected, {}, where});
      return;
    case ZMQ_EVENT_HANDSHAKE_FAILED_AUTH:
      return failed(Kind::refused,
                    fmt::format("{} refused our key {}", where, fingerprint(own.view())),
                    Errc::unauthenticated, "the key is not enrolled, or was revoked");
    case ZMQ_EVENT_HANDSHAKE_FAILED_PROTOCOL:
      return failed(Kind::refused, fmt::format("{} does not speak our protocol", where),
                    Errc::unauthenticated, "check the endpoint: is a controller listening there?");
    default:
      break;
  }
  if (state == State::connected) {
    do {  // what came before the end
      std::ranges::move(frames, std::back_inserter(events));
      frames.clear();
      take_frames(frames);
    } while (!frames.empty());
    lost();
  } else if (state == State::handshaking) {
    failed(Kind::refused, fmt::format("{} ended the handshake", where), Errc::unauthenticated,
           "check the controller's key, or try again: the controller may be stopping");
    ended_handshake = true;
  } else {
    failed(Kind::unreachable, fmt::format("cannot connect to {}", where), Errc::unavailable,
           "check that the controller runs and that its port is reachable");
  }
}

void BusClient::Impl::expire() {
  if (state == State::connected || Clock::now() < due) return;
  if (state == State::waiting) return begin();
  const bool reached = state == State::handshaking;
  failed(reached ? Kind::refused : Kind::unreachable,
         fmt::format("{} did not {} in {} ms", current.address,
                     reached ? "finish the handshake" : "answer",
                     reached ? options.handshake_ms : options.connect_ms),
         Errc::unavailable, "check that the controller runs and that its port is reachable");
}

bool BusClient::Impl::poll_once(int timeout_ms, std::span<Watched> watched) {
  expire();
  if (state != State::connected) {
    const int until_due = remaining_ms(due);
    timeout_ms = timeout_ms < 0 ? until_due : std::min(timeout_ms, until_due);
  }
  if (!events.empty()) timeout_ms = 0;
  std::vector<zmq_pollitem_t> items{{nullptr, wake.fd(), ZMQ_POLLIN, 0}};
  for (const Watched& w : watched) items.push_back({nullptr, w.fd, ZMQ_POLLIN, 0});
  if (live()) {
    items.push_back({socket.handle(), -1, ZMQ_POLLIN, 0});
    items.push_back({monitor.handle(), -1, ZMQ_POLLIN, 0});
  }
  if (zmq_poll(items.data(), static_cast<int>(items.size()), timeout_ms) < 0)
    return true;  // a signal
  bool caller = items[0].revents != 0;
  if (caller) wake.clear();
  for (size_t i = 0; i < watched.size(); ++i) {
    watched[i].readable = items[1 + i].revents != 0;
    caller = caller || watched[i].readable;
  }
  if (live()) take_reports();
  return caller;
}

BusClient::BusClient(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
BusClient::~BusClient() = default;

Result<std::unique_ptr<BusClient>> BusClient::open(const BoxSecret& secret, ClientOptions options) {
  MESH_TRY(check_endpoints(options.endpoints));
  auto impl = std::make_unique<Impl>(secret, std::move(options));
  impl->current = impl->options.endpoints.front();
  return std::unique_ptr<BusClient>(new BusClient(std::move(impl)));
}

std::vector<ClientEvent> BusClient::poll(int timeout_ms, std::span<Watched> watched) {
  for (Watched& w : watched) w.readable = false;
  const auto deadline = Clock::now() + milliseconds(std::max(timeout_ms, 0));
  while (true) {
    const bool caller = impl_->poll_once(timeout_ms < 0 ? -1 : remaining_ms(deadline), watched);
    const bool over = timeout_ms >= 0 && Clock::now() >= deadline;
    if (caller || over || !impl_->events.empty()) return std::exchange(impl_->events, {});
  }
}

Status BusClient::wait_connected(int timeout_ms) {
  Impl& self = *impl_;
  const auto deadline = Clock::now() + milliseconds(timeout_ms);
  uint64_t enough = self.failures + self.options.endpoints.size();
  bool second_walk = false;
  std::vector<ClientEvent> kept = std::exchange(self.events, {});
  while (self.state != Impl::State::connected && self.failures < enough &&
         Clock::now() < deadline) {
    self.poll_once(remaining_ms(deadline), {});
    std::ranges::move(std::exchange(self.events, {}), std::back_inserter(kept));
    // A controller that was just ending is unreachable, or back, by the next time; a wrong key stays wrong.
    if (self.failures >= enough && self.ended_handshake && !std::exchange(second_walk, true)) {
      enough = self.failures + self.options.endpoints.size();
      self.last_failure.reset();
    }
  }
  self.events = std::move(kept);
  if (self.state == Impl::State::connected) return {};
  if (self.failures >= enough && self.last_failure) return std::unexpected(*self.last_failure);
  return fail(Errc::timeout,
              fmt::format("no connection to {} in {} ms", self.current.address, timeout_ms),
              "check that the controller runs and that its port is reachable");
}

Status BusClient::send(ByteView frame) {
  Impl& self = *impl_;
  if (self.state != Impl::State::connected)
    return fail(Errc::unavailable, "not connected to a controller");
  if (frame.size() > self.options.frame_max) {
    return fail(Errc::exhausted, fmt::format("a frame of {} bytes is over the limit of {}",
                                             frame.size(), self.options.frame_max));
  }
  if (zmq_send(self.socket.handle(), frame.data(), frame.size(), ZMQ_DONTWAIT) >= 0) return {};
  // Without a pipe the connection has ended, which the next poll reports; with one, its queue is
  // full.
  if (zmq_errno() == EAGAIN)
    return fail(Errc::exhausted, "the connection does not take more frames");
  return fail(Errc::io, fmt::format("cannot send: {}", zmq_strerror(zmq_errno())));
}

bool BusClient::connected() const { return impl_->state == Impl::State::connected; }
const Endpoint& BusClient::endpoint() const { return impl_->current; }

Status BusClient::set_endpoints(std::vector<Endpoint> endpoints) {
  MESH_TRY(check_endpoints(endpoints));
  Impl& self = *impl_;
  self.options.endpoints = std::move(endpoints);
  self.walk = 0;
  const bool kept =
      std::ranges::find(self.options.endpoints, self.current) != self.options.endpoints.end();
  if (!self.live() || kept) return {};
  if (self.state == Impl::State::connected)
    self.events.push_back({Kind::disconnected, {}, self.current.address});
  self.drop(self.options.linger_ms);
  self.state = Impl::State::waiting;
  self.due = Clock::now();
  return {};
}

void BusClient::wake() { impl_->wake.signal(); }

}  // namespace mesh
