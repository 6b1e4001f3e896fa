// Stream sockets of the Unix domain, with a deadline on every read and write.
#pragma once

#include <chrono>
#include <string>
#include <string_view>

#include "nodes/dataplane/files.h"

namespace mesh {

/// Errors: not_found (no socket, or nobody listens), unavailable, io.
Result<Fd> connect_unix(const std::string& path, std::chrono::milliseconds patience);
/// Errors: timeout, io.
Status send_all(const Fd& socket, std::string_view bytes);

}  // namespace mesh
