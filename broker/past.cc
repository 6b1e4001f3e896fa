#include "broker/past.h"

#include <fmt/format.h>

#include <algorithm>

#include "eventstore/model/evolve.h"
#include "eventstore/model/replay.h"
#include "schemas/codec.h"

namespace mesh {

namespace {

constexpr size_t kReadBytes = 8 * 1024 * 1024;
// A state of ten thousand nodes takes some ten megabytes, and states of one neighbourhood share
// most of it. Enough for two instants that are compared and a search between them.
constexpr size_t kRememberedMax = 6;

Status fold(MeshState& state, const EncodedEntry& encoded) {
  auto entry = decode_entry(encoded);
  if (!entry) return std::unexpected(entry.error());
  if (entry->header.sequence != next(state.sequence) || !entry->body)
    return fail(Errc::corrupt, fmt::format("found entry {} in its place",
                                           entry->header.sequence.value()));
  MESH_TRY(check_rules(entry->header, &entry->body->request));
  evolve(state, entry->header, *entry->body);
  return {};
}

std::unexpected<Error> beyond(Sequence sequence, Sequence head) {
  return fail(Errc::not_found, fmt::format("there is no entry {}, the log ends at {}",
                                           sequence.value(), head.value()));
}

}  // namespace

Result<MeshState> newest_kept_state(const EventLog& log, Sequence limit) {
  for (;;) {
    auto found = log.newest_snapshot(limit);
    if (!found) return std::unexpected(found.error());
    if (!found->snapshot) return MeshState{};
    if (auto replica = decode_snapshot(found->snapshot->bytes)) return std::move(replica->state);
    if (found->snapshot->sequence <= Sequence(1)) return MeshState{};
    limit = Sequence(found->snapshot->sequence.value() - 1);
  }
}

Status fold_to(const EventLog& log, MeshState& state, Sequence target) {
  target = std::min(target, log.head());
  while (state.sequence < target) {
    auto entries =
        log.read(next(state.sequence), kReadBytes, target.value() - state.sequence.value());
    if (!entries) return fail_in("reading the log", entries.error());
    for (const EncodedEntry& encoded : *entries)
      if (auto folded = fold(state, encoded); !folded)
        return fail_in(fmt::format("entry {}", state.sequence.value() + 1), folded.error());
  }
  return {};
}

Result<MeshState> Past::at(Sequence sequence) const {
  if (sequence > log_.head()) return beyond(sequence, log_.head());
  MeshState state = recall(sequence);
  if (state.sequence == sequence) return state;
  auto kept = log_.snapshots();
  auto after = std::ranges::upper_bound(kept, sequence);
  if (after != kept.begin() && *std::prev(after) > state.sequence) {
    auto snapshot = newest_kept_state(log_, sequence);
    if (!snapshot) return std::unexpected(snapshot.error());
    if (snapshot->sequence > state.sequence) {
      state = std::move(*snapshot);
      remember(state);
    }
  }
  if (state.sequence == sequence) return state;
  MESH_TRY(fold_to(log_, state, sequence));
  remember(state);
  return state;
}

Result<Timestamp> Past::time_of(Sequence sequence) const {
  if (sequence > log_.head() || sequence == Sequence()) return beyond(sequence, log_.head());
  auto entries = log_.read(sequence, 1, 1);
  if (!entries) return std::unexpected(entries.error());
  if (entries->empty())
    return fail(Errc::corrupt, fmt::format("entry {} cannot be read", sequence.value()));
  auto header = decode_header(entries->front().header);
  if (!header) return fail_in(fmt::format("entry {}", sequence.value()), header.error());
  return header->time;
}

Result<Sequence> Past::at_time(Timestamp time) const {
  // Everything up to `low` is not after `time`, everything from `high` on is.
  uint64_t low = 0, high = log_.head().value() + 1;
  while (high - low > 1) {
    const uint64_t middle = low + (high - low) / 2;
    uint64_t probe = middle;
    auto found = time_of(Sequence(probe));
    while (!found && found.error().code != Errc::io && ++probe < high)
      found = time_of(Sequence(probe));
    if (!found && found.error().code == Errc::io) return std::unexpected(found.error());
    if (found && *found <= time)
      low = probe;
    else
      high = middle;  // the damaged ones before `probe` may be earlier, but nobody can tell
  }
  if (low == 0)
    return fail(Errc::not_found, "the log begins after that time", "meshcli log --limit 1");
  return Sequence(low);
}

MeshState Past::recall(Sequence sequence) const {
  const std::scoped_lock lock(mutex_);
  Remembered* nearest = nullptr;
  for (Remembered& candidate : remembered_)
    if (candidate.state.sequence <= sequence &&
        (nearest == nullptr || nearest->state.sequence < candidate.state.sequence))
      nearest = &candidate;
  if (nearest == nullptr) return {};
  nearest->used = ++clock_;
  return nearest->state;
}

void Past::remember(const MeshState& state) const {
  const std::scoped_lock lock(mutex_);
  for (Remembered& known : remembered_)
    if (known.state.sequence == state.sequence) return;
  if (remembered_.size() >= kRememberedMax)
    remembered_.erase(std::ranges::min_element(remembered_, {}, &Remembered::used));
  remembered_.push_back({state, ++clock_});
}

}  // namespace mesh
