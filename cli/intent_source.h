// Where intent comes from: a state of the log, or files.
#pragma once

#include <string>
#include <vector>

#include "cli/intent_text.h"
#include "cli/session.h"
#include "eventstore/model/state.h"

namespace mesh::cli {

/// The state after entry `at`, 0 = as it is now. It is the controller's word; every reader of the
/// log decides what follows from it again. Errors: those of Client::query_at, corrupt.
Result<MeshState> fetch_state(Client& client, Sequence at);

/// "-" is standard input; a directory its *.yaml, *.yml and *.json by name. Errors: not_found, io.
Result<std::vector<IntentFile>> read_files(Session& session, const std::string& where);

}  // namespace mesh::cli
