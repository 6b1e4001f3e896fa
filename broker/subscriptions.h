// Who gets which entries next. Level-triggered: each subscriber has a position and credit; a pump
// moves it towards the head. A live entry is the same pump finding a frame that was encoded once
// for everybody.
#pragma once

#include <list>
#include <map>
#include <optional>

#include "broker/output.h"
#include "eventstore/log/event_log.h"
#include "eventstore/model/limits.h"

namespace mesh {

/// Operators see whole entries; nodes see reports as headers only.
enum class View : uint8_t { whole, node };

class Subscriptions {
 public:
  /// Who is `snapshot_threshold` entries behind starts from a snapshot, when there is one that helps.
  explicit Subscriptions(uint64_t snapshot_threshold = kSnapshotReplayThreshold,
                         size_t frames_kept = 64)
      : snapshot_threshold_(snapshot_threshold), frames_kept_(frames_kept) {}

  /// Starts or restarts. Past the head is allowed: it then waits for entries after `after`.
  void subscribe(const SessionId& session, View view, const Subscribe& request);
  void add_credit(const SessionId& session, uint64_t bytes);
  void forget(const SessionId& session) { subscribers_.erase(session); }
  bool contains(const SessionId& session) const { return subscribers_.contains(session); }
  size_t size() const { return subscribers_.size(); }

  /// Sends what credit allows to everybody. `snapshot`: the bytes to start from, if there is an
  /// anchored one.
  void pump(const EventLog& log, const std::optional<Snapshot>& anchored,
            std::vector<Outgoing>& out);
  /// A Head for every subscriber.
  void heartbeat(const EventLog& log, std::vector<Outgoing>& out) const;

 private:
  struct Subscriber {
    View view{};
    Sequence next{1};
    int64_t credit = 0;
    bool snapshots = false;
    Sequence snapshot;  // that is on its way, and how far
    uint64_t snapshot_offset = 0;
  };
  struct Cached {
    View view;
    Sequence from, last;
    bool has_checkpoint = false;
    Frame frame;
  };

  void pump_one(const SessionId& id, Subscriber& subscriber, const EventLog& log,
                const std::optional<Snapshot>& anchored, std::vector<Outgoing>& out);
  bool pump_snapshot(const SessionId& id, Subscriber& subscriber, const Snapshot& snapshot,
                     std::vector<Outgoing>& out);
  const Cached* frame_at(View view, Sequence from, const EventLog& log);

  std::map<SessionId, Subscriber> subscribers_;
  std::list<Cached> frames_;  // newest first
  uint64_t snapshot_threshold_;
  size_t frames_kept_;
};

}  // namespace mesh
