// Two states of one log side by side, as the query `compare` answers it: for what no controller
// has, such as the intent of a file.
#pragma once

#include <string>

#include "cli/json.h"
#include "eventstore/model/state.h"

namespace mesh::cli {

struct ComparedState {
  std::string text;  // how it is called
  MeshState state;
};

/// {"kind":"Comparison", ...}. `node`: a full name in one of them; empty = everything. Errors:
/// not_found.
Result<Json> compare_states(const ComparedState& a, const ComparedState& b,
                            const std::string& node);

}  // namespace mesh::cli
