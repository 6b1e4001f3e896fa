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
  auto checkpoint = open_checkpoint(loaded->checkpoint, options_.log, options_.log_key);
  if (!checkpoint) {
    problems.push_back("replica/checkpoint is damaged: " + checkpoint.error().message);
    return {};
  }
  // Of the history before: a crash came between the new snapshot and its checkpoint.
  if (*origin_epoch(checkpoint->origin, options_.log) < epoch()) return {};
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
  auto checkpoint = open_checkpoint(note, options_.log, options_.log_key);
  if (!checkpoint) return refuse(Errc::corrupt, "the controller's checkpoint: " + checkpoint.error().message);
  last_note_ = note;
  const uint32_t its_epoch = *origin_epoch(checkpoint->origin, options_.log);
  if (its_epoch < epoch()) return Taken::nothing;  // what it covers was given up, or stands in ours
  if (its_epoch == epoch()) {
    // Signed: the log goes on in this epoch. An entry that told of a later one was damaged on the way.
    const bool misled = successor_ && successor_notes_.empty();
    if (misled) successor_.reset();
    const auto taken = learn(*checkpoint, note);
    return misled && taken == Taken::nothing ? Taken::ask_again : taken;
  }
  successor_notes_[checkpoint->size] = {checkpoint->root, note, its_epoch};
  if (successor_notes_.size() > kPendingMax) successor_notes_.erase(successor_notes_.begin());
  if (successor_) return settle_successor();
  // Beyond our head it may be where our own history leads: the entries that follow tell.
  if (checkpoint->size <= head().value()) return begin_successor(true);
  pending_[checkpoint->size] = {checkpoint->root, note, its_epoch};
  if (pending_.size() > kPendingMax) pending_.erase(std::prev(pending_.end()));
  return Taken::nothing;
}

/// What this history's root was at `size`: from memory, else from the hashes on disk.
std::optional<Digest> History::past_root(uint64_t size) {
  if (const auto known = roots_.find(size); known != roots_.end()) return known->second;
  auto own = store_.leaves();
  auto root = own && own->size() >= size ? own->root(size) : std::nullopt;
  if (root) roots_[size] = *root;
  return root;
}

History::Taken History::contradict(const Checkpoint& checkpoint, const std::string& note, const Digest& ours) {
  contradiction_ = note;
  return refuse(Errc::corrupt, fmt::format("equivocation: at {} entries the controller's checkpoint has root {}, but "
                                           "it had {} before",
                                           checkpoint.size, to_hex(checkpoint.root.view()), to_hex(ours.view())));
}

