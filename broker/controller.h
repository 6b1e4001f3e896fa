// Controller: the sans-IO heart of meshd. Messages and ticks in, frames and jobs out. It owns the
// state and the log and no thread, socket or timer; one thread calls it.
//
// Invariants: nothing is answered, published or readable before it is on stable storage; the
// in-memory state is the fold of the log plus, between receive() and flush(), of what is staged;
// nobody's key acts after its revocation was flushed.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <span>
#include <string>

#include "broker/arrival.h"
#include "broker/board.h"
#include "broker/log_scan.h"
#include "broker/orphans.h"
#include "broker/output.h"
#include "broker/past.h"
#include "broker/render/renderer.h"
#include "broker/subscriptions.h"
#include "eventstore/log/event_log.h"
#include "eventstore/model/checkpoint.h"
#include "eventstore/model/compile.h"
#include "eventstore/model/decide.h"
#include "eventstore/model/state.h"

namespace mesh {

/// Signs with the log key: (domain, bytes). The domain is empty for notes.
using LogSigner = std::function<Signature(std::string_view domain, ByteView bytes)>;

/// That the log came from a backup, and where it ended then. Entries that others saw may be missing
/// from it, so that nothing is written before an administrator says which history counts.
struct Restored {
  uint32_t epoch = 0;
  Sequence sequence;
};

/// The one query that a stranger's socket answers.
inline constexpr std::string_view kGreetingQuery = "greeting";

struct ControllerOptions {
  LogSigner sign;
  std::function<RequestId()> new_request_id;
  /// Opens the log anew after a failed write, for reading only if there is no other way. Errors: as
  /// opening.
  std::function<Result<std::unique_ptr<EventLog>>()> reopen;
  /// Whether opening anew has a chance (space on the disk): the old log is closed first and still
  /// serves reading.
  std::function<bool()> worth_reopening;
  std::function<uint64_t()> log_bytes;  // on disk, for status
  /// Compacts one part of `optimise_parts` of the log, from a worker. Errors: io, exhausted.
  std::function<Status(unsigned part)> optimise;
  unsigned optimise_parts = 0;
  Bytes orphans;                                      // what save_orphans was given last
  std::function<Status(ByteView)> save_orphans = {};  // outside the log. Errors: io, exhausted
  std::string program;                  // version, for status
  int64_t heartbeat_ms = 3'000;
  uint64_t snapshot_every = 10'000;  // entries between snapshots of the state, at least
  uint64_t snapshot_threshold = kSnapshotReplayThreshold;  // of Subscriptions
  uint64_t prepared_bytes = 256 * 1024 * 1024;  // of commits that were shown; the newest is kept whatever it has
  std::shared_ptr<Renderer> renderer = {};  // of templates; without one a node with templates cannot be committed
  std::optional<Restored> restored;  // read-only until an epoch after that one is started
};

/// Builds and signs the first entry. `genesis.log_key` is the signer's.
/// Errors: those of decide and of EventLog::append.
Status create_log(EventLog& log, const CreateLog& genesis, const ControllerOptions& options,
                  Timestamp now);

class Controller {
 public:
  /// Folds the log (newest snapshot, then the tail). Errors: corrupt, unsupported, not_found (an
  /// empty log).
  static Result<std::unique_ptr<Controller>> open(std::unique_ptr<EventLog> log,
                                                  ControllerOptions options);

  /// Whether a key may connect to the main socket. From memory.
  bool admits(const BoxKey& key) const { return peers_.contains(key); }
  /// Whether the enrolment socket shall be bound: somebody may join, waits, or is looked for.
  bool enrolment_wanted(Now now) const;
  /// What anybody may know: a JSON document with the request that created the log, from which the log's id and all its
  /// first keys follow (README.md, "Newcomers without a token").
  std::string greeting() const;

