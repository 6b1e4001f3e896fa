// History: a node's verified copy of the log. It takes what a controller offers and keeps only what holds.
//
// Every entry is replayed with verification, and the Merkle root is compared with the controller's signed checkpoint
// *before* the entries that reach its size are folded. What was refused leaves the replica as it was; the node goes on
// routing. A checkpoint is stored before settled() becomes true for it, and nobody acts before settled().
// One checkpoint that contradicts another, or the replica, is an equivocation: two histories under one key.
// A checkpoint of a later epoch that this history does not lead to is followed beside it (successor.h), and takes its
// place as a whole.
// Thread: one at a time. Durability: flush(), which take() calls itself.
#pragma once

#include <algorithm>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "nodes/replica/replica_store.h"
#include "nodes/successor.h"

namespace mesh {

/// Which log, and what to believe of it from the start.
struct HistoryOptions {
  LogId log;
  SignKey log_key;
  NodeId node;                   // whose versions are compiled and compared
  std::optional<Anchor> anchor;  // a state that an administrator countersigned: a newcomer may start from it
};

/// Why no more is accepted. It ends when what the controller offers verifies again.
struct Refusal {
  Errc code{};  // corrupt; unsupported = upgrade required
  std::string reason;  // "entry 12: its events do not follow from its request"
};

class History {
 public:
  /// What to do after something was taken.
  enum class Taken : uint8_t {
    nothing,    // known already, or for later
    advanced,   // the head moved, or it became settled
    ask_again,  // there is a gap, or the unverified end was given up: subscribe after head()
    refused,    // see refusal()
  };

  /// Borrows `store`.
  History(HistoryOptions options, ReplicaStore& store) : options_(std::move(options)), store_(store) {}

  /// Reads the replica from disk. `problems` gets what was damaged there. Errors: io, exhausted, unsupported.
  Status load(std::vector<std::string>& problems);

  /// Only the next entries count; earlier ones are ignored.
  Taken take(const std::vector<EncodedEntry>& entries, const std::string& checkpoint);
  /// A signed note, also one that is ahead of what came so far, or known.
  Taken take_checkpoint(const std::string& note);
  /// A whole snapshot (encode_snapshot). Believed only when it is the anchor. When it is not, everything is replayed
  /// instead: the controller keeps the newest anchor's, which a newcomer with an older token cannot check.
  Taken take_snapshot(ByteView bytes);

  /// Stores what could not be stored yet. Errors: exhausted, io; then nothing more is taken until it succeeds.
  Status flush();

  /// After which entry the controller shall send: the head, or where the history of a new epoch is read.
  Sequence wanted_after() const { return successor_ ? successor_->head() : head(); }
  /// A history of a new epoch is being read; this node's own stands meanwhile.
  bool changing_epoch() const { return successor_.has_value(); }
  uint32_t epoch() const { return std::max(replica_.state.epoch, 1u); }
  /// A signed checkpoint that contradicts what is verified here; empty when none was seen since the last agreed.
  const std::string& contradiction() const { return contradiction_; }
  /// What was told once about a change of epoch, since the last call.
  std::optional<std::string> take_news() { return std::exchange(news_, std::nullopt); }

  Sequence head() const { return replica_.head(); }
  Digest root() const { return replica_.frontier.root(); }
  const MeshState& state() const { return replica_.state; }
  /// True when the head is what a checkpoint says, and both are on disk.
  bool settled() const { return head() != Sequence() && head() == verified_ && unsaved_.empty(); }
  /// The newest checkpoint that matched, as a note; empty before the first.
  const std::string& checkpoint() const { return note_; }
  /// Size of the newest checkpoint that matched.
  Sequence verified() const { return verified_; }
  const std::optional<Refusal>& refusal() const { return refusal_; }
  /// Snapshots are of use: there is an anchor ahead.
  bool wants_snapshot() const { return !replay_all_ && options_.anchor && options_.anchor->sequence > head(); }
  /// Why the last flush failed; empty when all is on disk.
  const std::string& disk_problem() const { return disk_problem_; }

 private:
  struct Pending {
    Digest root;
    std::string note;
    uint32_t epoch = 0;
  };
  struct StagedVersion {
    Version version;
    std::string text;                          // empty = refused, or to be fetched
    std::map<std::string, std::string> files;  // rendered
    std::string reason;
    std::optional<Digest> base = {};  // its files are rendered elsewhere: it is fetched, and compared with this
  };
  struct Unsaved {
    std::vector<EncodedEntry> entries;
    std::vector<StagedVersion> versions;
    bool checkpoint = false;
    bool empty() const { return entries.empty() && versions.empty() && !checkpoint; }
  };

  Taken refuse(Errc code, std::string reason);
  Taken learn(const Checkpoint& checkpoint, const std::string& note);
  Taken contradict(const Checkpoint& checkpoint, const std::string& note, const Digest& ours);
  std::optional<Digest> past_root(uint64_t size);
  Taken begin_successor(bool from_snapshot);
  Taken take_successor(const std::vector<EncodedEntry>& entries);
  Status add_to_successor(const EncodedEntry& encoded);
  /// The successor takes this history's place when a signed checkpoint covers it.
  Taken settle_successor();
  Status succeed(const std::string& note);
  Taken check_roots(const std::vector<EncodedEntry>& entries, size_t first, size_t count);
  Taken give_up_end();
  Status fold(const EncodedEntry& encoded);
  std::optional<StagedVersion> compile_own(const MeshState& before, const MeshState& after, const Entry& entry) const;
  Status store_version(const StagedVersion& staged);
  /// After folding: the newest pending checkpoint that the head has reached becomes the verified one.
  bool settle();
  /// What a signed checkpoint says about `size`; nullptr when none is known.
  const Digest* known_root(uint64_t size) const;
  void remember_root();

  HistoryOptions options_;
  ReplicaStore& store_;
  Replica replica_;
  Sequence verified_;  // beyond head() when the end of the tail was lost: then nothing is settled before it is back
  Digest verified_root_;
  std::string note_;
  std::string last_note_;                  // seen last, verified or not: heads repeat it
  std::map<uint64_t, Pending> pending_;    // checkpoints ahead of the head, by size; forgotten at a refusal
  std::map<uint64_t, Digest> roots_;       // of recent sizes, to tell an old checkpoint from a contradiction
  std::optional<Refusal> refusal_;
  std::optional<Successor> successor_;
  bool successor_from_snapshot_ = false;
  std::vector<StagedVersion> successor_versions_;
  std::map<uint64_t, Pending> successor_notes_;  // of later epochs, by size
  std::string contradiction_;
  std::optional<std::string> news_;
  bool gave_up_end_ = false;
  bool replay_all_ = false;  // the controller's snapshot is of no use here
  Unsaved unsaved_;
  std::string disk_problem_;
};

}  // namespace mesh
