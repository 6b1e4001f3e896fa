#include "eventstore/model/overlay.h"

#include <algorithm>
#include <array>
#include <optional>
#include <tuple>

namespace mesh {

namespace {

constexpr uint16_t kLaneDistance = 16'384;

struct Pair {
  uint32_t own = 0;
  KeyGeneration peer;
};

/// The pair of generations for each lane; nothing where there is none.
std::array<std::optional<Pair>, 2> choose_lanes(const Overlay& overlay, NodeId peer,
                                                const PeerOverlay& keys) {
  std::array<std::optional<Pair>, 2> out;
  bool own_is_lower = overlay.node < peer;
  auto rank = [&](const Pair& pair) {
    return std::tuple(uint64_t{pair.own} + pair.peer.generation,
                      own_is_lower ? pair.own : pair.peer.generation);
  };
  for (uint32_t own : overlay.generations) {
    for (const auto& key : keys.keys) {
      Pair pair{own, key};
      auto& lane = out[(own + key.generation) % 2];
      if (!lane || rank(pair) > rank(*lane)) lane = pair;
    }
  }
  return out;
}

Tunnel make_tunnel(const NodeConfig& config, const LinkConfig& link, const Pair& pair, unsigned lane,
                   uint64_t psk_epoch) {
  Tunnel out;
  out.name = "tlwg_" + std::to_string(link.peer.value()) + (lane == 1 ? "b" : "");
  out.peer = link.peer;
  out.listen_port = lane_port(link.listen_port, lane);
  out.mtu = link.mtu;
  out.address = link.address;
  out.peer_address = link.peer_address;
  out.loopback4 = config.loopback4;
  out.own_generation = pair.own;
  out.peer_key = pair.peer.key;
  out.psk_epoch = psk_epoch;
  out.endpoint_host = link.endpoint_host;
  out.endpoint_port = link.endpoint_host.empty() ? 0 : lane_port(link.endpoint_port, lane);
  out.keepalive = link.keepalive;
  return out;
}

std::optional<ManagementTunnel> make_management(const NodeConfig& config, const Overlay& overlay) {
  if (!config.management || overlay.revoked || overlay.generations.empty()) return std::nullopt;
  const ManagementConfig& from = *config.management;
  ManagementTunnel out;
  out.listen_port = from.listen_port;
  out.mtu = from.mtu;
  out.keepalive = from.keepalive;
  out.address = from.address;
  out.link_local = from.link_local;
  out.own_generation = overlay.generations.back();
  out.psk_log = overlay.log;
  out.psk_node = overlay.node;
  for (const ManagementPeer& each : from.peers) {
    const auto peer = overlay.peers.find(each.node);
    if (peer == overlay.peers.end() || peer->second.keys.empty()) continue;
    out.peers.push_back({each.node, peer->second.keys.back().key, peer->second.psk_epoch, each.address,
                         each.link_local});
    if (from.hub) continue;
    out.endpoint_host = each.endpoint_host;
    out.endpoint_port = each.endpoint_port;
  }
  return out;
}

bool has_link(const NodeConfig& config, NodeId peer) {
  return std::ranges::find(config.links, peer, &LinkConfig::peer) != config.links.end();
}

}  // namespace

Overlay make_overlay(const MeshState& state, NodeId node) {
  Overlay out;
  out.log = state.log;
  out.node = node;
  out.revoked = true;
  for (const auto& [id, other] : state.nodes) {
    out.sequence = std::max(out.sequence, other->enrolled_at);
    if (id == node) {
      out.revoked = other->enrolment == Enrolment::revoked;
      for (const auto& key : other->keys) out.generations.push_back(key.generation);
    } else if (other->enrolment == Enrolment::enrolled && !other->keys.empty()) {
      out.peers[id].keys = other->keys;
    }
  }
  for (const auto& [id, other] : state.removed_nodes)
    out.sequence = std::max(out.sequence, other->enrolled_at);
  return out;
}

std::vector<IpPrefix> addresses_of(const Tunnel& tunnel) {
  if (!tunnel.addresses.empty()) return tunnel.addresses;
  std::vector<IpPrefix> out{{tunnel.address, 64}};
  if (tunnel.loopback4 != IpAddress{}) out.push_back({tunnel.loopback4, tunnel.loopback4.bits()});
  std::ranges::sort(out);
  return out;
}

std::vector<IpPrefix> addresses_of(const ManagementTunnel& tunnel) {
  std::vector<IpPrefix> out{{tunnel.address, 64}, {tunnel.link_local, 64}};
  std::ranges::sort(out);
  return out;
}

std::vector<IpPrefix> allowed_of(const ManagementTunnelPeer& peer) {
  std::vector<IpPrefix> out{{peer.address, 128}, {peer.link_local, 128}};
  std::ranges::sort(out);
  return out;
}

uint16_t lane_port(uint16_t port, unsigned lane) {
  if (lane == 0) return port;
  return static_cast<uint16_t>(port >= 2 * kLaneDistance ? port - kLaneDistance
                                                         : port + kLaneDistance);
}

Desired bind(const NodeConfig& config, const Overlay& overlay) {
  Desired out;
  for (const auto& link : config.links) {
    auto peer = overlay.peers.find(link.peer);
    if (overlay.revoked || peer == overlay.peers.end()) continue;
    auto lanes = choose_lanes(overlay, link.peer, peer->second);
    for (unsigned lane = 0; lane < lanes.size(); ++lane)
      if (lanes[lane])
        out.tunnels.push_back(make_tunnel(config, link, *lanes[lane], lane, peer->second.psk_epoch));
  }
  for (Tunnel& tunnel : out.tunnels) {
    tunnel.psk_log = overlay.log;
    tunnel.psk_node = overlay.node;
  }
  std::ranges::sort(out.tunnels, {}, &Tunnel::name);
  out.loopbacks = {config.loopback4, config.loopback6};
  out.sysctls = config.sysctls;
  out.bird = render_bird(config, out.tunnels);
  out.management = make_management(config, overlay);
  return out;
}

std::optional<Desired> bind_bridge(const NodeConfig& before, const NodeConfig& after,
                                   const Overlay& overlay) {
  const bool same_speaker = before.as_number == after.as_number &&
                            before.loopback4 == after.loopback4 &&
                            before.loopback6 == after.loopback6;
  if (!same_speaker || before.links.empty()) return std::nullopt;
  NodeConfig both = before;
  for (const auto& link : after.links) {
    if (has_link(before, link.peer)) continue;
    const bool port_in_use = std::ranges::any_of(
        before.links, [&](const LinkConfig& own) { return own.listen_port == link.listen_port; });
    if (port_in_use || link.address != before.links.front().address) return std::nullopt;
    both.links.push_back(link);
  }
  const bool goes = std::ranges::any_of(
      before.links, [&](const LinkConfig& link) { return !has_link(after, link.peer); });
  if (!goes || both.links.size() == before.links.size()) return std::nullopt;
  std::ranges::sort(both.links, {}, &LinkConfig::peer);
  return bind(both, overlay);
}

}  // namespace mesh
