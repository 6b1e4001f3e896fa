#include "broker/bus/keys.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sodium.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <new>
#include <string>

namespace mesh {

namespace {

constexpr size_t kSecretSize = 32;
constexpr std::string_view kBoxHeader = "meshlog-x25519-secret ";
constexpr std::string_view kSignHeader = "meshlog-ed25519-seed ";
constexpr size_t kKeyFileMax = 256;

void need_sodium() { MESH_ASSERT(sodium_init() >= 0); }

class Descriptor {
 public:
  explicit Descriptor(int fd) : fd_(fd) {}
  ~Descriptor() {
    if (fd_ >= 0) ::close(fd_);
  }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  int get() const { return fd_; }
  bool ok() const { return fd_ >= 0; }

 private:
  int fd_;
};

std::unexpected<Error> io_error(std::string_view what, const std::filesystem::path& path,
                                int error) {
  return fail(Errc::io, fmt::format("{} \"{}\": {}", what, path.string(), std::strerror(error)));
}

Status check_private(int fd, const std::filesystem::path& path) {
  struct stat info {};
  if (::fstat(fd, &info) != 0) return io_error("cannot examine", path, errno);
  if (!S_ISREG(info.st_mode)) {
    return fail(Errc::invalid, fmt::format("secret \"{}\" is not a regular file", path.string()));
  }
  if ((info.st_mode & 077) != 0) {
    return fail(
        Errc::not_permitted,
        fmt::format("secret file \"{}\" has mode {:04o}, so others may use it; expected 0600",
                    path.string(), info.st_mode & 07777),
        fmt::format("run: chmod 600 '{}', and replace the key if somebody may have read it",
                    path.string()));
  }
  if (info.st_uid != ::geteuid() && info.st_uid != 0) {
    return fail(Errc::not_permitted,
                fmt::format("secret file \"{}\" belongs to user {}, not to user {} or root",
                            path.string(), info.st_uid, ::geteuid()),
                fmt::format("run: chown {} '{}'", ::geteuid(), path.string()));
  }
  return {};
}

Status write_all(int fd, ByteView contents) {
  while (!contents.empty()) {
    ssize_t n = ::write(fd, contents.data(), contents.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return fail(Errc::io, std::strerror(errno));
    contents = contents.subspan(static_cast<size_t>(n));
  }
  if (::fsync(fd) != 0) return fail(Errc::io, std::strerror(errno));
  return {};
}

Status store_key(const std::filesystem::path& path, std::string_view header, ByteView secret) {
  const size_t encoded = sodium_base64_ENCODED_LEN(kSecretSize, sodium_base64_VARIANT_ORIGINAL);
  SecretBytes line(header.size() + encoded);  // the encoder's closing zero becomes the newline
  auto out = line.writable();
  std::ranges::copy(as_bytes(header), out.begin());
  sodium_bin2base64(reinterpret_cast<char*>(out.data()) + header.size(), encoded, secret.data(),
                    secret.size(), sodium_base64_VARIANT_ORIGINAL);
  out.back() = '\n';
  return write_secret_file(path, line.view());
}

Result<SecretBytes> load_key(const std::filesystem::path& path, std::string_view header) {
  auto file = read_secret_file(path, kKeyFileMax);
  if (!file) return std::unexpected(file.error());
  std::string_view text = as_text(file->view());
  SecretBytes secret(kSecretSize);
  size_t length = 0;
  const char* end = nullptr;
  bool good = text.starts_with(header) &&
              sodium_base642bin(secret.writable().data(), kSecretSize, text.data() + header.size(),
                                text.size() - header.size(), "\n", &length, &end,
                                sodium_base64_VARIANT_ORIGINAL) == 0 &&
              length == kSecretSize && end == text.data() + text.size();
  if (!good) {
    return fail(Errc::corrupt,
                fmt::format("\"{}\" is not a key file that begins with \"{}\"", path.string(),
                            header.substr(0, header.size() - 1)),
                "put the right file back from a backup, or enrol again with a new key");
  }
  return secret;
}

}  // namespace

SecretBytes::SecretBytes(size_t size) : size_(size) {
  need_sodium();
  MESH_ASSERT(size > 0);
  data_.reset(static_cast<uint8_t*>(sodium_malloc(size)));
  MESH_ASSERT(data_ != nullptr);
  sodium_memzero(data_.get(), size);
}

void SecretBytes::Free::operator()(uint8_t* data) const { sodium_free(data); }

BoxSecret::BoxSecret(SecretBytes secret) : secret_(std::move(secret)) {
  MESH_ASSERT(crypto_scalarmult_base(public_.bytes.data(), secret_.view().data()) == 0);
}

BoxSecret BoxSecret::generate() {
  SecretBytes secret(kSecretSize);
  fill_random(secret.writable());
  return BoxSecret(std::move(secret));
}

Result<BoxSecret> BoxSecret::from_bytes(ByteView bytes) {
  if (bytes.size() != kSecretSize) {
    return fail(Errc::invalid, fmt::format("an X25519 secret has 32 bytes, not {}", bytes.size()));
  }
  SecretBytes secret(kSecretSize);
  std::ranges::copy(bytes, secret.writable().begin());
  return BoxSecret(std::move(secret));
}

Result<BoxSecret> BoxSecret::load(const std::filesystem::path& path) {
  auto secret = load_key(path, kBoxHeader);
  if (!secret) return std::unexpected(secret.error());
  return BoxSecret(std::move(*secret));
}

Status BoxSecret::store(const std::filesystem::path& path) const {
  return store_key(path, kBoxHeader, secret_.view());
}

SignSecret::SignSecret(ByteView seed) : expanded_(crypto_sign_SECRETKEYBYTES) {
  MESH_ASSERT(crypto_sign_seed_keypair(public_.bytes.data(), expanded_.writable().data(),
                                       seed.data()) == 0);
}

SignSecret SignSecret::generate() {
  SecretBytes seed(kSecretSize);
  fill_random(seed.writable());
  return SignSecret(seed.view());
}

Result<SignSecret> SignSecret::from_seed(ByteView seed) {
  if (seed.size() != kSecretSize) {
    return fail(Errc::invalid, fmt::format("an Ed25519 seed has 32 bytes, not {}", seed.size()));
  }
  return SignSecret(seed);
}

Result<SignSecret> SignSecret::load(const std::filesystem::path& path) {
  auto seed = load_key(path, kSignHeader);
  if (!seed) return std::unexpected(seed.error());
  return SignSecret(seed->view());
}

Status SignSecret::store(const std::filesystem::path& path) const {
  return store_key(path, kSignHeader, reveal_seed());
}

Signature SignSecret::sign(std::string_view domain, ByteView bytes) const {
  Bytes message;
  message.reserve(domain.size() + bytes.size());
  message.insert(message.end(), domain.begin(), domain.end());
  message.insert(message.end(), bytes.begin(), bytes.end());
  Signature out;
  crypto_sign_detached(out.bytes.data(), nullptr, message.data(), message.size(),
                       expanded_.view().data());
  return out;
}

Result<SecretBytes> read_secret_file(const std::filesystem::path& path, size_t size_max) {
  Descriptor file(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  if (!file.ok()) {
    if (errno == ENOENT)
      return fail(Errc::not_found, fmt::format("no secret file \"{}\"", path.string()));
    if (errno == EACCES) {
      return fail(Errc::not_permitted,
                  fmt::format("secret file \"{}\" may not be read", path.string()),
                  "run as the user that owns it");
    }
    return io_error("cannot open", path, errno);
  }
  MESH_TRY(check_private(file.get(), path));
  SecretBytes buffer(size_max + 1);
  size_t size = 0;
  while (size <= size_max) {
    ssize_t n = ::read(file.get(), buffer.writable().data() + size, size_max + 1 - size);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return io_error("cannot read", path, errno);
    if (n == 0) break;
    size += static_cast<size_t>(n);
  }
  if (size == 0 || size > size_max) {
    return fail(
        Errc::corrupt,
        fmt::format("secret file \"{}\" is {}", path.string(), size == 0 ? "empty" : "too long"),
        "put the right file back from a backup");
  }
  SecretBytes out(size);
  std::ranges::copy(buffer.view().first(size), out.writable().begin());
  return out;
}

Status write_secret_file(const std::filesystem::path& path, ByteView contents) {
  std::array<uint8_t, 8> salt;
  fill_random(salt);
  std::filesystem::path temporary = path;
  temporary += "." + to_hex(salt) + ".new";
  {
    Descriptor file(::open(temporary.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600));
    if (!file.ok()) return io_error("cannot create", temporary, errno);
    if (auto written = write_all(file.get(), contents); !written) {
      ::unlink(temporary.c_str());
      return fail_in(fmt::format("cannot write \"{}\"", path.string()), written.error());
    }
  }
  // Never replaces a key: losing one is losing a node's identity.
  if (::renameat2(AT_FDCWD, temporary.c_str(), AT_FDCWD, path.c_str(), RENAME_NOREPLACE) != 0) {
    int error = errno;
    ::unlink(temporary.c_str());
    if (error == EEXIST) {
      return fail(Errc::conflict, fmt::format("secret file \"{}\" exists already", path.string()),
                  "move it away first if a new key is wanted");
    }
    return io_error("cannot create", path, error);
  }
  std::filesystem::path folder = path.has_parent_path() ? path.parent_path() : ".";
  Descriptor dir(::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!dir.ok() || ::fsync(dir.get()) != 0) return io_error("cannot sync", folder, errno);
  return {};
}

void fill_random(std::span<uint8_t> out) {
  need_sodium();
  randombytes_buf(out.data(), out.size());
}

Status harden_process() {
  struct rlimit none {};
  if (::prctl(PR_SET_DUMPABLE, 0) != 0 || ::setrlimit(RLIMIT_CORE, &none) != 0) {
    return fail(Errc::io, fmt::format("cannot forbid core dumps: {}", std::strerror(errno)));
  }
  return {};
}

}  // namespace mesh
