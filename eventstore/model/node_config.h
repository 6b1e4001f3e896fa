// NodeConfig: the compiled configuration of one node, as a commit pins it. No keys, no learned endpoints:
// those are bound from the overlay (overlay.h) when the node writes.
#pragma once

#include <cstdint>
#include <map>
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
  DriftPolicy drift = DriftPolicy::report;  // only from rules 3 on; in the text only when it is not `report`
  bool operator==(const NodeConfig&) const = default;

  std::string fullname() const { return name + "." + site; }
};

/// Canonical JSON: the same configuration gives the same bytes. This text is the blob, and config.json on disk.
std::string config_text(const NodeConfig& config);
/// SHA-256 of config_text.
Digest config_digest(const NodeConfig& config);

}  // namespace mesh
