// What goes wrong, at random moments, for random times.
#pragma once

#include <map>

#include "tests/sim/mesh.h"

namespace mesh::sim {

class Faults {
 public:
  Faults(Mesh& mesh, Random random) : mesh_(mesh), random_(random) {}

  void begin();
  /// Nothing goes wrong from now on, and what was wrong is repaired.
  void end();
  uint64_t count() const { return count_; }

 private:
  void next();
  void strike();
  void controller_fault();
  void network_fault();
  void clog();
  void node_fault(NodeHost& host);
  void start_what_is_down();
  /// Does it after `low` to `high` milliseconds, unless everything was repaired meanwhile.
  void later(int64_t low, int64_t high, std::function<void()> action);

  Mesh& mesh_;
  Random random_;
  bool active_ = false;
  uint64_t count_ = 0;
  int64_t controller_up_at_ = 0;
  std::map<NodeHost*, int64_t> up_at_;
};

}  // namespace mesh::sim
