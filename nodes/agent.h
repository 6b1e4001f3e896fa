// Agent: the sans-IO heart of meshnode. Frames and ticks in; frames, notes and calls to its ports out. It owns no
// thread, socket or timer; one thread calls it. Time: milliseconds since the machine booted, also while it slept.
//
//   boot()       applies the active version from the disk, or what waits for its confirmation: before the replica is
//                read, before any network
//   load()       reads and checks the replica
//   connected()  subscribes after the verified head; disconnected() changes nothing on the router
//   receive()    one frame from the controller, whatever is in it
//   tick()       at least every 500 ms: heartbeats, repeats, the periodic look at the router, what waits
//
// Invariants: the router follows settled heads only (history.h); nothing that a controller sends stops the routing;
// what is refused is said in status() until it verifies. Whatever is lost on the way is asked for again: entries by
// subscribing after the head, outcomes and fetches by repeating them.
#pragma once

#include <cstdint>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "nodes/chunks.h"
#include "nodes/deployment.h"
#include "nodes/history.h"
#include "schemas/message.h"

namespace mesh {

struct AgentOptions {
  HistoryOptions history;
  DeploymentOptions deployment;
  std::string fullname;  // until the log tells it
  std::string program;   // version, for status
  uint64_t credit = kCreditBytesDefault;
  int64_t heartbeat_ms = 3'000;     // the controller's; after three without a word the connection is given up
  int64_t status_ms = 5'000;        // between status messages; a fifth of it when only the head has moved
  int64_t reconcile_ms = 5'000;     // between looks at the router
  int64_t resolve_ms = 30'000;      // between looking up names of silent peers
  int64_t repeat_ms = 10'000;       // outcomes and fetches that were not answered; entries that do not come
  int64_t retry_min_ms = 5'000;     // after a refusal, doubled each time ...
  int64_t retry_max_ms = 300'000;   // ... up to this
};

/// A line for the log of the program.
struct Note {
  enum class Level : uint8_t { info, warning, error } level{};
  std::string text;
};

/// What `meshnode status` shows.
struct AgentStatus {
  NodeId node;
  std::string fullname;
  Sequence sequence, verified, overlay;
  Digest root;
  Version active, previous, pending, wanted;  // wanted: by the log; 0 = none
  ActivationId activation;                    // the newest one that was handled
  ActivationId pending_activation;            // whose confirmation `pending` waits for; 0 = none
  int64_t pending_left_s = 0;                 // until it goes back
  bool connected = false, settled = false, revoked = false;
  uint64_t outcomes_waiting = 0;
  // "ok", "catching up", "degraded: ...", "diverged: ...", "refused: ...", "revoked", "upgrade required"
  std::string state;
  std::string problem;  // empty when there is none
  std::string checkpoint;
  std::vector<CommandReport> scripts;  // start-up scripts that ran
  Health health;
  std::vector<DriftItem> drift;  // as in NodeStatus
  std::string drift_policy;
  Digest observed;
  std::string fingerprint;  // of this node's key in its log, as operators compare it
  std::string taken_over;   // what runs was decided in another log: "v3 of log 1a2b..."; empty = it was not
};

class Agent {
 public:
  /// Borrows `store` (opened) and `dataplane`.
  Agent(AgentOptions options, ReplicaStore& store, Dataplane& dataplane);

  void boot(int64_t now);
  /// Errors: io, exhausted, unsupported. After one the agent may go on routing by tick(), but takes no entries.
  Status load(int64_t now);
  /// Instead of boot() and load(): reads what is on disk for status() and changes nothing on the router.
  Status peek(int64_t now);
  void connected(int64_t now);
  void disconnected(int64_t now);
  void receive(ByteView frame, int64_t now);
  void tick(int64_t now);
  /// Root on the box goes back to an earlier version; see Deployment::roll_back. Also after peek() alone.
  Result<WentBack> roll_back(Version version, int64_t now);

  /// Frames for the controller since the last call, in order. Only between connected() and disconnected().
  std::vector<Bytes> take_frames();
  /// True once after the controller fell silent: end this connection and make another.
  bool take_reconnect() { return std::exchange(reconnect_, false); }
  std::vector<Note> take_notes() { return std::exchange(notes_, {}); }
  AgentStatus status();
  /// The log is known to its head, which is settled, and the router is what it wants.
  bool synced() const;
  const MeshState& state() const { return history_.state(); }
  const History& history() const { return history_; }

 private:
  void send(Body body);
  void note(Note::Level level, std::string text);
  void subscribe(int64_t now);
  void send_status(int64_t now);
  void send_outcomes(int64_t now);
  void send_fetch(int64_t now);
  void send_orphans();
  void give_credit(uint64_t bytes, bool at_once);
  void after(History::Taken taken, int64_t now);
  void act(int64_t now);
  void tell_steps();
  const PendingVersion* waiting() const;
  int64_t pending_left_s() const;
  void repeat(int64_t now);
  bool takes_more() const;
  std::string problem() const;
  std::string state_text() const;
  std::string taken_over_text() const;

  void on(const Entries& message, int64_t now);
  void on(const Head& message, int64_t now);
  void on(const SnapshotChunk& message, int64_t now);
  void on(const BlobChunk& message, int64_t now);
  void on(const Ack& message, int64_t now);
  void on(const OrphansKept& message, int64_t now);
  void on(const ErrorReply& message, int64_t now);
  template <class Other>
  void on(const Other&, int64_t) {}  // nothing that a controller sends to a node

  AgentOptions options_;
  ReplicaStore& store_;
  History history_;
  Deployment deployment_;
  std::optional<Error> load_error_;
  bool booted_ = false;  // else only what is on disk was looked at
  bool connected_ = false, reconnect_ = false;
  Sequence controller_head_;
  int heads_behind_ = 0;  // in a row, that were before what this node has verified
  Sequence reported_;     // the head in the last status
  int64_t now_ = 0;  // of the newest call
  int64_t last_frame_ = 0, last_progress_ = 0, next_subscribe_ = 0, retry_ms_ = 0;
  int64_t next_status_ = 0, status_soon_ = 0, next_reconcile_ = 0, next_resolve_ = 0, next_repeat_ = 0;
  uint64_t credit_due_ = 0;
  Chunks snapshot_, blob_;
  std::set<Digest> asked_;  // blobs that did not come yet
  std::optional<Orphans> orphans_;  // that the controller has not confirmed
  bool orphans_read_ = false;       // from the disk
  std::string complaint_;  // the controller's last error
  std::string told_;       // the problem that was noted last
  std::string cosigned_, cosignature_;  // the checkpoint and what was made of it
  std::vector<Bytes> frames_;
  std::vector<Note> notes_;
};

}  // namespace mesh
