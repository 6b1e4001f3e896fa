// BIRD processes of this network namespace, from /proc: two of them would fight over the kernel's
// routes.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <string>
#include <vector>

namespace mesh {

struct BirdProcess {
  pid_t pid = 0;
  bool ours = false;  // started with our control socket
};

std::vector<BirdProcess> find_bird_processes(const std::string& control_path);
/// Ends a process: SIGTERM, and SIGKILL after `patience`. Returns when it is gone.
void end_process(pid_t pid, std::chrono::milliseconds patience);

}  // namespace mesh
