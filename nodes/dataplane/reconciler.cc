#include "nodes/dataplane/reconciler.h"

namespace mesh {
namespace {

// One round does the work. A second is for what moved meanwhile, such as a tunnel process that died
// between observe and execute. What is then still missing will not come from trying again now.
constexpr int kRounds = 2;

Error with_step(const Action& action, Error error) {
  return fail_in(to_text(action), std::move(error)).error();
}

enum class OnFailure { stop, go_on };

/// Executes the actions and appends what was done to `steps`. The value is the first failure.
Status execute_all(Dataplane& dataplane, const std::vector<Action>& actions, OnFailure on_failure,
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

/// Executes until the plan is empty, and confirms.
Status drive(Dataplane& dataplane, const Desired& wanted,
             const std::map<uint32_t, WireGuardKey>& own_keys, OnFailure on_failure,
             std::vector<std::string>& steps) {
  Status first;
  for (int round = 0; first; ++round) {
    auto actions = dry_run(dataplane, wanted, own_keys);
    if (!actions) return std::unexpected(actions.error());
    if (actions->empty()) break;
    if (round == kRounds)
      first = fail(Errc::io,
                   "the router does not stay as asked, still to do: " + to_text(actions->front()),
                   "look for another program that configures the same interfaces");
    else
      first = execute_all(dataplane, *actions, on_failure, steps);
  }
  if (!first && on_failure == OnFailure::stop) return first;
  Status confirmed = dataplane.confirm();
  // A peer that cannot be told about is no reason to take the rest back; health() names it.
  static_cast<void>(dataplane.refresh_endpoints(wanted));
  return first ? confirmed : first;
}

}  // namespace

std::string_view reconciled_name(Reconciled outcome) {
  switch (outcome) {
    case Reconciled::unchanged:
      return "unchanged";
    case Reconciled::changed:
      return "changed";
    case Reconciled::went_back:
      return "went_back";
    case Reconciled::failed:
      return "failed";
  }
  return "unknown";
}

ApplyReport reconcile(Dataplane& dataplane, const Desired& wanted,
                      const std::map<uint32_t, WireGuardKey>& own_keys, const Desired* previous) {
  ApplyReport report;
  Status done = drive(dataplane, wanted, own_keys,
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
                                    const std::map<uint32_t, WireGuardKey>& own_keys) {
  auto observed = dataplane.observe(wanted);
  if (!observed) return fail_in("observing the router", observed.error());
  return plan(*observed, wanted, own_keys);
}

}  // namespace mesh
