// `all | global | site S | node N` on a command line.
#pragma once

#include <string>

#include "cli/session.h"
#include "eventstore/model/principal.h"

namespace mesh::cli {

/// What the row's SCOPE argument, or its noun and its SITE or NODE argument name; a verb alone, `all` and `global` are
/// everything.
Target target_of(const Session& session);
/// "global" or "all", "site S", "node N": an argument of Hint::scope.
Target target_named(const std::string& scope);
/// "global", "site ams", "node r1.ams": as queries take it.
std::string to_text(const Target& target);
/// The same, but "all" for everything: as commit and activate call it.
std::string fleet_text(const Target& target);
/// The item of the status document about `node`, a number or a full name. Errors: not_found, those of a query.
Result<Json> node_status(Client& client, const std::string& node);

}  // namespace mesh::cli
