// One seed: a busy mesh, faults of every kind for a while, then none; then everybody must get
// there.
#pragma once

#include <cstdint>
#include <string>

namespace mesh::sim {

struct SimulationOptions {
  uint64_t seed = 1;
  size_t nodes = 5;
  int64_t seconds = 90;  // with faults, simulated
  bool verbose = false;
};

struct SimulationResult {
  std::string failure;  // the claim that broke; empty = all hold
  std::string trace;    // the last steps, when one broke
  uint64_t trace_hash = 0, trace_lines = 0;
  uint64_t steps = 0;
  int64_t simulated_ms = 0;
  uint64_t entries = 0, acknowledged = 0, hosts = 0, faults = 0;
  int64_t settled_ms = 0;  // from the end of the faults until everybody was there
  bool ok() const { return failure.empty(); }
};

SimulationResult simulate(const SimulationOptions& options);

}  // namespace mesh::sim
