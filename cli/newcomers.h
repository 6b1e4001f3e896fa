// Who waits to be admitted, and why the controller need not be believed about it.
#pragma once

#include <string>

#include "cli/client.h"
#include "cli/json.h"
#include "eventstore/model/command.h"

namespace mesh::cli {

/// The one waiting join whose fingerprint begins with `text`, or that asks to be that node. Errors: not_found, usage
/// (several).
Result<Json> find_pending(Client& client, const std::string& text);

struct PendingJoin {
  SignedJoin join;
  JoinStatement statement;
};

/// Takes a waiting join apart and checks that it is the one whose fingerprint was compared: the controller
/// passed it on, and need not be believed. Errors: corrupt.
Result<PendingJoin> open_join(const Json& item);

}  // namespace mesh::cli
