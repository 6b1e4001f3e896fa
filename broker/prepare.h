// Preparing a commit: compiling the candidates and saying what they would change. Pure but for
// reading blobs.
#pragma once

#include <string>
#include <vector>

#include "broker/render/renderer.h"
#include "eventstore/log/event_log.h"
#include "eventstore/model/compile.h"
#include "eventstore/model/plan.h"
#include "eventstore/model/state.h"
#include "schemas/message.h"

namespace mesh {

/// The configuration that a version pinned. Errors: not_found, corrupt.
Result<NodeConfig> load_config(const EventLog& log, const Node& node, Version version);

struct PreparedPlan {
  Candidates candidates;
  std::string json;  // schemas/message.h, Prepared::plan, and `reachability` (commit_reach_text)
};
/// Errors: the first problem of validation (every further one is a line of its message), those of
/// compile and of the renderer, without which no node may have templates.
Result<PreparedPlan> prepare_commit(const MeshState& state, const EventLog& log, const Prepare& prepare,
                                    const std::string& principal, Renderer* renderer = nullptr);

/// {lost, gained: [{from, to, family}], totals: {lost, gained}, refused}: what committing `scope` does to
/// LANs, and whether a commit without allow_loss is refused for it. Lists are cut.
std::string commit_reach_text(const MeshState& state, const Scope& scope, bool with_neighbours);

/// What each candidate would change, as the items of a ChangedList.
std::string changed_items(const MeshState& state, const EventLog& log,
                          const Candidates& candidates);

}  // namespace mesh
