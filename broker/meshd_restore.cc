// meshd restore: a data directory from a backup and the keys that were kept apart.
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <toml++/toml.h>
#include <unistd.h>

#include <nlohmann/json.hpp>

#include "broker/bus/keys.h"
#include "broker/meshd.h"
#include "broker/restore.h"
#include "eventstore/log/log_directory.h"
#include "eventstore/log/rocks_event_log.h"

namespace mesh::meshd {

namespace fs = std::filesystem;

namespace {

constexpr uint64_t kProgressStep = 10'000;

fs::path mark_path(const fs::path& data) { return data / "restored.toml"; }

Status save_mark(const fs::path& data, const Restored& restored) {
  return write_secret_file(
      mark_path(data),
      as_bytes(
          fmt::format("# The log came from a backup that ends here. The controller is read-only "
                      "until a later epoch.\nsequence = {}\nepoch = {}\n",
                      restored.sequence.value(), restored.epoch)));
}

struct Keys {
  SignSecret log;
  BoxSecret controller;
  Settings settings;
};

/// log.key, controller.key and meshd.toml of the controller that was: they never change.
Result<Keys> load_keys(const RestoreOptions& options) {
  auto log = SignSecret::load(log_key_path(options.keys));
  if (!log) return std::unexpected(log.error());
  auto controller = BoxSecret::load(controller_key_path(options.keys));
  if (!controller) return std::unexpected(controller.error());
  auto settings = load_settings(options.keys);
  if (!settings) return std::unexpected(settings.error());
  if (!options.listen.empty()) settings->listen = {options.listen};
  if (!options.enrol.empty()) settings->enrol = {options.enrol};
  for (const auto* list : {&settings->listen, &settings->enrol})
    for (const std::string& endpoint : *list) MESH_TRY(port_of(endpoint));
  return Keys{std::move(*log), std::move(*controller), std::move(*settings)};
}

/// Errors: conflict unless `data` is absent or an empty directory, and nothing is left of an
/// attempt that was interrupted.
Status check_free(const fs::path& data, const fs::path& temporary) {
  std::error_code error;
  if (fs::exists(data, error) && !(fs::is_directory(data, error) && fs::is_empty(data, error)))
    return fail(Errc::conflict, fmt::format("{} is not empty", data.string()),
                "restore into a new directory: nothing is ever overwritten");
  if (fs::exists(temporary, error))
    return fail(Errc::conflict,
                fmt::format("{} is left of a restore that was interrupted", temporary.string()),
                fmt::format("rm -r {}", temporary.string()));
  return {};
}

Status check_keys(const Keys& keys, const MeshState& state, const fs::path& from) {
  if (keys.log.public_key() != state.genesis.log_key)
    return fail(
        Errc::invalid,
        fmt::format("{} is not the key of the log in the backup", log_key_path(from).string()),
        "name the directory with the keys of that controller");
  if (keys.controller.public_key() != state.genesis.controller_key)
    return fail(Errc::invalid,
                fmt::format("{} is not the key of the controller in the backup",
                            controller_key_path(from).string()),
                "name the directory with the keys of that controller");
  return {};
}

class Teller {
 public:
  explicit Teller(uint64_t total) : total_(total), on_(isatty(STDERR_FILENO) == 1) {}
  ~Teller() {
    if (told_ > 0) fmt::print(stderr, "\n");
  }
  void operator()(uint64_t done) {
    if (!on_ || done < told_ + kProgressStep) return;
    told_ = done;
    fmt::print(stderr, "\rrestore {}/{} entries", done, total_);
  }

