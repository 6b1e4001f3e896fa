// Downloads the log and replays it: every hash, signature and decision is checked again here.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "cli/client.h"
#include "eventstore/model/audit.h"

namespace mesh::cli {

struct ReplayedLog {
  Audit audit;  // up to the last good entry
  std::optional<Sequence> first_bad;
  std::string problem;  // of first_bad
  const Replica& replica() const { return audit.replica(); }
};

/// Sees the state after each entry that holds.
using AfterEntry = std::function<void(const MeshState& state, const Entry& entry)>;

/// Replays entries 1 to `size`. `roots_at`: sizes whose roots are wanted. `progress` is told after
/// each frame. An entry that does not hold, or that the controller cannot read any more, is a
/// finding, not an error. Errors: unavailable, those of the controller.
Result<ReplayedLog> replay_log(Client& client, uint64_t size, const std::vector<uint64_t>& roots_at,
                               const std::function<void(uint64_t done)>& progress,
                               const AfterEntry& after_entry = {});

}  // namespace mesh::cli
