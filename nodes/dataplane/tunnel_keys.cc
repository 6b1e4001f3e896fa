#include "nodes/dataplane/tunnel_keys.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sodium.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>

#include "nodes/dataplane/files.h"

namespace mesh {
namespace {

constexpr std::string_view kPskDomain = "meshlog/psk/1";
constexpr std::string_view kFilePrefix = "wg-";
constexpr std::string_view kFileSuffix = ".key";

template <class Integer>
void put_little_endian(Bytes& out, Integer value) {
  for (size_t i = 0; i < sizeof(Integer); ++i)
    out.push_back(static_cast<uint8_t>(value >> (8 * i)));
}

Bytes psk_message(const PskLabel& label) {
  auto [low, high] = std::minmax(label.one, label.other);
  Bytes out(kPskDomain.begin(), kPskDomain.end());
  out.insert(out.end(), label.log.bytes.begin(), label.log.bytes.end());
  put_little_endian(out, low.value());
  put_little_endian(out, high.value());
  put_little_endian(out, label.epoch);
  return out;
}

std::optional<uint32_t> generation_of(std::string_view name) {
  if (!name.starts_with(kFilePrefix) || !name.ends_with(kFileSuffix)) return std::nullopt;
  name.remove_prefix(kFilePrefix.size());
  name.remove_suffix(kFileSuffix.size());
  uint32_t generation = 0;
  auto [end, error] = std::from_chars(name.data(), name.data() + name.size(), generation);
  if (error != std::errc() || end != name.data() + name.size()) return std::nullopt;
  return generation;
}

Result<SecretKey> load_key(const std::filesystem::path& path) {
  Fd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW));
  struct stat info {};
  if (!fd || ::fstat(fd.get(), &info) != 0) return fail_errno("opening " + path.string(), errno);
  if ((info.st_mode & 077) != 0)
    return fail(Errc::not_permitted, path.string() + " may be read by others",
                "chmod 600 " + path.string());
  SecretString text(128, '\0');
  ssize_t n = ::read(fd.get(), text.data(), text.size());
  if (n < 0) return fail_errno("reading " + path.string(), errno);
  text.resize(static_cast<size_t>(n));
  if (text.ends_with('\n')) text.pop_back();
  auto key = SecretKey::from_base64(text);
  if (!key)
    return fail(Errc::corrupt, path.string() + " is not a WireGuard key of 44 base64 characters");
  return std::move(*key);
}

}  // namespace

Result<SecretKey> derive_psk(const SecretKey& own, const WireGuardKey& peer,
                             const PskLabel& label) {
  // scalarmult refuses an all-zero result by itself, checked again because a PSK of a known key is
  // worthless.
  std::vector<uint8_t, SecretAllocator<uint8_t>> shared(crypto_scalarmult_BYTES);
  if (crypto_scalarmult(shared.data(), own.view().data(), peer.bytes.data()) != 0 ||
      sodium_is_zero(shared.data(), shared.size()) == 1)
    return fail(Errc::invalid,
                fmt::format("the WireGuard key {} gives no shared secret", to_base64(peer.view())),
                "rotate that node's key");
  Bytes message = psk_message(label);
  std::vector<uint8_t, SecretAllocator<uint8_t>> psk(SecretKey::kSize);
  int done = crypto_generichash(psk.data(), psk.size(), message.data(), message.size(),
                                shared.data(), shared.size());
  MESH_ASSERT(done == 0);
  return SecretKey::from(psk);
}

Result<TunnelKeys> TunnelKeys::open(std::filesystem::path directory) {
  std::error_code error;
  if (std::filesystem::create_directories(directory, error))
    std::filesystem::permissions(directory, std::filesystem::perms::owner_all, error);
  if (error) return fail_errno("creating " + directory.string(), error.value());
  TunnelKeys out;
  std::filesystem::directory_iterator entries(directory, error);
  if (error) return fail_errno("reading " + directory.string(), error.value());
  for (const auto& entry : entries) {
    auto generation = generation_of(entry.path().filename().string());
    if (!generation) continue;
    auto key = load_key(entry.path());
    if (!key) return std::unexpected(key.error());
    out.keys_.emplace(*generation, std::move(*key));
  }
  out.directory_ = std::move(directory);
  return out;
}

Result<WireGuardKey> TunnelKeys::generate(uint32_t generation) {
  if (!keys_.contains(generation)) MESH_TRY(add(generation, SecretKey::random()));
  return keys_.at(generation).public_key();
}

Status TunnelKeys::add(uint32_t generation, SecretKey key) {
  if (!directory_.empty()) {
    SecretString text = key.base64();
    text += '\n';
    MESH_TRY(write_file(file(generation), text, 0600));
  }
  keys_.insert_or_assign(generation, std::move(key));
  return {};
}

Status TunnelKeys::drop(uint32_t generation) {
  if (!directory_.empty() && ::unlink(file(generation).c_str()) != 0 && errno != ENOENT)
    return fail_errno("removing " + file(generation).string(), errno);
  keys_.erase(generation);
  return {};
}

const SecretKey* TunnelKeys::find(uint32_t generation) const {
  auto it = keys_.find(generation);
  return it == keys_.end() ? nullptr : &it->second;
}

std::map<uint32_t, WireGuardKey> TunnelKeys::public_keys() const {
  std::map<uint32_t, WireGuardKey> out;
  for (const auto& [generation, key] : keys_) out.emplace(generation, key.public_key());
  return out;
}

std::filesystem::path TunnelKeys::file(uint32_t generation) const {
  return directory_ / fmt::format("{}{}{}", kFilePrefix, generation, kFileSuffix);
}

}  // namespace mesh
