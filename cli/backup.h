// A backup over the bus: entries 1 to N, the checkpoint over them, the blobs that they refer to.
#pragma once

#include <string>
#include <vector>

#include "cli/session.h"

namespace mesh::cli {

struct Backup {
  uint64_t entries = 0, blobs = 0, bytes = 0;
  uint32_t epoch = 0;
  Digest root;
  std::vector<std::string> missing;  // configurations that the controller could not give
};

/// Writes `file`, mode 0600, whole or not at all, durable on return, while others write to the log:
/// N is the head when it begins. Every byte was checked: bodies against their headers, headers
/// against the signed checkpoint, blobs against their digests. Errors: conflict (`file` exists and
/// `replace` is not set), not_permitted (no administrator), corrupt, unavailable, io, exhausted (full
/// disk); usage (interrupted).
Result<Backup> write_backup(Session& session, Client& client, const std::string& file, bool replace);

}  // namespace mesh::cli