  /// One frame from a session. Submits are decided at once; everything else waits for flush().
  void receive(const SessionId& session, ByteView frame, Now now) {
    receive(session, read_frame(frame), now);
  }
  /// The same for a frame that was read elsewhere. Frames of one session come in their order.
  void receive(const SessionId& session, Arrival arrival, Now now);
  /// Whose signature a Submit of this session has to bear as things stand; nothing for nodes and strangers.
  std::optional<SignKey> signer_of(const SessionId& session) const;
  /// One synced append of everything that was decided, then the answers, then what waited.
  void flush(Now now);
  /// Heartbeats, expiries, coalesced reports, the reopening of a failed log. At least every 500 ms.
  void tick(Now now);
  /// The session is gone: its peer closed or a send failed.
  void forget(const SessionId& session);
  /// What the shell has to do since the last call.
  Output take_output();

  const MeshState& state() const { return state_; }
  const EventLog& log() const { return *log_; }
  /// Why the log refuses writes; empty while it does not.
  const std::string& broken() const { return broken_; }
  /// Why only StartEpoch is taken: the log was restored from a backup. Empty when it was not, or
  /// when an administrator has started the next epoch.
  std::string read_only() const;
  /// Set when the log cannot be opened again even for reading: the shell has to end the program,
  /// since nothing else may be called any more.
  const std::optional<Error>& fatal() const { return fatal_; }

 private:
  friend class QueryEngine;

  struct Peer {
    Principal principal;
    NodeId node;  // for nodes
  };
  /// A session that said something. The bus does not tell when one ends: a quiet one is forgotten, and known again with
  /// its next frame.
  struct Visitor {
    Principal principal;
    int64_t heard_ms = 0;
  };
  struct ReplyTo {
    SessionId session;
    uint64_t correlation = 0;
  };
  /// Decided, in the state, not yet on disk.
  struct Staged {
    EncodedEntry encoded;
    RequestId request;
    Reply reply;
    std::vector<ReplyTo> to;
  };
  /// An answer that rests on what is staged: it is given when that is durable.
  struct Held {
    ReplyTo to;
    Body body;
    std::optional<RequestId> request;  // that changed nothing: a retry gets the same answer
  };
  struct Deferred {
    SessionId session;
    uint64_t correlation = 0;
    Body body;
    std::string address = {};  // of a stranger
  };
  /// What an operator was shown and may commit.
  struct PreparedCommit {
    Sequence at;
    Digest root;
    std::vector<VersionRow> rows;
    std::vector<Blob> blobs;  // config_text of each row, and the rendered files; empty when they are stored
    size_t bytes = 0;         // of them
  };

  Controller(std::unique_ptr<EventLog> log, ControllerOptions options);
  Status load();
  void rebuild_peers();

  // controller.cc
  void send(const ReplyTo& to, Body body);
  void fail_to(const ReplyTo& to, Error error) { send(to, ErrorReply{std::move(error)}); }
  /// Sends, or holds back until what is staged is durable.
  void answer(const ReplyTo& to, Body body, std::optional<RequestId> request = {});
  void remember_answer(const RequestId& request, const Body& body);
  void on_submit(const ReplyTo& to, const Peer& peer, const Submit& submit, const Arrival& arrival, Now now);
  /// The files that came with the request and have to be stored with it. Errors: also when one that it names is
  /// nowhere.
  Result<std::vector<Blob>> read_attachments(const Submit& submit, const Request& request) const;
  bool answer_retry(const ReplyTo& to, const RequestId& id);
  Result<Context> make_context(const Request& request, Now now);
  /// nullptr: it changes nothing. `files` are stored when it does.
  Result<Staged*> stage(const SignedRequest& request, const Request& decoded, Now now,
                        std::span<const Blob> files = {});
  Status store(std::span<const Blob> blobs, const char* what);
  SignedRequest sign_own(Request& request);
  Request own_request(std::vector<Command> commands);
  void on_flushed(Now now);
  void fail_staged(const Error& error);

  // controller_snapshots.cc
  bool snapshot_due() const;
  void save_snapshot();
  void add_missing_snapshot();
  void put_snapshot(Sequence sequence, const Bytes& bytes);

  /// The compaction that runs or ran last.
  struct Optimisation {
    bool running = false;
    unsigned done = 0;
    uint64_t bytes_before = 0, bytes_after = 0;
    std::string problem;
  };

