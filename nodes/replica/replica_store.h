// ReplicaStore: what a node keeps on its disk, so that it routes, verifies and reports without a
// controller.
//
//   replica/snapshot     SHA-256, then a verified replica (encode_snapshot); absent before the first compaction
//   replica/tail         the entries after it:  tail = { record }
//                          record = length (u32) check (8 bytes: SHA-256(payload), its beginning) payload
//                          payload = header length (u32) header body        numbers little-endian
//   replica/tail.before  the tail that the snapshot took in: entries that another history may lack
//   replica/leaves       leaf hashes of the entries up to the snapshot, the newest kLeavesKept to twice as many:
//                          first entry's number - 1 (u64) { peak of the tree before it } { leaf }
//   replica/orphans-N    an Orphans message: entries of epoch N that the log lost, until the controller has them
//   replica/checkpoint   the newest checkpoint that matched, a signed note; never older than what was acted on
//   versions/vN/         config.json (config_text), digest, sums, the rendered files, and where none of that name is
//                          bird.conf, tlwg_*.conf as they read without keys
//   versions/refused     { "N reason\n" }: versions whose digest does not follow from the log
//   versions/bases       { "vN digest\n" }: what this node compiled of versions whose files are rendered elsewhere
//   fetched/             blobs of a version that is being fetched, by digest; no version before all are here
//   active, previous     symbolic links to versions/vN
//   pending              "vN": what is being applied; or a version that waits for its confirmation (pending_file.h)
//   held                 an activation of the log that is not followed, and why: a new epoch, root, a late confirmation
//   overlay.json         the overlay that was bound last
//   inherited            a symbolic link to the data of another log (adoption.h), whose active version runs until one
//                          of this log does; counts only while there is no `active`
//   outcomes.json        newest handled activation, the newest one that waited and how far it came, serial, outcomes
//                          that the log has not acknowledged
//
// Invariants: a name without ".tmp" is whole (written aside, synced, renamed, directory synced). An
// entry is in the tail only after the version that it commits is stored or refused. The tail may be
// longer than the checkpoint (a catch-up that was interrupted); it is never acted on beyond it. The
// node's own disk is trusted as far as its checksums: entries were verified before they came here,
// and the Merkle root is compared with the next checkpoint. Errors: exhausted (disk full: nothing
// is half done, try again), io, corrupt, not_found. Thread: one at a time.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "eventstore/model/encoded_entry.h"
#include "eventstore/model/entry.h"
#include "eventstore/model/overlay.h"
#include "eventstore/model/replay.h"
#include "nodes/files.h"
#include "nodes/replica/pending_file.h"
#include "schemas/message.h"

namespace mesh {

/// How far the newest activation that had to be confirmed came here. `over`: it waits no more, and is not begun again.
enum class TrialStage : uint8_t { none = 0, applied = 1, healthy = 2, over = 3 };

/// Where the node is between versions. 0 = none.
struct Pointers {
  Version active, previous;
  Version pending;             // being applied, or waiting for its confirmation
  ActivationId activation;     // the newest one that was applied or refused
  std::optional<ActivationId> held;  // not to be followed; everything newer is
  std::string held_why;              // empty: what runs is newer, by a history that was given up
  ActivationId trial;                // the newest one that had to be confirmed
  TrialStage stage = TrialStage::none;
};

/// Where a version comes from that was decided in another log: this node left that one for the log of now.
struct TakenOver {
  Version version;
  Overlay overlay;  // what it stays bound to: of that log, its node numbers and keys
};

/// A version as it is on the disk.
struct StoredVersion : NodeConfig {
  std::map<std::string, std::string> contents;  // of NodeConfig::files, by name
  std::optional<TakenOver> taken_over = {};
};

/// This node's own history as hashes: what another one can be compared with.
struct OwnLeaves {
  MerkleFrontier before;       // the tree before the first of `leaves`
  std::vector<Digest> leaves;  // up to the head
  uint64_t size() const { return before.size() + leaves.size(); }
  /// The leaf of an entry; nullptr when it is not kept.
  const Digest* at(Sequence sequence) const {
    const bool kept = sequence.value() > before.size() && sequence.value() <= size();
    return kept ? &leaves[sequence.value() - before.size() - 1] : nullptr;
  }
  /// The root of the first `size` entries; nothing when they begin before what is kept, or end after it.
  std::optional<Digest> root(uint64_t size) const;
};

struct LoadedReplica {
  Replica replica;
  Sequence snapshot;                  // where the snapshot stands; the tail follows
  Digest snapshot_root;
  std::string checkpoint;             // a signed note, or empty
  std::vector<std::string> problems;  // what was damaged, by name; what is missing comes from the controller again
};

class ReplicaStore {
 public:
  /// Borrows `files`, whose root is the data directory. Call open() first.
  /// A tail shorter than `tail_bytes_min` is not worth a snapshot.
  explicit ReplicaStore(Files& files, uint64_t tail_bytes_min = kTailBytesMin)
      : files_(files), tail_bytes_min_(tail_bytes_min) {}

