#include "nodes/dataplane/echo.h"

#include <fmt/format.h>
#include <netinet/icmp6.h>
#include <netinet/in.h>
#include <netinet/ip.h>
#include <netinet/ip_icmp.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>

#include "nodes/dataplane/dataplane.h"

namespace mesh {
namespace {

constexpr size_t kHeaderBytes = 8;  // of both families: type, code, checksum, identifier, sequence
constexpr size_t kPacketBytes = kHeaderBytes + sizeof(uint64_t);
constexpr size_t kReceiveMax = 1'500;

int open_socket(bool v6) {
  const int fd = ::socket(v6 ? AF_INET6 : AF_INET, SOCK_RAW | SOCK_NONBLOCK | SOCK_CLOEXEC,
                          v6 ? static_cast<int>(IPPROTO_ICMPV6) : static_cast<int>(IPPROTO_ICMP));
  if (fd < 0) return fd;
  // A raw socket hears whatever the host hears: only echo replies are of interest.
  if (v6) {
    icmp6_filter filter;
    ICMP6_FILTER_SETBLOCKALL(&filter);
    ICMP6_FILTER_SETPASS(ICMP6_ECHO_REPLY, &filter);
    ::setsockopt(fd, IPPROTO_ICMPV6, ICMP6_FILTER, &filter, sizeof filter);
  } else {
    constexpr int kIcmpFilter = 1;  // ICMP_FILTER of linux/icmp.h, which does not go with netinet/ip_icmp.h
    const uint32_t blocked = ~(1U << ICMP_ECHOREPLY);
    ::setsockopt(fd, SOL_RAW, kIcmpFilter, &blocked, sizeof blocked);
  }
  return fd;
}

/// RFC 1071. The kernel computes ICMPv6's, which covers addresses that it chooses.
uint16_t checksum(const std::array<uint8_t, kPacketBytes>& packet) {
  uint32_t sum = 0;
  for (size_t i = 0; i < packet.size(); i += 2) sum += static_cast<uint32_t>(packet[i] << 8 | packet[i + 1]);
  while (sum >> 16 != 0) sum = (sum & 0xffff) + (sum >> 16);
  return static_cast<uint16_t>(~sum);
}

std::array<uint8_t, kPacketBytes> request(bool v6, uint64_t number) {
  std::array<uint8_t, kPacketBytes> packet{};
  packet[0] = v6 ? ICMP6_ECHO_REQUEST : ICMP_ECHO;
  std::memcpy(packet.data() + kHeaderBytes, &number, sizeof number);
  if (v6) return packet;
  const uint16_t sum = checksum(packet);
  packet[2] = static_cast<uint8_t>(sum >> 8);
  packet[3] = static_cast<uint8_t>(sum & 0xff);
  return packet;
}

/// The address to send from, as ancillary data: the socket serves whatever loopback the version has.
void put_source(msghdr& message, const IpAddress& from) {
  auto* part = CMSG_FIRSTHDR(&message);
  if (from.v6) {
    in6_pktinfo info{};
    std::memcpy(&info.ipi6_addr, from.bytes.data(), sizeof info.ipi6_addr);
    part->cmsg_level = IPPROTO_IPV6;
    part->cmsg_type = IPV6_PKTINFO;
    part->cmsg_len = CMSG_LEN(sizeof info);
    std::memcpy(CMSG_DATA(part), &info, sizeof info);
    message.msg_controllen = CMSG_SPACE(sizeof info);
  } else {
    in_pktinfo info{};
    std::memcpy(&info.ipi_spec_dst, from.bytes.data(), sizeof info.ipi_spec_dst);
    part->cmsg_level = IPPROTO_IP;
    part->cmsg_type = IP_PKTINFO;
    part->cmsg_len = CMSG_LEN(sizeof info);
    std::memcpy(CMSG_DATA(part), &info, sizeof info);
    message.msg_controllen = CMSG_SPACE(sizeof info);
  }
}

}  // namespace

Echo::~Echo() {
  if (v4_ >= 0) ::close(v4_);
  if (v6_ >= 0) ::close(v6_);
}

Status Echo::open() {
  while (number_ == 0) {
    if (::getrandom(&number_, sizeof number_, 0) != sizeof number_) number_ = 0;
  }
  if (v4_ < 0) v4_ = open_socket(false);
  if (v4_ < 0) {
    return fail(Errc::unavailable, fmt::format("no socket for echo requests: {}", std::strerror(errno)),
                "run as root, with the capability CAP_NET_RAW");
  }
  if (v6_ < 0) v6_ = open_socket(true);  // a host without IPv6 asks over IPv4
  return {};
}

void Echo::send(bool v6, const IpAddress* from, const IpAddress& target) const {
  auto packet = request(v6, number_);
  iovec part{packet.data(), packet.size()};
  alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof(in6_pktinfo))> control{};
  sockaddr_in to4{};
  sockaddr_in6 to6{};
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  if (v6) {
    to6.sin6_family = AF_INET6;
    std::memcpy(&to6.sin6_addr, target.bytes.data(), sizeof to6.sin6_addr);
    message.msg_name = &to6;
    message.msg_namelen = sizeof to6;
  } else {
    to4.sin_family = AF_INET;
    std::memcpy(&to4.sin_addr, target.bytes.data(), sizeof to4.sin_addr);
    message.msg_name = &to4;
    message.msg_namelen = sizeof to4;
  }
  if (from != nullptr) {
    message.msg_control = control.data();
    message.msg_controllen = control.size();
    put_source(message, *from);
  }
  // Without a route there is no answer, which is what is asked.
  (void)::sendmsg(v6 ? v6_ : v4_, &message, MSG_DONTWAIT);
}

