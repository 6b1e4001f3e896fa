#include "tests/sim/history_book.h"

#include <fmt/format.h>

#include "eventstore/model/canonical.h"
#include "eventstore/model/compile.h"
#include "schemas/codec.h"
#include "schemas/config_text.h"
#include "tests/sim/trace.h"

namespace mesh::sim {

void HistoryBook::observe(const EventLog& log) {
  if (log.head() < head())
    throw ClaimBroken("what was readable stays", fmt::format("the log went from #{} back to #{}",
                                                             head().value(), log.head().value()));
  if (log.head() == head()) {
    if (log.frontier().root() != replica_.frontier.root())
      throw ClaimBroken("what was readable stays",
                        fmt::format("another history up to #{}", head().value()));
    return;
  }
  while (head() < log.head()) {
    const Sequence at = next(head());
    auto read = log.read(at, SIZE_MAX, 1);
    auto entry = read && !read->empty() ? decode_entry(read->front())
                                        : fail(Errc::corrupt, "cannot be read");
    if (!entry)
      throw ClaimBroken("every entry decodes",
                        fmt::format("#{}: {}", at.value(), entry.error().message));
    const MeshState before = replica_.state;
    if (entry->header.time < before.time)
      throw ClaimBroken("the time of entries never goes back", fmt::format("it does at #{}", at.value()));
    if (auto replayed = replay(replica_, *entry, log_); !replayed)
      throw ClaimBroken("every entry replays", replayed.error().message);
    if (auto broken = check_invariants(replica_.state); !broken.empty())
      throw ClaimBroken("the invariants of the state hold",
                        fmt::format("after #{}: {}", at.value(), broken));
    const auto& id = entry->body->request.id;
    if (auto [there, fresh] = requests_.emplace(id, at); !fresh)
      throw ClaimBroken(
          "a request is in the log once",
          fmt::format("{} is #{} and #{}", to_hex(id.view()), there->second.value(), at.value()));
    check_commit(log, before, *entry);
    check_activations(before, *entry);
    records_.push_back({std::move(read->front()),
                        std::move(*entry),
                        replica_.frontier.root(),
                        replica_.state,
                        {}});
  }
  if (log.frontier().root() != replica_.frontier.root())
    throw ClaimBroken("the log's tree is over its entries",
                      fmt::format("not at #{}", head().value()));
}

void HistoryBook::check_commit(const EventLog& log, const MeshState& before, const Entry& entry) {
  for (const Event& event : entry.body->events) {
    const auto* committed = std::get_if<VersionsCommitted>(&event);
    if (!committed) continue;
    for (const VersionRow& row : committed->rows) {
      const auto what = fmt::format("v{} of node {} in #{}", row.version.value(), row.node.value(),
                                    entry.header.sequence.value());
      auto blob = log.get_blob(row.digest);
      auto config = blob ? parse_config_text(as_text(*blob)) : std::unexpected(blob.error());
      if (!config)
        throw ClaimBroken("what a commit pins can be fetched",
                          what + ": " + config.error().message);
      auto compiled = compile(before, row.node);
      if (!compiled || config_digest(*compiled) != row.digest)
        throw ClaimBroken("a commit pins what the log compiles to", what);
      configs_.emplace(row.digest, std::move(*config));
    }
  }
}

void HistoryBook::check_activations(const MeshState& before, const Entry& entry) const {
  const auto broken = [&](const std::string& what) {
    throw ClaimBroken("the log moves versions by its rules",
                      fmt::format("#{}: {}", entry.header.sequence.value(), what));
  };
  std::set<NodeId> may_move;
  for (const Event& event : entry.body->events) {
    if (const auto* started = std::get_if<ActivationStarted>(&event); started && started->confirm_s == 0)
      for (const ActivationRow& row : started->rows) may_move.insert(row.node);
    if (const auto* ended = std::get_if<ActivationEnded>(&event)) {
      const auto there = before.pending.find(ended->activation);
      if (there == before.pending.end()) broken("it ends an activation that does not wait");
      if (ended->how == ActivationEnd::expired && entry.header.time < there->second.deadline)
        broken("it expires before its deadline");
    }
    const auto* confirmed = std::get_if<ActivationConfirmed>(&event);
    if (!confirmed) continue;
    const auto there = before.pending.find(confirmed->activation);
    if (there == before.pending.end()) broken("it confirms an activation that does not wait");
    if (entry.header.time >= there->second.deadline) broken("it confirms after the deadline");
    for (NodeId node : confirmed->nodes) {
      may_move.insert(node);
      const Node* target = before.find_node(node);
      const bool says = applied_.contains({node, confirmed->activation});
      if (target && target->enrolment == Enrolment::enrolled && !says)
        broken(fmt::format("it confirms node {}, which never said that it applied it", node.value()));
    }
    const auto* command = std::get_if<ConfirmActivation>(&entry.body->request.commands.back());
    if (confirmed->nodes.size() != there->second.rows.size() && !(command && command->partial))
      broken("it leaves targets out that nobody wanted left out");
  }
  for (const auto& [id, node] : replica_.state.nodes) {
    const Node* then = before.find_node(id);
    if (!then && before.removed_nodes.contains(id)) then = &*before.removed_nodes.at(id);
    if (then && then->active != node->active && !may_move.contains(id))
      broken(fmt::format("node {} went from v{} to v{}", id.value(), then->active.value(), node->active.value()));
  }
}

const MeshState& HistoryBook::state(Sequence at) const {
  return at == Sequence() ? empty_ : records_[at.value() - 1].state;
}

Digest HistoryBook::root(Sequence at) const {
  return at == Sequence() ? MerkleFrontier().root() : records_[at.value() - 1].root;
}

const Digest& HistoryBook::digest(Sequence at) {
  auto& record = records_[at.value() - 1];
  if (!record.digest) record.digest = state_digest(record.state);
  return *record.digest;
}

std::optional<Sequence> HistoryBook::find(const RequestId& request) const {
  auto found = requests_.find(request);
  return found == requests_.end() ? std::nullopt : std::optional(found->second);
}

const NodeConfig& HistoryBook::config_of(NodeId id, Version version) const {
  const Node* node = state().find_node(id);
  if (!node && state().removed_nodes.contains(id)) node = &*state().removed_nodes.at(id);
  const VersionRecord* record = node ? node->find_version(version) : nullptr;
  if (!record)
    throw ClaimBroken(
        "a node runs what the log committed",
        fmt::format("node {} runs v{}, which the log does not know", id.value(), version.value()));
  return configs_.at(record->digest);
}

Overlay HistoryBook::overlay_of(NodeId id, const SignKey& sign_key, Sequence at) const {
  const Node* then = state(at).find_node(id);
  Overlay overlay = make_overlay(state(at), id);
  const bool ours = then && then->enrolment == Enrolment::enrolled && then->sign_key == sign_key;
  if (!ours) overlay.revoked = true;
  return overlay;
}

Desired HistoryBook::desired(NodeId id, const SignKey& sign_key, Version version, Sequence at) {
  if (version == Version()) return {};
  return bind(config_of(id, version), overlay_of(id, sign_key, at));
}

std::optional<Desired> HistoryBook::bridge(NodeId id, const SignKey& sign_key, Version from, Version to, Sequence at) {
  return bind_bridge(config_of(id, from), config_of(id, to), overlay_of(id, sign_key, at));
}

}  // namespace mesh::sim
