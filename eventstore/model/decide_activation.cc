// Deciding about activations: start, confirm, cancel, extend, expire.
#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "eventstore/model/crypto.h"
#include "eventstore/model/decide_internal.h"
#include "eventstore/model/limits.h"
#include "eventstore/model/topology.h"

namespace mesh::deciding {

namespace {

constexpr int64_t kMicros = 1'000'000;

/// Whether, for how long and by which gates a new activation waits.
struct Waiting {
  uint32_t seconds = 0;
  std::vector<std::string> health;
  uint32_t for_s = 0;
};

/// Before rules 3 the names were anybody's: what is no time is none, though rules 3 took it for one modulo 2^32.
uint32_t seconds_of(const MeshState& state, const AttributeValue* value) {
  const auto* seconds = value ? std::get_if<int64_t>(&value->data) : nullptr;
  if (!seconds) return 0;
  return static_cast<uint32_t>(state.rules < 4 ? *seconds : std::clamp<int64_t>(*seconds, 0, UINT32_MAX));
}

/// The time of a log is what its controller said: where it ends, so does every deadline.
Timestamp later(Timestamp time, uint32_t seconds) {
  const int64_t span = int64_t{seconds} * kMicros;
  return Timestamp(time.value() > INT64_MAX - span ? INT64_MAX : time.value() + span);
}

/// What the attributes want: the shortest time, every gate, the longest hold among the targets.
Waiting policy(const MeshState& state, const std::vector<ActivationRow>& rows) {
  Waiting out;
  for (const ActivationRow& row : rows) {
    const Node* node = state.find_node(row.node);
    const Site* site = state.find_site(node->site);
    const uint32_t seconds = seconds_of(state, find_effective(state, site, node, "activation_confirm"));
    if (seconds == 0) continue;
    out.seconds = out.seconds == 0 ? seconds : std::min(out.seconds, seconds);
    out.for_s = std::max(out.for_s, seconds_of(state, find_effective(state, site, node, "activation_health_for")));
    if (const auto* gates = find_effective(state, site, node, "activation_health"))
      for (const std::string& gate : gates->strings())
        if (std::ranges::find(out.health, gate) == out.health.end()) out.health.push_back(gate);
  }
  return out;
}

Status check_gate(const MeshState& state, const std::string& gate) {
  if (gate == "controller" || gate == "bgp" || gate == "bfd") return {};
  constexpr std::string_view kReach = "reach:";
  if (!gate.starts_with(kReach))
    return fail(Errc::invalid, fmt::format("\"{}\" is no gate of health", gate),
                "gates are controller, bgp, bfd and reach:SITE");
  const std::string site = gate.substr(kReach.size());
  if (!state.find_site(site))
    return fail(Errc::not_found, fmt::format("gate {}: site \"{}\" does not exist", gate, site), "meshcli list sites");
  if (state.rules < 4) return {};
  const auto nodes = state.nodes_of(site);
  if (std::ranges::any_of(nodes, [](const Node* node) { return node->enrolment == Enrolment::enrolled; })) return {};
  return fail(Errc::invalid,
              fmt::format("gate {}: no node of site {} is enrolled, so nobody there can answer", gate, site),
              "enrol one first, or leave the gate out");
}

Result<Waiting> waiting(const Case& on, const Activate& c, const std::vector<ActivationRow>& rows) {
  if (on.state.rules < 3 || c.unconfirmed) {
    if (c.confirm_s != 0 || !c.health.empty() || c.for_s != 0)
      return fail(Errc::usage, "an activation either waits for a confirmation or acts at once");
    return Waiting{};
  }
  Waiting out = policy(on.state, rows);
  if (c.confirm_s != 0) out.seconds = c.confirm_s;
  if (!c.health.empty()) out.health = c.health;
  if (c.for_s != 0) out.for_s = c.for_s;
  if (out.seconds == 0 && !out.health.empty()) out.seconds = kConfirmSecondsDefault;
  if (out.seconds == 0 && c.for_s == 0) return Waiting{};
  if (out.health.empty() && c.for_s != 0)
    return fail(Errc::usage, "a time to hold needs gates", "for example --health bgp,bfd --for 30s");
  if (out.seconds < kConfirmSecondsMin || out.seconds > kConfirmSecondsMax)
    return fail(Errc::invalid,
                fmt::format("a confirmation is waited for {} to {} seconds, not {}", kConfirmSecondsMin,
                            kConfirmSecondsMax, out.seconds),
                c.confirm_s != 0 ? "for example --confirmed=10m" : "set the attribute activation_confirm anew");
  if (out.health.empty()) return Waiting{out.seconds, {}, 0};
  if (out.health.size() > kHealthGatesMax)
    return fail(Errc::exhausted, fmt::format("an activation has at most {} gates", kHealthGatesMax));
  for (const std::string& gate : out.health)
    if (auto known = check_gate(on.state, gate); !known)
      return c.health.empty() ? fail_in("attribute activation_health", known.error()) : std::unexpected(known.error());
  if (out.for_s == 0) out.for_s = std::min(kHealthSecondsDefault, out.seconds / 3);
  if (out.for_s > kHealthSecondsMax || out.for_s * 2 > out.seconds)
    return fail(Errc::invalid,
                fmt::format("health for {} s cannot be seen within {} s", out.for_s, out.seconds),
                "wait at least twice as long for the confirmation, or hold for a shorter time");
  return out;
}

std::string names(const MeshState& state, const std::vector<NodeId>& nodes) {
  constexpr size_t kShown = 5;
  std::string out;
  for (size_t i = 0; i < std::min(nodes.size(), kShown); ++i) {
    const Node* node = state.find_node(nodes[i]);
    out += (i == 0 ? "" : ", ") + (node ? node->fullname() : std::to_string(nodes[i].value()));
  }
  if (nodes.size() > kShown) out += fmt::format(" and {} more", nodes.size() - kShown);
  return out;
}

/// Neither a target nor a router at the other end of its links may wait for something else: one would be undone under
/// the other's feet.
Status check_apart(const MeshState& state, const std::vector<ActivationRow>& rows) {
  if (state.pending.empty()) return {};
  auto refuse = [&](NodeId node, const PendingActivation& other, std::string_view how) {
    return fail(Errc::conflict,
                fmt::format("node {} {} activation {}, which waits for its confirmation",
                            state.find_node(node)->fullname(), how, other.id.value()),
                fmt::format("meshcli confirm {0} or meshcli cancel {0}", other.id.value()));
  };
  for (const ActivationRow& row : rows)
    if (const auto* other = pending_of(state, row.node)) return refuse(row.node, *other, "is in");
  const Intent intent(state);
  const Topology topology(intent);
  for (const ActivationRow& row : rows) {
    const auto index = intent.find(row.node);
    if (!index) continue;
    for (size_t peer : topology.peers(*index))
      if (const auto* other = pending_of(state, intent.nodes()[peer].node->id))
        return refuse(intent.nodes()[peer].node->id, *other,
                      fmt::format("is linked with {} and is in", state.find_node(row.node)->fullname()));
  }
  return {};
}

Result<const PendingActivation*> waiting_one(const MeshState& state, ActivationId id) {
  if (auto it = state.pending.find(id); it != state.pending.end()) return &it->second;
  std::string others;
  for (const auto& [other, pending] : state.pending)
    others += (others.empty() ? "" : ", ") + std::to_string(other.value());
  const std::string fix = others.empty() ? "no activation waits for a confirmation" : "these wait: " + others;
  for (const ClosedActivation& closed : state.closed)
    if (closed.id == id)
      return fail(Errc::conflict, fmt::format("activation {} is over: {} by #{}", id.value(), end_name(closed.how),
                                              closed.sequence.value()),
                  fix);
  if (id == ActivationId() || id >= state.next_activation)
    return fail(Errc::not_found, fmt::format("activation {} does not exist", id.value()), fix);
  return fail(Errc::conflict, fmt::format("activation {} does not wait for a confirmation", id.value()), fix);
}

bool ended_as(const MeshState& state, ActivationId id, std::initializer_list<ActivationEnd> how) {
  return std::ranges::any_of(state.closed, [&](const ClosedActivation& closed) {
    return closed.id == id && std::ranges::find(how, closed.how) != how.end();
  });
}

Status check_in_time(const Case& on, const PendingActivation& pending) {
  if (on.context.time < confirm_cutoff(pending)) return {};
  return fail(Errc::conflict,
              fmt::format("it is too late for activation {}: the nodes go back before all of them would hear of it",
                          pending.id.value()),
              "activate again, with more time");
}

bool by_controller(const Case& on) { return on.request.principal.kind == PrincipalKind::controller; }

Status no_evidence(const std::vector<SignedOutcome>& evidence) {
  if (evidence.empty()) return {};
  return fail(Errc::usage, "an operator's word needs no evidence");
}

/// The outcome is a target's own word about this activation.
Status check_evidence(const MeshState& state, const PendingActivation& pending, const SignedOutcome& evidence) {
  const Outcome& outcome = evidence.outcome;
  const Node* node = state.find_node(outcome.node);
  if (!node || !pending.find(outcome.node) || outcome.activation != pending.id)
    return fail(Errc::invalid, fmt::format("the evidence of node {} is not about activation {}", outcome.node.value(),
                                           pending.id.value()));
  if (node->enrolment != Enrolment::enrolled ||
      !verify_signature(node->sign_key, kOutcomeDomain, evidence.bytes, evidence.signature))
    return fail(Errc::unauthenticated, fmt::format("the evidence is not signed by node {}", node->fullname()));
  return {};
}

bool enrolled(const MeshState& state, NodeId id) {
  const Node* node = state.find_node(id);
  return node && node->enrolment == Enrolment::enrolled;
}

/// Every enrolled target said that it is healthy.
Events confirm_by_evidence(const Case& on, const ConfirmActivation& c, const PendingActivation& pending) {
  if (pending.health.empty())
    return fail(Errc::not_permitted, "the controller confirms only what has gates of health");
  std::set<NodeId> healthy;
  for (const SignedOutcome& evidence : c.evidence) {
    MESH_TRY(check_evidence(on.state, pending, evidence));
    if (evidence.outcome.kind != OutcomeKind::healthy)
      return fail(Errc::invalid, fmt::format("node {} does not say that it is healthy", evidence.outcome.node.value()));
    // Numbers of activations come again after a restore, those of versions do not.
    const Version to = pending.find(evidence.outcome.node)->to;
    if (on.state.rules >= 4 && evidence.outcome.version != to)
      return fail(Errc::invalid, fmt::format("node {} is healthy with v{}, not with v{}", evidence.outcome.node.value(),
                                             evidence.outcome.version.value(), to.value()));
    healthy.insert(evidence.outcome.node);
  }
  ActivationConfirmed confirmed{c.activation, {}};
  for (const ActivationRow& row : pending.rows) {
    if (enrolled(on.state, row.node) && !healthy.contains(row.node))
      return fail(Errc::invalid, fmt::format("node {} did not say that it is healthy", row.node.value()));
    confirmed.nodes.push_back(row.node);
  }
  return std::vector<Event>{std::move(confirmed)};
}

}  // namespace

Events decide(const Case& on, const Activate& c) {
  auto scope = resolve(on.state, c.target);
  if (!scope) return std::unexpected(scope.error());
  ActivationStarted started{on.state.next_activation, {}};
  for (const Node* node : on.state.nodes_in(*scope)) {
    Version to = c.version == Version() ? node->latest() : c.version;
    if (!node->find_version(to)) {
      if (scope->level != Level::node) continue;
      if (to == Version())
        return fail(Errc::invalid, fmt::format("node {} has no committed version", node->fullname()),
                    fmt::format("meshcli commit node {}", node->fullname()));
      return fail(Errc::not_found,
                  fmt::format("node {} has no version v{}, its latest is v{}", node->fullname(), to.value(),
                              node->latest().value()),
                  fmt::format("meshcli list versions {}", node->fullname()));
    }
    if (node->active == to && !c.again) continue;
    started.rows.push_back({node->id, node->active, to});
  }
  auto waits = waiting(on, c, started.rows);
  if (!waits) return std::unexpected(waits.error());
  if (started.rows.empty()) return std::vector<Event>{};
  MESH_TRY(check_apart(on.state, started.rows));
  if (waits->seconds > 0) {
    started.confirm_s = waits->seconds;
    started.deadline = later(on.context.time, waits->seconds);
    started.health = std::move(waits->health);
    started.for_s = waits->for_s;
  }
  return std::vector<Event>{std::move(started)};
}

Events decide(const Case& on, const ConfirmActivation& c) {
  if (ended_as(on.state, c.activation, {ActivationEnd::confirmed})) return std::vector<Event>{};
  auto found = waiting_one(on.state, c.activation);
  if (!found) return std::unexpected(found.error());
  const PendingActivation& pending = **found;
  MESH_TRY(check_in_time(on, pending));
  if (by_controller(on)) return confirm_by_evidence(on, c, pending);
  MESH_TRY(no_evidence(c.evidence));
  ActivationConfirmed confirmed{c.activation, {}};
  std::vector<NodeId> missing;
  for (const ActivationRow& row : pending.rows) {
    // Who has no keys runs nothing yet: there is nothing to wait for.
    const bool ready = !enrolled(on.state, row.node) || std::ranges::binary_search(on.context.applied, row.node);
    (ready ? confirmed.nodes : missing).push_back(row.node);
  }
  if (!missing.empty() && (!c.partial || confirmed.nodes.empty()))
    return fail(Errc::conflict,
                fmt::format("{} of {} nodes did not report that they applied activation {}: {}", missing.size(),
                            pending.rows.size(), c.activation.value(), names(on.state, missing)),
                confirmed.nodes.empty()
                    ? fmt::format("wait for them, or meshcli cancel {}", c.activation.value())
                    : fmt::format("wait for them, or leave them as they were: meshcli confirm {} --partial",
                                  c.activation.value()));
  return std::vector<Event>{std::move(confirmed)};
}

Events decide(const Case& on, const CancelActivation& c) {
  using enum ActivationEnd;
  if (ended_as(on.state, c.activation, {cancelled, expired, failed})) return std::vector<Event>{};
  auto found = waiting_one(on.state, c.activation);
  if (!found) return std::unexpected(found.error());
  if (!by_controller(on)) {
    MESH_TRY(no_evidence(c.evidence));
    return std::vector<Event>{ActivationEnded{c.activation, cancelled}};
  }
  const PendingActivation& pending = **found;
  if (pending.health.empty())
    return fail(Errc::not_permitted, "the controller cancels only what has gates of health");
  if (c.evidence.empty()) return fail(Errc::invalid, "no node says that it went back");
  for (const SignedOutcome& evidence : c.evidence) {
    MESH_TRY(check_evidence(on.state, pending, evidence));
    const OutcomeKind kind = evidence.outcome.kind;
    if (kind == OutcomeKind::applied || kind == OutcomeKind::healthy)
      return fail(Errc::invalid, fmt::format("node {} does not say that it went back", evidence.outcome.node.value()));
  }
  return std::vector<Event>{ActivationEnded{c.activation, failed}};
}

Events decide(const Case& on, const ExtendActivation& c) {
  auto found = waiting_one(on.state, c.activation);
  if (!found) return std::unexpected(found.error());
  MESH_TRY(check_in_time(on, **found));
  if (c.seconds < kConfirmSecondsMin || c.seconds > kConfirmSecondsMax)
    return fail(Errc::invalid, fmt::format("an activation is extended by {} to {} seconds, not {}", kConfirmSecondsMin,
                                           kConfirmSecondsMax, c.seconds));
  const Timestamp deadline = later(on.context.time, c.seconds);
  if (deadline <= (*found)->deadline)
    return fail(Errc::invalid, fmt::format("activation {} has more time than that already", c.activation.value()),
                "an extension counts from now; to end it at once: meshcli cancel");
  return std::vector<Event>{ActivationExtended{c.activation, deadline, c.seconds}};
}

Events decide(const Case& on, const ExpireActivation& c) {
  auto found = waiting_one(on.state, c.activation);
  if (!found) return std::unexpected(found.error());
  if (on.context.time < (*found)->deadline)
    return fail(Errc::invalid, fmt::format("activation {} has not expired", c.activation.value()));
  return std::vector<Event>{ActivationEnded{c.activation, ActivationEnd::expired}};
}

}  // namespace mesh::deciding