void Echo::receive(bool v6) {
  std::array<uint8_t, kReceiveMax> packet;
  sockaddr_storage from{};
  for (;;) {
    socklen_t size = sizeof from;
    const auto got = ::recvfrom(v6 ? v6_ : v4_, packet.data(), packet.size(), MSG_DONTWAIT,
                                reinterpret_cast<sockaddr*>(&from), &size);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return;
    // Over IPv4 a raw socket is given the IP header too.
    const size_t skip = v6 || got == 0 ? 0 : size_t{4} * (packet[0] & 0x0f);
    if (static_cast<size_t>(got) != skip + kPacketBytes) continue;
    if (packet[skip] != (v6 ? ICMP6_ECHO_REPLY : ICMP_ECHOREPLY)) continue;
    if (std::memcmp(packet.data() + skip + kHeaderBytes, &number_, sizeof number_) != 0) continue;
    IpAddress address;
    address.v6 = v6;
    if (v6) {
      std::memcpy(address.bytes.data(), &reinterpret_cast<const sockaddr_in6&>(from).sin6_addr, 16);
    } else {
      std::memcpy(address.bytes.data(), &reinterpret_cast<const sockaddr_in&>(from).sin_addr, 4);
    }
    answered_[address] = Clock::now();
  }
}

Result<std::vector<IpAddress>> Echo::probe(const std::vector<IpAddress>& from, const std::vector<IpAddress>& targets) {
  if (auto opened = open(); !opened) return std::unexpected(opened.error());
  receive(false);
  if (v6_ >= 0) receive(true);
  const auto now = Clock::now();
  constexpr std::chrono::milliseconds kFresh(kEchoFreshMs);
  std::erase_if(answered_, [&](const auto& each) { return now - each.second > kFresh; });
  std::vector<IpAddress> out;
  for (const IpAddress& target : targets) {
    if (target.v6 && v6_ < 0) continue;
    const auto source = std::ranges::find(from, target.v6, &IpAddress::v6);
    send(target.v6, source == from.end() ? nullptr : &*source, target);
    if (answered_.contains(target)) out.push_back(target);
  }
  std::ranges::sort(out);
  return out;
}

}  // namespace mesh