  /// Makes the directories and reads pointers, outcomes and the list of versions; not the replica. A damaged small
  /// file counts as absent and is named in problems(). Errors: io, not_permitted, exhausted.
  Status open();
  const std::vector<std::string>& problems() const { return problems_; }

  /// Snapshot plus tail. A torn end of the tail is cut off; after a damaged record the tail ends; a damaged snapshot
  /// gives an empty replica. Errors: io, exhausted; unsupported (written by a newer program).
  Result<LoadedReplica> load();
  /// Appends in one write, durable on return. After an error nothing of it counts, and the next append repairs the end.
  Status append(const std::vector<EncodedEntry>& entries);
  /// Durable on return.
  Status save_checkpoint(std::string_view note);
  /// Replaces snapshot and tail. `replica` is everything that is in them, at a verified head.
  Status save_snapshot(const Replica& replica);
  /// The replica in the snapshot; empty when there is none.
  Replica snapshot();
  /// Hashes of the history on disk. What is damaged of them is left out. Errors: io.
  Result<OwnLeaves> leaves();
  /// The entries after `base` that are still here whole and are those of `own`, in order. Errors: io.
  Result<std::vector<EncodedEntry>> entries_after(Sequence base, const OwnLeaves& own);
  /// Puts another history in the place of snapshot, tail and checkpoint. `leaves` are of `replica`, as far as known.
  /// A crash in between leaves one or the other.
  Status replace(const Replica& replica, const OwnLeaves& leaves, std::string_view checkpoint);
  /// Keeps entries of epoch `epoch` for the controller, as many as kOrphanBytesMax / 2 holds, the oldest ones.
  Status keep_orphans(uint32_t epoch, std::vector<EncodedEntry> entries);
  /// Those of the oldest epoch that wait.
  std::optional<Orphans> orphans();
  Status forget_orphans(uint32_t epoch);
  /// Forgets the entries after `head`, and gives the replica there. Precondition: no snapshot is newer than `head`.
  Result<Replica> rewind(Sequence head);
  /// True when the tail is so long that a snapshot is cheaper.
  bool wants_snapshot() const { return tail_bytes_ > tail_bytes_min_ && tail_bytes_ > snapshot_bytes_; }

  /// Stores a version whole; the same digest again is a success. `text` = config_text, `files` = rendered files.
  Status put_version(Version version, std::string_view text, const std::map<std::string, std::string>& files);
  /// Those files of a stored version that are not as they were stored. None when `digest` is not its own: then it is
  /// another one that is asked about. Versions of programs before 0.3 know only their config.json.
  struct EditedFile {
    std::string name, text;  // empty = it is missing
  };
  std::vector<EditedFile> edited_files(Version version, const Digest& digest);
  /// Writes the files of a stored version anew, each whole or not at all.
  Status rewrite_version(Version version, std::string_view text, const std::map<std::string, std::string>& files);
  bool has_version(Version version) const { return versions_.contains(version); }
  /// Ascending.
  std::vector<Version> list_versions() const;
  /// What it was stored with; nothing when it is not here.
  std::optional<Digest> digest_of(Version version) const;
  /// Checked against the digest stored with it, its files against theirs. Errors: not_found, corrupt (it then counts as
  /// not stored).
  Result<StoredVersion> get_version(Version version);
  /// What was active in the log that this node came from, while no version of this log is; nothing when it came from
  /// none, or that cannot be read (then named in problems()).
  std::optional<StoredVersion> inherited();
  /// There is such a log, whether it can be read or not.
  bool has_inherited();
  /// A name in a version's directory that is no rendered file's.
  static bool is_reserved(std::string_view name);
  /// What this node compiled of a version whose files it cannot render: the digest of the configuration without them.
  std::optional<Digest> base_of(Version version) const;
  /// Nothing: it has none. Durable on return.
  Status set_base(Version version, const std::optional<Digest>& base);
  /// Blobs of the version that is being fetched. What is there has that digest.
  std::optional<Bytes> fetched(const Digest& digest);
  Status keep_fetched(const Digest& digest, ByteView bytes);
  Status forget_fetched();
  /// Removes all but the newest kVersionsKept, what the pointers name, and `wanted`.
  Status prune_versions(Version wanted);
  /// Marks a version as one that must not be applied, not even fetched by its digest.
  Status refuse_version(Version version, const std::string& reason);
  /// Why it is refused, or nothing.
  std::optional<std::string> refused(Version version) const;

