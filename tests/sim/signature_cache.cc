// Every router checks every signature, and all of them run here: the same check is done once. Linked into simulations
// only, in the place of libsodium's function (--wrap), which decides what is not known yet.
#include <cstring>
#include <string>
#include <unordered_map>

extern "C" {

int __real_crypto_sign_verify_detached(const unsigned char* signature, const unsigned char* message,
                                       unsigned long long size, const unsigned char* key);

int __wrap_crypto_sign_verify_detached(const unsigned char* signature, const unsigned char* message,
                                       unsigned long long size, const unsigned char* key) {
  constexpr size_t kSignature = 64, kKey = 32, kKept = 20'000;
  static std::unordered_map<std::string, int> known;
  if (known.size() > kKept) known.clear();
  std::string what(kSignature + kKey + size, '\0');
  std::memcpy(what.data(), signature, kSignature);
  std::memcpy(what.data() + kSignature, key, kKey);
  if (size > 0) std::memcpy(what.data() + kSignature + kKey, message, size);
  const auto found = known.find(what);
  if (found != known.end()) return found->second;
  const int result = __real_crypto_sign_verify_detached(signature, message, size, key);
  known.emplace(std::move(what), result);
  return result;
}

}  // extern "C"
