// What a rollback covers, as one number: two states with the same digest want the same of the fleet.
#pragma once

#include "eventstore/model/ids.h"
#include "eventstore/model/principal.h"
#include "eventstore/model/state.h"

namespace mesh {

/// SHA-256 over the intent in `scope`: names, numbers and attribute values of its sites and nodes,
/// and for the global scope the global attributes. Not covered: who set what when, what is
/// committed or active, keys, people, tokens and tags. A scope that does not exist has the digest of
/// nothing. Costs about a microsecond for each attribute.
Digest intent_digest(const MeshState& state, const Scope& scope);

}  // namespace mesh
