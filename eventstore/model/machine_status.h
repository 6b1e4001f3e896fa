// What a router's machine looks like: an observation, sent with NodeStatus and never in the log.
#pragma once

#include <cstdint>
#include <string>

namespace mesh {

/// 0 and empty = not known: a node older than this, or a machine that does not tell.
struct MachineStatus {
  uint32_t load_milli = 0;  // the load of the last minute, in thousandths
  uint32_t processors = 0;
  uint64_t memory_bytes = 0, memory_free_bytes = 0;  // free: what programs can still have
  uint64_t disk_bytes = 0, disk_free_bytes = 0;      // where the node keeps its data
  uint64_t uptime_s = 0;                             // of the machine
  std::string kernel;                                // "Linux 6.1.0-18-amd64"
  std::string bird;                                  // "2.0.12", of the one that runs
  std::string wireguard;                             // "kernel 1.0.0", "wireguard-go 0.0.20220316", or both
  bool operator==(const MachineStatus&) const = default;
};

}  // namespace mesh
