// The version that waits for its confirmation: how it begins, goes on after a restart, and ends.
#include <fmt/core.h>

#include <algorithm>
#include <utility>

#include "nodes/deployment.h"

namespace mesh {

namespace {

std::string out_of_time(const PendingVersion& kept) { return fmt::format("not confirmed within {} s", kept.seconds); }

/// Why the log has no confirmation for this node, or none that still counts.
std::string why_closed(const MeshState& state, const Node& node, ActivationId activation) {
  const auto id = activation.value();
  if (node.activation > activation) {
    return fmt::format("activation {} is over, and {} came after it", id, node.activation.value());
  }
  const auto closed = std::ranges::find(state.closed, activation, &ClosedActivation::id);
  if (closed == state.closed.end()) return fmt::format("activation {} waits no more", id);
  switch (closed->how) {
    case ActivationEnd::confirmed:
      return fmt::format("activation {} was confirmed without this node", id);
    case ActivationEnd::cancelled:
      return fmt::format("activation {} was cancelled", id);
    case ActivationEnd::expired:
      return fmt::format("activation {} was not confirmed in time", id);
    case ActivationEnd::failed:
      break;
  }
  return fmt::format("activation {} failed on a node", id);
}

}  // namespace

// --- after a restart ---

/// At boot. True when what waits was applied; else `active` is to be.
bool Deployment::resume(int64_t now) {
  const auto pointers = store_.pointers();
  if (!store_.waiting()) {
    const bool lost = pointers.stage == TrialStage::applied || pointers.stage == TrialStage::healthy;
    if (!lost) return false;
    give_up(pointers.trial, OutcomeKind::reverted, "what it waited for was damaged on the disk");
    (void)store_.clear_pending();  // named at each start until then
    return false;
  }
  const auto kept = *store_.waiting();
  // The crash came while the end was written down.
  if (store_.half_confirmed() || given_up(kept.activation)) return false;
  const auto back = [&](std::string why) {
    if (nothing_of_ours()) remove_everything();
    give_up(kept.activation, OutcomeKind::reverted, std::move(why));
    return false;
  };
  if (kept.boot_id != options_.boot_id) {
    return back(fmt::format("the machine was rebooted while v{} waited for its confirmation", kept.version.value()));
  }
  if (now >= kept.deadline_ms) return back(out_of_time(kept));
  auto config = store_.get_version(kept.version);
  if (!config) return back(text_of(config.error()));
  auto before = active_;
  // Without the others' keys the router stays as it is, until the log tells them.
  if (!overlay_known_) {
    active_ = std::move(*config);
  } else if (auto done = switch_to(std::move(*config)); !done) {
    return back(fmt::format("v{}: {}", kept.version.value(), text_of(done.error())));
  }
  const bool told = pointers.trial == kept.activation;
  trial_.emplace(kept, std::move(before), told && pointers.stage == TrialStage::healthy);
  if (!told) owe({OutcomeKind::applied, kept.activation, kept.version, {}, TrialStage::applied});
  return true;
}

// --- start ---

/// What is gone back to has to be readable when nobody can be asked for it.
Status Deployment::keep_way_back(const Node& node) {
  const auto active = store_.pointers().active;
  if (active == Version() || store_.get_version(active)) return {};
  if (active_) return store_.put_version(active, config_text(*active_), files_of(*active_, overlay_));
  auto fetched = load_version(node, active);
  return fetched ? Status() : std::unexpected(fetched.error());
}

/// Its time runs from here, also while something else has to be fetched first.
void Deployment::hear(const PendingActivation& pending, int64_t now) {
  if (heard_ && heard_->activation == pending.id && heard_->extensions == pending.extensions) return;
  heard_ = Heard{pending.id, pending.extensions, now};
}

void Deployment::begin_trial(const MeshState& state, const Node& node, const PendingActivation& pending, int64_t now) {
  const auto version = pending.find(node.id)->to;
  PendingVersion waiting{pending.id, version, store_.pointers().active, options_.boot_id,
                         heard_->at_ms + int64_t{pending.seconds} * 1000, pending.seconds, pending.extensions, {}};
  if (const auto reason = store_.refused(version)) {
    return give_up(pending.id, OutcomeKind::refused, fmt::format("v{} is refused: {}", version.value(), *reason));
  }
  if (now >= waiting.deadline_ms) {
    return give_up(pending.id, OutcomeKind::failed,
                   fmt::format("v{} could not be applied within {} s: {}", version.value(), pending.seconds,
                               activation_problem_));
  }
  auto config = load_version(node, version);
  auto ready = config ? keep_way_back(node) : std::unexpected(config.error());
  gates_ = make_gates(state, node.id, pending);
  if (gates_.bgp || gates_.bfd) waiting.quiet = quiet_peers(health());
  if (ready) ready = store_.set_waiting(waiting);
  if (!ready) {
    activation_problem_ = text_of(ready.error());
    return;
  }
  // What failed before is tried again when this is over: it is what the log wants then.
  activation_problem_.clear();
  tried_.reset();
  auto before = active_;
  if (auto done = switch_to(std::move(*config)); !done) {
    return give_up(pending.id, OutcomeKind::failed, fmt::format("v{}: {}", version.value(), text_of(done.error())));
  }
  trial_.emplace(std::move(waiting), std::move(before), false);
  kept_on_disk_ = true;
  diverged_ = false;
  trial_problem_.clear();
  next_look_ms_ = now;
  steps_.push_back(fmt::format("v{} waits for the confirmation of activation {}, else v{} comes back in {} s",
                               version.value(), pending.id.value(), store_.pointers().active.value(), pending.seconds));
  owe({OutcomeKind::applied, pending.id, version, {}, TrialStage::applied});
}

// --- while it waits ---

bool Deployment::follow_trial(const MeshState& state, const Node& node, const PendingActivation* pending, int64_t now) {
  const auto kept = trial_->kept();
  const auto* row = pending && pending->id == kept.activation ? pending->find(node.id) : nullptr;
  if (row && row->to == kept.version && !trial_->confirmed()) {
    gates_ = make_gates(state, node.id, *pending);
    if (trial_->extend(*pending, now)) {
      kept_on_disk_ = false;
      steps_.push_back(fmt::format("activation {} has {} s from now on", pending->id.value(), pending->seconds));
    }
    settle_disk();
    return true;
  }
  const bool ours = node.activation == kept.activation && node.active == kept.version;
  if (!ours && !trial_->confirmed()) {
    go_back(OutcomeKind::reverted, why_closed(state, node, kept.activation));
    // In a new epoch numbers are given anew: this one will mean, or means, another activation.
    if (kept.activation >= state.next_activation || (pending && pending->id == kept.activation)) {
      (void)store_.forget_trial();
    }
    return false;
  }
  trial_->confirm();
  settle_disk();
  return trial_.has_value();
}

void Deployment::watch(int64_t now, std::optional<int64_t> heard_ms) {
  if (gates_.empty()) return;
  Sight sight;
  std::vector<IpAddress> targets;
  for (const auto& each : gates_.reach) targets.insert(targets.end(), each.addresses.begin(), each.addresses.end());
  auto bound = bound_to_now(*active_);
  if (!bound) return;  // what runs was bound before
  auto& wanted = bound->desired;
  sight.tunnels = std::move(wanted.tunnels);
  sight.heard_ms = heard_ms;
  if (gates_.bgp || gates_.bfd) {
    if (auto health = dataplane_.health()) sight.health = std::move(*health);
  }
  if (!targets.empty()) {
    if (auto answered = dataplane_.probe(wanted.loopbacks, targets)) sight.answered = std::move(*answered);
  }
  const auto kept = trial_->kept();
  switch (trial_->look(gates_, sight, now)) {
    case Trial::Verdict::waits:
      break;
    case Trial::Verdict::healthy:
      owe({OutcomeKind::healthy, kept.activation, kept.version, {}, TrialStage::healthy});
      break;
    case Trial::Verdict::lost:
      go_back(OutcomeKind::reverted, std::string(trial_->why()));
      break;
  }
}

// --- end ---

/// The router first, then the disk.
void Deployment::go_back(OutcomeKind kind, const std::string& why) {
  const auto kept = trial_->kept();
  const auto active = store_.pointers().active;
  steps_.push_back(fmt::format("v{} goes back to v{}: {}", kept.version.value(), active.value(), why));
  active_ = trial_->before();
  trial_.reset();
  // Without either there is a version that is only damaged on disk: it is fetched like any other.
  if (active_) {
    apply_active();
  } else if (nothing_of_ours()) {
    remove_everything();
  }
  give_up(kept.activation, kind, why);
}

void Deployment::give_up(ActivationId activation, OutcomeKind kind, std::string why) {
  const auto active = store_.pointers().active;
  trial_problem_ = fmt::format("{}, activation {} is over here: {}", running_text(), activation.value(), why);
  owe({kind, activation, active, std::move(why), TrialStage::over});
}

std::string Deployment::running_text() const {
  const auto active = store_.pointers().active;
  return active == Version() ? "no version runs" : fmt::format("v{} runs", active.value());
}

bool Deployment::given_up(ActivationId activation) const {
  const auto& pointers = store_.pointers();
  return (owed_ && owed_->stage == TrialStage::over && owed_->activation == activation) ||
         (pointers.stage == TrialStage::over && pointers.trial == activation);
}

void Deployment::owe(Owed what) {
  owed_ = std::move(what);
  settle_disk();
}

void Deployment::settle_disk() {
  if (owed_) {
    if (auto stored = keep_outcome(*owed_); !stored) {
      activation_problem_ = text_of(stored.error());
      return;
    }
    owed_.reset();
  }
  if (!trial_) {
    // Tried again while the file is there.
    if (store_.half_confirmed()) {
      (void)store_.confirm_waiting();
    } else if (store_.waiting()) {
      (void)store_.clear_pending();
    }
    return;
  }
  Status stored;
  if (trial_->confirmed()) {
    stored = store_.confirm_waiting();
  } else if (!kept_on_disk_) {
    stored = store_.set_waiting(trial_->kept());
  }
  activation_problem_ = stored ? std::string() : text_of(stored.error());
  if (!stored) return;
  kept_on_disk_ = true;
  if (!trial_->confirmed()) return;
  const auto version = trial_->kept().version;
  trial_.reset();
  forget_hold();
  steps_.push_back(fmt::format("v{} is confirmed", version.value()));
  (void)store_.prune_versions(version);  // tried again at the next activation
}

}  // namespace mesh
