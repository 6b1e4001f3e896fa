// The port through which the controller stores history. Opaque bytes go in and come out.
#pragma once

#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "eventstore/model/encoded_entry.h"
#include "eventstore/model/limits.h"
#include "eventstore/model/merkle.h"
#include "eventstore/model/result.h"

namespace mesh {

/// Called once by an append, before anything is written, with the tree as it will be. Returns the
/// signed checkpoint that covers it.
using CheckpointSigner = std::function<std::string(uint64_t size, const Digest& root)>;

struct Blob {
  Digest digest;  // SHA-256 of `bytes`
  Bytes bytes;
};

struct Snapshot {
  Sequence sequence;  // the state after this entry
  Bytes bytes;
};

struct SnapshotSearch {
  std::optional<Snapshot> snapshot;
  std::vector<Sequence> damaged;  // passed over, newest first; worth a warning
};

/// The append-only, totally ordered record of everything that was ever decided about the mesh, with
/// the Merkle tree over it and, beside it, content-addressed blobs and snapshots of the state.
///
/// Sequences start at 1 and have no gaps. One thread writes; any thread may read at the same time.
/// Every write that returned success is on stable storage: it survives kill -9 and power loss. A
/// write that failed is there as a whole or not at all after the next open; nobody knows which
/// until then, so every later write is refused with `unavailable`. Reads go on.
class EventLog {
 public:
  virtual ~EventLog() = default;

  virtual LogId id() const = 0;
  /// The newest entry's sequence; 0 when the log is empty.
  virtual Sequence head() const = 0;
  /// The highest term that ever appended; 0 at first.
  virtual uint64_t term() const = 0;

  /// Appends `entries` directly after `expected_head`, in one atomic batch with their requests,
  /// their tree hashes and the checkpoint, and returns the new head. Blocks for one sync.
  ///
  /// `requests` names for each entry the request that it answers; zero for an entry that answers
  /// none. Without a signer the newest checkpoint stays, and covers less than the log. Nothing was
  /// written after: conflict (head is not `expected_head`; `term` is lower than term(); a request
  /// is in the window already), usage (no entries, requests that do not match them, a checkpoint
  /// over another tree), exhausted (kAppendEntriesMax, kAppendBytesMax, kEntryBytesMax),
  /// unavailable (an earlier write failed: reopen). The outcome is unknown after: exhausted (full
  /// disk), io, corrupt.
  virtual Result<Sequence> append(Sequence expected_head, uint64_t term,
                                  std::span<const EncodedEntry> entries,
                                  std::span<const RequestId> requests,
                                  const CheckpointSigner& sign) = 0;

  /// Entries from `from` on, in order: at most `max_entries`, and as many as fit into `max_bytes`,
  /// but at least one when `from` is in the log and max_entries > 0. Empty beyond the head. Ends
  /// early before a damaged entry. Errors: usage (`from` is 0), corrupt (`from` itself is damaged:
  /// "entry 17: ..."; the others can still be read), io.
  virtual Result<std::vector<EncodedEntry>> read(Sequence from, size_t max_bytes,
                                                 size_t max_entries) const = 0;

  /// The entry that answered the request, if it is among the newest kRequestWindow entries.
  virtual std::optional<Sequence> find_request(const RequestId& request) const = 0;

  /// The right edge of the tree over all headers up to head().
  virtual MerkleFrontier frontier() const = 0;
  /// The perfect subtree of height `level` at `index`, in at most one disk read.
  /// Errors: not_found (the log does not fill that subtree), corrupt, io.
  virtual Result<Digest> tree_hash(unsigned level, uint64_t index) const = 0;
  /// tree_hash as the proofs of merkle.h take it. Borrows the log.
  HashReader hash_reader() const {
    return [this](unsigned level, uint64_t index) { return tree_hash(level, index); };
  }

  /// The newest signed note; empty before the first.
  virtual std::string checkpoint() const = 0;
  /// Replaces the newest note by another over the same head (more signatures, an extension line).
  /// Errors: usage (not a checkpoint of this head and root), and those of writes.
  virtual Status put_checkpoint(std::string_view note) = 0;

  /// Stores bytes by their digest, in synced batches of a few megabytes. Not atomic over all of
  /// them: a blob that nothing refers to yet does no harm. Storing a blob again heals a damaged
  /// one. Errors: usage (a digest is wrong), exhausted (kBlobBytesMax, full disk), io, unavailable.
  virtual Status put_blobs(std::span<const Blob> blobs) = 0;
  /// Errors: not_found, corrupt (the bytes no longer have that digest), io.
  virtual Result<Bytes> get_blob(const Digest& digest) const = 0;

  /// Keeps the state after entry `sequence`; replaces an older snapshot of the same entry.
  /// Errors: usage (`sequence` is not in the log), exhausted (kSnapshotBytesMax, full disk), io,
  /// unavailable.
  virtual Status put_snapshot(Sequence sequence, ByteView bytes) = 0;
  /// Removes one snapshot; none there is success. Errors: those of writes.
  virtual Status remove_snapshot(Sequence sequence) = 0;
  /// Which snapshots are kept, oldest first.
  virtual std::vector<Sequence> snapshots() const = 0;
  /// Errors: not_found, corrupt ("snapshot 1000: ..."), io.
  virtual Result<Bytes> get_snapshot(Sequence sequence) const = 0;
  /// The newest intact snapshot at or before `limit`. A damaged one is passed over, because an
  /// older one plus replay gives the same state. Errors: io.
  Result<SnapshotSearch> newest_snapshot(Sequence limit) const;
};

}  // namespace mesh
