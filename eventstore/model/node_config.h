// NodeConfig: the compiled configuration of one node, as a commit pins it. No keys, no learned endpoints:
// those are bound from the overlay (overlay.h) when the node writes.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "eventstore/model/address.h"
#include "eventstore/model/ids.h"

namespace mesh {

struct LinkConfig {
  NodeId peer;
  std::string peer_name;       // full name
  uint32_t peer_as = 0;
  uint16_t listen_port = 0;    // wg_listenport_base + peer; a key rotation's second lane has its own
  std::string endpoint_host;   // empty = the peer is behind NAT and dials us
  uint16_t endpoint_port = 0;  // peer's base + own id
  uint16_t mtu = 0;            // the smaller of both ends
  uint16_t keepalive = 0;      // seconds; 0 = off
  IpAddress address;           // link-local of this end, /64
  IpAddress peer_address;
  uint32_t bfd_interval_ms = 0;
  uint32_t bfd_multiplier = 0;
  bool operator==(const LinkConfig&) const = default;
};

/// What a node does about hand edits of what it keeps: names them, or sets them back too.
enum class DriftPolicy : uint8_t { report, heal };
std::string_view drift_policy_name(DriftPolicy policy);

/// link: one eBGP session over each link. loopback: Towalink's multihop sessions between loopbacks, from templates.
enum class RoutingStyle : uint8_t { link, loopback };

/// A file whose content is a blob.
struct ConfigFile {
  std::string name;
  Digest digest;      // of the blob
  uint64_t size = 0;  // of the content
  bool operator==(const ConfigFile&) const = default;
};

/// A daemon of the router whose files are managed (attributes service.<name>.*).
struct ServiceConfig {
  std::string name, files, destination, check, reload;
  bool operator==(const ServiceConfig&) const = default;
};

/// The other end of the management network: at the hub every node, elsewhere the hub alone.
struct ManagementPeer {
  NodeId node;
  std::string name;  // full name
  IpAddress address, link_local;
  std::string endpoint_host;   // of the hub; empty at the hub, which waits
  uint16_t endpoint_port = 0;
  bool operator==(const ManagementPeer&) const = default;
};
/// The interface tlwg_mgmt: one WireGuard interface with all peers, apart from the mesh and never announced by it.
struct ManagementConfig {
  bool hub = false;
  uint16_t listen_port = 0, mtu = 0, keepalive = 0;
  IpAddress address;     // management_net_ipv6 + number, /64 on the interface
  IpAddress link_local;  // fe80:: + number
  std::vector<ManagementPeer> peers;  // ascending by node
  bool operator==(const ManagementConfig&) const = default;
};

struct NodeConfig {
  uint32_t rules = 0;
  NodeId node;
  std::string name, site;
  uint32_t as_number = 0;
  IpAddress loopback4, loopback6;
  std::vector<IpPrefix> lans;      // announced by this node, ascending
  std::vector<IpPrefix> accepted;  // what the mesh may announce: all LANs and loopback networks, ascending
  std::vector<LinkConfig> links;   // ascending by peer
  std::map<std::string, std::string> sysctls;
  // What follows is in the text only when it is not its default: configurations of older rules keep their digests.
  DriftPolicy drift = DriftPolicy::report;  // since rules 3
  // Since rules 4.
  RoutingStyle routing = RoutingStyle::link;
  std::vector<ConfigFile> sources;      // ascending by name: of its scopes, the nearer level wins; blobs with salt
  std::vector<ConfigFile> files;        // ascending by name: what was rendered from them; compile() leaves it empty
  std::vector<ServiceConfig> services;  // ascending by name
  std::vector<std::string> ssh_keys;    // in the order of the attribute
  std::optional<ManagementConfig> management;
  bool operator==(const NodeConfig&) const = default;

  std::string fullname() const { return name + "." + site; }
};

/// Whether `files` follow from templates or other sources, which only the controller can read and render.
bool has_rendered_files(const NodeConfig& config);

/// Canonical JSON: the same configuration gives the same bytes. This text is the blob, and config.json on disk.
std::string config_text(const NodeConfig& config);
/// SHA-256 of config_text.
Digest config_digest(const NodeConfig& config);

}  // namespace mesh
