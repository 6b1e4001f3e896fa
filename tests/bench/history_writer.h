// A long history, made as the controller makes it, only faster: signing on another core, 4,000
// entries in one append.
#pragma once

#include <cstdint>
#include <functional>

#include "eventstore/model/result.h"
#include "tests/bench/network.h"

namespace mesh::bench {

struct HistoryWritten {
  uint64_t entries = 0;
  double seconds = 0;
};

/// Fills the new network's log up to at least `entries` entries (a few thousand more): 100 nodes in
/// 10 sites, four operators; everything that Author does, commits, activations and the nodes'
/// outcomes. Every request is signed, decided, encoded, appended and answered by the code of meshd,
/// snapshots included; only the check of the signature that was made just before is left out.
/// `progress` is told how many there are. Errors: a request that was refused.
Result<HistoryWritten> write_history(const Network& network, uint64_t entries,
                                     const std::function<void(uint64_t)>& progress);

}  // namespace mesh::bench
