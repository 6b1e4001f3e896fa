// What this machine says of itself: /proc, statvfs(3), uname(2). What it does not tell stays 0 or empty.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>

#include "eventstore/model/machine_status.h"

namespace mesh {

/// Without `bird` and `wireguard`. `data`: where the node keeps its data.
MachineStatus read_machine(const std::filesystem::path& data);

/// From the first field of /proc/loadavg, and of a line "MemTotal:  1024 kB" of /proc/meminfo (bytes); 0 when absent.
uint32_t parse_load_milli(std::string_view text);
uint64_t parse_meminfo(std::string_view text, std::string_view name);

/// The kernel module's, as "kernel 1.0.0", and the program's, as "wireguard-go 0.0.20220316"; empty when it is not
/// there. Costs a process.
std::string kernel_wireguard();
std::string userspace_wireguard();

}  // namespace mesh
