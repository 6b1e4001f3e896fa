#include "broker/bus/server.h"

#include <fmt/format.h>
#include <sys/resource.h>

#include <algorithm>
#include <cerrno>
#include <set>
#include <thread>
#include <zmq.hpp>

#include "broker/bus/router.h"

namespace mesh {

using bus::Bucket;
using bus::Clock;
using bus::Router;
using bus::RouterOptions;
using bus::Verdict;

namespace {

constexpr size_t kDrainFrames = 16'384;
constexpr size_t kDrainBytes = 64 * 1024 * 1024;
// libzmq queues whole frames per connection before we read: 16 of 8 MiB is the most that one peer
// can make us hold.
constexpr int kReceiveQueue = 16;
constexpr int kEnrolReceiveQueue = 4;
constexpr int kEnrolHandshakeMs = 10'000;
constexpr int kEnrolHeartbeatMs = 30'000;
constexpr size_t kReservedDescriptors =
    512;  // for the log, listeners and everything else in the process

// The soft limit of descriptors is often 1,024; each connection needs one.
size_t raise_descriptor_limit(size_t wanted) {
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) return wanted;
  if (limit.rlim_cur < wanted) {
    limit.rlim_cur = std::min<rlim_t>(wanted, limit.rlim_max);
    ::setrlimit(RLIMIT_NOFILE, &limit);
    ::getrlimit(RLIMIT_NOFILE, &limit);
  }
  return static_cast<size_t>(std::min<rlim_t>(limit.rlim_cur, wanted));
}

// A message that keeps `frame` alive for as long as libzmq needs it.
zmq::message_t share(const std::shared_ptr<const Bytes>& frame) {
  if (frame->empty()) return zmq::message_t();
  auto release = [](void*, void* hint) { delete static_cast<std::shared_ptr<const Bytes>*>(hint); };
  auto owner = std::make_unique<std::shared_ptr<const Bytes>>(frame);
  zmq::message_t message(const_cast<uint8_t*>(frame->data()), frame->size(), release, owner.get());
  owner.release();
  return message;
}

std::vector<std::string> all_of(const std::string& first, const std::vector<std::string>& also) {
  std::vector<std::string> out{first};
  out.insert(out.end(), also.begin(), also.end());
  return out;
}

int remaining_ms(Clock::time_point deadline) {
  auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - Clock::now()).count();
  return static_cast<int>(std::max<int64_t>(left, 0));
}

}  // namespace

struct BusServer::Impl {
  explicit Impl(ServerOptions o) : options(std::move(o)) {}

  ServerOptions options;
  WakeFd wake;
  ServerStats stats;
  std::set<BoxKey> muted;
  std::unique_ptr<Router> main;
  std::unique_ptr<Bucket> strangers;  // handshakes
  std::unique_ptr<Bucket> stranger_frames;
  std::unique_ptr<Router> enrolment;        // null while closed
  std::shared_ptr<const Bytes> last_frame;  // last_message shares it
  zmq::message_t last_message;
  std::vector<zmq_pollitem_t> items;
  std::jthread closing;

  bool poll_once(int timeout_ms, std::span<Watched> watched);
  void drain(Router& router, Bucket* limit, std::vector<Incoming>& out);
};

