// A whole mesh in one thread: a controller, routers and operators on one clock and one network, all
// from one seed.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "tests/sim/controller_host.h"
#include "tests/sim/network.h"
#include "tests/sim/node_host.h"
#include "tests/sim/operator_host.h"

namespace mesh::sim {

struct MeshOptions {
  uint64_t seed = 1;
  size_t nodes_max = 5;
  bool verbose = false;
  uint32_t rules = kRulesNewest;  // of the first entry
  bool busy = false;  // operators ask by themselves, not only what they are told
  ControllerHostOptions controller;
  NodeHostOptions node;
  OperatorHostOptions people;
};

class Mesh {
 public:
  explicit Mesh(MeshOptions options);

  void run_for(int64_t milliseconds);
  /// False when it did not come true within `milliseconds`.
  template <class Condition>
  bool run_until(Condition condition, int64_t milliseconds) {
    const int64_t until = clock.now() + milliseconds;
    while (!condition())
      if (!clock.step(until)) return condition();
    return true;
  }
  /// Empty when everybody has everything and is what the log wants, else what is missing.
  std::string unfinished();
  /// Everything that only holds at the end.
  void check_end();

  NodeHost& invite(Invitation invitation);
  NodeHost* find_host(std::string_view fullname);
  Fleet fleet();

  // For scenarios: what alice asks, and waits for. The error of a refusal, or nothing.
  std::optional<Error> submit(std::vector<Command> commands);
  /// Commits and activates everything.
  void roll_out();
  /// Sites s1 to s<sites> with a node each, endpoint and LAN, all joined and at the head.
  void build(size_t sites);
  OperatorHost& alice() { return *operators.front(); }

  MeshOptions options;
  Scheduler clock;
  Trace trace;
  Random random;
  Network network;
  HistoryBook book;
  ControllerHost controller;
  std::vector<std::unique_ptr<OperatorHost>> operators;
  std::vector<std::unique_ptr<NodeHost>> nodes;
};

}  // namespace mesh::sim
