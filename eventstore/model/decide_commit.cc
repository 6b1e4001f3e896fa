// Deciding about versions: commit, discard, and what nodes reported.
#include <fmt/format.h>

#include <algorithm>

#include "eventstore/model/commit_reach.h"
#include "eventstore/model/crypto.h"
#include "eventstore/model/decide_internal.h"
#include "eventstore/model/evolve.h"
#include "eventstore/model/topology.h"

namespace mesh::deciding {

namespace {

bool covers(const MeshState& state, const Scope& scope, const Scope& inner) {
  if (scope.level == Level::global || scope == inner) return true;
  if (scope.level != Level::site || inner.level != Level::node) return false;
  const Node* node = state.find_node(inner.node);
  if (!node) {
    auto it = state.removed_nodes.find(inner.node);
    if (it != state.removed_nodes.end()) node = &*it->second;
  }
  return node && node->site == scope.site;
}

std::vector<Change> changes_in(const MeshState& state, const Scope& scope) {
  std::vector<Change> out;
  for (const Change& change : state.changes)
    if (covers(state, scope, change.scope)) out.push_back(change);
  return out;
}

Status check_others(const Case& on, const Scope& scope) {
  std::string me = to_text(on.request.principal), others;
  for (const Change& change : changes_in(on.state, scope))
    if (change.by != me && others.find(change.by) == std::string::npos)
      others += (others.empty() ? "" : ", ") + change.by;
  if (others.empty()) return {};
  return fail(Errc::invalid,
              fmt::format("{} has uncommitted changes by {}", to_text(on.state, scope), others),
              "look at them with meshcli plan, then commit with --include-others");
}

/// The rows must be what a prepare could have given: in scope, ascending, each the next version and
/// different.
Status check_candidates(const Case& on, const Scope& scope, const Commit& c) {
  const auto& rows = on.context.candidates;
  auto covered = on.state.nodes_in(scope);
  for (size_t i = 0; i < rows.size(); ++i) {
    const Node* node = on.state.find_node(rows[i].node);
    if (!node)
      return fail(Errc::conflict,
                  fmt::format("candidate node {} does not exist", rows[i].node.value()),
                  "prepare again");
    if (i > 0 && rows[i - 1].node >= rows[i].node)
      return fail(Errc::invalid, "candidates are not in order");
    bool inside = std::find(covered.begin(), covered.end(), node) != covered.end();
    if (!inside && !c.with_neighbours)
      return fail(Errc::invalid, fmt::format("candidate {} is outside {}", node->fullname(),
                                             to_text(on.state, scope)));
    if (rows[i].version != next_version(on.state, *node))
      return fail(Errc::conflict,
                  fmt::format("candidate {} is not the next version", node->fullname()),
                  "prepare again");
    if (!node->versions.empty() && node->versions.back().digest == rows[i].digest)
      return fail(Errc::invalid, fmt::format("candidate {} does not differ from its latest version",
                                             node->fullname()));
  }
  if (version_rows_root(rows) != c.root)
    return fail(Errc::conflict, "the candidates are not the ones that were shown and signed",
                "prepare again");
  return {};
}

}  // namespace

Events decide(const Case& on, const Commit& c) {
  auto scope = resolve(on.state, c.target);
  if (!scope) return std::unexpected(scope.error());
  if (c.prepared_at < on.state.configuration_sequence || c.prepared_at > on.state.sequence)
    return fail(Errc::conflict,
                fmt::format("prepared at #{}, but #{} changed the configuration",
                            c.prepared_at.value(), on.state.configuration_sequence.value()),
                "prepare again");
  if (auto problems = validate(on.state, *scope); !problems.empty())
    return std::unexpected(problems.front());
  if (!c.include_others) MESH_TRY(check_others(on, *scope));
  MESH_TRY(check_candidates(on, *scope, c));
  if (on.context.candidates.empty() && changes_in(on.state, *scope).empty())
    return std::vector<Event>{};
  if (on.state.rules >= 3 && !c.allow_loss)
    MESH_TRY(check_commit_reach(on.state, *scope, c.with_neighbours));
  return std::vector<Event>{
      VersionsCommitted{*scope, c.prepared_at, c.root, on.context.candidates}};
}

namespace {

/// Builds the compensating events of a discard, each checked against the state that the earlier
/// ones made.
class Discarder {
 public:
  explicit Discarder(const Case& on) : on_(on), state_(on.state) {}

