// HistoryBook: the truth of a simulation. It reads what is durable in the controller's log, by a
// second way (replay with verification), keeps the state after every entry, and holds the claims
// that are about the log alone:
//   an entry that was readable once stays, byte by byte; every entry replays, so its events follow
//   from its request; the invariants of the state hold after each; a request is in the log at most
//   once; a node's active version moves only by an activation that acts at once or by the
//   confirmation of one that waited, which names nodes that said they applied it, before its
//   deadline, and it expires after that; time never goes back, whatever the controller's clock does;
//   what a commit pins can be fetched, is what the log compiles to, and no node's version
//   goes back.
#pragma once

#include <map>
#include <optional>
#include <set>
#include <utility>
#include <vector>

#include "eventstore/log/event_log.h"
#include "eventstore/model/node_config.h"
#include "eventstore/model/overlay.h"
#include "eventstore/model/replay.h"

namespace mesh::sim {

class HistoryBook {
 public:
  explicit HistoryBook(const LogId& log) : log_(log) {}

  /// Takes what is new. Throws ClaimBroken.
  void observe(const EventLog& log);

  Sequence head() const { return Sequence(records_.size()); }
  /// After entry `at`; 0 = before the first.
  const MeshState& state(Sequence at) const;
  const MeshState& state() const { return state(head()); }
  Digest root(Sequence at) const;
  const Digest& digest(Sequence at);
  const EncodedEntry& encoded(Sequence at) const { return records_[at.value() - 1].encoded; }
  const Entry& entry(Sequence at) const { return records_[at.value() - 1].entry; }
  const MerkleFrontier& frontier() const { return replica_.frontier; }
  std::optional<Sequence> find(const RequestId& request) const;
  /// A node says that it runs what that activation brought: it may be confirmed from now on.
  void applied(NodeId node, ActivationId activation) { applied_.emplace(node, activation); }
  /// What a node shall look like with one of its versions (0 = none) and the overlay after entry
  /// `overlay`. `sign_key`: the node's own; another's place is no place.
  /// Also of a moment between two versions (bind_bridge); nothing when there is none.
  std::optional<Desired> bridge(NodeId node, const SignKey& sign_key, Version from, Version to, Sequence overlay);
  Desired desired(NodeId node, const SignKey& sign_key, Version version, Sequence overlay);

 private:
  struct Record {
    EncodedEntry encoded;
    Entry entry;
    Digest root;
    MeshState state;
    std::optional<Digest> digest;
  };

  void check_activations(const MeshState& before, const Entry& entry) const;
  const NodeConfig& config_of(NodeId node, Version version) const;
  Overlay overlay_of(NodeId node, const SignKey& sign_key, Sequence at) const;
  void check_commit(const EventLog& log, const MeshState& before, const Entry& entry);

  LogId log_;
  Replica replica_;
  MeshState empty_;
  std::vector<Record> records_;
  std::map<RequestId, Sequence> requests_;
  std::map<Digest, NodeConfig> configs_;
  std::set<std::pair<NodeId, ActivationId>> applied_;
};

}  // namespace mesh::sim
