// What was committed last: the state without its uncommitted changes. Pure.
#pragma once

#include "eventstore/model/state.h"

namespace mesh {

/// `state` with every uncommitted change taken back: attributes, what was added, removed and renamed.
/// Total: an uncommitted site that has committed nodes stays, and so does what has another's name in
/// its way. Versions, people and counters are those of `state`; its list of changes is empty.
MeshState committed_state(const MeshState& state);

}  // namespace mesh
