// Downloads the log and replays it: every hash, signature and decision is checked again here.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "cli/client.h"
#include "eventstore/model/replay.h"

namespace mesh::cli {

struct ReplayedLog {
  Replica replica;                   // up to the last good entry
  std::map<uint64_t, Digest> roots;  // of the sizes that were asked for
  std::optional<Sequence> first_bad;
  std::string problem;  // of first_bad
};

/// Sees the state after each entry that holds.
using AfterEntry = std::function<void(const MeshState& state, const Entry& entry)>;

/// Replays entries 1 to `size`. `roots_at`: sizes whose roots are wanted. `progress` is told after
/// each frame. An entry that does not hold is a finding, not an error. Errors: unavailable, those
/// of the controller.
Result<ReplayedLog> replay_log(Client& client, uint64_t size, const std::vector<uint64_t>& roots_at,
                               const std::function<void(uint64_t done)>& progress,
                               const AfterEntry& after_entry = {});

}  // namespace mesh::cli
