#include "nodes/dataplane/path_prober.h"

#include <fmt/format.h>
#include <linux/filter.h>
#include <netinet/icmp6.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <utility>

namespace mesh {
namespace {

constexpr size_t kIpBytes = 40, kIcmpBytes = 8;
constexpr size_t kPacketMax = PathSurvey::kLargestBytes;
constexpr size_t kAnswersMax = 16 * 1024;  // that wait: more than are asked for in the time of an apply

/// What every echo carries, before its padding.
struct Stamp {
  uint64_t number = 0;
  int64_t sent_us = 0;
  uint32_t index = 0, round = 0;
};
static_assert(kIpBytes + kIcmpBytes + sizeof(Stamp) == PathSurvey::kSmallBytes);

int64_t now_us() {
  const auto since = std::chrono::steady_clock::now().time_since_epoch();
  return std::chrono::duration_cast<std::chrono::microseconds>(since).count();
}

uint64_t random_number() {
  uint64_t out = 0;
  while (out == 0)
    if (::getrandom(&out, sizeof out, 0) != sizeof out) out = 0;
  return out;
}

Fd open_socket(uint16_t identifier) {
  Fd fd(::socket(AF_INET6, SOCK_RAW | SOCK_NONBLOCK | SOCK_CLOEXEC, IPPROTO_ICMPV6));
  if (!fd) return fd;
  icmp6_filter filter;
  ICMP6_FILTER_SETBLOCKALL(&filter);
  ICMP6_FILTER_SETPASS(ICMP6_ECHO_REPLY, &filter);
  ::setsockopt(fd.get(), IPPROTO_ICMPV6, ICMP6_FILTER, &filter, sizeof filter);
  // A raw socket hears the answers to everybody's requests; those of others do not wake us.
  std::array<sock_filter, 4> code{{{BPF_LD | BPF_H | BPF_ABS, 0, 0, 4},
                                   {BPF_JMP | BPF_JEQ | BPF_K, 0, 1, identifier},
                                   {BPF_RET | BPF_K, 0, 0, 0xffffffff},
                                   {BPF_RET | BPF_K, 0, 0, 0}}};
  const sock_fprog program{static_cast<unsigned short>(code.size()), code.data()};
  ::setsockopt(fd.get(), SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof program);
  // A large request goes as one packet or not at all, whatever the kernel believes of the path.
  const int probe = IPV6_PMTUDISC_PROBE, yes = 1, one = 1;
  ::setsockopt(fd.get(), IPPROTO_IPV6, IPV6_MTU_DISCOVER, &probe, sizeof probe);
  ::setsockopt(fd.get(), IPPROTO_IPV6, IPV6_DONTFRAG, &yes, sizeof yes);
  ::setsockopt(fd.get(), IPPROTO_IPV6, IPV6_UNICAST_HOPS, &one, sizeof one);
  return fd;
}

}  // namespace

PathProber::PathProber(PathSurvey::Options options) : number_(random_number()), survey_(options, number_) {}

PathProber::~PathProber() {
  if (!thread_.joinable()) return;
  const uint64_t one = 1;
  (void)!::write(end_.get(), &one, sizeof one);
  thread_.join();
}

bool PathProber::open() {
  if (thread_.joinable()) return true;
  socket_ = open_socket(static_cast<uint16_t>(number_));
  end_ = Fd(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!socket_ || !end_) {
    problem_ = fmt::format("round-trip times and path MTUs are not measured: no socket: {}", std::strerror(errno));
    return false;
  }
  problem_.clear();
  thread_ = std::thread([this] { listen(); });
  return true;
}

void PathProber::listen() {
  std::array<uint8_t, kPacketMax> packet;
  for (;;) {
    std::array<pollfd, 2> both{{{socket_.get(), POLLIN, 0}, {end_.get(), POLLIN, 0}}};
    if (::poll(both.data(), both.size(), -1) < 0 && errno != EINTR) return;
    if (both[1].revents != 0) return;
    sockaddr_in6 from{};
    socklen_t size = sizeof from;
    const auto got = ::recvfrom(socket_.get(), packet.data(), packet.size(), MSG_DONTWAIT,
                                reinterpret_cast<sockaddr*>(&from), &size);
    const int64_t at_us = now_us();
    Stamp stamp;
    if (got < static_cast<ssize_t>(kIcmpBytes + sizeof stamp)) continue;
    std::memcpy(&stamp, packet.data() + kIcmpBytes, sizeof stamp);
    // Over another interface it is no answer of that tunnel's peer.
    if (stamp.number != number_ || stamp.index != from.sin6_scope_id) continue;
    std::lock_guard lock(mutex_);
    if (answers_.size() < kAnswersMax) answers_.push_back({static_cast<int>(stamp.index), stamp.round,
                        static_cast<uint16_t>(kIpBytes + static_cast<size_t>(got)), stamp.sent_us, at_us});
  }
}

void PathProber::send(const PathSurvey::Packet& packet) {
  std::array<uint8_t, kPacketMax> bytes{};
  bytes[0] = ICMP6_ECHO_REQUEST;
  bytes[4] = static_cast<uint8_t>(number_ >> 8);
  bytes[5] = static_cast<uint8_t>(number_);
  const Stamp stamp{number_, now_us(), static_cast<uint32_t>(packet.index), packet.round};
  std::memcpy(bytes.data() + kIcmpBytes, &stamp, sizeof stamp);
  sockaddr_in6 to{};
  to.sin6_family = AF_INET6;
  to.sin6_scope_id = static_cast<uint32_t>(packet.index);
  std::memcpy(&to.sin6_addr, packet.to.bytes.data(), sizeof to.sin6_addr);
  // What cannot be sent is not answered, which is what is asked.
  (void)!::sendto(socket_.get(), bytes.data(), packet.bytes - kIpBytes, MSG_DONTWAIT,
                  reinterpret_cast<const sockaddr*>(&to), sizeof to);
}

void PathProber::watch(const std::vector<PathSurvey::Target>& targets) { survey_.watch(targets, now_us()); }

void PathProber::run() {
  std::vector<PathSurvey::Answer> answers;
  {
    std::lock_guard lock(mutex_);
    answers.swap(answers_);
  }
  for (const auto& answer : answers) survey_.answered(answer);
  const auto packets = survey_.due(now_us());
  if (packets.empty() || !open()) return;
  for (const auto& packet : packets) send(packet);
}

PathSurvey::Report PathProber::report(int index) const { return survey_.report(index, now_us()); }

}  // namespace mesh
