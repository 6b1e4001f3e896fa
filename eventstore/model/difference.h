// From one intent to another: which commands make a state want what another one wanted. Rollback,
// undo and declarative use all rest on it. Pure.
#pragma once

#include <map>
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
  NodeId id;  // 0 = the live node of that name, else a new one
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
/// says within `target`, which is named as in `desired`: renames found by node numbers, also in
/// circles; removals (with force); what was removed comes back under its number; attributes. In a
/// log in which no node ever was, nodes get the numbers that they are wanted with. Empty when
/// nothing differs. Of `now` it reads names, numbers, attributes and what was removed. Errors:
/// invalid (`desired` contradicts itself), conflict (two wanted things exclude each other, or a name
/// is taken by something outside `target`), not_found (a number that no node ever had), unsupported
/// (a node would have to change its site), exhausted; each names the thing and the fix.
Result<std::vector<Command>> difference(const MeshState& now, const DesiredIntent& desired,
                                        const Target& target, const DifferenceOptions& options);

struct Compensation {
  std::vector<Command> commands;      // with RollBack or Undo as the last; empty = nothing to do
  std::vector<std::string> warnings;  // what does not come back, and what to do instead
};

/// Brings `target`, named as it is now or as it was, back to what it was in `then`, the state after
/// an earlier entry of the same log. A node's site keeps its name unless the site is in `target`.
/// Errors: as difference(); not_found when `target` did not exist.
Result<Compensation> roll_back(const MeshState& now, const MeshState& then, const Target& target);

/// Takes `entry` back when nothing that came after rests on it; `before` is the state before it.
/// What is already as it was before stays as it is. Errors: conflict (names what rests on it or
/// changed it since), unsupported (what cannot be taken back, and what to do instead).
Result<Compensation> undo(const MeshState& now, const MeshState& before, const Entry& entry);

}  // namespace mesh
