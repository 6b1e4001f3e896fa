// The live overlay: what acts at once, without commit, and is bound to a pinned version from the state at the
// head: public keys, key generations, revocations. Going back to v1 therefore never revives a dead key.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "eventstore/model/node_config.h"
#include "eventstore/model/state.h"

namespace mesh {

struct PeerOverlay {
  std::vector<KeyGeneration> keys;  // live generations, ascending; empty = no link with this peer now
  uint64_t psk_epoch = 0;
  bool operator==(const PeerOverlay&) const = default;
};

struct Overlay {
  LogId log;
  NodeId node;
  Sequence sequence;                // newest entry that changed it
  bool revoked = false;             // this node itself
  std::vector<uint32_t> generations;  // own live key generations, ascending
  std::map<NodeId, PeerOverlay> peers;
  bool operator==(const Overlay&) const = default;
};

/// The overlay of `node`: every other enrolled node is a possible peer. A node that does not exist (any more)
/// counts as revoked.
Overlay make_overlay(const MeshState& state, NodeId node);

/// An address whose other end has a name: `ip addr add LOCAL peer PEER`. Of one family.
struct PeerAddress {
  IpAddress local;
  IpPrefix peer;
  auto operator<=>(const PeerAddress&) const = default;
};

/// One WireGuard interface. A link has one lane, during a key rotation two: lane 0 or 1 is the parity of the
/// sum of both generations, so that the new interface stands beside the old one. Of several pairs of generations
/// in one lane the newest counts (largest sum, then the lower node's larger generation): the same at both ends.
struct Tunnel {
  std::string name;           // tlwg_<peer>, on lane 1 tlwg_<peer>b; at most kInterfaceNameMax bytes
  NodeId peer;
  uint16_t listen_port = 0;
  uint16_t mtu = 0;
  IpAddress address, peer_address;
  IpAddress loopback4;          // of this router; unset = 0.0.0.0
  uint32_t own_generation = 0;  // which private key
  WireGuardKey peer_key;
  uint64_t psk_epoch = 0;       // which pre-shared key (derived, never stored)
  std::string endpoint_host;    // empty = wait for the peer to dial
  uint16_t endpoint_port = 0;
  uint16_t keepalive = 0;
  std::vector<IpPrefix> addresses;          // ascending; of a rendered file: instead of those that follow from above
  std::vector<PeerAddress> peer_addresses;  // ascending; the same
  // The log, and this node's number there, to which the pre-shared key is bound: a node that was adopted by another log
  // runs its old version with the keys of then. Zero: those of the router.
  LogId psk_log{};
  NodeId psk_node{};
  bool operator==(const Tunnel&) const = default;
};

/// What is on the interface, ascending: what a rendered file says, else the link-local address and the IPv4 loopback as
/// on an unnumbered link: nothing is sent to it, but where an interface has no IPv4 address Linux drops packets whose
/// way back is another interface even when `rp_filter` is loose (fib_validate_source, 6.1). Without peer_addresses.
std::vector<IpPrefix> addresses_of(const Tunnel& tunnel);

/// The UDP port of a lane. Both ends compute it from lane 0's port: lane 1 is 16,384 away from it, on the side that
/// stays within 16 bits; because numbers end at kPortNumberMax no port of one lane is one of the other's.
/// Behind a port forwarding, forward that range too: PORT + number, and the same of lane 1.
uint16_t lane_port(uint16_t port, unsigned lane);

inline constexpr std::string_view kManagementInterface = "tlwg_mgmt";

/// One end of the management network, with its newest key: two lanes are not needed where no traffic of others passes.
struct ManagementTunnelPeer {
  NodeId node;
  WireGuardKey key;
  uint64_t psk_epoch = 0;
  IpAddress address, link_local;  // only these are sent there, and taken from there
  bool operator==(const ManagementTunnelPeer&) const = default;
};

/// The interface tlwg_mgmt. BIRD neither announces nor uses it.
struct ManagementTunnel {
  uint16_t listen_port = 0, mtu = 0, keepalive = 0;
  IpAddress address, link_local;  // of this end
  uint32_t own_generation = 0;    // the newest
  std::string endpoint_host;      // of the hub; empty at the hub, which waits
  uint16_t endpoint_port = 0;
  std::vector<ManagementTunnelPeer> peers;  // ascending by node; none that is revoked or not enrolled
  LogId psk_log{};  // as in Tunnel
  NodeId psk_node{};
  bool operator==(const ManagementTunnel&) const = default;
};

/// Both addresses with the whole networks: so the kernel itself makes the only two routes over the interface.
std::vector<IpPrefix> addresses_of(const ManagementTunnel& tunnel);
/// Ascending.
std::vector<IpPrefix> allowed_of(const ManagementTunnelPeer& peer);

/// What a router shall look like: a pinned configuration bound to the overlay.
struct Desired {
  std::vector<Tunnel> tunnels;        // ascending by name; empty when this node is revoked
  std::vector<IpAddress> loopbacks;   // on the owned interface tlwg_lo
  std::map<std::string, std::string> sysctls;
  std::string bird;                   // bird.conf, complete
  bool own_routing = true;            // bird.conf is render_bird()'s: what its protocols are called is known
  std::optional<ManagementTunnel> management;  // nothing when this node is revoked or has no key
  bool operator==(const Desired&) const = default;
};

Desired bind(const NodeConfig& config, const Overlay& overlay);
/// What a router is for a moment between `before` and `after`, so that new links stand before old ones go:
/// `before`, and beside it the links that only `after` has. Nothing when no link goes or none comes, or when they
/// cannot stand beside each other: another AS number, loopback or link address (all sessions begin anew), or a port
/// that both use.
std::optional<Desired> bind_bridge(const NodeConfig& before, const NodeConfig& after, const Overlay& overlay);

/// BIRD 2 text for a configuration with these tunnels (RFC 8950 extended next hop over IPv6 link-local).
/// Protocols: one BGP `peer_<tunnel's name without tlwg_>` for each tunnel, with BFD, which announces exactly the own
/// LANs that are up and the own loopbacks (seen by `lans` and `loopbacks`); `kernel4` and `kernel6` install what was
/// learned. Imports exactly the accepted LANs and host routes of the loopback networks, never an own network.
std::string render_bird(const NodeConfig& config, const std::vector<Tunnel>& tunnels);
/// wg-quick-like text of one tunnel with placeholders for the keys, for people and for `diff`.
std::string render_wireguard(const Tunnel& tunnel);
std::string render_wireguard(const ManagementTunnel& tunnel);
/// The files of a configuration by name, as people read them, secret keys left out: bird.conf and one tlwg_*.conf
/// for each tunnel and for the management interface.
std::map<std::string, std::string> rendered_files(const NodeConfig& config, const Overlay& overlay);
/// The same as if every peer were enrolled, with placeholders for all keys: what `diff` compares.
std::map<std::string, std::string> rendered_files(const NodeConfig& config);

}  // namespace mesh
