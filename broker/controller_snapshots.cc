// Which states are kept, so that any past one is a short fold away. Snapshots are never removed.
#include <algorithm>
#include <bit>

#include "broker/controller.h"
#include "schemas/codec.h"

namespace mesh {

namespace {

/// The right edge of the tree as it was after `size` leaves. Errors: those of the log.
Result<MerkleFrontier> frontier_at(const EventLog& log, uint64_t size) {
  std::vector<Digest> peaks;
  uint64_t begin = 0;
  for (uint64_t rest = size; rest != 0;) {
    const auto level = static_cast<unsigned>(std::bit_width(rest) - 1);
    auto peak = log.tree_hash(level, begin >> level);
    if (!peak) return std::unexpected(peak.error());
    peaks.push_back(*peak);
    begin += uint64_t{1} << level;
    rest -= uint64_t{1} << level;
  }
  return MerkleFrontier::restore(size, std::move(peaks));
}

Result<Bytes> snapshot_at(const EventLog& log, const Past& past, Sequence sequence) {
  auto state = past.at(sequence);
  if (!state) return std::unexpected(state.error());
  auto frontier = frontier_at(log, sequence.value());
  if (!frontier) return std::unexpected(frontier.error());
  return encode_snapshot({std::move(*state), std::move(*frontier)});
}

}  // namespace

/// A big state among small entries may wait until the entries weigh as much, but not for long: the
/// fold from the newest snapshot has to stay quick.
bool Controller::snapshot_due() const {
  const uint64_t entries = state_.sequence.value() - newest_snapshot_.value();
  if (entries < options_.snapshot_every) return false;
  return bytes_since_snapshot_ >= newest_snapshot_bytes_ || entries >= 2 * options_.snapshot_every;
}

void Controller::save_snapshot() {
  const Bytes bytes = encode_snapshot({state_, log_->frontier()});
  put_snapshot(state_.sequence, bytes);
  if (!broken_.empty()) return;
  newest_snapshot_ = state_.sequence;
  newest_snapshot_bytes_ = bytes.size();
  bytes_since_snapshot_ = 0;
}

void Controller::put_snapshot(Sequence sequence, const Bytes& bytes) {
  if (auto saved = log_->put_snapshot(sequence, bytes); !saved)
    broken_ = saved.error().message;  // after a failed write the log takes no other
}

/// A log of an earlier program kept only its newest snapshots. While nothing else happens, one that
/// is missing is made on a worker at each tick, oldest first: from the one before it.
void Controller::add_missing_snapshot() {
  const bool idle = std::exchange(head_at_tick_, state_.sequence) == state_.sequence;
  if (!idle || !broken_.empty() || jobs_running_ != 0 || !staged_.empty()) return;
  // What is saved on the way comes with the grain of a flush.
  const uint64_t gap = 2 * options_.snapshot_every + kAppendEntriesMax;
  Sequence begin = gaps_filled_to_;
  auto kept = log_->snapshots();
  kept.push_back(log_->head());
  auto end = std::ranges::find_if(kept, [&](Sequence sequence) {
    if (sequence <= begin) return false;
    if (sequence.value() - begin.value() > gap) return true;
    begin = sequence;
    return false;
  });
  gaps_filled_to_ = begin;
  if (end == kept.end()) return;
  const Sequence missing(begin.value() + options_.snapshot_every);
  start_job([this, missing, after = *end, log = log_.get(), past = past_.get()]() -> Completion {
    auto bytes = std::make_shared<Result<Bytes>>(snapshot_at(*log, *past, missing));
    return [this, missing, after, bytes] {
      // Behind a damaged entry there is no state to be had before the next snapshot.
      gaps_filled_to_ = *bytes ? missing : after;
      if (*bytes && broken_.empty()) put_snapshot(missing, **bytes);
    };
  });
}

}  // namespace mesh
