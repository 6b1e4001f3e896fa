#include "broker/prepare.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>

#include "broker/node_files.h"
#include "eventstore/model/commit_reach.h"
#include "eventstore/model/decide.h"
#include "eventstore/model/interruption.h"
#include "schemas/config_text.h"

namespace mesh {

using nlohmann::json;

Result<NodeConfig> load_config(const EventLog& log, const Node& node, Version version) {
  const VersionRecord* record = node.find_version(version);
  if (!record)
    return fail(Errc::not_found,
                fmt::format("node {} has no version v{}", node.fullname(), version.value()));
  auto bytes = log.get_blob(record->digest);
  if (!bytes)
    return fail_in(fmt::format("configuration v{} of {}", version.value(), node.fullname()),
                   bytes.error());
  return parse_config_text(as_text(*bytes));
}

namespace {

constexpr size_t kInterruptedMax = 10;

std::string pair_text(const LanPair& pair) {
  return fmt::format("interrupted: {} <-> {} have no other path", to_text(pair.from), to_text(pair.to));
}

/// What changes on each node, and in `interrupted` the LANs that lose each other meanwhile.
json changed_json(const MeshState& state, const EventLog& log, const Candidates& candidates, json& interrupted) {
  std::map<NodeId, ConfigChange> changes;
  for (const VersionRow& row : candidates.rows) {
    const Node& node = *state.find_node(row.node);
    auto before = node.latest() == Version() ? fail(Errc::not_found, "") : load_config(log, node, node.latest());
    changes[row.node] = compare_configs(before ? &*before : nullptr, candidates.configs.at(row.node));
  }
  const bool resets = std::ranges::any_of(changes, [](const auto& each) { return !each.second.resets.empty(); });
  const Interruptions interruptions =
      resets ? find_interruptions(Network(state), changes, kInterruptedMax) : Interruptions();
  for (const LanPair& pair : interruptions.pairs) interrupted.push_back(pair_text(pair));
  if (const uint64_t more = interruptions.pairs_total - interruptions.pairs.size(); more > 0)
    interrupted.push_back(fmt::format("interrupted: {} more pairs of LANs have no other path", more));
  json items = json::array();
  for (const VersionRow& row : candidates.rows) {
    const ConfigChange& change = changes.at(row.node);
    json classes = json::array();
    for (const Effect effect : change.effects) classes.push_back(effect_name(effect));
    const auto lines = interruptions.lines.find(row.node);
    items.push_back({{"node", row.node.value()},
                     {"fullname", state.find_node(row.node)->fullname()},
                     {"version", row.version.value()},
                     {"digest", to_hex(row.digest.view())},
                     {"effect", effect_name(change.effect)},
                     {"changes", change.lines},
                     {"classes", std::move(classes)},
                     {"interrupts", lines == interruptions.lines.end() ? json::array() : json(lines->second)}});
  }
  return items;
}

json reach_json(const MeshState& state, const Scope& scope, bool with_neighbours) {
  constexpr size_t kPairsMax = 1'000;
  const ReachDifference found = commit_reach(state, scope, with_neighbours, kPairsMax);
  auto list = [](const std::vector<LanPair>& pairs) {
    json items = json::array();
    for (const LanPair& pair : pairs)
      items.push_back({{"from", to_text(pair.from)},
                       {"to", to_text(pair.to)},
                       {"family", pair.from.v6() ? "ipv6" : "ipv4"}});
    return items;
  };
  return {{"lost", list(found.lost)},
          {"gained", list(found.gained)},
          {"totals", {{"lost", found.lost_total}, {"gained", found.gained_total}}},
          {"refused", state.rules >= 3 && found.lost_total > 0}};
}

json others_json(const MeshState& state, const Scope& scope, const std::string& principal) {
  json others = json::array();
  auto nodes = state.nodes_in(scope);
  for (const Change& change : state.changes) {
    if (change.by == principal) continue;
    bool covered = scope.level == Level::global || change.scope == scope;
    for (const Node* node : nodes)
      covered = covered || (change.scope.level == Level::node && change.scope.node == node->id);
    if (covered)
      others.push_back({{"scope", to_text(state, change.scope)},
                        {"name", change.name},
                        {"by", change.by},
                        {"sequence", change.sequence.value()}});
  }
  return others;
}

json warnings_json(const MeshState& state, const Scope& scope, bool with_neighbours) {
  json warnings = json::array();
  if (scope.level != Level::global && !with_neighbours) {
    std::string names;
    for (NodeId id : affected_neighbours(state, scope))
      names += (names.empty() ? "" : ", ") + state.find_node(id)->fullname();
    if (!names.empty())
      warnings.push_back(
          fmt::format("these neighbours would change too and stay as they are: {}; commit with "
                      "--with-neighbours",
                      names));
  }
  std::string strangers;
  for (const Node* node : state.nodes_in(scope))
    if (node->enrolment != Enrolment::enrolled)
      strangers += (strangers.empty() ? "" : ", ") + node->fullname();
  if (!strangers.empty())
    warnings.push_back(fmt::format("not enrolled, so not reached: {}", strangers));
  return warnings;
}

}  // namespace

std::string commit_reach_text(const MeshState& state, const Scope& scope, bool with_neighbours) {
  return reach_json(state, scope, with_neighbours).dump();
}

std::string changed_items(const MeshState& state, const EventLog& log,
                          const Candidates& candidates) {
  json interrupted = json::array();
  return changed_json(state, log, candidates, interrupted).dump();
}

Result<PreparedPlan> prepare_commit(const MeshState& state, const EventLog& log, const Prepare& prepare,
                                    const std::string& principal, Renderer* renderer) {
  auto scope = resolve(state, prepare.target);
  if (!scope) return std::unexpected(scope.error());
  if (auto problems = validate(state, *scope); !problems.empty()) {
    Error first = problems.front();
    for (size_t i = 1; i < problems.size() && i < 10; ++i)
      first.message += "\n  also: " + problems[i].message;
    return std::unexpected(first);
  }
  NodeFiles files(renderer, state, log);
  auto candidates = files.candidates(*scope, prepare.with_neighbours);
  if (!candidates) return std::unexpected(candidates.error());
  json interrupted = json::array();
  json nodes = changed_json(state, log, *candidates, interrupted);
  json warnings = warnings_json(state, *scope, prepare.with_neighbours);
  for (std::string& warning : files.warnings()) warnings.push_back(std::move(warning));
  json plan = {{"kind", "Plan"},
               {"sequence", state.sequence.value()},
               {"scope", to_text(state, *scope)},
               {"nodes", std::move(nodes)},
               {"interrupted", std::move(interrupted)},
               {"reachability", reach_json(state, *scope, prepare.with_neighbours)},
               {"warnings", std::move(warnings)},
               {"others", others_json(state, *scope, principal)}};
  return PreparedPlan{std::move(*candidates), plan.dump()};
}

}  // namespace mesh
