#include "tests/sim/simulation.h"

#include <fmt/format.h>

#include "tests/sim/faults.h"
#include "tests/sim/mesh.h"

namespace mesh::sim {

namespace {

// A node that refused something waits up to five minutes before it asks again
// (AgentOptions::retry_max_ms).
constexpr int64_t kSettleHostileMs = 400'000;
constexpr int64_t kSettleMs = 90'000;

template <size_t N>
uint64_t one_of(Random& random, const uint64_t (&choices)[N]) {
  return choices[random.below(N)];
}

MeshOptions mesh_options(const SimulationOptions& options, Random& random) {
  MeshOptions out;
  out.seed = random.next();
  out.nodes_max = options.nodes;
  out.verbose = options.verbose;
  out.busy = true;
  if (random.one_in(4)) out.rules = static_cast<uint32_t>(random.between(1, kRulesNewest));
  const bool hostile = random.one_in(5);
  out.controller.snapshot_every = one_of(random, {3, 20, 1'000});
  out.controller.snapshot_threshold = one_of(random, {2, 15, 1'000'000});
  out.node.hostile = out.people.hostile = hostile;
  out.node.credit = one_of(random, {600, 8'000, kCreditBytesDefault});
  out.node.tail_bytes_min = one_of(random, {2'000, 20'000, 1'048'576});
  out.people.credit = one_of(random, {900, 20'000, kCreditBytesDefault});
  out.people.pause_ms = random.between(400, 2'500);
  return out;
}

}  // namespace

SimulationResult simulate(const SimulationOptions& options) {
  Random random(options.seed);
  SimulationResult result;
  Mesh mesh(mesh_options(options, random));
  if (random.one_in(4)) mesh.network.set_queue_max(20);
  Faults faults(mesh, random.fork());
  try {
    faults.begin();
    mesh.run_for(options.seconds * 1'000);
    faults.end();
    for (auto& each : mesh.operators) each->retire();
    const int64_t began = mesh.clock.now();
    const int64_t bound = mesh.options.node.hostile ? kSettleHostileMs : kSettleMs;
    // Looked at now and then only: it compares everything.
    while (!mesh.unfinished().empty()) {
      mesh.run_for(1'000);
      if (mesh.clock.now() - began > bound)
        throw ClaimBroken("when faults stop, everybody gets there",
                          fmt::format("after {} s {}", bound / 1'000, mesh.unfinished()));
    }
    result.settled_ms = mesh.clock.now() - began;
    mesh.check_end();
  } catch (const ClaimBroken& broken) {
    result.failure = broken.what();
    result.trace = mesh.trace.tail();
  }
  result.trace_hash = mesh.trace.hash();
  result.trace_lines = mesh.trace.lines();
  result.steps = mesh.clock.steps();
  result.simulated_ms = mesh.clock.now();
  result.entries = mesh.book.head().value();
  result.hosts = mesh.nodes.size();
  result.faults = faults.count();
  for (auto& each : mesh.operators) result.acknowledged += each->acknowledged();
  return result;
}

}  // namespace mesh::sim
