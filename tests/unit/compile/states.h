// States built by hand, for tests of what follows from a state.
#pragma once

#include <initializer_list>
#include <string>
#include <string_view>
#include <utility>

#include "eventstore/model/state.h"

namespace mesh::testing {

using Settings = std::initializer_list<std::pair<std::string_view, std::string_view>>;

/// A value as a person types it; the test stops when it is none.
inline AttributeValue typed(std::string_view text) {
  auto value = parse_attribute_value(text);
  MESH_ASSERT(value.has_value());
  return *value;
}

inline void set(Attributes& attributes, Settings settings) {
  for (auto [name, text] : settings) attributes[std::string(name)] = {typed(text), Sequence(2)};
}

/// A log with the defaults of `meshd init`, its random networks fixed.
inline MeshState default_state() {
  MeshState state;
  state.epoch = 1;
  state.rules = 1;
  state.genesis.profile = "default";
  state.genesis.loopbacknet_ipv4 = "100.80.0.0/16";
  state.genesis.loopbacknet_ipv6 = "fd5a:1:2::/48";
  state.genesis.transfernet_ipv4 = "100.80.0.0/16";
  state.genesis.transfernet_ipv6 = "fe80::/64";
  state.genesis.bgp_as_base = 4'200'000'000;
  return state;
}

/// A log with `--profile towalink`.
inline MeshState towalink_state() {
  MeshState state = default_state();
  state.genesis.profile = "towalink";
  state.genesis.loopbacknet_ipv4 = "192.88.99.0/24";
  state.genesis.loopbacknet_ipv6 = "fd3e:970c:e7ec:edb5::/64";
  state.genesis.transfernet_ipv4 = "192.88.99.0/24";
  state.genesis.bgp_as_base = 65'000;
  return state;
}

inline Site& add_site(MeshState& state, const std::string& name, Settings settings = {}) {
  Site& site = state.sites[name].edit();
  site.name = name;
  set(site.attributes, settings);
  return site;
}

/// Adds the site too when there is none.
inline Node& add_node(MeshState& state, uint32_t id, const std::string& fullname,
                      Settings settings = {}) {
  size_t dot = fullname.find('.');
  add_site(state, fullname.substr(dot + 1));
  Node& node = state.nodes[NodeId(id)].edit();
  node.id = NodeId(id);
  node.name = fullname.substr(0, dot);
  node.site = fullname.substr(dot + 1);
  set(node.attributes, settings);
  return node;
}

/// A key that is recognised in output: its bytes are the node's number and the generation.
inline WireGuardKey key_of(uint32_t id, uint32_t generation) {
  WireGuardKey key;
  key.bytes.fill(static_cast<uint8_t>(id));
  key.bytes[0] = static_cast<uint8_t>(generation);
  return key;
}

inline void enrol(MeshState& state, uint32_t id,
                  std::initializer_list<uint32_t> generations = {1}) {
  Node& node = state.nodes.at(NodeId(id)).edit();
  node.enrolment = Enrolment::enrolled;
  node.enrolled_at = Sequence(100 + id);
  node.keys.clear();
  for (uint32_t generation : generations) node.keys.push_back({generation, key_of(id, generation)});
}

inline void enrol_all(MeshState& state) {
  for (const auto& [id, node] : MeshState(state).nodes) enrol(state, id.value());
}

/// The node's latest version is what it compiles to now, for what looks at changes.
void pin_all(MeshState& state);

/// Three sites, dual stack, one router each, all with an endpoint.
inline MeshState three_sites() {
  MeshState state = default_state();
  add_node(state, 11, "r1.ams", {{"endpoint", "198.51.100.1"}});
  add_node(state, 12, "r1.lab", {{"endpoint", "[2001:db8:2::1]:40000"}, {"wg_mtu", "1380"}});
  add_node(state, 13, "r1.nyc",
           {{"endpoint", "nyc.example.net"}, {"wg_links.11.wg_peer_keepalive", "5"}});
  add_site(state, "ams", {{"lans", "['10.1.0.0/24', 'fd00:1::/64']"}});
  add_site(state, "lab", {{"lans", "['10.2.0.0/24', 'fd00:2::/64']"}});
  add_site(state, "nyc", {{"lans", "['10.3.0.0/24', 'fd00:3::/64']"}, {"wg_keepalive", "0"}});
  return state;
}

}  // namespace mesh::testing
