// Replay with verification: what every node, and `verify`, does with every entry.
#pragma once

#include <string>

#include "eventstore/model/checkpoint.h"
#include "eventstore/model/entry.h"
#include "eventstore/model/merkle.h"
#include "eventstore/model/state.h"

namespace mesh {

/// A verified prefix of one log: its state and the right edge of its Merkle tree.
struct Replica {
  MeshState state;
  MerkleFrontier frontier;
  Sequence head() const { return state.sequence; }
  bool operator==(const Replica&) const = default;
};

/// Folds `entry` into `replica` when it is the next one and everything about it holds: log id,
/// epoch, sequence, time not before the last, rules, class, signature of the request by the key
/// that the state knows, that its events are what decide() gives, and that an epoch starts on the
/// root of what is before it. On an error `replica` is unchanged. Errors: corrupt (names the
/// sequence and what is wrong), unsupported (as check_rules),
/// conflict (a gap). `expected` pins the log when replica is empty: entry 1 must create that log.
Status replay(Replica& replica, const Entry& entry, const LogId& expected);

/// Whether this program knows the rules of the entry, and those that its request puts in force: a
/// reader stops before them. Without a request only the header is looked at. Errors: unsupported.
Status check_rules(const EntryHeader& header, const Request* request);

/// Whether the replica is what the checkpoint says, at the checkpoint's size. Errors: corrupt.
Status matches(const Replica& replica, const Checkpoint& checkpoint);

}  // namespace mesh
