#include "nodes/history.h"

#include <fmt/core.h>

#include <algorithm>
#include <utility>

#include "eventstore/model/canonical.h"
#include "eventstore/model/compile.h"
#include "schemas/codec.h"

namespace mesh {

namespace {

constexpr size_t kPendingMax = 64;   // checkpoints ahead: one for each frame under way, and some
constexpr size_t kRootsKept = 1024;  // heads that were ours lately

const VersionRow* own_row(const Entry& entry, NodeId node) {
  if (!entry.body) return nullptr;
  for (const auto& event : entry.body->events) {
    const auto* committed = std::get_if<VersionsCommitted>(&event);
    if (!committed) continue;
    for (const auto& row : committed->rows) {
      if (row.node == node) return &row;
    }
  }
  return nullptr;
}

}  // namespace

Status History::load(std::vector<std::string>& problems) {
  auto loaded = store_.load();
  if (!loaded) return std::unexpected(loaded.error());
  problems.insert(problems.end(), loaded->problems.begin(), loaded->problems.end());
  replica_ = std::move(loaded->replica);
  if (loaded->snapshot != Sequence()) {  // snapshots are made at verified heads only
    verified_ = loaded->snapshot;
    verified_root_ = loaded->snapshot_root;
  }
  remember_root();
  if (loaded->checkpoint.empty()) return {};
  const auto epoch = std::max(replica_.state.epoch, 1u);
  auto checkpoint = open_checkpoint(loaded->checkpoint, checkpoint_origin(options_.log, epoch), options_.log_key);
  if (!checkpoint) {
    problems.push_back("replica/checkpoint is damaged: " + checkpoint.error().message);
    return {};
  }
  if (Sequence(checkpoint->size) == head() && checkpoint->root != root()) {
    refuse(Errc::corrupt, fmt::format("the replica on disk does not match its checkpoint at {}", checkpoint->size));
    problems.push_back(refusal_->reason);
    return {};
  }
  if (Sequence(checkpoint->size) < verified_) return {};
  note_ = loaded->checkpoint;
  verified_ = Sequence(checkpoint->size);
  verified_root_ = checkpoint->root;
  return {};
}

History::Taken History::refuse(Errc code, std::string reason) {
  refusal_ = {code, std::move(reason)};
  pending_.clear();  // what the controller offers next is judged by itself
  last_note_.clear();
  return Taken::refused;
}

const Digest* History::known_root(uint64_t size) const {
  if (Sequence(size) == verified_) return &verified_root_;
  const auto found = pending_.find(size);
  return found == pending_.end() ? nullptr : &found->second.root;
}

void History::remember_root() {
  roots_[head().value()] = root();
  if (roots_.size() > kRootsKept) roots_.erase(roots_.begin());
}

// --- checkpoints ---

History::Taken History::take_checkpoint(const std::string& note) {
  if (note.empty() || note == last_note_) return Taken::nothing;
  const auto origin = checkpoint_origin(options_.log, std::max(replica_.state.epoch, 1u));
  auto checkpoint = open_checkpoint(note, origin, options_.log_key);
  if (!checkpoint) return refuse(Errc::corrupt, "the controller's checkpoint: " + checkpoint.error().message);
  last_note_ = note;
  return learn(*checkpoint, note);
}

History::Taken History::learn(const Checkpoint& checkpoint, const std::string& note) {
  const auto contradiction = [&](const Digest& ours) {
    return refuse(Errc::corrupt, fmt::format("equivocation: at {} entries the controller's checkpoint has root {}, but "
                                             "it had {} before",
                                             checkpoint.size, to_hex(checkpoint.root.view()), to_hex(ours.view())));
  };
  if (checkpoint.size < head().value()) {
    const auto known = roots_.find(checkpoint.size);
    if (known != roots_.end() && known->second != checkpoint.root) return contradiction(known->second);
    return Taken::nothing;
  }
  if (checkpoint.size == head().value() && checkpoint.root != root()) {
    // Ours is proved up to verified_ only: beyond it, the entries may be what is wrong.
    if (verified_ < head()) return give_up_end();
    return contradiction(root());
  }
  const auto* known = known_root(checkpoint.size);
  if (known && *known != checkpoint.root) {
    // What was refused already binds nobody: the controller may have been repaired.
    const bool bound = checkpoint.size == verified_.value() || !refusal_;
    if (bound) return contradiction(Digest(*known));
  }
  pending_[checkpoint.size] = {checkpoint.root, note};
  if (pending_.size() > kPendingMax) pending_.erase(std::prev(pending_.end()));
  if (Sequence(checkpoint.size) > head()) return Taken::nothing;
  const bool moved = settle();
  (void)flush();  // told by disk_problem()
  return moved ? Taken::advanced : Taken::nothing;
}

bool History::settle() {
  const auto ahead = pending_.upper_bound(head().value());
  if (ahead == pending_.begin()) return false;
  auto newest = std::prev(ahead);
  const bool fresh = newest->second.note != note_;
  if (newest->first >= verified_.value()) {
    verified_ = Sequence(newest->first);
    verified_root_ = newest->second.root;
    note_ = std::move(newest->second.note);
    unsaved_.checkpoint = unsaved_.checkpoint || fresh;
    gave_up_end_ = false;
    refusal_.reset();
  }
  pending_.erase(pending_.begin(), ahead);
  return fresh;
}

History::Taken History::give_up_end() {
  auto rewound = store_.rewind(verified_);
  if (!rewound) return refuse(rewound.error().code, rewound.error().message);
  replica_ = std::move(*rewound);
  unsaved_ = {};
  roots_.clear();
  remember_root();
  last_note_.clear();
  if (std::exchange(gave_up_end_, true)) {
    return refuse(Errc::corrupt, "equivocation: the controller's entries and checkpoints do not fit together");
  }
  return Taken::ask_again;
}

/// Compares the root at every size for which a checkpoint is known, before anything is folded.
History::Taken History::check_roots(const std::vector<EncodedEntry>& entries, size_t first, size_t count) {
  auto frontier = replica_.frontier;
  for (size_t i = first; i < first + count; ++i) {
    frontier.append(leaf_hash(entries[i].header));
    const auto* known = known_root(frontier.size());
    if (!known || *known == frontier.root()) continue;
    if (verified_ < head()) return give_up_end();
    return refuse(Errc::corrupt,
                  fmt::format("equivocation: entries up to {} give root {}, the signed checkpoint says {}",
                              frontier.size(), to_hex(frontier.root().view()), to_hex(known->view())));
  }
  return Taken::nothing;
}

// --- entries ---

History::Taken History::take(const std::vector<EncodedEntry>& entries, const std::string& checkpoint) {
  if (!unsaved_.empty() && !flush()) return Taken::nothing;
  auto taken = take_checkpoint(checkpoint);
  if (taken == Taken::refused || taken == Taken::ask_again) return taken;
  size_t first = entries.size(), count = 0;
  bool gap = false;
  for (size_t i = 0; i < entries.size() && !gap; ++i) {
    auto header = decode_header(entries[i].header);
    if (!header) return refuse(header.error().code, fmt::format("entry {}: {}", head().value() + count + 1,
                                                                header.error().message));
    const auto expected = Sequence(head().value() + count + 1);
    gap = header->sequence > expected;
    if (header->sequence != expected) continue;
    if (count == 0) first = i;
    if (first + count != i) return refuse(Errc::corrupt, "entries of one frame are out of order");
    ++count;
  }
  if (count > 0) {
    if (const auto bad = check_roots(entries, first, count); bad != Taken::nothing) return bad;
    for (size_t i = first; i < first + count; ++i) {
      if (auto folded = fold(entries[i]); !folded) {
        (void)flush();  // what stands before it holds
        return refuse(folded.error().code, folded.error().message);
      }
    }
    refusal_.reset();
    remember_root();
    settle();
    taken = Taken::advanced;
    (void)flush();  // told by disk_problem()
  }
  return gap ? Taken::ask_again : taken;
}

Status History::fold(const EncodedEntry& encoded) {
  const auto number = head().value() + 1;
  auto entry = decode_entry(encoded);
  if (!entry) return fail(entry.error().code, fmt::format("entry {}: {}", number, entry.error().message));
  std::optional<MeshState> before;
  if (own_row(*entry, options_.node)) before = replica_.state;
  MESH_TRY(replay(replica_, *entry, options_.log));
  if (before) {
    if (auto staged = compile_own(*before, *entry)) unsaved_.versions.push_back(std::move(*staged));
  }
  unsaved_.entries.push_back(encoded);
  return {};
}

/// A committed version is believed when this node compiles the same from the state that the commit was decided on.
/// Nothing when only a newer program could compile it: then it is fetched by its digest.
std::optional<History::StagedVersion> History::compile_own(const MeshState& before, const Entry& entry) const {
  const auto& row = *own_row(entry, options_.node);
  auto config = compile(before, options_.node);
  if (!config && config.error().code == Errc::unsupported) return std::nullopt;
  if (!config) {
    return StagedVersion{row.version, {}, {}, fmt::format("this node cannot compile it: {}", config.error().message)};
  }
  if (const auto own = config_digest(*config); own != row.digest) {
    return StagedVersion{row.version, {}, {}, fmt::format("entry {} commits digest {}, but the log gives {}",
                                                          entry.header.sequence.value(), to_hex(row.digest.view()),
                                                          to_hex(own.view()))};
  }
  const auto overlay = make_overlay(replica_.state, options_.node);
  return StagedVersion{row.version, config_text(*config), rendered_files(*config, overlay), {}};
}

Status History::flush() {
  const auto store = [&]() -> Status {
    while (!unsaved_.versions.empty()) {
      const auto& staged = unsaved_.versions.front();
      MESH_TRY(staged.text.empty() ? store_.refuse_version(staged.version, staged.reason)
                                   : store_.put_version(staged.version, staged.text, staged.files));
      unsaved_.versions.erase(unsaved_.versions.begin());
    }
    MESH_TRY(store_.append(unsaved_.entries));
    unsaved_.entries.clear();
    if (unsaved_.checkpoint) MESH_TRY(store_.save_checkpoint(note_));
    unsaved_.checkpoint = false;
    if (settled() && store_.wants_snapshot()) MESH_TRY(store_.save_snapshot(replica_));
    return {};
  };
  auto stored = store();
  disk_problem_ = stored ? std::string() : stored.error().message;
  return stored;
}

// --- snapshots ---

History::Taken History::take_snapshot(ByteView bytes) {
  auto snapshot = decode_snapshot(bytes);
  if (!snapshot) return refuse(snapshot.error().code, "the controller's snapshot: " + snapshot.error().message);
  if (snapshot->head() <= head()) return Taken::nothing;
  const auto& anchor = options_.anchor;
  if (!anchor || anchor->sequence != snapshot->head()) {
    replay_all_ = true;
    return Taken::ask_again;
  }
  if (anchor->root != snapshot->frontier.root() ||
      anchor->state_digest != state_digest(snapshot->state) || snapshot->state.log != options_.log) {
    replay_all_ = true;
    return refuse(Errc::corrupt, fmt::format("the snapshot at {} is not one that an administrator signed",
                                             snapshot->head().value()));
  }
  if (auto stored = store_.save_snapshot(*snapshot); !stored) {
    disk_problem_ = stored.error().message;
    return Taken::nothing;
  }
  replica_ = std::move(*snapshot);
  verified_ = head();
  verified_root_ = root();
  unsaved_ = {};
  refusal_.reset();
  remember_root();
  return Taken::advanced;
}

}  // namespace mesh
