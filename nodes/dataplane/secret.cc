#include "nodes/dataplane/secret.h"

#include <sodium.h>

#include <new>

#include "eventstore/model/result.h"

namespace mesh {

void* secret_allocate(size_t bytes) {
  static const bool ready = sodium_init() >= 0;
  MESH_ASSERT(ready);
  void* memory = sodium_malloc(bytes);
  if (memory == nullptr) throw std::bad_alloc();
  return memory;
}

void secret_free(void* memory) noexcept { sodium_free(memory); }

SecretKey SecretKey::random() {
  SecretKey key;
  randombytes_buf(key.bytes_.data(), kSize);
  return key;
}

SecretKey SecretKey::from(ByteView bytes) {
  MESH_ASSERT(bytes.size() == kSize);
  SecretKey key;
  std::memcpy(key.bytes_.data(), bytes.data(), kSize);
  return key;
}

std::optional<SecretKey> SecretKey::from_hex(std::string_view text) {
  SecretKey key;
  size_t written = 0;
  const char* end = nullptr;
  if (text.size() != kSize * 2 ||
      sodium_hex2bin(key.bytes_.data(), kSize, text.data(), text.size(), nullptr, &written, &end) !=
          0 ||
      written != kSize)
    return std::nullopt;
  return key;
}

std::optional<SecretKey> SecretKey::from_base64(std::string_view text) {
  SecretKey key;
  size_t written = 0;
  const char* end = nullptr;
  if (sodium_base642bin(key.bytes_.data(), kSize, text.data(), text.size(), nullptr, &written, &end,
                        sodium_base64_VARIANT_ORIGINAL) != 0 ||
      end != text.data() + text.size() || written != kSize)
    return std::nullopt;
  return key;
}

bool SecretKey::equals(const SecretKey& other) const {
  return sodium_memcmp(bytes_.data(), other.bytes_.data(), kSize) == 0;
}

bool SecretKey::is_zero() const { return sodium_is_zero(bytes_.data(), kSize) == 1; }

WireGuardKey SecretKey::public_key() const {
  WireGuardKey out;
  crypto_scalarmult_base(out.bytes.data(), bytes_.data());
  return out;
}

SecretString SecretKey::hex() const {
  SecretString out(kSize * 2 + 1, '\0');
  sodium_bin2hex(out.data(), out.size(), bytes_.data(), kSize);
  out.pop_back();
  return out;
}

SecretString SecretKey::base64() const {
  SecretString out(sodium_base64_encoded_len(kSize, sodium_base64_VARIANT_ORIGINAL), '\0');
  sodium_bin2base64(out.data(), out.size(), bytes_.data(), kSize, sodium_base64_VARIANT_ORIGINAL);
  out.pop_back();
  return out;
}

}  // namespace mesh
