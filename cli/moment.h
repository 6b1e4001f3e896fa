// An instant of history as people type it: 1234, #1234, a time, -2h, -3, a tag, v3.
#pragma once

#include <string>
#include <string_view>

#include "cli/client.h"

namespace mesh::cli {

struct Moment {
  Sequence at;        // the last entry that counts
  std::string time;   // of that entry, RFC 3339 UTC
  std::string means;  // "tag before", "v3 of r1.ams"; empty when that is the number or the time
};

/// What the controller understands of `text`: local and relative times become absolute ones in UTC,
/// "-3" the number of the entry three before the newest; all else stays. Errors: usage (no
/// instant), not_found (in the future, before the first entry), and those of Client::position for
/// "-3".
Result<std::string> absolute_instant(Client& client, std::string_view text, Timestamp now);

/// `node`: whose version "v3" is; may be empty. Errors: usage, not_found (with the nearest tag),
/// those of Client::query_at.
Result<Moment> resolve_moment(Client& client, std::string_view text, const std::string& node,
                              Timestamp now);

/// "at #1234 (2026-11-20 10:00:00Z, tag before)"
std::string to_text(const Moment& moment);

}  // namespace mesh::cli
