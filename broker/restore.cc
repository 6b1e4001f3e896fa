#include "broker/restore.h"

#include <fmt/format.h>

#include <map>
#include <set>
#include <utility>

#include "broker/past.h"
#include "eventstore/model/canonical.h"
#include "eventstore/model/limits.h"
#include "eventstore/model/replay.h"
#include "schemas/blob_names.h"
#include "schemas/codec.h"

namespace mesh {

namespace {

constexpr size_t kBatchBytes = 8 * 1024 * 1024;

/// The right edge of the tree as it was at `size`.
Result<MerkleFrontier> frontier_at(uint64_t size, const EventLog& log) {
  std::vector<Digest> peaks;
  for (unsigned level = 64; level-- > 0;) {
    if ((size >> level & 1) == 0) continue;
    auto hash = log.tree_hash(level, (size >> level) - 1);
    if (!hash) return std::unexpected(hash.error());
    peaks.push_back(*hash);
  }
  return MerkleFrontier::restore(size, std::move(peaks));
}

class Restorer {
 public:
  Restorer(ArchiveReader& from, EventLog& into,
           const std::function<Status(const MeshState&)>& accept,
           const std::function<void(uint64_t)>& progress)
      : from_(from), into_(into), accept_(accept), progress_(progress) {}

  Result<RestoredLog> run() {
    if (into_.head() != Sequence()) return fail(Errc::conflict, "the log is not empty");
    for (;;) {
      auto part = from_.next();
      if (!part) return std::unexpected(part.error());
      if (!*part) break;
      for (EncodedEntry& entry : (*part)->entries) MESH_TRY(take(std::move(entry)));
      MESH_TRY(into_.put_blobs((*part)->blobs));
      for (const Blob& blob : (*part)->blobs) MESH_TRY(found(blob));
      blobs_ += (*part)->blobs.size();
      progress_(replica_.frontier.size());
    }
    if (into_.head() == Sequence())
      return fail(Errc::corrupt, "the backup has no entry", "take another backup");
    MESH_TRY(into_.put_snapshot(replica_.head(), encode_snapshot(replica_)));
    MESH_TRY(keep_anchor());
    RestoredLog out{std::move(replica_.state), replica_.frontier.root(), blobs_, {}};
    for (const auto& [digest, blob] : wanted_)
      if (!there_.contains(digest)) out.missing.push_back(fmt::format("{} ({})", blob.name, to_hex(digest.view())));
    return out;
  }

 private:
  Status take(EncodedEntry encoded) {
    const uint64_t sequence = replica_.frontier.size() + 1;
    auto entry = decode_entry(encoded);
    if (!entry) return fail_in(fmt::format("entry {}", sequence), entry.error());
    if (auto good = replay(replica_, *entry, from_.head().log); !good) return good;
    if (!entry->body) return fail(Errc::corrupt, fmt::format("entry {}: it has no body", sequence));
    if (sequence == 1) MESH_TRY(accept_(replica_.state));
    if (entry->header.term != term_) MESH_TRY(append());
    term_ = entry->header.term;
    for (BlobName& blob : blobs_of(*entry)) {
      blob.name += fmt::format(" from #{}", sequence);
      wanted_.try_emplace(blob.digest, std::move(blob));
    }
    bytes_ += encoded.size();
    batch_.push_back(std::move(encoded));
    requests_.push_back(entry->body->request.id);
    const bool last = sequence == from_.head().entries;
    if (last) MESH_TRY(check_note());
    return last || batch_.size() == kAppendEntriesMax || bytes_ >= kBatchBytes ? append()
                                                                               : Status{};
  }

  /// A blob is in the backup; a configuration names more. Files may stand before what names them.
  Status found(const Blob& blob) {
    there_.insert(blob.digest);
    const auto wanted = wanted_.find(blob.digest);
    if (wanted == wanted_.end() || !wanted->second.config) return {};
    auto files = blobs_of_config(blob.bytes, wanted->second.name);
    if (!files) return std::unexpected(files.error());
    for (BlobName& file : *files) wanted_.try_emplace(file.digest, std::move(file));
    return {};
  }

  Status check_note() const {
    const MeshState& state = replica_.state;
    auto checkpoint = open_checkpoint(from_.head().note, checkpoint_origin(state.log, state.epoch),
                                      state.genesis.log_key);
    if (!checkpoint) return fail_in("the backup's checkpoint", checkpoint.error());
    return matches(replica_, *checkpoint);
  }

  Status append() {
    if (batch_.empty()) return {};
    CheckpointSigner note;
    if (replica_.frontier.size() == from_.head().entries &&
        into_.head().value() + batch_.size() == from_.head().entries)
      note = [this](uint64_t, const Digest&) { return from_.head().note; };
    auto head = into_.append(into_.head(), term_, batch_, requests_, note);
    if (!head) return std::unexpected(head.error());
    batch_.clear();
    requests_.clear();
    bytes_ = 0;
    return {};
  }

  /// Who joins late starts from the state that an administrator countersigned: it follows from the
  /// entries, so it is made again.
  Status keep_anchor() {
    const std::optional<Anchor>& anchor = replica_.state.anchor;
    if (!anchor) return {};
    Replica then;
    MESH_TRY(fold_to(into_, then.state, anchor->sequence));
    auto frontier = frontier_at(anchor->sequence.value(), into_);
    if (!frontier) return std::unexpected(frontier.error());
    then.frontier = std::move(*frontier);
    return into_.put_snapshot(anchor->sequence, encode_snapshot(then));
  }

  ArchiveReader& from_;
  EventLog& into_;
  const std::function<Status(const MeshState&)>& accept_;
  const std::function<void(uint64_t)>& progress_;
  Replica replica_;
  uint64_t term_ = 0, blobs_ = 0;
  std::vector<EncodedEntry> batch_;  // replayed, not yet written
  std::vector<RequestId> requests_;
  size_t bytes_ = 0;
  std::map<Digest, BlobName> wanted_;
  std::set<Digest> there_;
};

}  // namespace

Result<RestoredLog> restore_log(ArchiveReader& from, EventLog& into,
                                const std::function<Status(const MeshState&)>& accept,
                                const std::function<void(uint64_t done)>& progress) {
  return Restorer(from, into, accept, progress).run();
}

}  // namespace mesh
