// The process that dies: opens a log, writes to it at full speed, and says on standard output what it
// is about to write and what was acknowledged.
#pragma once

#include <filesystem>

#include "tests/crash/cycles/plan.h"

namespace mesh::crash {

/// The log's name for tests/support/world.h, from which all its keys follow.
inline constexpr const char* kWorld = "crash";

// Lines of the report, each in one write:
//   opened HEAD
//   try FIRST DIGEST...      an append of these entries begins; digest of header and body, in hex
//   ok HEAD                  it was acknowledged
//   blob DIGEST              acknowledged
//   try-snapshot SEQUENCE DIGEST, snapshot SEQUENCE
//   try-drop SEQUENCE, dropped SEQUENCE
//   try-backup HEAD, backup HEAD      into backup_of(directory)
//   refused CODE             an operation failed; so did the next write, with `unavailable`
//   closed
//
/// Returns the exit code: 0, or 3 when the log did not open ("failed MESSAGE" was said).
int write_until_death(const std::filesystem::path& directory, const Plan& plan);

inline std::filesystem::path backup_of(const std::filesystem::path& directory) {
  return directory.string() + ".backup";
}

/// RocksDB's write buffer of the writer: small, so that flushes and compactions are frequent.
inline constexpr size_t kWriteBufferBytes = 128 * 1024;

}  // namespace mesh::crash
