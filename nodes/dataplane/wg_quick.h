// A tunnel as wg-quick(8) writes it. Pure.
//
// What a rendered file says is what the tunnel becomes; what it leaves out stays as it was generated. Keys are
// placeholders ("MESHLOG-PRIVATE-KEY-12", 12 = the peer's number): no secret is in the log, and the node has them.
// AllowedIPs are 0.0.0.0/0 and ::/0: routing decides what goes where. `ip addr add A peer B dev IF` as PostUp is an
// address of the tunnel; every other PostUp and PostDown is a command (services.h).
#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "eventstore/model/overlay.h"

namespace mesh {

struct WgQuickFile {
  std::optional<uint16_t> listen_port, mtu, keepalive;
  std::vector<IpPrefix> addresses;          // ascending; empty = not said
  std::vector<PeerAddress> peer_addresses;  // ascending
  std::optional<HostPort> endpoint;
  std::vector<std::string> post_up, post_down;  // without what is an address; in their order
  bool operator==(const WgQuickFile&) const = default;
};

/// The peer's number in "tlwg_12.conf"; NodeId(0) when it is no tunnel's file.
NodeId peer_of_tunnel_file(std::string_view name);

/// `text` of the file tlwg_PEER.conf. Errors: invalid, "tlwg_12.conf:7: why", also for literal keys.
Result<WgQuickFile> parse_wg_quick(std::string_view text, NodeId peer);

/// The tunnel as the file says. On lane 1 (overlay.h) ports are moved, as both ends do.
void use_wg_quick(const WgQuickFile& file, Tunnel& tunnel);

}  // namespace mesh
