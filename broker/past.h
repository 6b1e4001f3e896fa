// The states that were: what the log implied after any of its entries.
#pragma once

#include <cstdint>
#include <mutex>
#include <vector>

#include "eventstore/log/event_log.h"
#include "eventstore/model/state.h"

namespace mesh {

/// The state of the newest snapshot at or before `limit` that is intact and can be decoded; the
/// empty state when there is none. A damaged snapshot costs time, not data. Errors: io.
Result<MeshState> newest_kept_state(const EventLog& log, Sequence limit);

/// Folds the entries after `state.sequence` up to `target`, at most the head. Trusts what it reads:
/// it is our own log, so hashes are checked and signatures and decisions are not. Errors: corrupt
/// (names the entry), unsupported, io; `state` is then the one before the entry that failed.
Status fold_to(const EventLog& log, MeshState& state, Sequence target);

/// Any past state: the nearest state at or before it that is remembered or kept as a snapshot, and
/// the fold of the entries from there. Borrows the log. Thread-safe; two threads never wait for each
/// other's folding.
class Past {
 public:
  explicit Past(const EventLog& log) : log_(log) {}

  /// The state after entry `sequence`; 0 gives the empty state before the first. Errors: not_found
  /// (beyond the head), corrupt (names the entry that cannot be read), unsupported, io.
  Result<MeshState> at(Sequence sequence) const;

  /// The newest entry that is not after `time`: of several at that time the last. In O(log head)
  /// reads; damaged entries are passed over. Errors: not_found (`time` is before the first entry),
  /// io.
  Result<Sequence> at_time(Timestamp time) const;

  /// When entry `sequence` was made. Errors: not_found, corrupt, io.
  Result<Timestamp> time_of(Sequence sequence) const;

 private:
  struct Remembered {
    MeshState state;
    uint64_t used = 0;
  };

  /// The nearest state at or before `sequence` in memory; the empty state when there is none.
  MeshState recall(Sequence sequence) const;
  void remember(const MeshState& state) const;

  const EventLog& log_;
  mutable std::mutex mutex_;
  mutable std::vector<Remembered> remembered_;  // bounded: kRememberedMax
  mutable uint64_t clock_ = 0;
};

}  // namespace mesh
