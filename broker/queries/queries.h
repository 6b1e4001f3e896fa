// Questions about the state, answered with JSON documents (queries/README.md lists them).
#pragma once

#include <string_view>

#include "broker/board.h"
#include "broker/log_scan.h"
#include "broker/orphans.h"
#include "broker/past.h"
#include "broker/render/renderer.h"
#include "eventstore/log/event_log.h"
#include "eventstore/model/state.h"
#include "schemas/message.h"

namespace mesh {

/// Everything that an answer may read: values, so that a worker can hold it. `log` and `past` are
/// borrowed and read only.
struct QueryFacts {
  MeshState state;
  const EventLog* log = nullptr;
  const Past* past = nullptr;
  Board board;
  WaitingRoom waiting;
  Principal asker;
  Now now;
  int64_t started_ms = 0;
  size_t sessions = 0;
  uint64_t log_bytes = 0;
  std::string broken;
  std::string program;
  Query query;
  LogIndex* index = nullptr;  // borrowed; may be nullptr
  std::shared_ptr<const OrphanList> orphans;
  /// Filled by answer_query: who waits for a confirmation, ascending. Borrows `state`.
  std::vector<std::pair<NodeId, const PendingActivation*>> pending;
  std::shared_ptr<Renderer> renderer;  // may be nullptr
};

/// Whether an answer reads much of the log or compiles configurations and so belongs on a worker.
bool is_heavy(const Query& query);

/// The answer as of the head or, when the query names an instant (`query.at`), as of the state after
/// that entry: what the log says, without what was seen of nodes and sessions. Errors: usage (unknown
/// kind or argument), not_found, corrupt, invalid, unsupported (a kind that knows only now, asked at
/// an instant).
Result<QueryResult> answer_query(QueryFacts facts);

}  // namespace mesh
