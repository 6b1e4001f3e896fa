// What waits for its confirmation, as a node's disk has it (the file `pending`). It has to end by itself whatever
// happens to the program, so it is checked as a whole: damage counts as no confirmation, never as another deadline.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "eventstore/model/ids.h"
#include "eventstore/model/result.h"

namespace mesh {

inline constexpr auto kPendingFile = "pending";

struct PendingVersion {
  ActivationId activation;
  Version version;
  Version from;               // what was active when it began, and is gone back to; 0 = nothing
  std::string boot_id;        // of the machine; another one means that it was rebooted
  int64_t deadline_ms = 0;    // on the clock of the Agent, which counts from the boot of the machine
  uint32_t seconds = 0;       // that the deadline was away when the start, or the newest extension, was heard of
  uint32_t extensions = 0;    // of the activation that are in the deadline
  std::vector<NodeId> quiet;  // peers whose BGP session was down before it; ascending
  bool operator==(const PendingVersion&) const = default;
};

std::string pending_text(const PendingVersion& pending);
/// Errors: corrupt.
Result<PendingVersion> parse_pending_text(std::string_view text);

}  // namespace mesh
