// Memory for secrets: locked, guarded, wiped when freed (libsodium's sodium_malloc; locking is best
// effort, as RLIMIT_MEMLOCK says). A short std::string would keep its bytes inside the object, so
// keys live in SecretKey and texts that hold keys are longer than that by nature.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "eventstore/model/ids.h"

namespace mesh {

/// Never returns nullptr; throws std::bad_alloc.
void* secret_allocate(size_t bytes);
void secret_free(void* memory) noexcept;

template <class T>
struct SecretAllocator {
  static_assert(sizeof(T) == 1, "sodium_malloc does not align");
  using value_type = T;
  SecretAllocator() = default;
  template <class U>
  SecretAllocator(const SecretAllocator<U>&) {}
  T* allocate(size_t n) { return static_cast<T*>(secret_allocate(n)); }
  void deallocate(T* memory, size_t) noexcept { secret_free(memory); }
  bool operator==(const SecretAllocator&) const = default;
};

using SecretString = std::basic_string<char, std::char_traits<char>, SecretAllocator<char>>;

/// 32 secret bytes: an X25519 private key or a pre-shared key. Never prints, never copies by
/// accident.
class SecretKey {
 public:
  static constexpr size_t kSize = 32;

  static SecretKey random();
  /// Precondition: exactly 32 bytes.
  static SecretKey from(ByteView bytes);
  /// Nothing unless the text is exactly one key.
  static std::optional<SecretKey> from_hex(std::string_view text);
  static std::optional<SecretKey> from_base64(std::string_view text);

  SecretKey(SecretKey&&) = default;
  SecretKey& operator=(SecretKey&&) = default;
  SecretKey(const SecretKey&) = delete;
  SecretKey& operator=(const SecretKey&) = delete;

  ByteView view() const { return bytes_; }
  /// In constant time.
  bool equals(const SecretKey& other) const;
  bool is_zero() const;
  /// The X25519 public half.
  WireGuardKey public_key() const;
  SecretString hex() const;
  SecretString base64() const;

 private:
  SecretKey() : bytes_(kSize) {}
  std::vector<uint8_t, SecretAllocator<uint8_t>> bytes_;
};

}  // namespace mesh
