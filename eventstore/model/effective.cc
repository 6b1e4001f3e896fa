// Inheritance of attributes: node over site over global over the defaults.
#include <algorithm>
#include <vector>

#include "eventstore/model/attribute_table.h"
#include "eventstore/model/intent.h"
#include "eventstore/model/state.h"

namespace mesh {

namespace {

/// Defaults of the attribute table, parsed once, ascending by name.
const std::vector<std::pair<std::string_view, AttributeValue>>& table_defaults() {
  static const auto kDefaults = [] {
    std::vector<std::pair<std::string_view, AttributeValue>> out;
    for (const auto& spec : attribute_table()) {
      if (spec.default_text.empty()) continue;
      auto value = parse_attribute_value(spec.default_text);
      MESH_ASSERT(value.has_value());
      out.emplace_back(spec.name, std::move(*value));
    }
    return out;
  }();
  return kDefaults;
}

/// Defaults that the log chose for itself when it was created.
std::vector<std::pair<std::string_view, AttributeValue>> genesis_defaults(
    const CreateLog& genesis) {
  std::vector<std::pair<std::string_view, AttributeValue>> out;
  if (genesis.bgp_as_base != 0) out.emplace_back("bgp_as_base", genesis.bgp_as_base);
  if (!genesis.transfernet_ipv4.empty())
    out.emplace_back("internode_transfernet_ipv4", genesis.transfernet_ipv4);
  if (!genesis.transfernet_ipv6.empty())
    out.emplace_back("internode_transfernet_ipv6", genesis.transfernet_ipv6);
  if (!genesis.loopbacknet_ipv4.empty())
    out.emplace_back("loopbacknet_ipv4", genesis.loopbacknet_ipv4);
  if (!genesis.loopbacknet_ipv6.empty())
    out.emplace_back("loopbacknet_ipv6", genesis.loopbacknet_ipv6);
  return out;
}

/// The attribute sets that apply, the strongest last.
std::vector<std::pair<const Attributes*, Scope>> layers_of(const MeshState& state,
                                                           const Scope& scope) {
  std::vector<std::pair<const Attributes*, Scope>> out{{&state.global, Scope{}}};
  std::string site = scope.site;
  auto node = scope.level == Level::node ? state.nodes.find(scope.node) : state.nodes.end();
  if (node != state.nodes.end()) site = node->second->site;
  auto found = scope.level == Level::global ? state.sites.end() : state.sites.find(site);
  if (found != state.sites.end())
    out.emplace_back(&found->second->attributes, Scope{Level::site, site, {}});
  if (node != state.nodes.end())
    out.emplace_back(&node->second->attributes, Scope{Level::node, {}, scope.node});
  return out;
}

}  // namespace

std::map<std::string, EffectiveAttribute> effective_attributes(const MeshState& state,
                                                               const Scope& scope) {
  std::map<std::string, EffectiveAttribute> out;
  for (const auto& [name, value] : table_defaults())
    out[std::string(name)] = {value, std::nullopt, {}};
  for (const auto& [name, value] : genesis_defaults(state.genesis))
    out[std::string(name)] = {value, std::nullopt, {}};
  for (const auto& [attributes, from] : layers_of(state, scope))
    for (const auto& [name, attribute] : *attributes)
      out[name] = {attribute.value, from, attribute.sequence};
  return out;
}

const AttributeValue* find_effective(const MeshState& state, const Site* site, const Node* node,
                                     std::string_view name) {
  for (const Attributes* layer : {node == nullptr ? nullptr : &node->attributes,
                                  site == nullptr ? nullptr : &site->attributes, &state.global}) {
    if (layer == nullptr) continue;
    if (auto at = layer->find(name); at != layer->end()) return &at->second.value;
  }
  auto at = std::ranges::lower_bound(table_defaults(), name, {},
                                     [](const auto& entry) { return entry.first; });
  return at == table_defaults().end() || at->first != name ? nullptr : &at->second;
}

std::optional<AttributeValue> effective(const MeshState& state, const Node& node,
                                        std::string_view name) {
  auto site = state.sites.find(node.site);
  if (auto value =
          find_effective(state, site == state.sites.end() ? nullptr : &*site->second, &node, name))
    return *value;
  for (const auto& [key, value] : genesis_defaults(state.genesis))
    if (key == name) return value;
  return std::nullopt;
}

}  // namespace mesh
