// Starting an activation, and waiting until it has reached the routers or is over.
#pragma once

#include "cli/json.h"
#include "cli/session.h"
#include "eventstore/model/command.h"

namespace mesh::cli {

/// --confirmed, --unconfirmed, --health and --for of `activate` and `commit --activate`, as a
/// command. Errors: usage.
Result<Activate> activate_command(const Session& session, const Target& target, Version version);

/// How long a confirmation may take, in seconds; `name` is what the text was given for. Errors: usage (the bounds of
/// the core, before anything is asked).
Result<uint32_t> confirm_seconds(std::string_view name, const std::string& text);

/// Submits `command` and, unless --no-wait, waits until every connected target has reported; with
/// gates, until it is confirmed or over. While it waits for a confirmation a controller that cannot
/// be reached is waited for too, since the routers bring it back by themselves. Adds what happened
/// to `document` ("activation"), prints lines for people. Exit codes: 0, kUnchanged (with
/// --error-unchanged), kTimedOut, kPartlyFailed, kRolledBack, kInterrupted.
Result<int> run_activation(Session& session, const Activate& command, Json& document);

/// The exit code of an activation document in which nobody is waited for any more.
int activation_exit(const Json& activation);

/// "activation 3 expired: ..., all nodes go back  (#12)"; empty while it waits, and when it was
/// confirmed or acted at once.
std::string end_text(const Json& activation);

/// One that waits: a line with the time left, and a table of what each node said of it.
std::string pending_text(const Json& activation, bool colour);

}  // namespace mesh::cli
