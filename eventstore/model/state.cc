#include "eventstore/model/state.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>

#include "eventstore/model/attribute_table.h"
#include "eventstore/model/limits.h"

namespace mesh {

const VersionRecord* Node::find_version(Version version) const {
  auto at = std::ranges::lower_bound(versions, version, {}, &VersionRecord::version);
  return at == versions.end() || at->version != version ? nullptr : &*at;
}

const Site* MeshState::find_site(std::string_view name) const {
  auto it = sites.find(name);
  return it == sites.end() ? nullptr : &*it->second;
}

const Node* MeshState::find_node(NodeId id) const {
  auto it = nodes.find(id);
  return it == nodes.end() ? nullptr : &*it->second;
}

const Node* MeshState::find_node(std::string_view reference) const {
  uint32_t number = 0;
  auto [end, error] =
      std::from_chars(reference.data(), reference.data() + reference.size(), number);
  if (error == std::errc() && end == reference.data() + reference.size())
    return find_node(NodeId(number));
  auto dot = reference.find('.');
  if (dot == std::string_view::npos) return nullptr;
  for (const auto& [id, node] : nodes)
    if (node->name == reference.substr(0, dot) && node->site == reference.substr(dot + 1))
      return &*node;
  return nullptr;
}

const Operator* MeshState::find_operator(std::string_view name) const {
  auto it = operators.find(name);
  return it == operators.end() ? nullptr : &it->second;
}

std::vector<const Node*> MeshState::nodes_of(std::string_view site) const {
  std::vector<const Node*> out;
  for (const auto& [id, node] : nodes)
    if (node->site == site) out.push_back(&*node);
  return out;
}

std::vector<const Node*> MeshState::nodes_in(const Scope& scope) const {
  std::vector<const Node*> out;
  for (const auto& [id, node] : nodes)
    if (scope.level == Level::global || (scope.level == Level::site && node->site == scope.site) ||
        (scope.level == Level::node && id == scope.node))
      out.push_back(&*node);
  return out;
}

namespace {

template <class Range>
std::string nearest(std::string_view wanted, const Range& names) {
  std::string best;
  size_t best_distance = std::max<size_t>(2, wanted.size() / 3) + 1;
  for (const std::string& name : names)
    if (size_t distance = edit_distance(wanted, name); distance < best_distance) {
      best_distance = distance;
      best = name;
    }
  return best.empty() ? std::string() : fmt::format("did you mean \"{}\"?", best);
}

std::vector<std::string> site_names(const MeshState& state) {
  std::vector<std::string> out;
  for (const auto& [name, site] : state.sites) out.push_back(name);
  return out;
}

std::vector<std::string> node_names(const MeshState& state) {
  std::vector<std::string> out;
  for (const auto& [id, node] : state.nodes) out.push_back(node->fullname());
  return out;
}

}  // namespace

Result<const Node*> resolve_node(const MeshState& state, std::string_view reference) {
  if (const Node* node = state.find_node(reference)) return node;
  std::string fix = nearest(reference, node_names(state));
  if (fix.empty() && reference.find('.') == std::string_view::npos)
    fix = "name a node by its number or as node.site";
  return fail(Errc::not_found, fmt::format("node \"{}\" does not exist", reference), fix);
}

const ActivationRow* PendingActivation::find(NodeId node) const {
  auto it = std::ranges::lower_bound(rows, node, {}, &ActivationRow::node);
  return it != rows.end() && it->node == node ? &*it : nullptr;
}

const PendingActivation* pending_of(const MeshState& state, NodeId node) {
  for (const auto& [id, pending] : state.pending)
    if (pending.find(node)) return &pending;
  return nullptr;
}

Timestamp confirm_cutoff(const PendingActivation& pending) {
  const int64_t margin = std::min<int64_t>(int64_t{kConfirmMarginSeconds} * 1'000'000,
                                           int64_t{pending.seconds} * 500'000);
  return Timestamp(pending.deadline.value() - margin);
}

const std::vector<std::string>& controller_endpoints(const MeshState& state) {
  return state.endpoints.empty() ? state.genesis.endpoints : state.endpoints;
}

const std::vector<std::string>& controller_enrol_endpoints(const MeshState& state) {
  return state.enrol_endpoints.empty() ? state.genesis.enrol_endpoints : state.enrol_endpoints;
}

Version next_version(const MeshState& state, const Node& node) {
  return std::max(Version(node.latest().value() + 1), state.version_floor);
}

Result<Scope> resolve(const MeshState& state, const Target& target) {
  switch (target.level) {
    case Level::global:
      return Scope{};
    case Level::site:
      if (!state.find_site(target.name))
        return fail(Errc::not_found, fmt::format("site \"{}\" does not exist", target.name),
                    nearest(target.name, site_names(state)));
      return Scope{Level::site, target.name, {}};
    case Level::node: {
      auto node = resolve_node(state, target.name);
      if (!node) return std::unexpected(node.error());
      return Scope{Level::node, {}, (*node)->id};
    }
  }
  return fail(Errc::usage, "unknown level of target");
}

std::string to_text(const MeshState& state, const Scope& scope) {
  switch (scope.level) {
    case Level::global:
      return "global";
    case Level::site:
      return "site " + scope.site;
    case Level::node: {
      const Node* node = state.find_node(scope.node);
      return node ? "node " + node->fullname() : fmt::format("node {}", scope.node.value());
    }
  }
  return "unknown";
}

namespace {

std::string check_node(const MeshState& state, const Node& node) {
  if (!state.find_site(node.site)) return fmt::format("node {} is in no site", node.id.value());
  if (node.id >= state.next_node)
    return fmt::format("node {} is above the counter", node.id.value());
  if (state.removed_nodes.contains(node.id))
    return fmt::format("node {} is also removed", node.id.value());
  if (node.active > node.latest())
    return fmt::format("node {} is active above its latest", node.id.value());
  for (size_t i = 0; i < node.versions.size(); ++i)
    if (node.versions[i].version <= (i == 0 ? Version() : node.versions[i - 1].version))
      return fmt::format("node {} has versions out of order", node.id.value());
  if ((node.enrolment == Enrolment::enrolled) == node.keys.empty())
    return fmt::format("node {} has keys without enrolment or the reverse", node.id.value());
  return {};
}

std::string check_pending(const MeshState& state) {
  std::set<NodeId> waiting;
  for (const auto& [id, pending] : state.pending) {
    if (id != pending.id || id >= state.next_activation) return fmt::format("activation {} stands wrong", id.value());
    if (pending.rows.empty()) return fmt::format("activation {} waits for nobody", id.value());
    if (!std::ranges::is_sorted(pending.rows, {}, &ActivationRow::node))
      return fmt::format("the targets of activation {} are out of order", id.value());
    for (const ActivationRow& row : pending.rows) {
      if (!state.find_node(row.node)) return fmt::format("activation {} waits for a removed node", id.value());
      if (!waiting.insert(row.node).second) return fmt::format("node {} waits for two activations", row.node.value());
    }
  }
  return {};
}

}  // namespace

std::string check_invariants(const MeshState& state) {
  std::set<std::string> names;
  std::set<BoxKey> box_keys;
  std::set<SignKey> sign_keys;
  for (const auto& [id, node] : state.nodes) {
    if (id != node->id) return "a node stands under another id";
    if (auto problem = check_node(state, *node); !problem.empty()) return problem;
    if (!names.insert(node->fullname()).second) return "two nodes are named " + node->fullname();
    if (node->enrolment != Enrolment::enrolled) continue;
    if (!box_keys.insert(node->box_key).second) return "two principals share a box key";
    if (!sign_keys.insert(node->sign_key).second) return "two principals share a sign key";
  }
  for (const auto& [name, person] : state.operators) {
    if (person.banned) continue;
    if (!box_keys.insert(person.box_key).second) return "two principals share a box key";
    if (!sign_keys.insert(person.sign_key).second) return "two principals share a sign key";
  }
  for (const auto& [name, site] : state.sites)
    if (name != site->name) return "a site stands under another name";
  if (state.window->entries.size() != state.window->order.size())
    return "the request window and its order differ";
  return check_pending(state);
}

}  // namespace mesh
