// Secret keys: made, kept, used and forgotten here. Only this folder and the data plane see secret
// bytes.
//
// A secret lives in its own guarded pages (sodium_malloc): locked in memory where RLIMIT_MEMLOCK
// allows it, left out of core dumps, zeroed when destroyed or moved from. Secrets do not copy.
// On disk a secret is one line of text in a file of mode 0600 that is never overwritten.
#pragma once

#include <filesystem>
#include <memory>
#include <span>
#include <string_view>

#include "eventstore/model/ids.h"
#include "eventstore/model/result.h"

namespace mesh {

/// Fixed-size secret memory. Move-only; a moved-from one is empty.
class SecretBytes {
 public:
  SecretBytes() = default;
  /// `size` zero bytes, at least 1. Ends the program when there is no memory.
  explicit SecretBytes(size_t size);

  size_t size() const { return data_ ? size_ : 0; }
  bool empty() const { return size() == 0; }
  ByteView view() const { return {data_.get(), size()}; }
  std::span<uint8_t> writable() { return {data_.get(), size()}; }

 private:
  struct Free {
    void operator()(uint8_t* data) const;
  };
  std::unique_ptr<uint8_t, Free> data_;
  size_t size_ = 0;
};

/// An X25519 secret: CURVE's, or a WireGuard tunnel's.
class BoxSecret {
 public:
  static BoxSecret generate();
  /// Errc::invalid unless `secret` has exactly 32 bytes.
  static Result<BoxSecret> from_bytes(ByteView secret);
  /// Errors: not_found; not_permitted when others may read the file; corrupt; io.
  static Result<BoxSecret> load(const std::filesystem::path& path);
  /// Durable on return. Errors: conflict when `path` exists; io.
  Status store(const std::filesystem::path& path) const;

  const BoxKey& public_key() const { return public_; }
  /// The 32 secret bytes, borrowed. For libzmq and WireGuard only.
  ByteView reveal() const { return secret_.view(); }

 private:
  explicit BoxSecret(SecretBytes secret);
  SecretBytes secret_;
  BoxKey public_;
};

/// An Ed25519 secret (RFC 8032), kept as its 32-byte seed and the expanded key.
class SignSecret {
 public:
  static SignSecret generate();
  /// Errc::invalid unless `seed` has exactly 32 bytes.
  static Result<SignSecret> from_seed(ByteView seed);
  /// As BoxSecret::load.
  static Result<SignSecret> load(const std::filesystem::path& path);
  /// As BoxSecret::store.
  Status store(const std::filesystem::path& path) const;

  const SignKey& public_key() const { return public_; }
  /// Over `domain` followed by `bytes`: what verify_signature checks. 15 to 17 us.
  Signature sign(std::string_view domain, ByteView bytes) const;
  /// The 32-byte seed, borrowed: for a token's text or a recovery key on paper.
  ByteView reveal_seed() const { return expanded_.view().first(32); }

 private:
  explicit SignSecret(ByteView seed);
  SecretBytes expanded_;
  SignKey public_;
};

/// Reads a secret file of at most `size_max` bytes. Errors as BoxSecret::load.
Result<SecretBytes> read_secret_file(const std::filesystem::path& path, size_t size_max);
/// Writes a new file of mode 0600, whole or not at all, durable on return.
/// Errors: conflict when `path` exists; io.
Status write_secret_file(const std::filesystem::path& path, ByteView contents);

/// From the kernel's generator.
void fill_random(std::span<uint8_t> out);
template <class Array>
Array random_array() {
  Array out;
  fill_random(out.bytes);
  return out;
}

/// Forbids core dumps and ptrace by the same user, since libzmq keeps plain copies of CURVE keys.
/// Call first in main.
Status harden_process();

}  // namespace mesh