BusServer::BusServer(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
BusServer::~BusServer() = default;

Result<std::unique_ptr<BusServer>> BusServer::open(const BoxSecret& secret, ServerOptions options) {
  MESH_ASSERT(options.admits);
  const size_t wanted = options.connections_max + kEnrolConnectionsMax + kReservedDescriptors;
  const size_t have = raise_descriptor_limit(wanted);
  auto impl = std::make_unique<Impl>(std::move(options));
  Impl* self = impl.get();
  const ServerOptions& o = self->options;
  // Strangers who only open connections must not take the descriptors that the log needs.
  const size_t spare = kEnrolConnectionsMax + kReservedDescriptors;
  const size_t connections =
      std::min(o.connections_max, have > 2 * spare ? have - spare : have / 2);
  auto main = Router::open(secret, {.endpoints = all_of(o.endpoint, o.also),
                                    .frame_max = o.frame_max,
                                    .connections_max = connections,
                                    .handshake_ms = o.handshake_ms,
                                    .backlog = o.backlog,
                                    .heartbeat_ms = o.heartbeat_ms,
                                    .heartbeat_timeout_ms = o.heartbeat_timeout_ms,
                                    .queue_max = o.queue_max,
                                    .receive_queue_max = kReceiveQueue,
                                    .linger_ms = o.linger_ms,
                                    .verdict = [self](const BoxKey& key) {
                                      if (!self->options.admits(key)) return Verdict::refuse;
                                      self->muted.erase(key);
                                      return Verdict::admit;
                                    }});
  if (!main) return std::unexpected(main.error());
  impl->main = std::move(*main);
  return std::unique_ptr<BusServer>(new BusServer(std::move(impl)));
}

const std::string& BusServer::bound_endpoint() const { return impl_->main->endpoints().front(); }
const std::vector<std::string>& BusServer::bound_endpoints() const {
  return impl_->main->endpoints();
}

Status BusServer::open_enrolment(const BoxSecret& secret, EnrolmentOptions options) {
  if (impl_->enrolment) {
    return fail(Errc::conflict,
                fmt::format("enrolment is open already on {}", enrolment_endpoint()));
  }
  auto strangers = std::make_unique<Bucket>(options.per_second);
  auto router =
      Router::open(secret, {.endpoints = all_of(options.endpoint, options.also),
                            .frame_max = kEnrolFrameBytesMax,
                            .connections_max = options.connections_max,
                            .handshake_ms = kEnrolHandshakeMs,
                            .backlog = static_cast<int>(options.connections_max),
                            .heartbeat_ms = kEnrolHeartbeatMs,
                            .heartbeat_timeout_ms = kEnrolHeartbeatMs,
                            .queue_max = 1'000,
                            .receive_queue_max = kEnrolReceiveQueue,
                            .linger_ms = impl_->options.linger_ms,
                            .enrolment = true,
                            .bytes_per_connection = options.bytes_per_connection,
                            .connection_ms = options.connection_ms,
                            .verdict = [bucket = strangers.get()](const BoxKey&) {
                              return bucket->take(Clock::now()) ? Verdict::admit : Verdict::later;
                            }});
  if (!router) return std::unexpected(router.error());
  impl_->strangers = std::move(strangers);
  impl_->stranger_frames = std::make_unique<Bucket>(options.per_second);
  impl_->enrolment = std::move(*router);
  return {};
}

void BusServer::close_enrolment() {
  if (!impl_->enrolment) return;
  impl_->enrolment->unbind();
  // Elsewhere, because a stranger who does not read may hold up the end of its context for
  // linger_ms.
  impl_->closing =
      std::jthread([router = std::move(impl_->enrolment)]() mutable { router.reset(); });
}

std::string BusServer::enrolment_endpoint() const {
  return impl_->enrolment ? impl_->enrolment->endpoints().front() : std::string();
}

bool BusServer::Impl::poll_once(int timeout_ms, std::span<Watched> watched) {
  items.assign(1, {nullptr, wake.fd(), ZMQ_POLLIN, 0});
  auto add = [&](const Router& router, bool frames) {
    items.resize(items.size() + Router::kPollItems);
    router.watch(&items[items.size() - Router::kPollItems], frames);
  };
  add(*main, true);
  if (enrolment) {
    add(*enrolment, !stranger_frames->empty(Clock::now()));
    if (timeout_ms < 0 || timeout_ms > Router::kServeMs) timeout_ms = Router::kServeMs;
  }
  const size_t first_watched = items.size();
  for (const Watched& w : watched) items.push_back({nullptr, w.fd, ZMQ_POLLIN, 0});

  if (zmq_poll(items.data(), static_cast<int>(items.size()), timeout_ms) < 0)
    return true;  // a signal
  bool caller = items[0].revents != 0;
  if (caller) wake.clear();
  for (size_t i = 0; i < watched.size(); ++i) {
    watched[i].readable = items[first_watched + i].revents != 0;
    caller = caller || watched[i].readable;
  }
  main->serve(stats);
  if (enrolment) enrolment->serve(stats);
  return caller;
}

void BusServer::Impl::drain(Router& router, Bucket* limit, std::vector<Incoming>& out) {
  size_t bytes = 0;
  while (out.size() < kDrainFrames && bytes < kDrainBytes) {
    if (limit != nullptr && limit->empty(Clock::now())) return;
    const size_t before = out.size();
    if (!router.receive(out, stats)) return;
    if (limit != nullptr) limit->take(Clock::now());
    if (out.size() == before) continue;
    bytes += out.back().frame.size();
    // A stranger with a dead key may still ask, and is told.
    if (&router == main.get() && muted.contains(out.back().session.user)) {
      out.pop_back();
      ++stats.dropped_muted;
      router.cut_source(stats);
    } else {
      ++stats.frames_in;
    }
  }
}

std::vector<Incoming> BusServer::poll(int timeout_ms, std::span<Watched> watched) {
  Impl& self = *impl_;
  self.last_frame.reset();
  self.last_message.rebuild();
  for (Watched& w : watched) w.readable = false;
  const auto deadline = Clock::now() + std::chrono::milliseconds(std::max(timeout_ms, 0));
  std::vector<Incoming> out;
  while (true) {
    const bool caller = self.poll_once(timeout_ms < 0 ? -1 : remaining_ms(deadline), watched);
    self.drain(*self.main, nullptr, out);
    if (self.enrolment) self.drain(*self.enrolment, self.stranger_frames.get(), out);
    if (caller || !out.empty()) return out;
    if (timeout_ms >= 0 && Clock::now() >= deadline) return out;
  }
}

Status BusServer::send(const SessionId& session, const std::shared_ptr<const Bytes>& frame) {
  Impl& self = *impl_;
  Router* router = session.enrolment ? self.enrolment.get() : self.main.get();
  if (router == nullptr) return fail(Errc::unavailable, "enrolment is closed");
  if (frame->size() > self.options.frame_max) {
    return fail(Errc::exhausted, fmt::format("a frame of {} bytes is over the limit of {}",
                                             frame->size(), self.options.frame_max));
  }
  if (!session.enrolment && self.muted.contains(session.user)) {
    ++self.stats.dropped_muted;
    return fail(Errc::unavailable, "the peer's key was revoked");
  }
  if (frame != self.last_frame) {
    self.last_message = share(frame);
    self.last_frame = frame;
  }
  MESH_TRY(router->send(session.connection, self.last_message));
  ++self.stats.frames_out;
  return {};
}

Status BusServer::send(const SessionId& session, Bytes frame) {
  return send(session, std::make_shared<const Bytes>(std::move(frame)));
}

void BusServer::mute(const BoxKey& user) { impl_->muted.insert(user); }

void BusServer::wake() { impl_->wake.signal(); }

const ServerStats& BusServer::stats() const { return impl_->stats; }

}  // namespace mesh
