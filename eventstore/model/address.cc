#include "eventstore/model/address.h"

#include <algorithm>
#include <charconv>
#include <vector>

namespace mesh {

namespace {

constexpr size_t kHostBytesMax = 253;  // RFC 1035
constexpr size_t kLabelBytesMax = 63;

void append_hex(std::string& out, unsigned value) {
  char buffer[4];
  auto end = std::to_chars(buffer, buffer + sizeof buffer, value, 16).ptr;
  out.append(buffer, end);
}

void append_decimal(std::string& out, unsigned value) {
  char buffer[10];
  auto end = std::to_chars(buffer, buffer + sizeof buffer, value).ptr;
  out.append(buffer, end);
}

void append_v4(std::string& out, const uint8_t* bytes) {
  for (int i = 0; i < 4; ++i) {
    if (i > 0) out += '.';
    append_decimal(out, bytes[i]);
  }
}

/// The first longest run of at least two zero groups (RFC 5952, 4.2); length 0 when there is none.
std::pair<int, int> longest_zero_run(const std::array<unsigned, 8>& groups) {
  int best = 0, best_length = 0;
  for (int i = 0; i < 8;) {
    int start = i;
    while (i < 8 && groups[i] == 0) ++i;
    if (i - start > best_length) best = start, best_length = i - start;
    if (i == start) ++i;
  }
  return best_length < 2 ? std::pair(0, 0) : std::pair(best, best_length);
}

std::string v6_text(const std::array<uint8_t, 16>& bytes) {
  std::array<unsigned, 8> groups;
  for (int i = 0; i < 8; ++i) groups[i] = bytes[2 * i] << 8 | bytes[2 * i + 1];
  auto [zeros, length] = longest_zero_run(groups);
  std::string out;
  if (zeros == 0 && length == 5 && groups[5] == 0xffff) {  // RFC 5952, 5: a mapped IPv4 address
    out = "::ffff:";
    append_v4(out, bytes.data() + 12);
    return out;
  }
  for (int i = 0; i < 8; ++i) {
    if (length > 0 && i == zeros) {
      out += "::";
      i += length - 1;
      continue;
    }
    if (!out.empty() && out.back() != ':') out += ':';
    append_hex(out, groups[i]);
  }
  return out;
}

bool is_host_label(std::string_view label) {
  auto allowed = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '_';
  };
  return !label.empty() && label.size() <= kLabelBytesMax && label.front() != '-' &&
         label.back() != '-' && std::ranges::all_of(label, allowed);
}

/// A DNS name. One that ends in a number is none: it is a mistyped address (RFC 3696, 2).
bool is_host_name(std::string_view text) {
  if (text.empty() || text.size() > kHostBytesMax) return false;
  std::string_view label;
  for (size_t begin = 0; begin <= text.size();) {
    size_t end = std::min(text.find('.', begin), text.size());
    label = text.substr(begin, end - begin);
    if (!is_host_label(label)) return false;
    begin = end + 1;
  }
  return !std::ranges::all_of(label, [](char c) { return c >= '0' && c <= '9'; });
}

/// A number of at most `digits` digits that is all of `text`; without leading zeros when decimal.
std::optional<unsigned> read_number(std::string_view text, int base, size_t digits) {
  unsigned value = 0;
  if (text.empty() || text.size() > digits) return std::nullopt;
  if (base == 10 && text.size() > 1 && text.front() == '0') return std::nullopt;
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value, base);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

bool read_v4(std::string_view text, uint8_t* out) {
  for (int i = 0; i < 4; ++i) {
    size_t end = i < 3 ? text.find('.') : text.size();
    if (end == std::string_view::npos) return false;
    auto value = read_number(text.substr(0, end), 10, 3);
    if (!value || *value > 255) return false;
    out[i] = static_cast<uint8_t>(*value);
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return true;
}

/// The groups of one side of "::", as bytes; at the end an IPv4 address may stand for the last two.
std::optional<std::vector<uint8_t>> read_groups(std::string_view text, bool v4_may_end) {
  std::vector<uint8_t> out;
  while (!text.empty()) {
    size_t end = std::min(text.find(':'), text.size());
    std::string_view group = text.substr(0, end);
    bool last = end == text.size();
    if (last && v4_may_end && group.contains('.')) {
      uint8_t v4[4];
      if (!read_v4(group, v4)) return std::nullopt;
      out.insert(out.end(), v4, v4 + 4);
    } else {
      auto value = read_number(group, 16, 4);
      if (!value) return std::nullopt;
      out.push_back(static_cast<uint8_t>(*value >> 8));
      out.push_back(static_cast<uint8_t>(*value));
    }
    if (!last && end + 1 == text.size()) return std::nullopt;  // a colon at the end
    text.remove_prefix(last ? end : end + 1);
  }
  return out;
}

/// RFC 4291, 2.2; no zone.
bool read_v6(std::string_view text, std::array<uint8_t, 16>& out) {
  size_t gap = text.find("::");
  bool whole = gap == std::string_view::npos;
  auto front = read_groups(text.substr(0, gap), whole);
  auto back = whole ? std::vector<uint8_t>() : read_groups(text.substr(gap + 2), true);
  if (!front || !back || front->size() > out.size()) return false;
  size_t groups = front->size() + back->size();
  if (whole ? groups != out.size() : groups + 2 > out.size()) return false;
  std::ranges::copy(*front, out.begin());
  std::ranges::copy(*back, out.end() - static_cast<std::ptrdiff_t>(back->size()));
  return true;
}

std::optional<uint16_t> parse_port(std::string_view text) {
  auto value = read_number(text, 10, 5);
  if (!value || *value == 0 || *value > 65535) return std::nullopt;
  return static_cast<uint16_t>(*value);
}

}  // namespace

IpAddress IpAddress::plus(uint64_t offset) const {
  IpAddress out = *this;
  unsigned carry = 0;
  for (int i = static_cast<int>(bits() / 8) - 1; i >= 0; --i) {
    unsigned sum = out.bytes[i] + static_cast<unsigned>(offset & 0xff) + carry;
    out.bytes[i] = static_cast<uint8_t>(sum);
    carry = sum >> 8;
    offset >>= 8;
  }
  return out;
}

IpPrefix IpPrefix::network() const {
  IpPrefix out = *this;
  for (unsigned i = 0; i < address.bits() / 8; ++i) {
    unsigned kept = length > 8 * i ? std::min(length - 8 * i, 8u) : 0;
    out.address.bytes[i] &= static_cast<uint8_t>(0xff00u >> kept);
  }
  return out;
}

bool IpPrefix::contains(const IpAddress& other) const {
  return other.v6 == v6() && IpPrefix{other, length}.network().address == network().address;
}

bool IpPrefix::overlaps(const IpPrefix& other) const {
  return length <= other.length ? contains(other.address) : other.contains(address);
}

Result<IpAddress> parse_address(std::string_view text) {
  IpAddress out;
  out.v6 = text.find(':') != std::string_view::npos;
  if (!(out.v6 ? read_v6(text, out.bytes) : read_v4(text, out.bytes.data())))
    return fail(Errc::invalid, "\"" + std::string(text) + "\" is not an IP address");
  return out;
}

Result<IpPrefix> parse_prefix(std::string_view text) {
  size_t slash = text.find('/');
  auto address = parse_address(text.substr(0, slash));
  if (!address)
    return fail(Errc::invalid, "\"" + std::string(text) + "\" is not a prefix",
                "write it as 10.2.0.0/24 or 2001:db8:2::/64");
  IpPrefix out{*address, address->bits()};
  if (slash == std::string_view::npos) return out;
  auto length = read_number(text.substr(slash + 1), 10, 3);
  if (!length || *length > address->bits())
    return fail(Errc::invalid, "\"" + std::string(text) + "\" has no valid prefix length",
                "the length is a number from 0 to " + std::to_string(address->bits()));
  out.length = *length;
  return out;
}

std::string to_text(const IpAddress& address) {
  if (address.v6) return v6_text(address.bytes);
  std::string out;
  append_v4(out, address.bytes.data());
  return out;
}

std::string to_text(const IpPrefix& prefix) {
  std::string out = to_text(prefix.address);
  out += '/';
  append_decimal(out, prefix.length);
  return out;
}

bool is_link_local(const IpPrefix& prefix) {
  static const IpPrefix kV4 = *parse_prefix("169.254.0.0/16"), kV6 = *parse_prefix("fe80::/10");
  const IpPrefix& whole = prefix.v6() ? kV6 : kV4;
  return prefix.length >= whole.length && whole.contains(prefix.address);
}

bool is_unicast(const IpPrefix& prefix) {
  static const std::vector<IpPrefix> kOthers = [] {
    std::vector<IpPrefix> out;
    for (auto text : {"0.0.0.0/8", "127.0.0.0/8", "169.254.0.0/16", "224.0.0.0/4", "240.0.0.0/4",
                      "::/127", "fe80::/10", "ff00::/8"})
      out.push_back(*parse_prefix(text));
    return out;
  }();
  return std::ranges::none_of(kOthers,
                              [&](const IpPrefix& other) { return other.overlaps(prefix); });
}

Result<HostPort> parse_host_port(std::string_view text) {
  auto wrong = [&](std::string why) {
    return fail(Errc::invalid, "\"" + std::string(text) + "\" is not an endpoint: " + why,
                "write it as host, host:port, 192.0.2.1:port or [2001:db8::1]:port");
  };
  HostPort out;
  std::string_view host = text, port;
  bool has_port = false;
  if (text.starts_with('[')) {
    size_t close = text.find(']');
    if (close == std::string_view::npos) return wrong("the bracket is not closed");
    host = text.substr(1, close - 1);
    std::string_view rest = text.substr(close + 1);
    has_port = rest.starts_with(':');
    if (!has_port && !rest.empty()) return wrong("text after the bracket");
    if (has_port) port = rest.substr(1);
  } else if (std::ranges::count(text, ':') == 1) {
    size_t colon = text.find(':');
    host = text.substr(0, colon);
    port = text.substr(colon + 1);
    has_port = true;
  }
  auto address = parse_address(host);
  if (text.starts_with('[') && (!address || !address->v6))
    return wrong("no IPv6 address in the brackets");
  if (!address && !is_host_name(host)) return wrong("no host name or address");
  out.host = address ? to_text(*address) : std::string(host);
  if (!has_port) return out;
  out.port = parse_port(port);
  if (!out.port) return wrong("the port is not a number from 1 to 65535");
  return out;
}

std::string host_port_text(std::string_view host, uint16_t port) {
  bool bracket = host.find(':') != std::string_view::npos;
  std::string out;
  if (bracket) out += '[';
  out += host;
  if (bracket) out += ']';
  out += ':';
  append_decimal(out, port);
  return out;
}

}  // namespace mesh