  // controller_storage.cc
  bool is_administrator(const Peer& peer) const;
  Status check_writable(const Request& request) const;
  Status check_base(const std::vector<Event>& events) const;
  void on_fetch(const ReplyTo& to, const Peer& peer, const Fetch& fetch);
  bool may_fetch(const Node& node, const Digest& digest);
  void on_optimise(const ReplyTo& to, const Peer& peer, const Query& query);
  void optimise_part(unsigned part);
  void finish_optimisation(std::string problem);

  /// What the newest versions of a node name as their files.
  struct NodeFiles {
    std::set<Version> read;
    std::set<Digest> digests;
  };

  /// How long the controller itself waits for a confirmation, by its monotonic clock.
  struct Countdown {
    uint32_t extensions = 0;
    int64_t ends_ms = 0;
    int64_t next_try_ms = 0;
  };

  // controller_activations.cc
  std::vector<NodeId> applied_nodes(ActivationId activation) const;
  void learn_evidence(const std::vector<SignedOutcome>& outcomes);
  void collect_evidence();
  std::optional<Command> verdict(const PendingActivation& pending, const Countdown& countdown, Now now) const;
  void settle_activations(Now now);

  // controller_deferred.cc
  void handle(const Deferred& deferred, Now now);
  void start_job(Job job);
  void on_prepare(const ReplyTo& to, const Prepare& prepare);
  void on_query(const ReplyTo& to, const Peer& peer, const Query& query, Now now);
  void on_node_status(const Peer& peer, const NodeStatus& status, Now now);
  void on_outcome(const ReplyTo& to, const Peer& peer, const OutcomeMessage& message);
  void on_orphans(const ReplyTo& to, const Orphans& message);
  void on_gather(const Peer& peer, Now now);
  void on_join(const ReplyTo& to, const Join& join, const std::string& address, Now now);
  void wait_for_approval(const ReplyTo& to, const Join& join, const JoinStatement& statement,
                         const std::string& address, Now now);
  void settle_joins();
  void report_outcomes(Now now);
  void expire_tokens(Now now);
  void remember(PreparedCommit prepared);

  ControllerOptions options_;
  std::unique_ptr<EventLog> log_;
  std::unique_ptr<Past> past_;  // of log_; queries on workers share it
  MeshState state_;
  std::map<BoxKey, Peer> peers_;  // projection of the state: who may connect
  Subscriptions subscriptions_;
  Board board_;
  WaitingRoom waiting_;
  int64_t gather_until_ms_ = 0;  // an operator looks for newcomers: the door is open
  std::map<SessionId, Visitor> sessions_;
  std::vector<Staged> staged_;
  size_t staged_bytes_ = 0;
  std::vector<Held> held_;
  std::vector<Deferred> deferred_;
  std::map<SessionId, uint64_t> fetched_;  // bytes of blobs in output_, by who asked
  std::vector<PreparedCommit> prepared_;  // newest last, bounded
  std::map<RequestId, Body> answered_;  // no-ops and refusals, bounded
  std::vector<RequestId> answered_order_;
  std::vector<std::pair<ReplyTo, JoinStatement>> admissions_;     // answered after the flush
  std::map<NodeId, std::map<uint64_t, SignedOutcome>> outcomes_;  // to be reported
  std::map<ActivationId, std::map<NodeId, SignedOutcome>> evidence_;  // of those that wait and have gates, from the log
  std::map<ActivationId, Countdown> countdowns_;
  std::optional<Snapshot> anchored_;
  Sequence newest_snapshot_;
  uint64_t newest_snapshot_bytes_ = 0, bytes_since_snapshot_ = 0;
  Sequence gaps_filled_to_;  // no snapshot is missing up to here, or none can be made
  Sequence head_at_tick_;
  LogIndex index_;
  int jobs_running_ = 0;  // they read the log, so it is not closed under them
  Optimisation optimisation_;
  std::map<NodeId, NodeFiles> node_files_;  // of those that fetched some lately, bounded
  size_t node_files_count_ = 0;             // digests in them
  std::string broken_;
  std::optional<Error> fatal_;
  OrphanShelf orphans_;
  int64_t next_heartbeat_ = 0, next_report_ = 0, next_reopen_ = 0, started_ms_ = -1;
  Output output_;
};

}  // namespace mesh
