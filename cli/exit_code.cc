#include "cli/exit_code.h"

namespace mesh::cli {

int exit_code(Errc code, bool tlm) {
  if (tlm) return code == Errc::usage ? 2 : kFailed;
  switch (code) {
    case Errc::usage:
      return kUsage;
    case Errc::unauthenticated:
    case Errc::not_permitted:
      return kNotPermitted;
    case Errc::not_found:
      return kNotFound;
    case Errc::conflict:
      return kConflict;
    case Errc::invalid:
      return kInvalid;
    case Errc::corrupt:
      return kIntegrity;
    case Errc::unavailable:
      return kUnreachable;
    case Errc::timeout:
      return kTimedOut;
    case Errc::exhausted:
    case Errc::io:
    case Errc::unsupported:
      return kFailed;
  }
  return kFailed;
}

int exit_code(int code, bool tlm) {
  // What was asked for explicitly, and Ctrl-C, keep their numbers.
  const bool asked_for = code == kChanges || code == kUnchanged || code == kInterrupted;
  return tlm && code != kSuccess && !asked_for ? int{kFailed} : code;
}

}  // namespace mesh::cli
