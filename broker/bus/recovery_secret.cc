#include "broker/bus/recovery_secret.h"

#include <sodium.h>

#include <algorithm>
#include <cstring>

#include "eventstore/model/crypto.h"

namespace mesh {

namespace {

constexpr size_t kSecretSize = 32;
constexpr size_t kChecksumSize = 4;
constexpr std::string_view kPrefix = "mlrec1-";
constexpr std::string_view kAnyPrefix = "mlrec";
constexpr std::string_view kSignLabel = "meshlog/recovery/sign/1";
constexpr std::string_view kBoxLabel = "meshlog/recovery/box/1";
constexpr std::string_view kTextLabel = "meshlog/recovery/text/1";
constexpr int kVariant = sodium_base64_VARIANT_URLSAFE_NO_PADDING;

SecretBytes derive(const SecretBytes& secret, std::string_view label) {
  SecretBytes out(kSecretSize);
  const ByteView message = as_bytes(label);
  MESH_ASSERT(crypto_generichash(out.writable().data(), out.size(), message.data(), message.size(),
                                 secret.view().data(), secret.size()) == 0);
  return out;
}

Digest checksum(ByteView secret) { return Sha256().add(as_bytes(kTextLabel)).add(secret).finish(); }

}  // namespace

RecoverySecret RecoverySecret::generate() {
  SecretBytes secret(kSecretSize);
  fill_random(secret.writable());
  return RecoverySecret(std::move(secret));
}

Result<RecoverySecret> RecoverySecret::from_bytes(ByteView bytes) {
  if (bytes.size() != kSecretSize) return fail(Errc::invalid, "a recovery secret has 32 bytes");
  SecretBytes secret(kSecretSize);
  std::ranges::copy(bytes, secret.writable().begin());
  return RecoverySecret(std::move(secret));
}

Result<RecoverySecret> RecoverySecret::parse(std::string_view text) {
  constexpr std::string_view kBlank = " \t\r\n";
  const size_t first = std::min(text.find_first_not_of(kBlank), text.size());
  text.remove_prefix(first);
  text = text.substr(0, text.find_last_not_of(kBlank) + 1);
  const auto other = [](Errc code, const char* what) {
    return fail(code, what, "it begins with mlrec1-, as --recovery-out wrote it");
  };
  if (!text.starts_with(kAnyPrefix)) return other(Errc::corrupt, "this is no recovery secret");
  if (!text.starts_with(kPrefix)) return other(Errc::unsupported, "this recovery secret is of a newer kind");
  text.remove_prefix(kPrefix.size());
  SecretBytes bytes(kSecretSize + kChecksumSize);
  size_t size = 0;
  const char* end = nullptr;
  const bool decoded = sodium_base642bin(bytes.writable().data(), bytes.size(), text.data(), text.size(), nullptr,
                                         &size, &end, kVariant) == 0 &&
                       end == text.data() + text.size() && size == bytes.size();
  const ByteView secret = bytes.view().first(kSecretSize);
  if (!decoded || !std::ranges::equal(bytes.view().subspan(kSecretSize),
                                      checksum(secret).view().first(kChecksumSize)))
    return other(Errc::corrupt, "this recovery secret is incomplete or mistyped");
  return from_bytes(secret);
}

SecretBytes RecoverySecret::text() const {
  SecretBytes joined(kSecretSize + kChecksumSize);
  std::ranges::copy(secret_.view(), joined.writable().begin());
  std::ranges::copy(checksum(secret_.view()).view().first(kChecksumSize), joined.writable().begin() + kSecretSize);
  const size_t encoded = sodium_base64_encoded_len(joined.size(), kVariant);  // with its terminator
  SecretBytes ended(encoded);
  sodium_bin2base64(reinterpret_cast<char*>(ended.writable().data()), encoded, joined.view().data(), joined.size(),
                    kVariant);
  SecretBytes out(kPrefix.size() + encoded - 1);
  std::ranges::copy(as_bytes(kPrefix), out.writable().begin());
  std::ranges::copy(ended.view().first(encoded - 1), out.writable().begin() + kPrefix.size());
  return out;
}

SignSecret RecoverySecret::sign() const {
  return std::move(*SignSecret::from_seed(derive(secret_, kSignLabel).view()));
}

BoxSecret RecoverySecret::box() const { return std::move(*BoxSecret::from_bytes(derive(secret_, kBoxLabel).view())); }

}  // namespace mesh
