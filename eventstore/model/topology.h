// Who is linked with whom. Deterministic; a pure function of the state's attributes.
#pragma once

#include <compare>
#include <vector>

#include "eventstore/model/state.h"

namespace mesh {

/// An unordered pair, low < high.
struct Link {
  NodeId low, high;
  auto operator<=>(const Link&) const = default;
};

/// All links, ascending. Two nodes are linked when their `groups` intersect and at least one has an endpoint.
/// Nodes of one site are linked like any others.
std::vector<Link> links(const MeshState& state);
/// The peers of one node, ascending, without computing all links.
std::vector<NodeId> peers_of(const MeshState& state, const Node& node);

}  // namespace mesh
