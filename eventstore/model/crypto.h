// The pure part of cryptography: hashes and signature checks. Keys are made and used to sign by the
// shell.
#pragma once

#include <string>
#include <string_view>

#include "eventstore/model/ids.h"

namespace mesh {

Digest sha256(ByteView bytes);

/// SHA-256 over several pieces, without joining them.
class Sha256 {
 public:
  Sha256();
  Sha256& add(ByteView bytes);
  Sha256& add(uint8_t byte) { return add(ByteView(&byte, 1)); }
  Digest finish();

 private:
  alignas(8) uint8_t state_[128];
};

/// Ed25519 (RFC 8032), canonical signatures only, over `domain` followed by `bytes`.
bool verify_signature(const SignKey& key, std::string_view domain, ByteView bytes,
                      const Signature& signature);

/// Domain separators: a signature made for one purpose never verifies for another.
inline constexpr std::string_view kRequestDomain = "meshlog/request/1\n";
inline constexpr std::string_view kJoinDomain = "meshlog/join/1\n";
inline constexpr std::string_view kOutcomeDomain = "meshlog/outcome/1\n";

/// How people compare a key by eye: the first 16 bytes of SHA-256 in groups, "3f2a:91c0:...".
std::string fingerprint(ByteView key);

}  // namespace mesh
