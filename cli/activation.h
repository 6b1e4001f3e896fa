// Waiting until an activation has reached the routers.
#pragma once

#include "cli/json.h"
#include "cli/session.h"
#include "eventstore/model/command.h"

namespace mesh::cli {

/// Submits Activate and, unless --no-wait, waits until every connected target has reported. Adds
/// what happened to `document` ("activation"), prints lines for people. Exit codes: 0, kUnchanged
/// (with --error-unchanged), kTimedOut, kPartlyFailed, kRolledBack, kInterrupted.
Result<int> run_activation(Session& session, const Target& target, Version version, Json& document);

/// The exit code of an activation document in which nobody is waited for any more.
int activation_exit(const Json& activation);

}  // namespace mesh::cli
