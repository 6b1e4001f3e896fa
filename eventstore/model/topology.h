// Who is linked with whom. Deterministic; a pure function of the state's attributes.
#pragma once

#include <compare>
#include <cstddef>
#include <vector>

#include "eventstore/model/intent.h"
#include "eventstore/model/state.h"

namespace mesh {

/// An unordered pair, low < high.
struct Link {
  NodeId low, high;
  auto operator<=>(const Link&) const = default;
};

/// Two nodes are linked when their `groups` intersect and at least one of them has an endpoint;
/// nodes of one site like any others. A node behind NAT dials only `uplinks` of the public nodes
/// that it could (0 = all): those with the highest hash of (topology_seed, itself, the other) -
/// rendezvous hashing (Thaler, Ravishankar 1998), so that a node that comes or goes moves no link
/// but its own and those that it displaces or frees.
///
/// Borrows the intent for its lifetime. Nodes are indices into Intent::nodes().
class Topology {
 public:
  explicit Topology(const Intent& intent);
  bool linked(size_t a, size_t b) const;
  /// Ascending.
  std::vector<size_t> peers(size_t node) const;
  /// Whom a node behind NAT dials, ascending; empty for a public node.
  const std::vector<size_t>& uplinks(size_t node) const { return uplinks_[node]; }

 private:
  const Intent& intent_;
  std::vector<std::vector<size_t>> uplinks_;  // ascending; empty for public nodes
};

/// All links, ascending.
std::vector<Link> links(const MeshState& state);
/// The peers of one node, ascending.
std::vector<NodeId> peers_of(const MeshState& state, const Node& node);

}  // namespace mesh