 private:
  uint64_t total_, told_ = 0;
  bool on_;
};

/// Everything but the last step, into `directory`.
Result<RestoredLog> build(const RestoreOptions& options, const Keys& keys,
                          const fs::path& directory) {
  auto source = read_file(options.file);
  if (!source) return std::unexpected(source.error());
  auto reader = ArchiveReader::open(std::move(*source));
  if (!reader) return fail_in(options.file.string(), reader.error());
  std::error_code error;
  if (!fs::create_directories(directory, error) || error || chmod(directory.c_str(), 0700) != 0)
    return fail(Errc::io, fmt::format("{} cannot be made", directory.string()));
  auto log = RocksEventLog::create(log_path(directory), reader->head().log);
  if (!log) return fail_in("making the log", log.error());
  Teller teller(reader->head().entries);
  auto restored = restore_log(
      *reader, **log, [&](const MeshState& state) { return check_keys(keys, state, options.keys); },
      [&](uint64_t done) { teller(done); });
  if (!restored) return fail_in(options.file.string(), restored.error());
  MESH_TRY(keys.log.store(log_key_path(directory)));
  MESH_TRY(keys.controller.store(controller_key_path(directory)));
  MESH_TRY(save_mark(directory, {restored->state.epoch, restored->state.sequence}));
  MESH_TRY(save_settings(directory, keys.settings));
  return restored;
}

Result<RestoredLog> restore_to(const RestoreOptions& options) {
  fs::path data = fs::absolute(options.data).lexically_normal();
  if (!data.has_filename()) data = data.parent_path();  // "DIR/"
  const fs::path temporary = data.string() + ".restoring";
  MESH_TRY(check_free(data, temporary));
  auto keys = load_keys(options);
  if (!keys) return fail_in("the keys", keys.error());
  auto restored = build(options, *keys, temporary);
  std::error_code error;
  if (!restored) {
    fs::remove_all(temporary, error);
    return restored;
  }
  MESH_TRY(sync_directory(temporary));
  fs::rename(temporary, data, error);
  if (error)
    return fail(Errc::io, fmt::format("{} cannot be renamed to {}: {}", temporary.string(),
                                      data.string(), error.message()));
  MESH_TRY(sync_directory(data.parent_path()));
  return restored;
}

}  // namespace

Result<std::optional<Restored>> load_restored(const fs::path& data) {
  std::error_code error;
  if (!fs::exists(mark_path(data), error)) return std::nullopt;
  try {
    const toml::table table = toml::parse_file(mark_path(data).string());
    const auto sequence = table["sequence"].value<int64_t>(),
               epoch = table["epoch"].value<int64_t>();
    if (sequence && epoch && *sequence > 0 && *epoch > 0)
      return Restored{static_cast<uint32_t>(*epoch), Sequence(static_cast<uint64_t>(*sequence))};
  } catch (const toml::parse_error&) {
    // Said below: whatever is wrong with it, nobody knows whether the log may be written.
  }
  return fail(Errc::corrupt, fmt::format("{} is damaged", mark_path(data).string()),
              "restore the backup again");
}

int restore(const RestoreOptions& options) {
  auto restored = restore_to(options);
  if (!restored) return report(restored.error(), options.output);
  const MeshState& state = restored->state;
  const std::string root = to_hex(restored->root.view());
  if (options.output == "json") {
    const nlohmann::json out = {{"kind", "Restored"},
                                {"sequence", state.sequence.value()},
                                {"entries", state.sequence.value()},
                                {"blobs", restored->blobs},
                                {"root", root},
                                {"epoch", state.epoch},
                                {"data", options.data.string()},
                                {"missing", restored->missing}};
    fmt::print("{}\n", out.dump());
    return 0;
  }
  fmt::print("restored  {} entries, {} blobs, root {}, epoch {}\n", state.sequence.value(),
             restored->blobs, root, state.epoch);
  for (const std::string& name : restored->missing)
    fmt::print(stderr, "warning: the backup has no configuration for {}\n", name);
  fmt::print(stderr,
             "It is read-only until an administrator decides that this history counts.\n"
             "next: meshd run --data {}, then meshcli controller start-epoch\n",
             options.data.string());
  return 0;
}

}  // namespace mesh::meshd
