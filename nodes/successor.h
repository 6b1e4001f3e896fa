// Successor: the history of a later epoch, while it is read and checked beside the one that this
// node has.
//
// An administrator started the epoch on a restored backup: the log goes on from an older entry, the
// base, and what came after it there is given up. It is accepted when every entry of it verifies as
// always, when it is this node's own history up to the base, leaf by leaf, and when the first entry
// that differs starts the epoch. Anything else is another history under the same key. Nothing on
// disk changes before all of it stands under a signed checkpoint. Thread: one at a time.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "nodes/replica/replica_store.h"

namespace mesh {

class Successor {
 public:
  /// Reads on from `start`: this node's own snapshot, or nothing at all. `own` are the hashes of its history, which is
  /// in `epoch`.
  Successor(LogId log, NodeId node, uint32_t epoch, Replica start, OwnLeaves own)
      : log_(log), node_(node), epoch_(epoch), replica_(std::move(start)), own_(std::move(own)) {}

  /// The next entry. Errors: corrupt (it does not verify, or contradicts this node's history), unsupported.
  Status add(const Entry& entry);

  Sequence head() const { return replica_.head(); }
  const Replica& replica() const { return replica_; }
  const OwnLeaves& own() const { return own_; }
  /// The last entry that both histories have; nothing before they part.
  std::optional<Sequence> base() const { return base_; }
  /// What the log wanted of this node at the base.
  ActivationId activation_at_base() const { return activation_; }
  /// The leaves of this history, as far as they are known here.
  OwnLeaves leaves() const;

 private:
  Status part(const Entry& entry);

  LogId log_;
  NodeId node_;
  uint32_t epoch_;
  Replica replica_;
  OwnLeaves own_;
  std::optional<Sequence> base_;
  ActivationId activation_;
  std::vector<Digest> after_base_;
};

}  // namespace mesh
