#include "eventstore/log/event_log.h"

namespace mesh {

Result<SnapshotSearch> EventLog::newest_snapshot(Sequence limit) const {
  SnapshotSearch out;
  const auto kept = snapshots();
  for (auto it = kept.rbegin(); it != kept.rend(); ++it) {
    if (*it > limit) continue;
    auto bytes = get_snapshot(*it);
    if (bytes) {
      out.snapshot = Snapshot{*it, std::move(*bytes)};
      return out;
    }
    // not_found: removed by the writer since the list was taken.
    if (bytes.error().code == Errc::corrupt) {
      out.damaged.push_back(*it);
    } else if (bytes.error().code != Errc::not_found) {
      return std::unexpected(std::move(bytes).error());
    }
  }
  return out;
}

}  // namespace mesh
