#include "tests/unit/compile/states.h"

#include "eventstore/model/compile.h"

namespace mesh::testing {

void pin_all(MeshState& state) {
  auto candidates = compile_candidates(state, Scope{}, false);
  MESH_ASSERT(candidates.has_value());
  for (const auto& row : candidates->rows)
    state.nodes.at(row.node).edit().versions.push_back({row.version, row.digest, Sequence(50)});
}

}  // namespace mesh::testing
