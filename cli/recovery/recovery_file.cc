#include "cli/recovery/recovery_file.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>

#include "eventstore/model/limits.h"

namespace mesh::cli {

namespace {

constexpr size_t kFileBytesMax = 8 * 1024 * 1024;
constexpr size_t kFingerprintSize = 39;
constexpr std::string_view kHead =
    "# Meshlog recovery secret. Whoever has it can take these routers over when they have lost their controller:\n"
    "# keep it apart from every controller, and not on a router. See `meshcli help recovery`.\n";

Result<KnownRouter> parse_router(std::string_view line) {
  const auto words = split(line, ' ');
  const auto log = words.size() == 4 ? array_from_hex<LogId>(words[1]) : std::nullopt;
  if (!log || words[0] != "router" || words[2].empty() || words[2].size() > kFullNameBytesMax ||
      words[3].size() != kFingerprintSize)
    return fail(Errc::corrupt, "expected: router LOG NAME FINGERPRINT");
  return KnownRouter{*log, words[2], words[3]};
}

/// The text of a file with this secret and these routers.
SecretBytes file_text(const RecoverySecret& secret, const std::vector<KnownRouter>& routers) {
  std::string tail = "\n";
  for (const KnownRouter& each : routers)
    tail += fmt::format("router {} {} {}\n", to_hex(each.log.view()), each.name, each.fingerprint);
  const SecretBytes text = secret.text();
  SecretBytes out(kHead.size() + text.size() + tail.size());
  auto at = std::ranges::copy(as_bytes(kHead), out.writable().begin()).out;
  at = std::ranges::copy(text.view(), at).out;
  std::ranges::copy(as_bytes(tail), at);
  return out;
}

}  // namespace

Result<RecoveryFile> load_recovery_file(const std::string& path) {
  auto bytes = read_secret_file(path, kFileBytesMax);
  if (!bytes) return std::unexpected(std::move(bytes).error());
  std::string_view text = as_text(bytes->view());
  std::optional<RecoverySecret> secret;
  std::vector<KnownRouter> routers;
  for (size_t number = 1; !text.empty(); ++number) {
    const size_t end = std::min(text.find('\n'), text.size());
    std::string_view line = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    if (line.ends_with('\r')) line.remove_suffix(1);
    if (line.empty() || line.starts_with('#')) continue;
    Status taken;
    if (!secret) {
      auto parsed = RecoverySecret::parse(line);
      if (parsed)
        secret.emplace(std::move(*parsed));
      else
        taken = std::unexpected(parsed.error());
    } else if (auto router = parse_router(line)) {
      routers.push_back(std::move(*router));
    } else {
      taken = std::unexpected(router.error());
    }
    if (taken && routers.size() > kRecoveryRoutersMax) taken = fail(Errc::exhausted, "too many routers");
    if (!taken) return fail_in(fmt::format("{}:{}", path, number), taken.error());
  }
  if (!secret) return fail(Errc::corrupt, fmt::format("{} has no recovery secret in it", path));
  return RecoveryFile{std::move(*secret), std::move(routers)};
}

Status create_recovery_file(const std::string& path, const RecoverySecret& secret) {
  return write_secret_file(path, file_text(secret, {}).view());
}

Status remember_router(const std::string& path, const KnownRouter& router) {
  auto file = load_recovery_file(path);
  if (!file) return std::unexpected(std::move(file).error());
  const auto same = [&](const KnownRouter& each) { return each.log == router.log && each.name == router.name; };
  if (const auto known = std::ranges::find_if(file->routers, same);
      known != file->routers.end() && *known == router && std::ranges::count_if(file->routers, same) == 1)
    return {};
  std::erase_if(file->routers, same);
  file->routers.push_back(router);
  std::array<uint8_t, 8> salt{};
  fill_random(salt);
  const std::string beside = path + "." + to_hex(salt);
  MESH_TRY(write_secret_file(beside, file_text(file->secret, file->routers).view()));
  std::error_code error;
  std::filesystem::rename(beside, path, error);
  if (!error) return {};
  std::filesystem::remove(beside, error);
  return fail(Errc::io, fmt::format("cannot replace {}", path));
}

Result<std::optional<RecoveryChoice>> RecoveryChoice::of(Session& session) {
  const bool made = session.has("recovery-out"), given = session.has("recovery");
  if (made && given) return fail(Errc::usage, "--recovery-out makes a secret, --recovery takes one that is there");
  if (!made && !given) return std::optional<RecoveryChoice>();
  const std::string path = session.option(made ? "recovery-out" : "recovery");
  const bool dry_run = session.has("dry-run");
  if (given) {
    auto file = load_recovery_file(path);
    if (!file) return std::unexpected(std::move(file).error());
    return RecoveryChoice(path, false, dry_run, std::move(file->secret));
  }
  auto secret = RecoverySecret::generate();
  if (!dry_run) MESH_TRY(create_recovery_file(path, secret));
  return RecoveryChoice(path, true, dry_run, std::move(secret));
}

SetRecovery RecoveryChoice::command(const std::string& node) const {
  return {node, secret_.sign().public_key(), secret_.box().public_key()};
}

void RecoveryChoice::withdraw(const Error& error) const {
  const bool unknown = error.code == Errc::timeout || error.code == Errc::unavailable || error.code == Errc::io;
  if (made_ && !dry_run_ && !unknown) ::unlink(path_.c_str());
}

Status RecoveryChoice::keep(Session& session, const std::optional<KnownRouter>& router) const {
  if (dry_run_) return {};
  if (router) MESH_TRY(remember_router(path_, *router));
  if (made_) session.note(fmt::format("recovery secret: {}; keep it apart from every controller", path_));
  return {};
}

}  // namespace mesh::cli