  Events run(const Scope& scope, const std::vector<Change>& changes) {
    for (const Change& change : changes) MESH_TRY(drop_added_node(change));
    for (const Change& change : changes) MESH_TRY(drop_added_site(change));
    for (const Change& change : changes) MESH_TRY(bring_back_site(change));
    for (const Change& change : changes) MESH_TRY(bring_back_node(change));
    for (const Change& change : changes) MESH_TRY(rename_back(change));
    // The scopes of attributes may have been renamed back just now: take them from the state as it
    // is.
    for (const Change& change : ChangeList(state_.changes))
      if (change.kind == Change::Kind::attribute && covers(state_, renamed(scope), change.scope))
        revert(change);
    push(ChangesDiscarded{renamed(scope), static_cast<uint32_t>(changes.size())});
    return std::move(events_);
  }

 private:
  void push(Event event) {
    evolve(state_, event,
           Applied{next(on_.state.sequence), on_.context.time, on_.request.principal});
    events_.push_back(std::move(event));
  }

  /// The discarded scope under its name after the renames were undone.
  Scope renamed(Scope scope) const {
    if (scope.level == Level::site)
      for (const auto& [from, to] : renames_)
        if (scope.site == from) scope.site = to;
    return scope;
  }

  Status drop_added_node(const Change& change) {
    if (change.kind != Change::Kind::node_added) return {};
    const Node* node = state_.find_node(change.scope.node);
    if (!node) return {};
    if (node->enrolment == Enrolment::enrolled)
      return fail(Errc::invalid,
                  fmt::format("node {} was never committed but is enrolled", node->fullname()),
                  fmt::format("commit it, or remove it with meshcli del node {} --force",
                              node->fullname()));
    std::vector<Event> tokens;
    revoke_tokens_of(state_, change.scope, tokens);
    for (Event& event : tokens) push(std::move(event));
    push(NodeRemoved{change.scope.node});
    return {};
  }

  Status drop_added_site(const Change& change) {
    if (change.kind != Change::Kind::site_added || !state_.find_site(change.scope.site)) return {};
    // A node can be committed before its site is.
    if (auto nodes = state_.nodes_of(change.scope.site); !nodes.empty())
      return fail(Errc::invalid,
                  fmt::format("site {} was never committed, but its node {} was",
                              change.scope.site, nodes.front()->fullname()),
                  fmt::format("meshcli commit site {}", change.scope.site));
    std::vector<Event> tokens;
    revoke_tokens_of(state_, change.scope, tokens);
    for (Event& event : tokens) push(std::move(event));
    push(SiteRemoved{change.scope.site});
    return {};
  }

  Status bring_back_site(const Change& change) {
    if (change.kind != Change::Kind::site_removed) return {};
    if (state_.find_site(change.scope.site))
      return fail(
          Errc::conflict,
          fmt::format("site {} was removed and another of that name added", change.scope.site),
          "rename the new site first");
    push(SiteRestored{change.scope.site});
    return {};
  }

  Status bring_back_node(const Change& change) {
    if (change.kind != Change::Kind::node_removed) return {};
    auto it = state_.removed_nodes.find(change.scope.node);
    if (it == state_.removed_nodes.end()) return {};
    const Node& node = *it->second;
    if (!state_.find_site(node.site))
      return fail(Errc::conflict,
                  fmt::format("node {} was removed together with its site", node.fullname()),
                  "discard all");
    if (state_.find_node(node.fullname()))
      return fail(
          Errc::conflict,
          fmt::format("node {} was removed and another of that name added", node.fullname()),
          "rename the new node first");
    push(NodeRestored{change.scope.node, {}});
    return {};
  }

