#include "eventstore/model/crypto.h"

#include <sodium.h>

namespace mesh {

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
