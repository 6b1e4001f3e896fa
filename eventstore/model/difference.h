// From one intent to another: which commands make a state want what another one wanted. Rollback,
// undo and declarative use all rest on it. Pure.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "eventstore/model/attribute_value.h"
#include "eventstore/model/command.h"
#include "eventstore/model/entry.h"
#include "eventstore/model/ids.h"
#include "eventstore/model/result.h"
#include "eventstore/model/state.h"

namespace mesh {

/// What a network shall be, without how it came to be: what `export` writes and `apply` reads.
struct DesiredNode {
  NodeId id;  // 0 = a new number
  std::string fullname;
  std::map<std::string, AttributeValue> attributes;
  bool operator==(const DesiredNode&) const = default;
};
struct DesiredSite {
  std::string name;
  std::map<std::string, AttributeValue> attributes;
  bool operator==(const DesiredSite&) const = default;
};
struct DesiredIntent {
  std::map<std::string, AttributeValue> global;
  std::vector<DesiredSite> sites;  // ascending by name
  std::vector<DesiredNode> nodes;  // ascending by number, new ones last
  bool operator==(const DesiredIntent&) const = default;
};

/// The intent of `state` in `scope`; of a site or a node only that part.
DesiredIntent desired_intent(const MeshState& state, const Scope& scope);

struct DifferenceOptions {
  bool prune = false;  // also remove what `desired` does not name; a rollback always does
};

/// Commands for one request (one entry, decided as a whole) after which `now` wants what `desired`
/// says within `target`: renames found by node numbers, also in circles; removals (with force);
/// what was removed comes back under its number; attributes. Empty when nothing differs. Errors:
/// invalid, conflict (two wanted things exclude each other), not_found; each names the thing and the
/// fix.
Result<std::vector<Command>> difference(const MeshState& now, const DesiredIntent& desired,
                                        const Target& target, const DifferenceOptions& options);

struct Compensation {
  std::vector<Command> commands;      // with RollBack or Undo as the last; empty = nothing to do
  std::vector<std::string> warnings;  // what does not come back, and what to do instead
};

/// Brings `target` back to what it was in `then`, the state after `to`. Errors: as difference().
Result<Compensation> roll_back(const MeshState& now, const MeshState& then, const Target& target);

/// Takes `entry` back when nothing that came after rests on it. Errors: conflict (names what does),
/// unsupported (what cannot be taken back, and what to do instead).
Result<Compensation> undo(const MeshState& now, const Entry& entry);

}  // namespace mesh
