#include <sodium.h>

#include <algorithm>

#include "eventstore/model/crypto.h"
#include "tests/fuzz/fuzz.h"

namespace mesh::fuzz {

Bytes join_entry(const EncodedEntry& entry) {
  Bytes out(2 + entry.size());
  out[0] = static_cast<uint8_t>(entry.header.size());
  out[1] = static_cast<uint8_t>(entry.header.size() >> 8);
  std::ranges::copy(entry.body, std::ranges::copy(entry.header, out.begin() + 2).out);
  return out;
}

EncodedEntry split_entry(ByteView input) {
  if (input.size() < 2) return {};
  const size_t wanted = input[0] | size_t{input[1]} << 8;
  const ByteView rest = input.subspan(2);
  const size_t length = std::min(wanted, rest.size());
  return {.header = {rest.begin(), rest.begin() + static_cast<ptrdiff_t>(length)},
          .body = {rest.begin() + static_cast<ptrdiff_t>(length), rest.end()}};
}

namespace {

constexpr std::string_view kTokenPrefix = "meshtoken1";
constexpr size_t kChecksumBytes = 4;
constexpr int kTokenVariant = sodium_base64_VARIANT_URLSAFE_NO_PADDING;

}  // namespace

std::string token_text(ByteView buffer) {
  Bytes bytes(buffer.begin(), buffer.end());
  const Digest digest = sha256(buffer);
  bytes.insert(bytes.end(), digest.bytes.begin(), digest.bytes.begin() + kChecksumBytes);
  std::string text(sodium_base64_encoded_len(bytes.size(), kTokenVariant), '\0');
  sodium_bin2base64(text.data(), text.size(), bytes.data(), bytes.size(), kTokenVariant);
  text.pop_back();
  return std::string(kTokenPrefix) + text;
}

std::optional<Bytes> token_buffer(std::string_view text) {
  text.remove_prefix(std::min(text.size(), kTokenPrefix.size()));
  Bytes bytes(text.size());
  size_t size = 0;
  if (sodium_base642bin(bytes.data(), bytes.size(), text.data(), text.size(), nullptr, &size, nullptr,
                        kTokenVariant) != 0 ||
      size < kChecksumBytes)
    return std::nullopt;
  bytes.resize(size - kChecksumBytes);
  return bytes;
}

namespace {

struct Keys {
  SignKey key;
  std::array<uint8_t, crypto_sign_SECRETKEYBYTES> secret{};
  Keys() {
    const std::array<uint8_t, crypto_sign_SEEDBYTES> seed{};
    crypto_sign_seed_keypair(key.bytes.data(), secret.data(), seed.data());
  }
};

const Keys& keys() {
  static const Keys kKeys;
  return kKeys;
}

}  // namespace

SignKey note_key() { return keys().key; }

Signature sign_as_note_key(ByteView message) {
  Signature signature;
  crypto_sign_detached(signature.bytes.data(), nullptr, message.data(), message.size(), keys().secret.data());
  return signature;
}

}  // namespace mesh::fuzz
