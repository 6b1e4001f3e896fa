// Intent: what the attributes say of every node, read once. Topology, compile and validation start
// from it.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "eventstore/model/address.h"
#include "eventstore/model/node_config.h"
#include "eventstore/model/state.h"

namespace mesh {

/// Node numbers up to here have ports on both lanes of a link (overlay.h: lane_port).
inline constexpr uint32_t kPortNumberMax = 16'383;

/// As effective(), without a copy and without the genesis: nullptr when neither set nor with a
/// default. `site` and `node` may be nullptr. The value stays where it is in the state.
const AttributeValue* find_effective(const MeshState& state, const Site* site, const Node* node,
                                     std::string_view name);

struct NodeIntent {
  const Node* node = nullptr;
  std::vector<uint32_t> groups;     // numbers of group names within one Intent, ascending
  std::optional<HostPort> outside;  // where peers dial; the port is the outside view of port_base
                                    // and always set; nothing = behind NAT
  uint32_t port_base = 0;
  uint32_t uplinks = 0;
  uint32_t as_number = 0;
  IpAddress loopback4, loopback6, link_local;
  uint16_t mtu = 0, keepalive = 0;
  uint32_t bfd_interval_ms = 0, bfd_multiplier = 0;
  std::vector<IpPrefix> lans;  // ascending
  std::map<NodeId, uint16_t> peer_keepalive;
  DriftPolicy drift = DriftPolicy::report;
  RoutingStyle routing = RoutingStyle::link;
  std::vector<ConfigFile> sources;      // ascending by name
  std::vector<ServiceConfig> services;  // ascending by name
  std::vector<std::string> ssh_keys;
  uint16_t management_mtu = 0;
  std::vector<Error> errors;  // why it cannot be compiled, each with its fix; codes: invalid
};

/// The management network; its hub is one of the nodes.
struct ManagementIntent {
  NodeId hub;
  IpPrefix network;
  std::string host;  // where nodes dial the hub; empty = at its endpoint
  uint16_t port = 0;
};

struct Networks {
  IpPrefix loopback4, loopback6, transfer4, transfer6;
  int64_t as_base = 0;
};

/// What the global level and the genesis say of them. Errors are added to `errors`, and what they are about is empty.
Networks read_networks(const MeshState& state, std::vector<Error>& errors);

/// Borrows the state for its lifetime. Reading it costs some microseconds a node.
class Intent {
 public:
  explicit Intent(const MeshState& state);

  const MeshState& state() const { return state_; }
  const Networks& networks() const { return networks_; }
  uint64_t topology_seed() const { return topology_seed_; }
  const std::optional<ManagementIntent>& management() const { return management_; }
  /// Ascending by node; an index into it names a node below.
  std::span<const NodeIntent> nodes() const { return nodes_; }
  std::optional<size_t> find(NodeId node) const;
  /// Loopback networks and the LANs of all nodes, ascending.
  const std::vector<IpPrefix>& accepted() const { return accepted_; }
  /// What is wrong at the global level; then no node can be compiled.
  const std::vector<Error>& errors() const { return errors_; }

 private:
  void read_node(const Node& node);
  void read_files(const Site* site, NodeIntent& out) const;
  void read_management();
  void read_addresses(NodeIntent& out) const;
  void find_shared_endpoints();

  const MeshState& state_;
  Networks networks_;
  uint64_t topology_seed_ = 0;
  std::optional<ManagementIntent> management_;
  std::map<std::string, uint32_t, std::less<>> group_numbers_;
  std::vector<NodeIntent> nodes_;
  std::vector<IpPrefix> accepted_;
  std::vector<Error> errors_;
};

/// UDP port of a node for a peer: `base` + the peer's number. Errors: invalid with the fix, which
/// names `owner` as the node whose base it is.
Result<uint16_t> link_port(uint32_t base, NodeId peer, const Node& owner);

}  // namespace mesh
