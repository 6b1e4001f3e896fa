#include "eventstore/model/audit.h"

#include <fmt/format.h>

#include <algorithm>

namespace mesh {

std::string_view standing_name(Standing standing) {
  constexpr std::string_view kNames[] = {"agrees", "given up", "ahead", "contradicts", "unchecked"};
  return kNames[static_cast<size_t>(standing)];
}

Result<std::vector<KeptCheckpoint>> read_kept_checkpoints(const std::string& name, std::string_view text) {
  std::vector<KeptCheckpoint> out;
  for (std::string& note : split_notes(text)) {
    std::string label = out.empty() ? name : fmt::format("{} ({})", name, out.size() + 1);
    auto checkpoint = parse_checkpoint_text(note);
    if (!checkpoint) return fail_in(label, checkpoint.error());
    out.push_back({std::move(label), std::move(note), std::move(*checkpoint)});
  }
  if (out.empty()) return fail(Errc::corrupt, fmt::format("{} holds no checkpoint", name));
  return out;
}

void Audit::note_root() {
  const auto wanted = roots_.find(replica_.frontier.size());
  if (wanted != roots_.end()) wanted->second = replica_.frontier.root();
}

Status Audit::add(const Entry& entry) {
  MESH_TRY(replay(replica_, entry, log_));
  note_root();
  if (!entry.body) return {};
  for (const Event& event : entry.body->events)
    if (const auto* started = std::get_if<EpochStarted>(&event))
      epochs_.push_back({started->epoch, started->base, entry.header.sequence,
                         to_text(entry.header.principal)});
  return {};
}

Result<Judgement> Audit::judge(const Checkpoint& checkpoint, bool whole) const {
  auto epoch = origin_epoch(checkpoint.origin, log_);
  if (!epoch) return std::unexpected(std::move(epoch).error());
  const uint64_t size = checkpoint.size, head = replica_.frontier.size();
  const auto next_epoch =
      std::ranges::find_if(epochs_, [&](const EpochStart& start) { return start.epoch > *epoch; });
  if (next_epoch != epochs_.end() && size > next_epoch->base.value())
    return Judgement{Standing::given_up,
                     fmt::format("it is of epoch {} at #{}; {} started epoch {} with #{} on the base of #{}, and gave "
                                 "up what came after",
                                 *epoch, size, next_epoch->by, next_epoch->epoch,
                                 next_epoch->entry.value(), next_epoch->base.value())};
  if (size > head && !whole)
    return Judgement{Standing::unchecked, fmt::format("it is at #{}, and #{} was the last good entry", size, head)};
  if (size > head)
    return Judgement{Standing::ahead,
                     fmt::format("it is at #{}, the log ends at #{}: entries are gone", size, head)};
  const auto root = roots_.find(size);
  MESH_ASSERT(root != roots_.end() && root->second);
  if (*root->second != checkpoint.root)
    return Judgement{Standing::contradicts,
                     fmt::format("equivocation: the log key signed root {} for the first {} entries, and the log gives "
                                 "{}: history was rewritten",
                                 to_hex(checkpoint.root.view()), size, to_hex(root->second->view()))};
  if (whole && *epoch > std::max(replica_.state.epoch, 1u))
    return Judgement{Standing::ahead,
                     fmt::format("it is of epoch {}, the log is in epoch {}: entries are gone", *epoch,
                                 replica_.state.epoch)};
  return Judgement{Standing::agrees, {}};
}

}  // namespace mesh
