#include "nodes/deployment.h"

#include <fmt/core.h>

#include <algorithm>
#include <utility>

#include "eventstore/model/crypto.h"
#include "eventstore/model/limits.h"
#include "nodes/dataplane/reconciler.h"
#include "nodes/history.h"
#include "schemas/codec.h"
#include "schemas/config_text.h"

namespace mesh {

namespace {

constexpr uint64_t kSerialMax = uint64_t{1} << 62;  // nobody counts so far: numbering behind it would overflow

/// Equal but for the entry that changed it last.
bool same_effect(Overlay a, const Overlay& b) {
  a.sequence = b.sequence;
  return a == b;
}

std::string text_of(const Error& error) {
  return error.fix.empty() ? error.message : fmt::format("{} ({})", error.message, error.fix);
}

}  // namespace

std::vector<std::string> Deployment::take_steps() { return std::exchange(steps_, {}); }

void Deployment::boot() {
  restore();
  apply_active();
}

void Deployment::restore() {
  overlay_.log = options_.log;
  overlay_.node = options_.node;
  auto stored = store_.overlay();
  overlay_known_ = stored.has_value();
  if (stored) overlay_ = std::move(*stored);
  const auto version = store_.pointers().active;
  if (version == Version()) return;
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
  if (!active_ || !overlay_known_) return;  // a router without a version is not ours to touch
  const auto report = reconcile(dataplane_, bind(*active_, overlay_), options_.own_keys);
  steps_.insert(steps_.end(), report.steps.begin(), report.steps.end());
  dirty_ = !report.ok();
  router_problem_ = report.error ? text_of(*report.error) : std::string();
}

void Deployment::refresh_endpoints() {
  if (!active_) return;
  // The next look tells what is wrong with the router.
  (void)dataplane_.refresh_endpoints(bind(*active_, overlay_));
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

bool Deployment::act(const MeshState& state) {
  const auto steps = steps_.size();
  const auto problem_before = problem();
  const auto pointers = store_.pointers();
  const auto serial = store_.serial();
  const auto* node = state.find_node(options_.node);
  // A history that does not know this node yet says nothing about it; one that removed it does.
  const bool known = node ? node->enrolment != Enrolment::none : state.removed_nodes.contains(options_.node);
  if (!known) return false;
  // Nor does one that was restored and names the keys that were here before ours.
  if (node && held(*node) && node->sign_key != options_.sign_key) return false;
  bind_overlay(state);
  if (!overlay_.revoked) follow(*node);
  if (dirty_) apply_active();
  if (router_problem_.empty() && !overlay_saved_) router_problem_ = "the overlay cannot be stored: is the disk full?";
  return steps_.size() != steps || problem() != problem_before || store_.serial() != serial ||
         store_.pointers().active != pointers.active;
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

void Deployment::follow(const Node& node) {
  wanted_.reset();
  if (held(node)) {
    if (store_.pointers().pending != Version()) (void)store_.clear_pending();  // left by a crash
    activation_problem_ = held_text();
    return;
  }
  if (node.active == Version()) return;
  const auto pointers = store_.pointers();
  const auto refused = store_.refused(node.active);
  const bool stands = active_ && pointers.active == node.active;
  if (pointers.activation == node.activation && (stands || refused)) {
    // Left by a crash, for an activation that was superseded since.
    if (pointers.pending != Version()) (void)store_.clear_pending();
    activation_problem_ = stands ? std::string() : fmt::format("v{} is refused: {}", node.active.value(), *refused);
  } else if (tried_ != node.activation) {
    activate(node);
  }
}

Result<NodeConfig> Deployment::load_version(const Node& node, Version version) {
  const auto* record = node.find_version(version);
  if (!record) return fail(Errc::corrupt, fmt::format("the log does not know v{}", version.value()));
  auto config = store_.get_version(version);
  const bool usable = config && config_digest(*config) == record->digest;
  if (usable) return config;
  if (!config && config.error().code == Errc::unsupported) return config;
  wanted_ = VersionRow{node.id, version, record->digest};
  return fail(Errc::not_found, fmt::format("v{} is not on this disk, fetching it", version.value()));
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
  std::optional<Desired> previous, bridge;
  if (active_) previous = bind(*active_, overlay_);
  if (active_) bridge = bind_bridge(*active_, *config, overlay_);
  const auto report = reconcile(dataplane_, bind(*config, overlay_), options_.own_keys, previous ? &*previous : nullptr,
                                bridge ? &*bridge : nullptr);
  steps_.insert(steps_.end(), report.steps.begin(), report.steps.end());
  steps_.insert(steps_.end(), report.back.begin(), report.back.end());
  if (report.outcome != Reconciled::refused) dirty_ = report.outcome == Reconciled::failed;
  if (!report.ok()) {
    tried_ = node.activation;
    // Before the first version there was nothing of ours; a version that is only damaged on disk may be running.
    if (store_.pointers().active == Version()) (void)dataplane_.remove_all();
    (void)store_.clear_pending();  // a left-over name changes nothing
    record(OutcomeKind::failed, node.activation, fmt::format("v{}: {}", version.value(), text_of(*report.error)));
    return;
  }
  active_ = std::move(*config);
  router_problem_.clear();
  if (auto stored = store_.set_active(version); !stored) {
    activation_problem_ = text_of(stored.error());  // tried again at the next look: the router already is so
    return;
  }
  record(OutcomeKind::applied, node.activation, {});
  (void)store_.prune_versions(version);  // tried again at the next activation
}

SignedOutcome Deployment::sign(Outcome outcome) const {
  SignedOutcome signed_outcome;
  signed_outcome.bytes = encode_outcome(outcome);
  signed_outcome.signature = options_.sign(kOutcomeDomain, signed_outcome.bytes);
  signed_outcome.outcome = std::move(outcome);
  return signed_outcome;
}

void Deployment::record(OutcomeKind kind, ActivationId activation, std::string message) {
  if (message.size() > kMessageBytesMax) message.resize(kMessageBytesMax);
  activation_problem_ = message;
  const auto outcome = sign({options_.node, store_.serial() + 1, kind, activation, store_.pointers().active,
                             std::move(message)});
  if (auto stored = store_.add_outcome(outcome); !stored) activation_problem_ = text_of(stored.error());
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

Status Deployment::take_config(std::string_view text) {
  if (!wanted_) return {};
  const auto row = *wanted_;
  if (sha256(as_bytes(text)) != row.digest) {
    return fail(Errc::corrupt, fmt::format("what was fetched for v{} has another digest", row.version.value()));
  }
  auto config = parse_config_text(text);
  if (!config) return fail_in(fmt::format("reading the fetched v{}", row.version.value()), config.error());
  if (config->node != options_.node) {
    return fail(Errc::corrupt,
                fmt::format("the fetched v{} is for node {}", row.version.value(), config->node.value()));
  }
  MESH_TRY(store_.put_version(row.version, text, rendered_files(*config, overlay_)));
  wanted_.reset();
  return {};
}

Health Deployment::health() {
  auto health = dataplane_.health();
  return health ? std::move(*health) : Health{};
}

}  // namespace mesh
