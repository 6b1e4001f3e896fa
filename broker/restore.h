// A backup becomes a log again, and nothing of it is believed before it was checked.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "eventstore/log/archive.h"
#include "eventstore/log/event_log.h"
#include "eventstore/model/state.h"

namespace mesh {

struct RestoredLog {
  MeshState state;
  Digest root;
  uint64_t blobs = 0;
  std::vector<std::string> missing;  // configurations that entries name and the backup has not
};

/// Writes a backup into the empty log `into`: every entry is replayed as `verify` does (hashes,
/// signatures, decisions), every blob has its digest, the tree is the one that the checkpoint
/// signs. Keeps snapshots of the head and of what an administrator countersigned. `accept` sees the
/// state after entry 1, so that wrong keys are told at once; `progress` is told entries done.
/// Blocks for as long as replaying takes. Errors: corrupt (names the entry or record), unsupported,
/// those of `accept`, of the reader and of writes; `into` is then worthless.
Result<RestoredLog> restore_log(ArchiveReader& from, EventLog& into,
                                const std::function<Status(const MeshState&)>& accept,
                                const std::function<void(uint64_t done)>& progress);

}  // namespace mesh
