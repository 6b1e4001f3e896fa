// The claims about one router.
#include <fmt/format.h>

#include <algorithm>

#include "eventstore/model/canonical.h"
#include "schemas/codec.h"
#include "tests/sim/node_host.h"

namespace mesh::sim {

namespace {

/// Empty, or how the router differs from what it shall be.
std::string differs(const DryRunState& router, const Desired& wanted) {
  if (router.unconfirmed) return "its routing configuration is not confirmed";
  for (const Tunnel& tunnel : wanted.tunnels) {
    auto there = router.tunnels.find(tunnel.name);
    if (there == router.tunnels.end()) return "tunnel " + tunnel.name + " is missing";
    Tunnel is = there->second;
    // A peer that is behind NAT now may still be dialled where it was: what WireGuard knows of it
    // stays.
    if (tunnel.endpoint_host.empty()) is.endpoint_host.clear(), is.endpoint_port = 0;
    if (is != tunnel)
      return fmt::format("tunnel {} is not\n{}but\n{}", tunnel.name, render_wireguard(tunnel),
                         render_wireguard(is));
  }
  for (const auto& [name, tunnel] : router.tunnels)
    if (std::ranges::find(wanted.tunnels, name, &Tunnel::name) == wanted.tunnels.end())
      return "tunnel " + name + " should not be there";
  auto loopbacks = wanted.loopbacks;
  if (router.loopbacks != loopbacks) return "its loopbacks are others";
  for (const auto& [name, value] : wanted.sysctls) {
    auto there = router.sysctls.find(name);
    if (there == router.sysctls.end() || there->second != value)
      return "sysctl " + name + " is another";
  }
  if (router.bird != wanted.bird) return "its bird.conf is another";
  return {};
}

}  // namespace

std::string NodeHost::difference(const DryRunState& before) const {
  return fmt::format("it was\n{}and is\n{}", state_text(before), state_text(router_.state()));
}

void NodeHost::check_replica() {
  const History& history = agent_->history();
  const Sequence head = history.head();
  if (head > book_.head() || history.verified() > book_.head())
    broken("every replica is a prefix of the log",
           fmt::format("#{}, verified #{}; the log has #{}", head.value(),
                       history.verified().value(), book_.head().value()));
  if (!options_.hostile && history.refusal())
    broken("an honest controller is never refused", history.refusal()->reason);
  // Beyond a checkpoint a damaged header may pass for a while: nothing is acted on before it is
  // found.
  const bool proved = !options_.hostile || history.verified() == head;
  if (proved && head != checked_head_ && head != Sequence()) {
    checked_head_ = head;
    router_unchecked_ = true;
    if (history.root() != book_.root(head))
      broken("every replica is a prefix of the log",
             fmt::format("another root at #{}", head.value()));
    if (state_digest(history.state()) != book_.digest(head))
      broken("every replica has the log's state",
             fmt::format("another digest at #{}", head.value()));
  }
  if (history.settled() && history.disk_problem().empty()) acted_ = std::max(acted_, head);
  const Sequence overlay = agent_->status().overlay;
  if (overlay > history.verified() && !damaged_)
    broken("a router acts only on what is proved",
           fmt::format("it has bound the overlay of #{}, proved is #{}", overlay.value(), history.verified().value()));
}

/// One key, one history: what a node believes is a checkpoint of the log, and never an older one.
void NodeHost::check_checkpoint() {
  const History& history = agent_->history();
  const std::string& note = history.checkpoint();
  if (note == noted_ || note.empty() || !history.settled() || !history.disk_problem().empty()) return;
  noted_ = note;
  const auto checkpoint = parse_checkpoint_text(note);
  if (!checkpoint) broken("checkpoints are well-formed", checkpoint.error().message);
  const Sequence size(checkpoint->size);
  if (size > book_.head() || checkpoint->root != book_.root(size))
    broken("no two inconsistent checkpoints are accepted", fmt::format("another history of {} entries", size.value()));
  if (size < noted_size_)
    broken("no older checkpoint is accepted",
           fmt::format("one of {} entries after one of {}", size.value(), noted_size_.value()));
  noted_size_ = size;
}

/// Whatever failed on the way: the routing is one version's as a whole, and so is each tunnel.
void NodeHost::check_unmixed() {
  if (router_.executed() == checked_executed_) return;
  const DryRunState& router = router_.state();
  const auto known = [&] {
    if (!router.running_bird().empty() && !known_birds_.contains(router.running_bird())) return false;
    return std::ranges::all_of(router.tunnels, [&](const auto& each) {
      Tunnel is = each.second;
      is.endpoint_host.clear(), is.endpoint_port = 0;
      return std::ranges::find(known_tunnels_[each.first], is) != known_tunnels_[each.first].end();
    });
  };
  if (known()) return;
  const Sequence overlay = agent_->status().overlay;
  const Node* node = book_.state().find_node(id_);
  if (!node && book_.state().removed_nodes.contains(id_)) node = &*book_.state().removed_nodes.at(id_);
  for (const VersionRecord& record : node ? node->versions : std::vector<VersionRecord>{}) {
    const Desired desired = book_.desired(id_, sign_.public_key(), record.version, overlay);
    known_birds_.insert(desired.bird);
    for (Tunnel tunnel : desired.tunnels) {
      tunnel.endpoint_host.clear(), tunnel.endpoint_port = 0;
      known_tunnels_[tunnel.name].push_back(std::move(tunnel));
    }
  }
  if (known()) return;
  // Died on the way from one to another, where the links of both stand beside each other.
  for (const VersionRecord& from : node ? node->versions : std::vector<VersionRecord>{})
    for (const VersionRecord& to : node->versions)
      if (auto between = book_.bridge(id_, sign_.public_key(), from.version, to.version, overlay))
        known_birds_.insert(between->bird);
  if (!known()) broken("no mixed configuration", "part of it belongs to no version");
}

/// What it says of activations, as soon as it is on its disk.
void NodeHost::look_at_outcomes() {
  const auto same = [](const SignedOutcome& now, const Outcome& before) {
    Outcome is = now.outcome;
    is.serial = before.serial;
    return is == before && now.outcome.serial > before.serial;
  };
  const auto& kept = store_->outcomes();
  // The log has more of them than a damaged disk knew: what waits was numbered anew behind those.
  if (!kept.empty() && std::ranges::equal(kept, kept_, same)) looked_at_ = kept.back().outcome.serial;
  kept_.clear();
  for (const SignedOutcome& each : kept) {
    const Outcome& outcome = kept_.emplace_back(each.outcome);
    if (outcome.serial <= looked_at_) continue;
    looked_at_ = outcome.serial;
    const bool runs = outcome.kind == OutcomeKind::applied || outcome.kind == OutcomeKind::healthy;
    const auto back = gone_back_.find(outcome.activation);
    // What it went back to may be the same version: then it runs what the log wants.
    if (runs && back != gone_back_.end() && back->second != outcome.version)
      broken("what went back is not followed later", fmt::format("activation {}", outcome.activation.value()));
    if (runs) book_.applied(id_, outcome.activation);
    if (outcome.kind != OutcomeKind::reverted) continue;
    gone_back_[outcome.activation] = outcome.version;
    once_back_.insert(outcome.activation);
  }
}

/// Counts beside it: from when it hears of an activation that waits, and of every extension.
void NodeHost::watch_trial(const AgentStatus& status) {
  if (!status.settled) return;
  const PendingActivation* pending = pending_of(agent_->state(), id_);
  if (!pending) return;
  const int64_t deadline = clock_.now() + int64_t{pending->seconds} * 1'000;
  if (!watch_ || watch_->id != pending->id) {
    if (has_place()) watch_ = Watch{pending->id, deadline, pending->extensions};
  } else if (pending->extensions > watch_->extensions) {
    watch_->deadline = std::max(watch_->deadline, deadline);
    watch_->extensions = pending->extensions;
  }
}

void NodeHost::check_trial(const AgentStatus& status) {
  watch_trial(status);
  const bool on_trial = status.pending_activation != ActivationId() && status.problem.empty();
  if (on_trial && watch_ && watch_->id == status.pending_activation) watch_->begun = true;
  if (on_trial && status.pending_activation == rebooted_)
    broken("a reboot ends what waits", fmt::format("activation {} goes on", rebooted_.value()));
  constexpr int64_t kBoundMs = 2'000;
  const int64_t now = clock_.now();
  if (on_trial && watch_ && watch_->id == status.pending_activation && now > watch_->deadline + kBoundMs &&
      now > excused_until_)
    broken("an unconfirmed activation is undone by its deadline",
           fmt::format("v{} of activation {} runs {} ms after it", status.pending.value(), watch_->id.value(),
                       now - watch_->deadline));
  const Node* node = status.settled ? agent_->state().find_node(id_) : nullptr;
  const auto back = node ? gone_back_.find(node->activation) : gone_back_.end();
  if (back != gone_back_.end() && back->second != node->active && status.active == node->active)
    broken("what went back is not followed later",
           fmt::format("v{} by activation {}", status.active.value(), node->activation.value()));
}

bool NodeHost::followed(const AgentStatus& status) {
  if (!status.settled) return true;
  const MeshState& state = agent_->state();
  const Node* node = state.find_node(id_);
  const PendingActivation* pending = pending_of(state, id_);
  return node && node->active == status.active && make_overlay(state, id_).sequence == status.overlay &&
         (!pending || pending->id == status.pending_activation);
}

void NodeHost::check_router() {
  if (router_.executed() != checked_executed_) router_unchecked_ = true;
  checked_executed_ = router_.executed();
  const AgentStatus status = agent_->status();
  check_trial(status);
  // Its own deadline, or a gate that is down, may change it: to what was before, which is checked below.
  if (frozen_ && status.pending_activation != frozen_trial_) frozen_.reset();
  if (frozen_ && router_.state() != *frozen_)
    broken("the router does not change while there is no controller",
           difference(*frozen_));
  if (!router_unchecked_) return;
  rests_.reset();
  // It says so; looked at again when it says that all is well. That something went back is no reason to look away.
  const bool back = status.problem.find(" is over here") != std::string::npos ||
                    status.problem.find(" had gone back when ") != std::string::npos;
  const bool over = back && clock_.now() > excused_until_;
  if (!status.problem.empty() && !over) {
    checked_active_ = status.active;  // what it wants by then is looked at when it is at the head
    return;
  }
  // What the damage took is unknown until it is fetched: the router keeps what it runs.
  if (damaged_ && status.active == Version()) return;
  const bool on_trial = !over && status.pending_activation != ActivationId();
  const Version runs = on_trial ? status.pending : status.active;
  const Desired wanted = book_.desired(id_, sign_.public_key(), runs, status.overlay);
  if (runs == Version() && router_.state() == DryRunState()) {
    router_unchecked_ = false;
    return;
  }
  if (auto wrong = differs(router_.state(), wanted); !wrong.empty())
    broken("the router is what the log says",
           fmt::format("{} with v{} and the overlay of #{}", wrong, runs.value(),
                       status.overlay.value()));
  router_unchecked_ = !status.settled;
  if (status.settled && !on_trial && !over) rests_ = router_.state();
  if (over) return;
  const Node* node = agent_->state().find_node(id_);
  const bool placed =
      node && node->enrolment == Enrolment::enrolled && node->sign_key == sign_key();
  // Behind the log it may wait for what is on its way, rather than do what is superseded already.
  const bool moved = status.active != std::exchange(checked_active_, status.active);
  if (!status.settled || !placed || (!moved && status.sequence != book_.head())) return;
  if (const Sequence newest = make_overlay(agent_->state(), id_).sequence; status.overlay != newest)
    broken("keys and revocations act at once",
           fmt::format("it has bound the overlay of #{}, the newest is #{}", status.overlay.value(),
                       newest.value()));
  if (!on_trial && node->active != status.active)
    broken("the active version moves as the log says",
           fmt::format("it runs v{}, at #{} the log wants v{}", status.active.value(),
                       status.sequence.value(), node->active.value()));
}

void NodeHost::check_outcome(const Bytes& frame) {
  auto message = decode_message(frame);
  if (!message) broken("what a node says decodes", message.error().message);
  const auto* sent = std::get_if<OutcomeMessage>(&message->body);
  if (!sent) return;
  const Outcome& outcome = sent->outcome.outcome;
  if (outcome.kind == OutcomeKind::refused)
    broken("an honest controller is never refused", outcome.message);
  auto [known, fresh] = outcomes_.emplace(outcome.serial, sent->outcome.bytes);
  if (!fresh && known->second != sent->outcome.bytes)
    broken("an outcome never changes", fmt::format("outcome {}", outcome.serial));
  if (fresh && outcome.kind == OutcomeKind::applied) applied_.push_back(outcome.activation);
}

std::string NodeHost::unfinished() {
  // Without an answer there is nobody to ask: its token is closed, and so is the door.
  if (!joined())
    return waiting_ || !network_.is_connected(enrol_line_) ? "" : name_ + " has no answer";
  if (!has_place()) return {};
  if (!agent_) return name_ + " does not run";
  const AgentStatus status = agent_->status();
  const auto say = [&](const std::string& what) {
    return fmt::format("{} (node {}) {}", name_, id_.value(), what);
  };
  if (status.sequence != book_.head())
    return say(fmt::format("is at #{}", status.sequence.value()));
  if (!status.settled) return say("is not settled");
  if (agent_->history().root() != book_.root(book_.head())) return say("has another root");
  if (state_digest(agent_->state()) != book_.digest(book_.head())) return say("has another state");
  if (status.outcomes_waiting > 0) return say("has outcomes that nobody acknowledged");
  const auto& reports = book_.state().reports;
  const auto report = reports.find(id_);
  const uint64_t reported = report == reports.end() ? 0 : report->second.serial;
  if (reported < store_->serial()) return say("has outcomes that are not in the log");
  const Node* node = book_.state().find_node(id_);
  const bool failed = report != reports.end() && report->second.kind != OutcomeKind::applied &&
                      report->second.kind != OutcomeKind::healthy &&
                      report->second.activation == node->activation;
  // What bits flipped in it may have forgotten that; one that still knows stays where it is.
  const bool knows = once_back_.contains(node->activation) && status.state.starts_with("diverged: ");
  const bool left = failed || knows || gone_back_.contains(node->activation);
  if (status.active != node->active && !left)
    return say(fmt::format("runs v{} instead of v{}: {}", status.active.value(),
                           node->active.value(), status.problem));
  const Desired wanted = book_.desired(id_, sign_.public_key(), status.active, book_.head());
  if (status.active == Version() && router_.state() == DryRunState()) return {};
  if (auto wrong = differs(router_.state(), wanted); !wrong.empty()) return say(wrong);
  return {};
}

}  // namespace mesh::sim
