#include "eventstore/model/crypto.h"

#include <sodium.h>

#include <new>

namespace mesh {

static_assert(sizeof(crypto_hash_sha256_state) <= 128);

namespace {
crypto_hash_sha256_state* state_of(uint8_t* storage) {
  return std::launder(reinterpret_cast<crypto_hash_sha256_state*>(storage));
}
}  // namespace

Digest sha256(ByteView bytes) {
  Digest out;
  crypto_hash_sha256(out.bytes.data(), bytes.data(), bytes.size());
  return out;
}

Sha256::Sha256() {
  new (state_) crypto_hash_sha256_state;
  crypto_hash_sha256_init(state_of(state_));
}

Sha256& Sha256::add(ByteView bytes) {
  crypto_hash_sha256_update(state_of(state_), bytes.data(), bytes.size());
  return *this;
}

Digest Sha256::finish() {
  Digest out;
  crypto_hash_sha256_final(state_of(state_), out.bytes.data());
  return out;
}

bool verify_signature(const SignKey& key, std::string_view domain, ByteView bytes,
                      const Signature& signature) {
  Bytes message;
  message.reserve(domain.size() + bytes.size());
  message.insert(message.end(), domain.begin(), domain.end());
  message.insert(message.end(), bytes.begin(), bytes.end());
  return crypto_sign_verify_detached(signature.bytes.data(), message.data(), message.size(),
                                     key.bytes.data()) == 0;
}

std::string fingerprint(ByteView key) {
  std::string hex = to_hex(sha256(key).view().first(16));
  std::string out;
  for (size_t i = 0; i < hex.size(); i += 4) {
    if (i > 0) out += ':';
    out += hex.substr(i, 4);
  }
  return out;
}

}  // namespace mesh
