#include "tests/bench/peers.h"

#include <fmt/format.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <deque>
#include <utility>
#include <zmq.hpp>

namespace mesh::bench {

namespace {

constexpr int64_t kStuckUs = 20'000'000;

zmq::socket_type type_of(PeerKind kind) {
  switch (kind) {
    case PeerKind::sub:
      return zmq::socket_type::sub;
    case PeerKind::pull:
      return zmq::socket_type::pull;
    case PeerKind::dealer:
      break;
  }
  return zmq::socket_type::dealer;
}

}  // namespace

struct Peers::Impl {
  zmq::context_t context{1};
  std::vector<zmq::socket_t> sockets;
  std::vector<size_t> sent;  // sending may take a socket's wake-up: looked at before waiting
  int epoll = epoll_create1(EPOLL_CLOEXEC);

  size_t drain(size_t peer, const Got& got) {
    zmq::message_t frame;
    size_t count = 0;
    for (; sockets[peer].recv(frame, zmq::recv_flags::dontwait); ++count)
      got(peer, {frame.data<uint8_t>(), frame.size()});
    return count;
  }
};

Peers::Peers(PeerKind kind, const std::string& endpoint, const BoxKey& server,
             const std::vector<const BoxSecret*>& keys)
    : impl_(std::make_unique<Impl>()) {
  Impl& self = *impl_;
  self.context.set(zmq::ctxopt::max_sockets, static_cast<int>(keys.size() + 16));
  for (const BoxSecret* key : keys) {
    zmq::socket_t socket(self.context, type_of(kind));
    socket.set(zmq::sockopt::curve_serverkey, zmq::buffer(server.bytes));
    socket.set(zmq::sockopt::curve_publickey, zmq::buffer(key->public_key().bytes));
    socket.set(zmq::sockopt::curve_secretkey,
               zmq::buffer(key->reveal().data(), key->reveal().size()));
    socket.set(zmq::sockopt::linger, 0);
    socket.set(zmq::sockopt::rcvhwm, 0);
    socket.set(zmq::sockopt::sndhwm, 0);
    if (kind == PeerKind::sub) socket.set(zmq::sockopt::subscribe, "");
    epoll_event event{};
    event.events = EPOLLIN;
    event.data.u64 = self.sockets.size();
    MESH_ASSERT(epoll_ctl(self.epoll, EPOLL_CTL_ADD, socket.get(zmq::sockopt::fd), &event) == 0);
    socket.connect(endpoint);
    self.sent.push_back(self.sockets.size());
    self.sockets.push_back(std::move(socket));
  }
}

Peers::~Peers() { close(impl_->epoll); }

size_t Peers::size() const { return impl_->sockets.size(); }

void Peers::send(size_t peer, ByteView frame) {
  impl_->sockets[peer].send(zmq::buffer(frame.data(), frame.size()), zmq::send_flags::none);
  impl_->sent.push_back(peer);
}

size_t Peers::receive(int64_t timeout_us, const Got& got) {
  Impl& self = *impl_;
  size_t count = 0;
  std::vector<size_t> sent = std::exchange(self.sent, {});
  for (size_t peer : sent) count += self.drain(peer, got);
  if (count == 0 && timeout_us > 0) {
    // Not epoll_wait's milliseconds: a schedule needs finer ones.
    pollfd waiting{self.epoll, POLLIN, 0};
    timespec timeout{timeout_us / 1'000'000, timeout_us % 1'000'000 * 1'000};
    ppoll(&waiting, 1, &timeout, nullptr);
  }
  std::array<epoll_event, 256> events;
  int ready = epoll_wait(self.epoll, events.data(), static_cast<int>(events.size()), 0);
  for (int i = 0; i < ready; ++i) count += self.drain(events[static_cast<size_t>(i)].data.u64, got);
  return count;
}

void raise_descriptor_limit() {
  rlimit limit{};
  getrlimit(RLIMIT_NOFILE, &limit);
  limit.rlim_cur = limit.rlim_max;
  setrlimit(RLIMIT_NOFILE, &limit);
}

int64_t now_us() {
  using namespace std::chrono;
  return duration_cast<microseconds>(steady_clock::now().time_since_epoch()).count();
}

namespace {
std::unexpected<Error> stuck(size_t answered, size_t all) {
  return fail(Errc::timeout,
              fmt::format("{} of {} requests were answered, then nothing came", answered, all));
}
}  // namespace

Result<LoadResult> closed_loop(Peers& peers, const std::vector<Bytes>& frames) {
  LoadResult out;
  out.replies.reserve(frames.size());
  out.latencies_us.reserve(frames.size());
  std::vector<size_t> next(peers.size());
  std::vector<int64_t> since(peers.size());
  auto send_next = [&](size_t peer) {
    if (next[peer] >= frames.size()) return;
    since[peer] = now_us();
    peers.send(peer, frames[next[peer]]);
    next[peer] += peers.size();
  };
  int64_t begin = now_us(), last = begin;
  for (size_t peer = 0; peer < peers.size(); ++peer) {
    next[peer] = peer;
    send_next(peer);
  }
  while (out.replies.size() < frames.size()) {
    size_t got = peers.receive(100'000, [&](size_t peer, ByteView frame) {
      last = now_us();
      out.latencies_us.push_back(static_cast<double>(last - since[peer]));
      out.replies.emplace_back(frame.begin(), frame.end());
      send_next(peer);
    });
    if (got == 0 && now_us() - last > kStuckUs) return stuck(out.replies.size(), frames.size());
  }
  out.seconds = static_cast<double>(last - begin) / 1e6;
  return out;
}

Result<LoadResult> open_loop(Peers& peers, const std::vector<Bytes>& frames, double per_second) {
  LoadResult out;
  std::vector<std::deque<int64_t>> due(peers.size());
  int64_t begin = now_us(), last = begin;
  auto time_of = [&](size_t i) {
    return begin + static_cast<int64_t>(1e6 * static_cast<double>(i) / per_second);
  };
  for (size_t sent = 0; out.replies.size() < frames.size();) {
    for (; sent < frames.size() && time_of(sent) <= now_us(); ++sent) {
      due[sent % peers.size()].push_back(time_of(sent));
      peers.send(sent % peers.size(), frames[sent]);
    }
    int64_t wait = sent < frames.size() ? std::max<int64_t>(time_of(sent) - now_us(), 0) : 100'000;
    size_t got = peers.receive(wait, [&](size_t peer, ByteView frame) {
      last = now_us();
      out.latencies_us.push_back(static_cast<double>(last - due[peer].front()));
      due[peer].pop_front();
      out.replies.emplace_back(frame.begin(), frame.end());
    });
    if (got == 0 && now_us() - last > kStuckUs) return stuck(out.replies.size(), frames.size());
  }
  out.seconds = static_cast<double>(last - begin) / 1e6;
  return out;
}

}  // namespace mesh::bench
