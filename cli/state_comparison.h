// Two states of one log side by side, as the query `compare` answers it: for what no controller
// has, such as the intent of a file.
#pragma once

#include <optional>
#include <string>

#include "cli/json.h"
#include "eventstore/model/state.h"

namespace mesh::cli {

struct ComparedState {
  std::string text;   // how it is called
  std::string means;  // "the working state"
  MeshState state;
  std::optional<Sequence> at{};  // the entry after which it was so; nothing of a file
};

/// {"kind":"Comparison", ...}. `node`: a full name in one of them; empty = everything. Errors:
/// not_found.
Result<Json> compare_states(const ComparedState& a, const ComparedState& b,
                            const std::string& node);

}  // namespace mesh::cli
