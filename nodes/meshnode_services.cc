// The machine of Services.
#include <fmt/ranges.h>
#include <pwd.h>
#include <spdlog/spdlog.h>
#include <sys/stat.h>
#include <unistd.h>

#include "nodes/dataplane/files.h"
#include "nodes/meshnode.h"
#include "nodes/services/command_runner.h"

namespace mesh {

namespace fs = std::filesystem;

namespace {

constexpr size_t kAllowBytesMax = 1024 * 1024;

/// Who may write it decides what runs here as root.
Result<std::string> read_allow(const fs::path& path) {
  struct stat info {};
  const bool there = ::stat(path.c_str(), &info) == 0;
  if (there && ((info.st_mode & 022) != 0 || (info.st_uid != 0 && info.st_uid != ::geteuid())))
    return fail(Errc::not_permitted, fmt::format("{} may be written by others", path.string()),
                fmt::format("chown root {0}; chmod 644 {0}", path.string()));
  return read_file(path, kAllowBytesMax);
}

std::string keys_of_root() {
  const struct passwd* root = ::getpwuid(0);
  return std::string(root ? root->pw_dir : "") + "/.ssh/authorized_keys";
}

}  // namespace

MachineServices open_services(const MeshnodeOptions& options) {
  const bool dry = options.dataplane != "linux";
  const auto data = fs::absolute(options.data);
  ServicesOptions services;
  services.data = data.string();
  services.allow_file = options.allow.string();
  services.allow = [path = options.allow] { return read_allow(path); };
  services.authorized_keys =
      options.authorized_keys.empty() ? keys_of_root() : fs::absolute(options.authorized_keys).string();
  services.boot_id = machine_boot_id();
  services.make_destinations = dry;
  services.run = run_command;
  if (dry)
    services.run = [](const std::vector<std::string>& words, std::chrono::milliseconds) -> Result<CommandResult> {
      spdlog::info("{}", fmt::format("not run: {}", fmt::join(words, " ")));
      return CommandResult{0, "not run"};
    };
  const auto root = dry ? data / "dry-services" : fs::path("/");
  std::error_code error;  // what cannot be made is told by what is written there
  if (dry) fs::create_directory(root, error);
  MachineServices out{std::make_unique<PosixFiles>(root), nullptr};
  out.services = std::make_unique<Services>(std::move(services), *out.machine);
  return out;
}

}  // namespace mesh
