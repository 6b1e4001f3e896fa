#include "eventstore/model/template_variables.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "eventstore/model/attribute_table.h"
#include "eventstore/model/intent.h"

namespace mesh {

namespace {

constexpr uint16_t kPlainMtu = 1'420;  // of a link that Towalink does not mention

const std::set<std::string_view>& used_up() {
  static const std::set<std::string_view> kNames = {
      "loopbacknet_ipv4",           "loopbacknet_ipv6",           "bgp_as_base",    "config_filename",
      "internode_transfernet_ipv4", "internode_transfernet_ipv6", "wg_listenport_base"};
  return kNames;
}

TemplateValue number(int64_t value) { return {value}; }
TemplateValue text(std::string value) { return {std::move(value)}; }
TemplateValue address(const IpAddress& value, unsigned length) { return text(to_text(IpPrefix{value, length})); }
TemplateValue host(const IpAddress& value) { return address(value, value.bits()); }

TemplateValue value_of(const AttributeValue& value) {
  if (const auto* list = value.list()) {
    TemplateList out;
    for (const Scalar& each : *list) std::visit([&](const auto& one) { out.push_back({one}); }, each);
    return {std::move(out)};
  }
  if (const auto* flag = std::get_if<bool>(&value.data)) return {*flag};
  if (const int64_t* integer = value.number()) return {*integer};
  return text(value.text() == nullptr ? std::string() : *value.text());
}

/// The nested table at `key`, made when there is none.
TemplateTable& table_at(TemplateTable& table, const std::string& key) {
  TemplateValue& value = table[key];
  if (!std::holds_alternative<TemplateTable>(value.data)) value.data = TemplateTable();
  return std::get<TemplateTable>(value.data);
}

/// "a.b.c" is c in b in a. Where a name is both a value and a table, it is the table.
void add_nested(TemplateTable& table, std::string_view name, TemplateValue value) {
  TemplateTable* level = &table;
  for (size_t dot; (dot = name.find('.')) != std::string_view::npos; name.remove_prefix(dot + 1))
    level = &table_at(*level, std::string(name.substr(0, dot)));
  level->try_emplace(std::string(name), std::move(value));
}

TemplateTable attributes_of(const MeshState& state, NodeId node) {
  TemplateTable out;
  for (const auto& [name, attribute] : effective_attributes(state, {Level::node, {}, node}))
    if (attribute.scope && !file_of(name) && !used_up().contains(name))
      add_nested(out, name, value_of(attribute.value));
  return out;
}

class Variables {
 public:
  Variables(const MeshState& state, const NodeConfig& config, const Networks& networks)
      : state_(state), config_(config), networks_(networks) {}

  Result<TemplateTable> run() {
    TemplateTable out = attributes_of(state_, config_.node);
    out["node_id"] = number(config_.node.value());
    out["node_name"] = text(config_.name);
    out["site_name"] = text(config_.site);
    out["node_fullname"] = text(config_.fullname());
    out["loopback_ipv4"] = host(config_.loopback4);
    out["loopback_ipv6"] = host(config_.loopback6);
    out["bgp_ipv4"] = text(to_text(config_.loopback4));
    out["bgp_ipv6"] = text(to_text(config_.loopback6));
    out["bgp_as"] = number(config_.as_number);
    TemplateTable presets = table_at(out, "wg_links"), peers, links;
    for (const LinkConfig& link : config_.links) {
      const Node* peer = state_.find_node(link.peer);
      if (peer == nullptr) return fail(Errc::not_found, fmt::format("node {} does not exist", link.peer.value()));
      peers[link.peer.value()] = {peer_table(link, *peer)};
      const std::string key = std::to_string(link.peer.value());
      auto preset = presets.find(key);
      const auto* fields = preset == presets.end() ? nullptr : std::get_if<TemplateTable>(&preset->second.data);
      TemplateTable table = link_table(link, *peer, fields ? *fields : TemplateTable());
      if (fields)
        links[key] = {std::move(table)};
      else
        links[link.peer.value()] = {std::move(table)};
    }
    out["bgp_peers"] = {std::move(peers)};
    out["wg_links"] = {std::move(links)};
    return out;
  }

 private:
  TemplateTable peer_table(const LinkConfig& link, const Node& peer) const {
    const uint32_t p = link.peer.value(), n = config_.node.value();
    TemplateTable out;
    out["as"] = number(link.peer_as);
    out["name"] = text(fmt::format("{}_{}_{}", peer.site, peer.name, p));
    out["ip"] = text(to_text(networks_.loopback4.address.plus(p)));
    out["loopback_ipv4"] = address(networks_.loopback4.address.plus(p), networks_.loopback4.length);
    out["loopback_ipv6"] = address(networks_.loopback6.address.plus(p), networks_.loopback6.length);
    out["ifname_local"] = text(fmt::format("tlwg_{}", p));
    out["password"] = text(fmt::format("meshlog-{}-{}", std::min(n, p), std::max(n, p)));
    return out;
  }

  TemplateTable link_table(const LinkConfig& link, const Node& peer, TemplateTable out) const {
    const uint32_t p = link.peer.value(), n = config_.node.value();
    const IpAddress &net4 = networks_.transfer4.address, &net6 = networks_.transfer6.address;
    out["wg_ifname"] = text(fmt::format("tlwg_{}", p));
    out["wg_listenport"] = number(link.listen_port);
    out["wg_peer_endpoint"] = text(endpoint(link, peer));
    out["wg_addresses"] = {TemplateList{address(net6.plus(n), networks_.transfer6.length)}};
    out["wg_address_ipv4"] = host(net4.plus(n));
    out["wg_address_ipv6"] = host(net6.plus(n));
    out["wg_peer_address_ipv4"] = host(net4.plus(p));
    out["wg_peer_address_ipv6"] = host(net6.plus(p));
    out["wg_peer_allowedips"] = {
        TemplateList{host(net4.plus(p)), host(net6.plus(p)), text("0.0.0.0/0"), text("0::0/0")}};
    out["wg_private"] = text(fmt::format("{}{}", kPrivateKeyPlaceholder, p));
    out["wg_peer_public"] = text(fmt::format("{}{}", kPublicKeyPlaceholder, p));
    out["wg_peer_preshared"] = text(fmt::format("{}{}", kPresharedKeyPlaceholder, p));
    out["wg_peer_keepalive"] = number(link.keepalive);
    if (link.mtu != kPlainMtu) out["wg_mtu"] = number(link.mtu);
    return out;
  }

  std::string endpoint(const LinkConfig& link, const Node& peer) const {
    if (!link.endpoint_host.empty()) return host_port_text(link.endpoint_host, link.endpoint_port);
    const AttributeValue* base =
        find_effective(state_, state_.find_site(peer.site), &peer, "wg_listenport_base");
    const int64_t first = base != nullptr && base->number() != nullptr ? *base->number() : 0;
    return fmt::format("localhost:{}", first + config_.node.value());
  }

  const MeshState& state_;
  const NodeConfig& config_;
  const Networks& networks_;
};

}  // namespace

Result<TemplateTable> template_variables(const MeshState& state, const NodeConfig& config) {
  if (state.find_node(config.node) == nullptr)
    return fail(Errc::not_found, fmt::format("node {} does not exist", config.node.value()), "list nodes all");
  std::vector<Error> errors;
  const Networks networks = read_networks(state, errors);
  if (!errors.empty()) return std::unexpected(errors.front());
  return Variables(state, config, networks).run();
}

}  // namespace mesh
