#include "nodes/dataplane/machine.h"

#include <sys/statvfs.h>
#include <sys/sysinfo.h>
#include <sys/utsname.h>

#include <algorithm>
#include <charconv>
#include <chrono>
#include <cmath>

#include "nodes/dataplane/files.h"
#include "nodes/dataplane/peer_memory.h"
#include "nodes/dataplane/process.h"

namespace mesh {
namespace {

constexpr uint64_t kKibibyte = 1024;
constexpr double kLoadMost = 1e6;

std::string_view first_line(std::string_view text) { return text.substr(0, text.find_first_of("\r\n")); }

}  // namespace

uint32_t parse_load_milli(std::string_view text) {
  double load = 0;
  const auto done = std::from_chars(text.data(), text.data() + text.size(), load);
  if (done.ec != std::errc() || !(load >= 0) || load > kLoadMost) return 0;
  return static_cast<uint32_t>(std::lround(load * 1000));
}

uint64_t parse_meminfo(std::string_view text, std::string_view name) {
  while (!text.empty()) {
    std::string_view line = first_line(text);
    text.remove_prefix(std::min(line.size() + 1, text.size()));
    if (!line.starts_with(name) || line.substr(name.size(), 1) != ":") continue;
    line.remove_prefix(name.size() + 1);
    line.remove_prefix(std::min(line.find_first_not_of(' '), line.size()));
    uint64_t kibibytes = 0;
    (void)std::from_chars(line.data(), line.data() + line.size(), kibibytes);
    return kibibytes * kKibibyte;
  }
  return 0;
}

MachineStatus read_machine(const std::filesystem::path& data) {
  MachineStatus out;
  if (const auto text = read_file("/proc/loadavg")) out.load_milli = parse_load_milli(*text);
  if (const auto text = read_file("/proc/meminfo")) {
    out.memory_bytes = parse_meminfo(*text, "MemTotal");
    out.memory_free_bytes = parse_meminfo(*text, "MemAvailable");
  }
  out.processors = static_cast<uint32_t>(::get_nprocs());
  out.uptime_s = static_cast<uint64_t>(boot_seconds());
  struct statvfs disk{};
  if (::statvfs(data.c_str(), &disk) == 0) {
    out.disk_bytes = uint64_t{disk.f_blocks} * disk.f_frsize;
    out.disk_free_bytes = uint64_t{disk.f_bavail} * disk.f_frsize;
  }
  utsname system{};
  if (::uname(&system) == 0) out.kernel = std::string(system.sysname) + " " + system.release;
  return out;
}

std::string kernel_wireguard() {
  const auto version = read_file("/sys/module/wireguard/version");
  return version ? "kernel " + std::string(first_line(*version)) : "kernel";
}

std::string userspace_wireguard() {
  const auto program = find_program("wireguard-go", "wireguard-go");
  if (!program) return {};
  const auto told = run_program({*program, "--version"}, {}, std::chrono::seconds(5));
  if (!told || told->code != 0) return "wireguard-go";
  // "wireguard-go v0.0.20220316"
  std::string out(first_line(std::string_view(told->out)));
  if (const size_t at = out.find(" v"); at != std::string::npos) out.erase(at + 1, 1);
  return out;
}

}  // namespace mesh
