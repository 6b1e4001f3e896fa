#include "nodes/dataplane/reconciler.h"

#include <algorithm>
#include <span>

namespace mesh {
namespace {

// One round makes what is new, one takes away what is old. A third is for what moved meanwhile, such
// as a tunnel process that died between observe and execute. What is then still missing will not
// come from trying again now.
constexpr int kRounds = 3;

using OwnKeys = std::map<uint32_t, WireGuardKey>;

Error with_step(const Action& action, Error error) {
  return fail_in(to_text(action), std::move(error)).error();
}

enum class OnFailure { stop, go_on };

/// Executes the actions and appends what was done to `steps`. The value is the first failure.
Status execute_all(Dataplane& dataplane, std::span<const Action> actions, OnFailure on_failure,
                   std::vector<std::string>& steps) {
  Status first;
  for (const Action& action : actions) {
    if (auto done = dataplane.execute(action); done)
      steps.push_back(to_text(action));
    else if (first)
      first = std::unexpected(with_step(action, done.error()));
    if (!first && on_failure == OnFailure::stop) break;
  }
  return first;
}

std::vector<std::string> tunnels_removed_by(std::span<const Action> actions) {
  std::vector<std::string> out;
  for (const Action& action : actions)
    if (const auto* removal = std::get_if<RemoveTunnel>(&action)) out.push_back(removal->name);
  return out;
}

/// Takes away what nothing uses any more. Precondition: everything else stands.
Status take_away(Dataplane& dataplane, std::span<const Action> actions, OnFailure on_failure,
                 std::vector<std::string>& steps) {
  // Final before the first tunnel goes: a routing daemon that went back by itself would look for it.
  MESH_TRY(dataplane.confirm());
  const auto going = tunnels_removed_by(actions);
  if (on_failure == OnFailure::stop && !going.empty()) dataplane.await_silence(going);
  return execute_all(dataplane, actions, on_failure, steps);
}

/// Executes until the plan is empty, and confirms.
Status drive(Dataplane& dataplane, const Desired& wanted, const OwnKeys& own_keys,
             OnFailure on_failure, std::vector<std::string>& steps) {
  Status first;
  for (int round = 0; first; ++round) {
    auto actions = dry_run(dataplane, wanted, own_keys);
    if (!actions) return std::unexpected(actions.error());
    if (actions->empty()) break;
    if (round == kRounds) {
      first = fail(Errc::io,
                   "the router does not stay as asked, still to do: " + to_text(actions->front()),
                   "look for another program that configures the same interfaces");
      break;
    }
    const std::span<const Action> all(*actions);
    const size_t removals = removals_at(*actions);
    if (removals == 0) {
      first = take_away(dataplane, all, on_failure, steps);
      continue;
    }
    first = execute_all(dataplane, all.first(removals), on_failure, steps);
    // What could not be made is no reason to keep a tunnel whose key was revoked.
    if (!first && on_failure == OnFailure::go_on)
      static_cast<void>(execute_all(dataplane, all.subspan(removals), on_failure, steps));
  }
  if (!first && on_failure == OnFailure::stop) return first;
  Status confirmed = dataplane.confirm();
  // A peer that cannot be told about is no reason to take the rest back; health() names it.
  static_cast<void>(dataplane.refresh_endpoints(wanted));
  return first ? confirmed : first;
}

std::vector<std::string> going_tunnels(const Desired& before, const Desired& after) {
  std::vector<std::string> out;
  for (const Tunnel& tunnel : before.tunnels)
    if (std::ranges::find(after.tunnels, tunnel.name, &Tunnel::name) == after.tunnels.end())
      out.push_back(tunnel.name);
  return out;
}

/// The actions of `actions` that only add, up to and with the routing daemon's. Nothing when one in
/// between takes something away, to free a port.
std::vector<Action> additions(const std::vector<Action>& actions, const Desired& previous) {
  std::vector<Action> out;
  for (const Action& action : actions) {
    if (std::holds_alternative<RemoveTunnel>(action)) return {};
    const auto* created = std::get_if<CreateTunnel>(&action);
    const bool is_new = created != nullptr &&
                        std::ranges::find(previous.tunnels, created->tunnel.name, &Tunnel::name) ==
                            previous.tunnels.end();
    const bool routing = std::holds_alternative<ConfigureBird>(action);
    if (is_new || routing) out.push_back(action);
    if (routing) return out;
  }
  return {};
}

/// Makes what is new beside what is, and waits until nothing depends on what goes.
Status make_before_break(Dataplane& dataplane, const Desired& wanted, const OwnKeys& own_keys,
                         const Desired& previous, const Desired* bridge,
                         std::vector<std::string>& steps) {
  const auto going = going_tunnels(previous, wanted);
  if (going.empty()) return {};
  const Desired& meanwhile = bridge == nullptr ? previous : *bridge;
  auto observed = dataplane.observe(meanwhile);
  if (!observed) return fail_in("observing the router", observed.error());
  // A router that does not route as `previous` says has nothing that could be kept up.
  if (!observed->bird_running || observed->bird != previous.bird) return {};
  if (bridge != nullptr) {
    const auto actions = additions(plan(*observed, *bridge, own_keys), previous);
    MESH_TRY(execute_all(dataplane, actions, OnFailure::stop, steps));
  }
  dataplane.await_other_paths(going);
  return {};
}

}  // namespace

std::string_view reconciled_name(Reconciled outcome) {
  switch (outcome) {
    case Reconciled::unchanged:
      return "unchanged";
    case Reconciled::changed:
      return "changed";
    case Reconciled::refused:
      return "refused";
    case Reconciled::went_back:
      return "went_back";
    case Reconciled::failed:
      return "failed";
  }
  return "unknown";
}

ApplyReport reconcile(Dataplane& dataplane, const Desired& wanted, const OwnKeys& own_keys,
                      const Desired* previous, const Desired* bridge) {
  ApplyReport report;
  if (previous != nullptr) {
    if (auto possible = dataplane.check(wanted); !possible) {
      report.outcome = Reconciled::refused;
      report.error = fail_in("nothing was touched", possible.error()).error();
      return report;
    }
  }
  Status done;
  if (previous != nullptr)
    done = make_before_break(dataplane, wanted, own_keys, *previous, bridge, report.steps);
  if (done)
    done = drive(dataplane, wanted, own_keys,
                 previous == nullptr ? OnFailure::go_on : OnFailure::stop, report.steps);
  if (done) {
    report.outcome = report.steps.empty() ? Reconciled::unchanged : Reconciled::changed;
    return report;
  }
  report.outcome = Reconciled::failed;
  report.error = done.error();
  if (previous == nullptr) return report;
  Status back = dataplane.cancel();
  if (Status driven = drive(dataplane, *previous, own_keys, OnFailure::go_on, report.back); back)
    back = driven;
  if (back)
    report.outcome = Reconciled::went_back;
  else
    report.error->message += "; going back: " + back.error().message;
  return report;
}

Result<std::vector<Action>> dry_run(Dataplane& dataplane, const Desired& wanted,
                                    const OwnKeys& own_keys) {
  auto observed = dataplane.observe(wanted);
  if (!observed) return fail_in("observing the router", observed.error());
  return plan(*observed, wanted, own_keys);
}

}  // namespace mesh
