// Questions about the state, answered with JSON documents (broker/README.md lists them).
#pragma once

#include <string_view>

#include "broker/board.h"
#include "eventstore/log/event_log.h"
#include "eventstore/model/state.h"
#include "schemas/message.h"

namespace mesh {

/// Everything that an answer may read: values, so that a worker can hold it. `log` is borrowed and
/// read only.
struct QueryFacts {
  MeshState state;
  const EventLog* log = nullptr;
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
};

/// Whether a kind compiles configurations and therefore belongs on a worker.
bool is_heavy(std::string_view kind);

/// Errors: usage (unknown kind or argument), not_found, corrupt, invalid.
Result<QueryResult> answer_query(const QueryFacts& facts);

}  // namespace mesh
