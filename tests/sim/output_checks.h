// What the controller says, held against what is durable, at the moment it says it:
//   durable before visible: entries, checkpoints, heads, replies, acknowledgements, admissions and
//   documents speak of durable entries only; a reply names the entry that has exactly this request
//   and these events; a request that was refused is not in the log; one that "changes nothing"
//   would change nothing; a subscriber gets every entry after its position once and in order;
//   nothing goes to a key without a right.
#pragma once

#include <map>
#include <set>

#include "broker/output.h"
#include "tests/sim/history_book.h"

namespace mesh::sim {

class OutputChecks {
 public:
  explicit OutputChecks(HistoryBook& book) : book_(book) {}

  /// A frame that the controller is about to receive.
  void heard(const SessionId& session, ByteView frame);
  /// A frame that is about to leave. The book has observed the log. Throws ClaimBroken.
  void said(const SessionId& session, const Frame& frame);
  /// Whom the transport still listens to, after what the controller said. The book has observed the log.
  void listens_to(const std::set<BoxKey>& keys) const;
  /// What the process knew is gone with it.
  void restarted();

 private:
  struct Asked {
    Request request;
    bool dry_run = false;
    Sequence head;  // durable when it came
  };
  struct Position {
    std::optional<uint64_t> from;  // where the stream must start; set by a Subscribe
    uint64_t next = 0;
    bool streaming = false;
  };

  const Message& decoded(const Frame& frame);
  bool has_right(const BoxKey& key) const;
  void check_note(const std::string& note) const;
  void check_unchanged(const Asked& asked) const;
  const Asked* asked(const SessionId& session, uint64_t correlation) const;

  void on(const SessionId& session, uint64_t correlation, const Reply& m);
  void on(const SessionId& session, uint64_t correlation, const ErrorReply& m);
  void on(const SessionId& session, uint64_t, const Entries& m);
  void on(const SessionId& session, uint64_t, const SnapshotChunk& m);
  void on(const SessionId& session, uint64_t, const Head& m);
  void on(const SessionId& session, uint64_t, const Ack& m);
  void on(const SessionId& session, uint64_t, const Admitted& m);
  void on(const SessionId& session, uint64_t, const Prepared& m);
  void on(const SessionId& session, uint64_t, const QueryResult& m);
  template <class Other>
  void on(const SessionId&, uint64_t, const Other&) {}

  HistoryBook& book_;
  std::map<std::pair<SessionId, uint64_t>, Asked> asked_;
  std::map<RequestId, Sequence> first_heard_;  // what was durable then
  std::map<SessionId, Position> positions_;
  Frame last_frame_;
  Message last_;
};

}  // namespace mesh::sim
