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

void NodeHost::check_router() {
  if (router_.executed() != checked_executed_) router_unchecked_ = true;
  checked_executed_ = router_.executed();
  if (frozen_ && router_.state() != *frozen_)
    broken("the router does not change while there is no controller",
           difference(*frozen_));
  if (!router_unchecked_) return;
  rests_.reset();
  const AgentStatus status = agent_->status();
  if (!status.problem.empty()) return;  // it says so; looked at again when it says that all is well
  // What the damage took is unknown until it is fetched: the router keeps what it runs.
  if (damaged_ && status.active == Version()) return;
  const Desired wanted = book_.desired(id_, sign_.public_key(), status.active, status.overlay);
  if (status.active == Version() && router_.state() == DryRunState()) {
    router_unchecked_ = false;
    return;
  }
  if (auto wrong = differs(router_.state(), wanted); !wrong.empty())
    broken("the router is what the log says",
           fmt::format("{} with v{} and the overlay of #{}", wrong, status.active.value(),
                       status.overlay.value()));
  router_unchecked_ = !status.settled;
  if (status.settled) rests_ = router_.state();
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
  if (node->active != status.active)
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
  const bool failed = report != reports.end() && report->second.kind == OutcomeKind::failed &&
                      report->second.activation == node->activation;
  if (status.active != node->active && !failed)
    return say(fmt::format("runs v{} instead of v{}: {}", status.active.value(),
                           node->active.value(), status.problem));
  const Desired wanted = book_.desired(id_, sign_.public_key(), status.active, book_.head());
  if (status.active == Version() && router_.state() == DryRunState()) return {};
  if (auto wrong = differs(router_.state(), wanted); !wrong.empty()) return say(wrong);
  return {};
}

}  // namespace mesh::sim