History::Taken History::learn(const Checkpoint& checkpoint, const std::string& note) {
  const auto contradiction = [&](const Digest& ours) { return contradict(checkpoint, note, ours); };
  if (checkpoint.size < head().value()) {
    const auto known = checkpoint.size > 0 ? past_root(checkpoint.size) : std::nullopt;
    if (known && *known != checkpoint.root) return contradiction(*known);
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
  pending_[checkpoint.size] = {checkpoint.root, note, epoch()};
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
    contradiction_.clear();
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
    if (const auto noted = pending_.find(frontier.size()); noted != pending_.end()) contradiction_ = noted->second.note;
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
  if (successor_) return take_successor(entries);
  size_t first = entries.size(), count = 0;
  bool gap = false;
  for (size_t i = 0; i < entries.size() && !gap; ++i) {
    auto header = decode_header(entries[i].header);
    if (!header) return refuse(header.error().code, fmt::format("entry {}: {}", head().value() + count + 1,
                                                                header.error().message));
    const auto expected = Sequence(head().value() + count + 1);
    // Late, of a history that was given up; a log goes on in the epoch that it is in.
    if (count == 0 && head() != Sequence() && header->epoch < epoch()) continue;
    gap = header->sequence > expected;
    if (header->sequence != expected) continue;
    // Our history does not start that epoch: it was started on an older entry.
    if (count == 0 && head() != Sequence() && header->epoch > epoch()) return begin_successor(true);
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
    if (auto staged = compile_own(*before, replica_.state, *entry)) unsaved_.versions.push_back(std::move(*staged));
  }
  unsaved_.entries.push_back(encoded);
  return {};
}

/// A committed version is believed when this node compiles the same from the state that the commit was decided on.
/// Nothing when only a newer program could compile it: then it is fetched by its digest, as one whose files
/// are rendered on the controller is.
std::optional<History::StagedVersion> History::compile_own(const MeshState& before, const MeshState& after,
                                                           const Entry& entry) const {
  const auto& row = *own_row(entry, options_.node);
  auto config = compile(before, options_.node);
  if (!config && config.error().code == Errc::unsupported) return std::nullopt;
  if (!config) {
    return StagedVersion{row.version, {}, {}, fmt::format("this node cannot compile it: {}", config.error().message)};
  }
  if (const auto own = config_digest(*config); own != row.digest) {
    if (has_rendered_files(*config)) return StagedVersion{row.version, {}, {}, {}, own};
    return StagedVersion{row.version, {}, {}, fmt::format("entry {} commits digest {}, but the log gives {}",
                                                          entry.header.sequence.value(), to_hex(row.digest.view()),
                                                          to_hex(own.view()))};
  }
  const auto overlay = make_overlay(after, options_.node);
  return StagedVersion{row.version, config_text(*config), rendered_files(*config, overlay), {}};
}

Status History::store_version(const StagedVersion& staged) {
  MESH_TRY(store_.set_base(staged.version, staged.base));
  if (staged.base) return {};
  if (staged.text.empty()) return store_.refuse_version(staged.version, staged.reason);
  return store_.put_version(staged.version, staged.text, staged.files);
}

Status History::flush() {
  const auto store = [&]() -> Status {
    while (!unsaved_.versions.empty()) {
      MESH_TRY(store_version(unsaved_.versions.front()));
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

// --- a new epoch ---

History::Taken History::begin_successor(bool from_snapshot) {
  auto own = store_.leaves();
  if (!own) return refuse(own.error().code, own.error().message);
  auto start = from_snapshot ? store_.snapshot() : Replica{};
  successor_from_snapshot_ = from_snapshot && start.head() != Sequence();
  successor_.emplace(options_.log, options_.node, epoch(), std::move(start), std::move(*own));
  successor_versions_.clear();
  pending_.clear();
  last_note_.clear();  // the newest one is judged again, with what is read now
  return Taken::ask_again;
}

Status History::add_to_successor(const EncodedEntry& encoded) {
  auto entry = decode_entry(encoded);
  if (!entry)
    return fail(entry.error().code,
                fmt::format("entry {}: {}", successor_->head().value() + 1, entry.error().message));
  std::optional<MeshState> before;
  if (successor_->base() && own_row(*entry, options_.node)) before = successor_->replica().state;
  MESH_TRY(successor_->add(*entry));
  if (before) {
    if (auto staged = compile_own(*before, successor_->replica().state, *entry))
      successor_versions_.push_back(std::move(*staged));
  }
  return {};
}

History::Taken History::take_successor(const std::vector<EncodedEntry>& entries) {
  for (const auto& encoded : entries) {
    auto header = decode_header(encoded.header);
    const auto expected = next(successor_->head());
    if (header && header->sequence < expected) continue;
    if (header && header->sequence > expected) return Taken::ask_again;
    if (auto added = add_to_successor(encoded); !added) {
      const bool again = std::exchange(successor_from_snapshot_, false);
      successor_.reset();
      // The epoch may begin before our snapshot: then all of it is read.
      if (again) return begin_successor(false);
      const auto& [code, message, fix] = added.error();
      const auto newest = successor_notes_.empty() ? std::string() : successor_notes_.rbegin()->second.note;
      if (code == Errc::corrupt) contradiction_ = newest;
      return refuse(code, fix.empty() ? message : fmt::format("{} ({})", message, fix));
    }
  }
  return settle_successor();
}

History::Taken History::settle_successor() {
  const auto& replica = successor_->replica();
  const auto noted = successor_notes_.find(replica.frontier.size());
  if (noted == successor_notes_.end() || !successor_->base() || noted->second.epoch != replica.state.epoch)
    return Taken::nothing;
  if (noted->second.root != replica.frontier.root()) {
    contradiction_ = noted->second.note;
    const auto size = replica.frontier.size();
    successor_.reset();
    return refuse(
        Errc::corrupt,
        fmt::format("equivocation: the new epoch's entries up to {} do not give the root that its "
                    "checkpoint has",
                    size));
  }
  if (auto done = succeed(noted->second.note); !done) {
    disk_problem_ = done.error().message;
    return Taken::nothing;  // with the next checkpoint
  }
  return Taken::advanced;
}

/// On disk first: what is handed over, then what is not to be followed, then the history itself.
Status History::succeed(const std::string& note) {
  const Sequence base = *successor_->base(), old_head = head();
  const uint32_t old_epoch = epoch();
  auto lost = store_.entries_after(base, successor_->own());
  if (!lost) return std::unexpected(lost.error());
  const size_t handed = lost->size();
  MESH_TRY(store_.keep_orphans(old_epoch, std::move(*lost)));
  if (base < old_head) {
    MESH_TRY(store_.hold(successor_->activation_at_base()));
    MESH_TRY(store_.forget_trial());  // the new epoch gives numbers of activations anew
  }
  for (const auto& staged : successor_versions_) MESH_TRY(store_version(staged));
  MESH_TRY(store_.replace(successor_->replica(), successor_->leaves(), note));
  replica_ = successor_->replica();
  news_ = fmt::format(
      "epoch {} goes on from entry {}: {} entries of this node's history, up to {}, were given up; "
      "{} of them "
      "are kept for the controller",
      replica_.state.epoch, base.value(), old_head.value() - base.value(), old_head.value(),
      handed);
  verified_ = head();
  verified_root_ = root();
  note_ = note;
  last_note_ = note;
  unsaved_ = {};
  pending_.clear();
  roots_.clear();
  refusal_.reset();
  contradiction_.clear();
  disk_problem_.clear();
  gave_up_end_ = false;
  successor_.reset();
  successor_versions_.clear();
  successor_notes_.clear();
  remember_root();
  return {};
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