  Status rename_back(const Change& change) {
    if (change.kind == Change::Kind::site_renamed) {
      if (!state_.find_site(change.scope.site)) return {};
      if (state_.find_site(change.name))
        return fail(Errc::conflict, fmt::format("site {} cannot get its name {} back: it is taken",
                                                change.scope.site, change.name));
      push(SiteRenamed{change.scope.site, change.name});
      renames_.emplace_back(change.scope.site, change.name);
    }
    if (change.kind == Change::Kind::node_renamed) {
      const Node* node = state_.find_node(change.scope.node);
      if (!node) return {};
      if (state_.find_node(change.name + "." + node->site))
        return fail(Errc::conflict, fmt::format("node {} cannot get its name {} back: it is taken",
                                                node->fullname(), change.name));
      push(NodeRenamed{node->id, node->name, change.name});
    }
    return {};
  }

  void revert(const Change& change) {
    auto now = attribute_now(change);
    if (change.before)
      push(AttributeSet{change.scope, change.name, now, *change.before});
    else if (now)
      push(AttributeUnset{change.scope, change.name, *now});
  }

  std::optional<AttributeValue> attribute_now(const Change& change) const {
    const Attributes* attributes = &state_.global;
    if (change.scope.level == Level::site) {
      const Site* site = state_.find_site(change.scope.site);
      if (!site) return {};
      attributes = &site->attributes;
    } else if (change.scope.level == Level::node) {
      const Node* node = state_.find_node(change.scope.node);
      if (!node) return {};
      attributes = &node->attributes;
    }
    auto it = attributes->find(change.name);
    return it == attributes->end() ? std::nullopt : std::optional(it->second.value);
  }

  const Case& on_;
  MeshState state_;
  std::vector<Event> events_;
  std::vector<std::pair<std::string, std::string>> renames_;
};

}  // namespace

Events decide(const Case& on, const Discard& c) {
  // A site or node that was removed and not committed can be named too: it is what comes back.
  auto scope = resolve(on.state, c.target);
  if (!scope && c.target.level == Level::site && on.state.removed_sites.contains(c.target.name))
    scope = Scope{Level::site, c.target.name, {}};
  if (!scope && c.target.level == Level::node)
    for (const auto& [id, node] : on.state.removed_nodes)
      if (node->fullname() == c.target.name || std::to_string(id.value()) == c.target.name)
        scope = Scope{Level::node, {}, id};
  if (!scope) return std::unexpected(scope.error());
  auto changes = changes_in(on.state, *scope);
  if (changes.empty()) return std::vector<Event>{};
  return Discarder(on).run(*scope, changes);
}

Events decide(const Case& on, const ReportOutcomes& c) {
  std::vector<Event> events;
  std::map<NodeId, uint64_t> newest;
  for (const SignedOutcome& report : c.outcomes) {
    const Node* node = on.state.find_node(report.outcome.node);
    if (!node || node->enrolment != Enrolment::enrolled)
      return fail(Errc::not_found,
                  fmt::format("node {} is not enrolled", report.outcome.node.value()));
    if (!verify_signature(node->sign_key, kOutcomeDomain, report.bytes, report.signature))
      return fail(Errc::unauthenticated,
                  fmt::format("the outcome is not signed by node {}", node->fullname()));
    if (report.outcome.kind == OutcomeKind::healthy && on.state.rules < 3)
      return fail(Errc::unsupported, "an outcome \"healthy\" needs rules 3");
    auto known = on.state.reports.find(node->id);
    uint64_t& last =
        newest.try_emplace(node->id, known == on.state.reports.end() ? 0 : known->second.serial)
            .first->second;
    if (report.outcome.serial <= last) continue;  // a repeat
    last = report.outcome.serial;
    events.push_back(OutcomeReported{report.outcome});
  }
  return events;
}

}  // namespace mesh::deciding
