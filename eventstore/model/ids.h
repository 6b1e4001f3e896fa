// Strong identifiers. None converts implicitly; all are ordered, so they can key ordered maps.
#pragma once

#include <array>
#include <compare>
#include <cstdint>
#include <cstring>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace mesh {

using Bytes = std::vector<uint8_t>;
using ByteView = std::span<const uint8_t>;

inline ByteView as_bytes(std::string_view text) {
  return {reinterpret_cast<const uint8_t*>(text.data()), text.size()};
}
inline std::string_view as_text(ByteView bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

template <class Tag, class Rep>
class Id {
 public:
  using rep = Rep;
  constexpr Id() = default;
  constexpr explicit Id(Rep value) : value_(value) {}
  constexpr Rep value() const { return value_; }
  constexpr auto operator<=>(const Id&) const = default;

 private:
  Rep value_{};
};

/// An entry's position in the log. 1 is the first, without gaps; 0 means an empty log.
using Sequence = Id<struct SequenceTag, uint64_t>;
/// A node's number: from kNodeIdMin upward, never reused. 0 means none.
using NodeId = Id<struct NodeIdTag, uint32_t>;
/// vN of one node. 1 is the first; 0 means none.
using Version = Id<struct VersionTag, uint32_t>;
using ActivationId = Id<struct ActivationIdTag, uint64_t>;
using TokenId = Id<struct TokenIdTag, uint64_t>;
/// Microseconds since 1970 in UTC.
using Timestamp = Id<struct TimestampTag, int64_t>;

constexpr Sequence next(Sequence s) { return Sequence(s.value() + 1); }

template <class Tag, size_t N>
struct ByteArray {
  static constexpr size_t kSize = N;
  std::array<uint8_t, N> bytes{};

  auto operator<=>(const ByteArray&) const = default;
  ByteView view() const { return bytes; }
  bool is_zero() const { return *this == ByteArray{}; }
  /// Nothing unless `source` has exactly N bytes.
  static std::optional<ByteArray> from(ByteView source) {
    if (source.size() != N) return std::nullopt;
    ByteArray out;
    std::memcpy(out.bytes.data(), source.data(), N);
    return out;
  }
};

using LogId = ByteArray<struct LogIdTag, 16>;
using RequestId = ByteArray<struct RequestIdTag, 16>;
using Digest = ByteArray<struct DigestTag, 32>;        // SHA-256
using SignKey = ByteArray<struct SignKeyTag, 32>;      // Ed25519 public key
using BoxKey = ByteArray<struct BoxKeyTag, 32>;        // X25519 public key, as CURVE uses it
using WireGuardKey = ByteArray<struct WgKeyTag, 32>;   // X25519 public key of a tunnel end
using Signature = ByteArray<struct SignatureTag, 64>;  // Ed25519

std::string to_hex(ByteView bytes);
std::optional<Bytes> from_hex(std::string_view text);
/// Standard base64 with padding (RFC 4648), as WireGuard and signed notes write it.
std::string to_base64(ByteView bytes);
std::optional<Bytes> from_base64(std::string_view text);

template <class Array>
std::optional<Array> array_from_hex(std::string_view text) {
  auto bytes = from_hex(text);
  return bytes ? Array::from(*bytes) : std::nullopt;
}
template <class Array>
std::optional<Array> array_from_base64(std::string_view text) {
  auto bytes = from_base64(text);
  return bytes ? Array::from(*bytes) : std::nullopt;
}

}  // namespace mesh
