// What commands would do to the intent, computed here from the very commands that are signed: a
// controller cannot show one thing and have another signed.
#pragma once

#include <string>
#include <vector>

#include "cli/client.h"
#include "cli/json.h"
#include "eventstore/model/state.h"

namespace mesh::cli {

struct IntentPlan {
  struct Line {
    char sign = ' ';  // '+', '-', '~'; ' ' = the place of the indented lines below it
    bool indented = false;
    std::string text;
  };
  std::vector<Line> lines;
  size_t added = 0, changed = 0, removed = 0;
  std::vector<std::string> lost_nodes, lost_sites;  // full names, names
  size_t lost_enrolled = 0;                         // of lost_nodes: their keys die at once
};

/// The state after `commands`. Errors: those of decide.
Result<MeshState> state_after(const OperatorContext& context, const MeshState& now,
                              const std::vector<Command>& commands);

/// Decides `commands` as `context`'s operator would sign them, on `now`. Errors: those of decide.
Result<IntentPlan> plan_commands(const OperatorContext& context, const MeshState& now,
                                 const std::vector<Command>& commands);

/// A line each, and the counts.
std::string plan_text(const IntentPlan& plan, bool colour);
/// ["+ site par", "  ~ note = 1 -> 2", ...]
Json plan_json(const IntentPlan& plan);

}  // namespace mesh::cli
