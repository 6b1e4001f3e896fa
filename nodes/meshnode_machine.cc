// What only the machine knows about itself: which boot this is, and how long ago it was.
#include <fmt/format.h>
#include <sys/sysinfo.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <algorithm>
#include <ctime>
#include <fstream>

#include "nodes/meshnode.h"

namespace mesh {

std::string machine_boot_id() {
  std::ifstream file("/proc/sys/kernel/random/boot_id");
  std::string id;
  if (std::getline(file, id) && !id.empty()) return id;
  // Then every start counts as a boot: what waits for its confirmation goes back rather too early.
  return to_hex(random_array<Digest>().view());
}

namespace {

/// What stands behind `name` in a file of names and values, without quotes; empty when there is none.
std::string value_in(const char* path, std::string_view name, char separator) {
  std::ifstream file(path);
  for (std::string line; std::getline(file, line);) {
    const size_t at = line.find(separator);
    if (at == std::string::npos || !line.starts_with(name)) continue;
    std::string value = line.substr(at + 1);
    std::erase(value, '"');
    value.erase(0, std::min(value.find_first_not_of(" \t"), value.size()));
    return value;
  }
  return {};
}

}  // namespace

std::string machine_facts() {
  std::string out = value_in("/etc/os-release", "PRETTY_NAME", '=');
  const auto add = [&](const std::string& fact) {
    if (!fact.empty()) out += (out.empty() ? "" : ", ") + fact;
  };
  struct utsname system {};
  if (::uname(&system) == 0) add(fmt::format("{} {} {}", system.sysname, system.release, system.machine));
  const long processors = ::sysconf(_SC_NPROCESSORS_ONLN);
  std::string model = value_in("/proc/cpuinfo", "model name", ':');
  if (model.empty()) model = value_in("/proc/cpuinfo", "Model", ':');
  if (processors > 0) add(fmt::format("{} x {}", processors, model.empty() ? "CPU" : model));
  struct sysinfo memory {};
  if (::sysinfo(&memory) == 0) add(fmt::format("{} MiB", memory.totalram * memory.mem_unit / (1024 * 1024)));
  std::erase_if(out, [](unsigned char c) { return c < ' ' || c > '~'; });
  out.resize(std::min(out.size(), kMachineFactsMax));
  return out;
}

int64_t machine_now_ms() {
  timespec now{};
  ::clock_gettime(CLOCK_BOOTTIME, &now);
  return int64_t{now.tv_sec} * 1000 + now.tv_nsec / 1'000'000;
}

}  // namespace mesh
