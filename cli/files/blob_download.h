// Many blobs from the controller, some pieces under way at a time.
#pragma once

#include <functional>
#include <vector>

#include "cli/transport.h"
#include "eventstore/log/archive.h"

namespace mesh::cli {

/// Fetches each of `wanted`. `take` gets those whose digest is right, `missing` those that the controller does not have
/// or has damaged; `progress` is told how many are left, and may end it with an error. Goes on through broken
/// connections. Errors: unavailable, those of the three.
Status download_blobs(Transport& transport, const std::vector<Digest>& wanted,
                      const std::function<Status(const Blob&)>& take,
                      const std::function<void(const Digest&, const Error&)>& missing,
                      const std::function<Status(size_t left)>& progress);

}  // namespace mesh::cli
