// What root asks of this box: `meshnode history`, `rollback`, `endpoints`. A running meshnode answers over its control
// socket, one line in, one JSON document out; of a stopped one the verb takes the lock and answers from the disk.
//
//   history | rollback N (0 = the previous version) | endpoints | endpoints set E ... | endpoints reset |
//   adopt TOKEN [NODE] | adoption      only of a running one
//
// The document of a failure is {"error": {"code": Errc, "message", "fix"}}.
#pragma once

#include <functional>
#include <string>

#include "nodes/agent.h"
#include "nodes/box_journal.h"
#include "nodes/controller_endpoints.h"

namespace mesh {

/// `log`: of the one that is under way; zero = none. `trouble`: why it takes its time, or how the last one ended.
struct AdoptionState {
  LogId log;
  std::string trouble;
};

struct Box {
  ReplicaStore& store;
  BoxJournal& journal;
  ControllerEndpoints& endpoints;
  Agent& agent;
  std::string in_use;  // the endpoint of the connection; empty = there is none
  /// Begins an adoption (meshnode_adopt.h), and tells what became of it. Empty where nothing runs.
  std::function<Status(const std::string& token, const std::string& node)> adopt = {};
  std::function<AdoptionState()> adoption = {};
};

/// Answers one request. `now`: as the agent's.
std::string answer_control(Box& box, const std::string& request, int64_t now);

/// Writes what happened since the last call. What cannot be written is tried again by the next one.
void keep_journal(Box& box);

}  // namespace mesh
