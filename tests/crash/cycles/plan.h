// How one life of the writing process ends.
#pragma once

#include <cstdint>
#include <random>
#include <string>
#include <vector>

#include "tests/crash/log/fault_fs.h"

namespace mesh::crash {

enum class Ending {
  kill,       // SIGKILL from outside at a random moment; the machine goes on
  power,      // the power fails at a random moment
  point,      // at a named point: SIGKILL or a power cut
  full_disk,  // no space from the n-th file operation on; ends by itself
  io_error,   // the n-th file operation fails; ends by itself
};

/// A plan is decided by the killer and carried out by the writer, which gets it as arguments.
struct Plan {
  Ending ending = Ending::kill;
  std::string point;       // one of kPoints
  bool after = false;      // the point, instead of before it
  bool power_cut = false;  // at the point, instead of SIGKILL
  uint64_t number = 1;     // of the point's occurrence, or of the file operation
  uint64_t delay_us = 0;   // from the start to a random moment
  FaultFs::Loss loss = FaultFs::Loss::nothing;
  uint64_t seed = 0;  // of what is written, and of what is lost
  bool lying_disk = false;  // forgets what was synced of the write-ahead log

  static Plan random(std::mt19937_64& random);
  std::vector<std::string> arguments() const;
  static Plan parse(const std::vector<std::string>& arguments);
  /// "power cut after the 3rd sync": for the report of a failure.
  std::string text() const;
};

/// stage: the batch is put together; write, sync: the write-ahead log; publish: readers see it;
/// snapshot, blobs: these writes as a whole; compact: tables made, installed and removed, in a
/// flush or a compaction; backup: each piece of the file; recover: any file operation of opening.
inline const std::vector<std::string> kPoints{"stage", "write",   "sync",   "publish", "snapshot",
                                              "blobs", "compact", "backup", "recover"};

}  // namespace mesh::crash
