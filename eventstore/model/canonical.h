// The canonical bytes of a state: the same state gives the same bytes on every machine (intent
// part), so its SHA-256 identifies it. Also what a snapshot carries.
#pragma once

#include "eventstore/model/ids.h"
#include "eventstore/model/result.h"
#include "eventstore/model/state.h"

namespace mesh {

/// Intent and, when `with_reports`, reports too (for snapshots on disk).
Bytes encode_state(const MeshState& state, bool with_reports);
/// Errors: corrupt (truncated, trailing bytes, out of bounds), unsupported (newer rules).
Result<MeshState> decode_state(ByteView bytes);
/// SHA-256 of the intent part, without position of reports: equal for every replica at one
/// sequence.
Digest state_digest(const MeshState& state);

}  // namespace mesh
