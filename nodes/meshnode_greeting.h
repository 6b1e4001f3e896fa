// Whom a newcomer without a token joins. Only meshnode*.cc include it.
#pragma once

#include "broker/bus/keys.h"
#include "nodes/meshnode.h"
#include "schemas/codec.h"

namespace mesh {

/// Learns log, log key and controller key from the controller at options.controller, and pins them: by
/// options.controller_key, by options.fingerprint (of the log's id, which commits to all of them), or by a person who
/// types yes. Waits up to options.timeout_s for the controller's door to open. What comes back is like a token's text
/// with token 0 and no seed; the endpoint is the one that was given.
/// Errors: unauthenticated (somebody else answers, or nobody confirmed), not_permitted (the person said no), conflict
/// (another controller was asked before), corrupt, invalid, unavailable.
Result<TokenText> meet_controller(const MeshnodeOptions& options, const BoxSecret& own);

}  // namespace mesh
