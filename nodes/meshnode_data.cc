// The data directory: lock, identity, keys.
#include <fcntl.h>
#include <fmt/core.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "nodes/adoption.h"
#include "nodes/dataplane/dry_run_dataplane.h"
#include "nodes/dataplane/linux_dataplane.h"
#include "nodes/files.h"
#include "nodes/meshnode.h"

namespace mesh {

namespace fs = std::filesystem;

namespace {

constexpr auto kIdentity = "identity/node.json";

fs::path key_path(const fs::path& data, const char* name) { return data / "identity" / name; }

/// The key, made and stored when there is none.
template <class Secret>
Result<Secret> load_or_make(const fs::path& path) {
  auto key = Secret::load(path);
  if (key || key.error().code != Errc::not_found) return key;
  auto fresh = Secret::generate();
  MESH_TRY(fresh.store(path));
  return fresh;
}

}  // namespace

Result<DataLock> DataLock::take(const fs::path& data) {
  const auto path = data / "lock";
  const int fd = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  if (fd < 0 && errno == ENOENT) {
    return fail(Errc::not_found, fmt::format("{} does not exist", data.string()), "join first: meshnode help");
  }
  if (fd < 0) {
    const auto code = errno == EACCES || errno == EPERM ? Errc::not_permitted
                      : errno == ENOSPC                 ? Errc::exhausted
                                                        : Errc::io;
    return fail(code, fmt::format("cannot open {}: {}", path.string(), std::strerror(errno)));
  }
  DataLock lock(fd);
  if (::flock(fd, LOCK_EX | LOCK_NB) != 0) {
    char pid[32] = {};
    const auto got = ::read(fd, pid, sizeof pid - 1);
    return fail(Errc::conflict,
                fmt::format("another meshnode (pid {}) works on {}", got > 0 ? pid : "unknown", data.string()),
                "stop it first, or use another --data");
  }
  const auto pid = std::to_string(::getpid());
  // Only a hint for the message above: the lock is what counts.
  if (::ftruncate(fd, 0) == 0) (void)!::pwrite(fd, pid.data(), pid.size(), 0);
  PosixFiles files(data);
  if (auto finished = finish_adoption(files); !finished) return fail_in("going on with an adoption", finished.error());
  return lock;
}

DataLock::DataLock(DataLock&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
DataLock::~DataLock() {
  if (fd_ >= 0) ::close(fd_);
}

Result<NodeIdentity> load_identity(const fs::path& data) {
  const auto path = data / kIdentity;
  struct stat info {};
  if (::stat(path.c_str(), &info) == 0 && (info.st_mode & 077) != 0) {
    return fail(Errc::not_permitted,
                fmt::format("{} has mode {:04o}, so others may use it; expected 0600", path.string(),
                            info.st_mode & 07777),
                fmt::format("run: chmod 600 '{}'", path.string()));
  }
  PosixFiles files(data);
  auto text = files.read(kIdentity);
  if (!text && text.error().code == Errc::not_found) {
    return fail(Errc::not_found, fmt::format("{} is not a joined node's directory", data.string()),
                "run: meshnode join --token-file FILE --data DIR");
  }
  if (!text) return std::unexpected(text.error());
  auto identity = parse_identity_text(as_text(*text));
  if (!identity) return fail_in(path.string(), identity.error());
  return identity;
}

Status save_identity(const fs::path& data, const NodeIdentity& identity) {
  PosixFiles files(data);
  return write_atomic(files, kIdentity, as_bytes(identity_text(identity)));
}

Result<NodeKeys> load_keys(const fs::path& data) {
  auto sign = SignSecret::load(key_path(data, "sign.key"));
  if (!sign) return std::unexpected(sign.error());
  auto box = BoxSecret::load(key_path(data, "box.key"));
  if (!box) return std::unexpected(box.error());
  auto tunnels = TunnelKeys::open(data / "identity");
  if (!tunnels) return std::unexpected(tunnels.error());
  return NodeKeys{std::move(*sign), std::move(*box), std::move(*tunnels)};
}

Result<NodeKeys> make_keys(const fs::path& data) {
  auto sign = load_or_make<SignSecret>(key_path(data, "sign.key"));
  if (!sign) return std::unexpected(sign.error());
  auto box = load_or_make<BoxSecret>(key_path(data, "box.key"));
  if (!box) return std::unexpected(box.error());
  auto tunnels = TunnelKeys::open(data / "identity");
  if (!tunnels) return std::unexpected(tunnels.error());
  if (auto made = tunnels->generate(1); !made) return std::unexpected(made.error());
  return NodeKeys{std::move(*sign), std::move(*box), std::move(*tunnels)};
}

AgentOptions agent_options(const NodeIdentity& identity, const NodeKeys& keys) {
  AgentOptions options;
  options.history = {identity.log, identity.log_key, identity.node, identity.anchor};
  options.deployment = {identity.log, identity.node, keys.sign.public_key(), keys.tunnels.public_keys(),
                        [&keys](std::string_view domain, ByteView bytes) { return keys.sign.sign(domain, bytes); },
                        machine_boot_id()};
  options.fullname = identity.fullname;
  options.program = kProgramVersion;
  return options;
}

Result<std::unique_ptr<Dataplane>> open_dataplane(const MeshnodeOptions& options, const NodeIdentity& identity,
                                                  const TunnelKeys& keys) {
  if (options.dataplane == "linux") {
    LinuxDataplane::Options router;
    router.log = identity.log;
    router.node = identity.node;
    router.run_directory = options.run_dir;
    router.known_addresses = options.data / "peer_addresses";
    router.data = options.data;
    auto linux_router = LinuxDataplane::open(std::move(router), keys);
    if (!linux_router) return std::unexpected(linux_router.error());
    return std::unique_ptr<Dataplane>(std::move(*linux_router));
  }
  auto dry = DryRunDataplane::open(keys, options.data / "dry-run.json");
  if (!dry) return std::unexpected(dry.error());
  return std::unique_ptr<Dataplane>(std::move(*dry));
}

}  // namespace mesh
