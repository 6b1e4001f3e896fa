// Random meshes for laws: a recipe that rapidcheck can shrink, and the state that it makes.
#pragma once

#include <rapidcheck.h>

#include <cstdint>
#include <vector>

#include "eventstore/model/state.h"

namespace mesh::testing {

struct NodeRecipe {
  uint32_t gap = 0;  // numbers left out before this node
  uint32_t site = 0;
  bool is_public = false, outside_port = false, v6_endpoint = false;
  uint32_t groups = 0;  // a bit for each of five; none = the default group
  uint32_t lans = 0;    // how many, of both families
  uint32_t mtu = 0, keepalive = 0, bfd = 0, uplinks = 0, generations = 0;
};

std::ostream& operator<<(std::ostream& out, const NodeRecipe& recipe);
rc::Gen<NodeRecipe> any_node();

using MeshRecipe = std::vector<NodeRecipe>;
/// Everybody is enrolled with `generations` + 1 live keys, at most two.
MeshState make_state(const MeshRecipe& recipe);
/// The same with lists of groups and LANs written in the other order.
MeshState make_state_reversed(const MeshRecipe& recipe);

}  // namespace mesh::testing
