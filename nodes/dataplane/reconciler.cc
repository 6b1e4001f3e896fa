#include "nodes/dataplane/reconciler.h"

namespace mesh {
namespace {

// One round does the work. A second is for what moved meanwhile, such as a tunnel process that died between
// observe and execute. What is then still missing will not come from trying again now.
constexpr int kRounds = 2;

Error with_step(const Action& action, Error error) {
  return fail_in(to_text(action), std::move(error)).error();
}

/// Executes until the plan is empty and confirms. Appends what it did to `steps`.
Status drive(Dataplane& dataplane, const Desired& wanted, const std::map<uint32_t, WireGuardKey>& own_keys,
             std::vector<std::string>& steps) {
  for (int round = 0;; ++round) {
    auto actions = dry_run(dataplane, wanted, own_keys);
    if (!actions) return std::unexpected(actions.error());
    if (actions->empty()) return dataplane.confirm();
    if (round == kRounds)
      return fail(Errc::io, "the router does not stay as asked, still to do: " + to_text(actions->front()),
                  "look for another program that configures the same interfaces");
    for (const Action& action : *actions) {
      steps.push_back(to_text(action));
      if (auto done = dataplane.execute(action); !done)
        return std::unexpected(with_step(action, done.error()));
    }
  }
}

}  // namespace

std::string_view reconciled_name(Reconciled outcome) {
  switch (outcome) {
    case Reconciled::unchanged: return "unchanged";
    case Reconciled::changed: return "changed";
    case Reconciled::went_back: return "went_back";
    case Reconciled::failed: return "failed";
  }
  return "unknown";
}

ApplyReport reconcile(Dataplane& dataplane, const Desired& wanted, const std::map<uint32_t, WireGuardKey>& own_keys,
                      const Desired* previous) {
  ApplyReport report;
  Status done = drive(dataplane, wanted, own_keys, report.steps);
  if (done) {
    report.outcome = report.steps.empty() ? Reconciled::unchanged : Reconciled::changed;
    return report;
  }
  report.outcome = Reconciled::failed;
  report.error = done.error();
  Status cancelled = dataplane.cancel();
  if (previous == nullptr) {
    if (!cancelled) report.error->message += "; taking back: " + cancelled.error().message;
    return report;
  }
  if (Status back = drive(dataplane, *previous, own_keys, report.back); back)
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
