// Times and durations as people type them.
#pragma once

#include <cstdint>
#include <string_view>

#include "eventstore/model/ids.h"
#include "eventstore/model/result.h"

namespace mesh::cli {

/// "90s", "10m", "24h", "7d", "1h30m", a bare number = seconds. Errors: usage.
Result<int64_t> parse_duration_s(std::string_view text);

/// "-2h" (before `now`), "2026-01-02", "2026-01-02 03:04", "2026-01-02T03:04:05.6Z", "...+02:00".
/// Without a zone it is local time. Errors: usage.
Result<Timestamp> parse_time(std::string_view text, Timestamp now);

}  // namespace mesh::cli
