// A node's WireGuard private keys by generation, and the pre-shared key of each link.
//
// PSK = BLAKE2b-256, keyed with X25519(own private key, peer's public key), over these 45 bytes:
//   "meshlog/psk/1" (13 bytes, no terminator)
//   log id          (16 bytes)
//   low node id     (4 bytes, little-endian)
//   high node id    (4 bytes, little-endian)
//   link epoch      (8 bytes, little-endian)
// Both ends derive the same; nobody stores or sends it. Test vectors:
// tests/unit/dataplane/psk_vectors.h. It adds no post-quantum safety: who can compute the X25519
// secret has the PSK. It binds a tunnel to its log, its two nodes and its epoch, so that a raised
// epoch cuts off who only copied a running configuration.
//
// On disk: DIRECTORY/wg-<generation>.key, mode 0600, one line of base64 as `wg genkey` writes it;
// written to a temporary, synced, renamed, directory synced. Thread: one at a time, and no change
// while a Dataplane that borrows it works.
#pragma once

#include <filesystem>
#include <map>

#include "eventstore/model/ids.h"
#include "eventstore/model/result.h"
#include "nodes/dataplane/secret.h"

namespace mesh {

/// What a link's PSK is bound to. The order of the two nodes does not matter.
struct PskLabel {
  LogId log;
  NodeId one, other;
  uint64_t epoch = 0;
};

/// Errors: invalid when the shared secret is all zero (a public key of low order).
Result<SecretKey> derive_psk(const SecretKey& own, const WireGuardKey& peer, const PskLabel& label);

class TunnelKeys {
 public:
  /// In memory only: for the simulator and tests.
  TunnelKeys() = default;
  /// Loads what `directory` has; makes it (0700) when missing. Errors: io, corrupt (not a key),
  /// not_permitted (a key file that others may read).
  static Result<TunnelKeys> open(std::filesystem::path directory);

  /// The public half of this generation; makes and stores the key first when there is none. Errors:
  /// io.
  Result<WireGuardKey> generate(uint32_t generation);
  /// Puts a given key in place, replacing that generation. Errors: io.
  Status add(uint32_t generation, SecretKey key);
  /// Forgets a generation and its file; unknown = success. Errors: io.
  Status drop(uint32_t generation);

  /// nullptr when there is none; valid until that generation is added anew or dropped.
  const SecretKey* find(uint32_t generation) const;
  std::map<uint32_t, WireGuardKey> public_keys() const;

 private:
  std::filesystem::path file(uint32_t generation) const;
  std::filesystem::path directory_;  // empty = in memory
  std::map<uint32_t, SecretKey> keys_;
};

}  // namespace mesh
