// What only the machine knows about itself: which boot this is, and how long ago it was.
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

int64_t machine_now_ms() {
  timespec now{};
  ::clock_gettime(CLOCK_BOOTTIME, &now);
  return int64_t{now.tv_sec} * 1000 + now.tv_nsec / 1'000'000;
}

}  // namespace mesh
