// What a commit does to reachability. Pure, and part of rules 3: decide() refuses by it, so for a state
// and scope the result never changes.
#pragma once

#include "eventstore/model/reach.h"

namespace mesh {

/// Pairs of LANs that a commit of `scope` loses and gains, at most `most` in each list.
///
/// Before: what was committed (committed_state). After: the nodes of `scope`, with `with_neighbours`
/// those with a link into it too, as the working state has them; all others as they were committed;
/// a link counts when both ends have it. Some microseconds a node, and nothing at all when no
/// uncommitted change can move a link or a LAN.
ReachDifference commit_reach(const MeshState& state, const Scope& scope, bool with_neighbours,
                             size_t most);

/// invalid when such a commit loses pairs; names the first of them and their number.
Status check_commit_reach(const MeshState& state, const Scope& scope, bool with_neighbours);

}  // namespace mesh
