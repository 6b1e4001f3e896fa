// IP addresses and prefixes as values.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "eventstore/model/result.h"

namespace mesh {

/// One address of either family, network byte order; IPv4 uses the first four bytes.
struct IpAddress {
  bool v6 = false;
  std::array<uint8_t, 16> bytes{};

  auto operator<=>(const IpAddress&) const = default;
  unsigned bits() const { return v6 ? 128 : 32; }
  /// The address `offset` further on; wraps silently, so check the prefix with contains().
  IpAddress plus(uint64_t offset) const;
};

struct IpPrefix {
  IpAddress address;
  unsigned length = 0;

  auto operator<=>(const IpPrefix&) const = default;
  bool v6() const { return address.v6; }
  /// Without host bits.
  IpPrefix network() const;
  bool has_host_bits() const { return network() != *this; }
  bool contains(const IpAddress& other) const;
  bool overlaps(const IpPrefix& other) const;
};

/// Errors: invalid. IPv6 text is RFC 5952 on output.
Result<IpAddress> parse_address(std::string_view text);
/// "10.2.0.0/24"; without a length the prefix is the host's (/32, /128).
Result<IpPrefix> parse_prefix(std::string_view text);
std::string to_text(const IpAddress& address);
std::string to_text(const IpPrefix& prefix);

/// fe80::/10 or 169.254.0.0/16.
bool is_link_local(const IpPrefix& prefix);
/// Shares no address with what no router forwards: link-local, multicast, loopback and reserved networks.
bool is_unicast(const IpPrefix& prefix);

/// Where something is reached: a DNS name or an address in canonical text (IPv6 without brackets).
struct HostPort {
  std::string host;
  std::optional<uint16_t> port;  // 1 to 65535
  bool operator==(const HostPort&) const = default;
};
/// "host", "host:port", "192.0.2.1:port", "2001:db8::1", "[2001:db8::1]:port". Errors: invalid.
Result<HostPort> parse_host_port(std::string_view text);
/// "host:port", with brackets around an IPv6 address.
std::string host_port_text(std::string_view host, uint16_t port);

}  // namespace mesh
