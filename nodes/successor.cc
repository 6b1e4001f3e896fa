#include "nodes/successor.h"

#include <fmt/core.h>

#include <algorithm>

namespace mesh {

namespace {

bool starts_epoch(const Entry& entry) {
  return entry.body && std::ranges::any_of(entry.body->events, [](const Event& event) {
    return std::holds_alternative<EpochStarted>(event);
  });
}

}  // namespace

/// At the first entry that this node's history has otherwise, or not at all.
Status Successor::part(const Entry& entry) {
  const Sequence base = replica_.head();
  if (base.value() < own_.size() && !starts_epoch(entry))
    return fail(Errc::corrupt, fmt::format("equivocation: entry {} of the new epoch's history is not the one that this "
                                           "node has, and no epoch begins with it",
                                           base.value() + 1));
  base_ = base;
  if (const auto* node = replica_.state.find_node(node_)) activation_ = node->activation;
  return {};
}

Status Successor::add(const Entry& entry) {
  const Sequence sequence = next(replica_.head());
  const auto* ours = own_.at(sequence);
  if (!base_ && (ours ? *ours != entry.leaf : sequence.value() > own_.size())) MESH_TRY(part(entry));
  MESH_TRY(replay(replica_, entry, log_));
  if (base_) {
    after_base_.push_back(entry.leaf);
    return {};
  }
  const uint64_t from = own_.before.size();
  if (replica_.state.epoch > epoch_)
    return fail(Errc::corrupt,
                fmt::format("epoch {} was started on entry {}, and this node keeps hashes of its "
                            "history after {} only: "
                            "whether it is the same cannot be told here",
                            replica_.state.epoch, sequence.value() - 1, from),
                "meshnode leave, then join again");
  if (sequence.value() == from && replica_.frontier.root() != own_.before.root())
    return fail(
        Errc::corrupt,
        fmt::format("equivocation: the new epoch's history up to entry {} is not the one that this "
                    "node has",
                    from));
  return {};
}

OwnLeaves Successor::leaves() const {
  OwnLeaves out = own_;
  if (!base_) return out;
  if (base_->value() < out.before.size()) return {replica_.frontier, {}};
  out.leaves.resize(base_->value() - out.before.size());
  out.leaves.insert(out.leaves.end(), after_base_.begin(), after_base_.end());
  return out;
}

}  // namespace mesh
