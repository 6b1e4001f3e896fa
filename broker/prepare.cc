#include "broker/prepare.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "eventstore/model/commit_reach.h"
#include "eventstore/model/decide.h"
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

json changed_json(const MeshState& state, const EventLog& log, const Candidates& candidates) {
  json items = json::array();
  for (const VersionRow& row : candidates.rows) {
    const Node& node = *state.find_node(row.node);
    const NodeConfig& after = candidates.configs.at(row.node);
    auto before = node.latest() == Version() ? fail(Errc::not_found, "")
                                             : load_config(log, node, node.latest());
    ConfigChange change = compare_configs(before ? &*before : nullptr, after);
    items.push_back({{"node", row.node.value()},
                     {"fullname", node.fullname()},
                     {"version", row.version.value()},
                     {"digest", to_hex(row.digest.view())},
                     {"effect", effect_name(change.effect)},
                     {"changes", change.lines}});
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
  return changed_json(state, log, candidates).dump();
}

Result<PreparedPlan> prepare_commit(const MeshState& state, const EventLog& log,
                                    const Prepare& prepare, const std::string& principal) {
  auto scope = resolve(state, prepare.target);
  if (!scope) return std::unexpected(scope.error());
  if (auto problems = validate(state, *scope); !problems.empty()) {
    Error first = problems.front();
    for (size_t i = 1; i < problems.size() && i < 10; ++i)
      first.message += "\n  also: " + problems[i].message;
    return std::unexpected(first);
  }
  auto candidates = compile_candidates(state, *scope, prepare.with_neighbours);
  if (!candidates) return std::unexpected(candidates.error());
  json plan = {{"kind", "Plan"},
               {"sequence", state.sequence.value()},
               {"scope", to_text(state, *scope)},
               {"nodes", changed_json(state, log, *candidates)},
               {"reachability", reach_json(state, *scope, prepare.with_neighbours)},
               {"warnings", warnings_json(state, *scope, prepare.with_neighbours)},
               {"others", others_json(state, *scope, principal)}};
  return PreparedPlan{std::move(*candidates), plan.dump()};
}

}  // namespace mesh
