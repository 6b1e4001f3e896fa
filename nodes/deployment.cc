#include "nodes/deployment.h"

#include <fmt/core.h>

#include <algorithm>
#include <utility>

#include "eventstore/model/crypto.h"
#include "eventstore/model/limits.h"
#include "nodes/dataplane/reconciler.h"
#include "nodes/history.h"
#include "schemas/codec.h"

namespace mesh {

namespace {

constexpr int64_t kLookMs = 1'000;  // between looks at the gates of what waits; what the disk refused is written then
constexpr uint64_t kSerialMax = uint64_t{1} << 62;  // nobody counts so far: numbering behind it would overflow

/// Equal but for the entry that changed it last.
bool same_effect(Overlay a, const Overlay& b) {
  a.sequence = b.sequence;
  return a == b;
}

}  // namespace

struct Deployment::Told {
  size_t steps;
  std::string problem;
  uint64_t serial;
  Version active;
  std::optional<PendingVersion> waiting;
  bool operator==(const Told&) const = default;
};

Deployment::Told Deployment::told() const {
  return {steps_.size(), problem(), store_.serial(), store_.pointers().active,
          trial_ ? std::optional(trial_->kept()) : std::nullopt};
}

std::string Deployment::text_of(const Error& error) {
  return error.fix.empty() ? error.message : fmt::format("{} ({})", error.message, error.fix);
}

std::vector<std::string> Deployment::take_steps() { return std::exchange(steps_, {}); }

const std::string& Deployment::problem() const {
  // A router that is not what it says that it runs matters more than how it came to that.
  if (!trial_problem_.empty() && router_problem_.empty()) return trial_problem_;
  if (!activation_problem_.empty()) return activation_problem_;
  return router_problem_.empty() ? services_problem_ : router_problem_;
}

void Deployment::boot(int64_t now) {
  restore();
  if (!resume(now)) apply_active();
  settle_disk();
}

void Deployment::restore() {
  overlay_.log = options_.log;
  overlay_.node = options_.node;
  auto stored = store_.overlay();
  overlay_known_ = stored.has_value();
  if (stored) overlay_ = std::move(*stored);
  const auto version = store_.pointers().active;
  if (version == Version()) {
    const auto known = store_.problems().size();
    active_ = store_.inherited();
    if (store_.problems().size() > known) router_problem_ = store_.problems().back();
    return;
  }
  auto config = store_.get_version(version);
  if (!config) {
    // The router keeps what it runs; the log tells the digest to fetch.
    router_problem_ = text_of(config.error());
    return;
  }
  active_ = std::move(*config);
  // Without the others' keys it would take the tunnels down: the log tells them.
  if (!overlay_known_) router_problem_ = "overlay.json cannot be read";
}

void Deployment::apply_active() {
  dirty_ = false;
  if (!bindable()) return;  // a router without a version is not ours to touch
  const auto bound = bound_to_now(*active_);
  if (!bound) {
    dirty_ = true;
    router_problem_ = text_of(bound.error());
    return;
  }
  if (options_.services) options_.services->start(bound->services);
  const auto report = reconcile(dataplane_, bound->desired, options_.own_keys);
  steps_.insert(steps_.end(), report.steps.begin(), report.steps.end());
  dirty_ = !report.ok();
  router_problem_ = report.error ? text_of(*report.error) : std::string();
  apply_services(bound->services);
}

void Deployment::apply_services(const WantedServices& wanted) {
  if (!options_.services) return;
  auto& services = *options_.services;
  const auto done = services.apply(wanted, nullptr);
  services_problem_ = done ? services.problem() : text_of(done.error());
  take_service_steps();
}

void Deployment::take_service_steps() {
  const auto steps = options_.services->take_steps();
  steps_.insert(steps_.end(), steps.begin(), steps.end());
}

void Deployment::remove_everything() {
  (void)dataplane_.remove_all();  // tried again with the next apply
  if (options_.services) apply_services({});
}

void Deployment::refresh_endpoints() {
  if (!active_) return;
  // The next look tells what is wrong with the router.
  if (const auto bound = bound_to_now(*active_)) (void)dataplane_.refresh_endpoints(bound->desired);
}

/// A version of another log keeps the keys of then.
Result<BoundVersion> Deployment::bound_to_now(const StoredVersion& version) const {
  const bool then = version.taken_over && !overlay_.revoked;
  return bind_version(version, then ? version.taken_over->overlay : overlay_);
}

/// Nothing that runs on this router was ever put there by us.
bool Deployment::nothing_of_ours() const {
  return store_.pointers().active == Version() && !store_.has_inherited();
}

void Deployment::bind_overlay(const MeshState& state) {
  const auto* node = state.find_node(options_.node);
  Overlay overlay;
  if (node) overlay = make_overlay(state, options_.node);
  overlay.log = options_.log;
  overlay.node = options_.node;
  const bool ours = node && node->enrolment == Enrolment::enrolled && node->sign_key == options_.sign_key;
  if (!ours) overlay.revoked = true;
  if (!std::exchange(overlay_known_, true) || !same_effect(overlay_, overlay)) {
    dirty_ = true;
    tried_.reset();
  }
  if (overlay_ != overlay) overlay_saved_ = false;
  overlay_ = std::move(overlay);
  // Acting comes before storing: a revocation must not wait for a full disk.
  if (!overlay_saved_) overlay_saved_ = store_.save_overlay(overlay_).has_value();
}

bool Deployment::act(const MeshState& state, int64_t now) {
  const auto before = told();
  const auto* node = state.find_node(options_.node);
  // A history that does not know this node yet says nothing about it; one that removed it does.
  const bool known = node ? node->enrolment != Enrolment::none : state.removed_nodes.contains(options_.node);
  if (!known) return false;
  // Nor does one that was restored and names the keys that were here before ours.
  if (node && held(*node) && node->sign_key != options_.sign_key) return false;
  bind_overlay(state);
  if (overlay_.revoked && trial_) go_back(OutcomeKind::reverted, "this node was revoked");
  if (!overlay_.revoked) follow(state, *node, now);
  if (dirty_) apply_active();
  if (router_problem_.empty() && !overlay_saved_) router_problem_ = "the overlay cannot be stored: is the disk full?";
  return told() != before;
}

bool Deployment::tick(int64_t now, std::optional<int64_t> heard_ms) {
  if (!trial_ && !owed_ && !store_.waiting()) return false;
  const auto before = told();
  if (trial_ && trial_->expired(now)) {
    go_back(OutcomeKind::reverted, fmt::format("not confirmed within {} s", trial_->kept().seconds));
  }
  if (next_look_ms_ <= now) {
    next_look_ms_ = now + kLookMs;
    settle_disk();
    if (trial_) watch(now, heard_ms);
  }
  return told() != before;
}

/// Something else runs than the log names, on purpose, and nothing was activated since.
bool Deployment::held(const Node& node) const {
  const auto& pointers = store_.pointers();
  return pointers.held == node.activation && pointers.active != node.active && pointers.active != Version();
}

std::string Deployment::held_text() const {
  const auto& pointers = store_.pointers();
  return pointers.held_why.empty()
             ? fmt::format("v{} stays, which the restored log does not know as active: activate a version",
                           pointers.active.value())
             : fmt::format("v{} stays, {}: activate another version", pointers.active.value(), pointers.held_why);
}

/// Something newer was followed. What cannot be removed now goes with the next one.
void Deployment::forget_hold() {
  if (store_.pointers().held) (void)store_.hold(std::nullopt);
}

void Deployment::follow(const MeshState& state, const Node& node, int64_t now) {
  wanted_.reset();
  const auto* pending = pending_of(state, node.id);
  if (trial_ && follow_trial(state, node, pending, now)) return;
  const bool over = pending && given_up(pending->id);
  diverged_ = is_diverged(node);
  if (diverged_) {
    trial_problem_ = fmt::format("{}, {} for v{}: activate again", running_text(), late_text(node.activation),
                                 node.active.value());
  } else if (!over) {
    trial_problem_.clear();
  } else if (trial_problem_.empty()) {
    trial_problem_ = fmt::format("{}, activation {} is over here", running_text(), pending->id.value());
  }
  if (pending && !over) hear(*pending, now);
  if (!diverged_) follow_active(node);
  // What is gone back to comes first.
  if (pending && !over && !wanted_) begin_trial(state, node, *pending, now);
}

std::string Deployment::late_text(ActivationId activation) {
  return fmt::format("this node had gone back when activation {} was confirmed", activation.value());
}

/// The log confirmed what was gone back from here. Held, because the next trial is remembered in the place of this one.
bool Deployment::is_diverged(const Node& node) {
  const auto& pointers = store_.pointers();
  if (pointers.active == node.active) return false;
  const auto why = late_text(node.activation);
  const bool late = given_up(node.activation) && pointers.activation != node.activation;
  const bool known = pointers.held == node.activation && pointers.held_why == why;
  if (late && !known) (void)store_.hold(node.activation, why);  // at the next look, when the disk refuses
  return late || known;
}

void Deployment::follow_active(const Node& node) {
  if (held(node)) {
    if (store_.pointers().pending != Version() && !store_.waiting()) (void)store_.clear_pending();  // left by a crash
    activation_problem_ = held_text();
    return;
  }
  if (node.active == Version()) return;
  const auto pointers = store_.pointers();
  const auto refused = store_.refused(node.active);
  const bool stands = active_ && pointers.active == node.active;
  if (pointers.activation == node.activation && (stands || refused)) {
    // Left by a crash, for an activation that was superseded since.
    if (pointers.pending != Version() && !store_.waiting()) (void)store_.clear_pending();
    activation_problem_ = stands ? std::string() : fmt::format("v{} is refused: {}", node.active.value(), *refused);
  } else if (tried_ != node.activation) {
    activate(node);
  }
}

Result<StoredVersion> Deployment::load_version(const Node& node, Version version) {
  const auto* record = node.find_version(version);
  if (!record) return fail(Errc::corrupt, fmt::format("the log does not know v{}", version.value()));
  auto config = store_.get_version(version);
  const bool usable = config && config_digest(*config) == record->digest;
  if (usable) return config;
  if (!config && config.error().code == Errc::unsupported) return config;
  const VersionRow row{node.id, version, record->digest};
  if (auto begun = fetch_.begin(row); !begun) return std::unexpected(begun.error());
  // All of it may be here since before a restart.
  auto whole = fetch_.settle(overlay_);
  if (!whole) return std::unexpected(whole.error());
  if (*whole) return store_.get_version(version);
  wanted_ = row;
  const auto progress = fetch_.progress();
  return fail(Errc::not_found, fmt::format("v{} is not on this disk, fetching it{}{}", version.value(),
                                           progress.empty() ? "" : ": ", progress));
}

Status Deployment::prepare(const BoundVersion& bound) {
  if (!options_.services) {
    if (bound.services == WantedServices{}) return {};
    return fail(Errc::unsupported, "this program has no services, and the version wants some");
  }
  auto done = options_.services->check(bound.services);
  // Once a script has run it has run: whatever else could be in the way is asked first.
  const bool starts = done && options_.services->starts(bound.services);
  if (starts) done = dataplane_.check(bound.desired);
  if (starts && done) options_.services->start(bound.services);
  take_service_steps();
  return done ? done : fail_in("nothing was touched", done.error());
}

Status Deployment::switch_router(const BoundVersion& bound, const BoundVersion* before, const NodeConfig& config) {
  std::optional<Desired> bridge;
  // What files make of a router between the two nobody knows.
  const bool same_log = !active_ || !active_->taken_over;
  if (before && before->generated && bound.generated && same_log) bridge = bind_bridge(*active_, config, overlay_);
  const auto report = reconcile(dataplane_, bound.desired, options_.own_keys, before ? &before->desired : nullptr,
                                bridge ? &*bridge : nullptr);
  steps_.insert(steps_.end(), report.steps.begin(), report.steps.end());
  steps_.insert(steps_.end(), report.back.begin(), report.back.end());
  if (report.outcome != Reconciled::refused) dirty_ = report.outcome == Reconciled::failed;
  return report.ok() ? Status() : std::unexpected(*report.error);
}

Status Deployment::switch_to(StoredVersion version) {
  auto bound = bound_to_now(version);
  if (!bound) return fail_in("nothing was touched", bound.error());
  std::optional<BoundVersion> before;
  if (active_)
    if (auto is = bound_to_now(*active_)) before = std::move(*is);
  auto done = prepare(*bound);
  const bool prepared = done.has_value();
  if (done) done = switch_router(*bound, before ? &*before : nullptr, version);
  const bool switched = done.has_value();
  if (done && options_.services) {
    done = options_.services->apply(bound->services, before ? &before->services : nullptr);
    take_service_steps();
  }
  if (done) {
    steps_.insert(steps_.end(), bound->notes.begin(), bound->notes.end());
    services_problem_ = options_.services ? options_.services->problem() : std::string();
    active_ = std::move(version);
    router_problem_.clear();
    return {};
  }
  done.error().message = name_lines(bound->bird, done.error().message);
  // Before the first version there was nothing of ours; a version that is only damaged on disk may be running.
  if (nothing_of_ours()) {
    remove_everything();
  } else if (before && prepared) {
    if (options_.services) options_.services->start(before->services);
    if (switched) dirty_ = !switch_router(*before, nullptr, *active_);
    if (options_.services) take_service_steps();
  }
  return done;
}

void Deployment::activate(const Node& node) {
  const auto version = node.active;
  if (const auto reason = store_.refused(version)) {
    record(OutcomeKind::refused, node.activation, fmt::format("v{} is refused: {}", version.value(), *reason));
    return;
  }
  auto config = load_version(node, version);
  if (!config) {
    activation_problem_ = text_of(config.error());
    return;
  }
  if (auto pending = store_.set_pending(version); !pending) {
    activation_problem_ = text_of(pending.error());
    return;
  }
  if (auto done = switch_to(std::move(*config)); !done) {
    tried_ = node.activation;
    (void)store_.clear_pending();  // a left-over name changes nothing
    record(OutcomeKind::failed, node.activation, fmt::format("v{}: {}", version.value(), text_of(done.error())));
    return;
  }
  if (auto stored = store_.set_active(version); !stored) {
    activation_problem_ = text_of(stored.error());  // tried again at the next look: the router already is so
    return;
  }
  record(OutcomeKind::applied, node.activation, {});
  forget_hold();
  (void)store_.prune_versions(version);  // tried again at the next activation
}

SignedOutcome Deployment::sign(Outcome outcome) const {
  SignedOutcome signed_outcome;
  signed_outcome.bytes = encode_outcome(outcome);
  signed_outcome.signature = options_.sign(kOutcomeDomain, signed_outcome.bytes);
  signed_outcome.outcome = std::move(outcome);
  return signed_outcome;
}

Status Deployment::keep_outcome(const Owed& what) {
  auto message = what.message.substr(0, kMessageBytesMax);
  const auto outcome =
      sign({options_.node, store_.serial() + 1, what.kind, what.activation, what.version, std::move(message)});
  return store_.add_outcome(outcome, what.stage);
}

void Deployment::record(OutcomeKind kind, ActivationId activation, std::string message) {
  activation_problem_ = message;
  const auto stored = keep_outcome({kind, activation, store_.pointers().active, std::move(message), TrialStage::none});
  if (!stored) activation_problem_ = text_of(stored.error());
}

Status Deployment::acknowledge(uint64_t serial) {
  if (serial <= store_.serial()) return store_.acknowledge(serial);
  if (serial > kSerialMax) return fail(Errc::corrupt, fmt::format("the controller acknowledges outcome {}", serial));
  auto outcomes = store_.outcomes();
  for (auto& each : outcomes) {
    each.outcome.serial = ++serial;
    each = sign(std::move(each.outcome));
  }
  return store_.renumber(std::move(outcomes), serial);
}

Result<bool> Deployment::take_blob(const Digest& digest, ByteView bytes) {
  if (!wanted_) return false;
  if (auto taken = fetch_.take(digest, bytes); !taken) {
    if (store_.refused(wanted_->version)) wanted_.reset();  // act() tells
    return std::unexpected(taken.error());
  }
  auto whole = fetch_.settle(overlay_);
  if (whole && *whole) wanted_.reset();
  return whole;
}

Health Deployment::health() {
  auto health = dataplane_.health();
  return health ? std::move(*health) : Health{};
}

}  // namespace mesh
