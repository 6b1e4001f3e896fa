// Exit codes: the contract with scripts. Never renumbered.
#pragma once

#include "eventstore/model/result.h"

namespace mesh::cli {

enum Exit : int {
  kSuccess = 0,  // also: nothing to do
  kFailed = 1,
  kChanges = 2,       // only with --detailed-exitcode
  kUnchanged = 3,     // only with --error-unchanged
  kNotPermitted = 4,  // or not authenticated
  kNotFound = 5,
  kConflict = 6,
  kInvalid = 7,  // nothing was written
  kUnreachable = 8,
  kTimedOut = 9,  // it continues
  kPartlyFailed = 10,
  kRolledBack = 11,
  kIntegrity = 12,
  kUsage = 64,  // not 2: a typo must not read as "there are changes"
  kInterrupted = 130,
};

/// The exit code of an error. `tlm`: a program of that name exits with 2 on usage errors and 1 on
/// others, as Towalink's users expect.
int exit_code(Errc code, bool tlm);
/// The same for a verb's own result.
int exit_code(int code, bool tlm);

}  // namespace mesh::cli
