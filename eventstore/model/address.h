// IP addresses and prefixes as values.
#pragma once

#include <array>
#include <cstdint>
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

}  // namespace mesh