  const Pointers& pointers() const { return pointers_; }
  Status set_pending(Version version);
  /// The version that waits for its confirmation; nothing when none does. Durable before the router is touched.
  const std::optional<PendingVersion>& waiting() const { return waiting_; }
  Status set_waiting(const PendingVersion& waiting);
  /// What waits is active from now on, and its activation handled. After an error, or a crash: again, which goes on.
  Status confirm_waiting();
  /// confirm_waiting() was begun.
  bool half_confirmed() const;
  /// Numbers of activations may come again: none was tried.
  Status forget_trial();
  /// `version` runs; the former active one is `previous` from now on. Clears `pending`.
  Status set_active(Version version);
  Status clear_pending();
  /// From now on `activation` is not followed, until the log names a newer one. `why`: one line for people, "v4 stays:
  /// WHY"; empty when a restored log does not know what runs.
  Status hold(std::optional<ActivationId> activation, std::string why = {});

  /// Nothing before the first was saved.
  std::optional<Overlay> overlay();
  Status save_overlay(const Overlay& overlay);

  /// Serial of the newest outcome.
  uint64_t serial() const { return serial_; }
  const std::vector<SignedOutcome>& outcomes() const { return outcomes_; }
  /// Keeps the outcome and, unless it is `failed`, that its activation was handled: both in one write. With `stage` it
  /// is of an activation that had to be confirmed, and what is kept is how far that came.
  Status add_outcome(const SignedOutcome& outcome, TrialStage stage = TrialStage::none);
  /// Forgets outcomes up to `serial`.
  Status acknowledge(uint64_t serial);
  /// Puts these in place of the outcomes that wait; the next serial is after `serial`.
  Status renumber(std::vector<SignedOutcome> outcomes, uint64_t serial);

  static constexpr uint64_t kTailBytesMin = 1024 * 1024;  // below, a snapshot costs more than it saves at start
  static constexpr size_t kOutcomesKept = 64;             // older ones are superseded
  static constexpr size_t kBasesKept = 256;               // versions further back are not fetched again
  static constexpr size_t kLeavesKept = 512 * 1024;       // 16 MiB: a backup may be that many entries old

 private:
  Status fold_tail(ByteView bytes, std::optional<Sequence> until, LoadedReplica& loaded, uint64_t& good);
  Result<LoadedReplica> read_replica(std::optional<Sequence> until);
  Status trim(uint64_t size);
  Status add_leaves(const Replica& replica);
  Status write_leaves(const OwnLeaves& leaves);
  OwnLeaves stored_leaves(const Replica& snapshot);
  Status write_snapshot(const Replica& replica);
  void read_held();
  /// What outcomes.json holds. Errors leave all as it was.
  struct Handled {
    ActivationId activation, trial;
    TrialStage stage{};
    uint64_t serial = 0;
    std::vector<SignedOutcome> outcomes;
  };
  Handled handled() const { return {pointers_.activation, pointers_.trial, pointers_.stage, serial_, outcomes_}; }
  Status write_outcomes(Handled handled);
  void read_pending();
  Status write_refused(std::map<Version, std::string> refused);
  void read_bases();
  Result<std::string> read_small(const std::string& path);
  Status write_small(const std::string& path, std::string_view text);
  Status read_outcomes();
  Status read_versions();
  Version read_pointer(const std::string& name);
  Status point_to(Version version);

  Files& files_;
  uint64_t tail_bytes_min_;
  std::vector<std::string> problems_;
  std::map<Version, Digest> versions_;
  std::map<Version, std::string> refused_;
  std::map<Version, Digest> bases_;
  Pointers pointers_;
  std::optional<PendingVersion> waiting_;
  uint64_t serial_ = 0;
  std::vector<SignedOutcome> outcomes_;
  uint64_t tail_bytes_ = 0, snapshot_bytes_ = 0;
  bool tail_dirty_ = false;  // an append failed: what is behind tail_bytes_ does not count
};

}  // namespace mesh
