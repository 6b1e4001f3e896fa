#pragma once

#include "eventstore/model/node_config.h"
#include "eventstore/model/state.h"

namespace mesh {

/// The configuration that `node` has by the working state. Reads only the state; canonical order everywhere.
/// Errors: not_found, invalid (an attribute that makes no configuration possible, with the fix).
Result<NodeConfig> compile(const MeshState& state, NodeId node);

/// Nodes of `scope` whose compiled configuration differs from their latest version, with the next version and
/// digest: the candidates of a commit, ascending by node.
struct Candidates {
  std::vector<VersionRow> rows;
  std::map<NodeId, NodeConfig> configs;
};
Result<Candidates> compile_candidates(const MeshState& state, const Scope& scope, bool with_neighbours);
/// Nodes outside `scope` whose configuration would change too (the ends of links into it).
std::vector<NodeId> affected_neighbours(const MeshState& state, const Scope& scope);

}  // namespace mesh
