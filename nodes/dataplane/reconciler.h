// Brings a router to what it shall be: checks, observes, plans, executes, looks again, confirms, or
// goes back.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "nodes/dataplane/dataplane.h"

namespace mesh {

enum class Reconciled : uint8_t {
  unchanged,  // the router was so already; nothing was touched
  changed,    // it now is
  refused,    // it cannot be done; nothing was touched
  went_back,  // it could not be done; the router is as `previous` says
  failed,     // it could not be done, and what the router does now is what `error` says
};

std::string_view reconciled_name(Reconciled outcome);

struct ApplyReport {
  Reconciled outcome = Reconciled::unchanged;
  std::vector<std::string> steps;  // what was executed towards the wanted state, for people
  std::vector<std::string> back;   // what was executed to go back
  std::optional<Error> error;      // why it was refused, went back or failed
  bool ok() const { return outcome <= Reconciled::changed; }
};

/// Makes the router what `wanted` says. Blocks, up to seconds. After the actions it observes again,
/// and plans once more what is still missing: a router that did not become so is a failure,
/// whatever the calls returned. `own_keys`: public halves by generation.
/// `previous`: what the router is, and what to go back to at the first failure. What Dataplane::check
/// refuses is then not begun, and a tunnel goes only when what it carried has another way, when
/// there is one (await_other_paths): over the new links of `bridge` (bind_bridge), which are made
/// before anything else is touched.
/// Without `previous` (at boot, or to repair) there is nothing better than `wanted`, so everything
/// that can be done is done at once and kept, and the first failure is reported: one tunnel that
/// cannot be made does not keep the others from routing. Going back works in this way too.
ApplyReport reconcile(Dataplane& dataplane, const Desired& wanted,
                      const std::map<uint32_t, WireGuardKey>& own_keys,
                      const Desired* previous = nullptr, const Desired* bridge = nullptr);

/// What reconcile() would execute; touches nothing. Errors: as Dataplane::observe.
Result<std::vector<Action>> dry_run(Dataplane& dataplane, const Desired& wanted,
                                    const std::map<uint32_t, WireGuardKey>& own_keys);

}  // namespace mesh
