// The management interface: one WireGuard interface with several peers.
#include <fmt/format.h>

#include <algorithm>

#include "nodes/dataplane/linux_dataplane.h"

namespace mesh {

Tunnel dialled_by(const ManagementTunnel& management) {
  Tunnel out;
  out.name = kManagementInterface;
  out.own_generation = management.own_generation;
  out.endpoint_host = management.endpoint_host;
  out.endpoint_port = management.endpoint_port;
  return out;
}

namespace {

/// The pre-shared key is that of the link between the two.
Tunnel link_of(const ManagementTunnel& management, const ManagementTunnelPeer& peer) {
  Tunnel out = dialled_by(management);
  out.peer = peer.node;
  out.peer_key = peer.key;
  out.psk_epoch = peer.psk_epoch;
  out.psk_log = management.psk_log;
  out.psk_node = management.psk_node;
  return out;
}

}  // namespace

ObservedTunnel LinuxDataplane::observe_management(const LinkInfo& link, const WireGuardDevice* device,
                                                  const ManagementTunnel* wanted) {
  ObservedTunnel out = observe_interface(link, device);
  if (device == nullptr) return out;
  for (const WireGuardPeer& peer : device->peers) {
    ObservedPeer& each = out.each.emplace_back(ObservedPeer{peer.key, peer.keepalive, false, peer.allowed()});
    if (wanted == nullptr || !peer.psk) continue;
    const auto is = std::ranges::find(wanted->peers, peer.key, &ManagementTunnelPeer::key);
    if (is == wanted->peers.end()) continue;
    if (auto psk = psk_of(link_of(*wanted, *is))) each.psk_matches = psk->equals(*peer.psk);
  }
  std::ranges::sort(out.each, {}, &ObservedPeer::key);
  return out;
}

Result<std::vector<SecretKey>> LinuxDataplane::psks_of(const ManagementTunnel& tunnel) const {
  std::vector<SecretKey> out;
  for (const ManagementTunnelPeer& peer : tunnel.peers) {
    auto psk = psk_of(link_of(tunnel, peer));
    if (!psk) return std::unexpected(psk.error());
    out.push_back(std::move(*psk));
  }
  if (keys_.find(tunnel.own_generation) != nullptr) return out;
  return fail(Errc::not_found, fmt::format("this node has no WireGuard key of generation {}", tunnel.own_generation));
}

Status LinuxDataplane::write_management(const ManagementTunnel& tunnel, const LinkInfo& link,
                                        const std::string& endpoint) {
  auto psks = psks_of(tunnel);
  if (!psks) return std::unexpected(psks.error());
  InterfaceSettings settings{link.name, tunnel.listen_port, keys_.find(tunnel.own_generation), {}};
  for (size_t i = 0; i < tunnel.peers.size(); ++i)
    settings.peers.push_back(
        {tunnel.peers[i].key, &(*psks)[i], endpoint, tunnel.keepalive, allowed_of(tunnel.peers[i])});
  return backend(link).configure(settings);
}

Status LinuxDataplane::tell_management(const ManagementTunnel& tunnel, const LinkInfo& link,
                                       const std::string& endpoint) {
  MESH_TRY(write_management(tunnel, link, endpoint));
  return remember_endpoint(dialled_by(tunnel), endpoint);
}

Status LinuxDataplane::configure_management(const ManagementTunnel& tunnel, const LinkInfo& link,
                                            const WireGuardDevice* before) {
  const Tunnel hub = dialled_by(tunnel);
  const bool known = before != nullptr && before->peers.size() == 1 && tunnel.peers.size() == 1 &&
                     before->peers.front().key == tunnel.peers.front().key;
  if (known && keeps_endpoint(hub, &before->peers.front())) return write_management(tunnel, link, {});
  return tell_management(tunnel, link, resolve(hub));
}

Status LinuxDataplane::execute_one(const SetManagement& action) {
  const ManagementTunnel& tunnel = action.tunnel;
  const std::string name(kManagementInterface);
  if (auto psks = psks_of(tunnel); !psks) return std::unexpected(psks.error());  // nothing is begun
  auto link = netlink_.link(name);
  if (!link && link.error().code != Errc::not_found) return std::unexpected(link.error());
  std::optional<WireGuardDevice> device;
  if (link) {
    auto found = backend(*link).read({name});
    if (!found) return std::unexpected(found.error());
    if (auto at = found->find(name); at != found->end()) device = std::move(at->second);
    if (!device) MESH_TRY(execute_one(RemoveTunnel{name}));  // its process is gone or hangs
  }
  const bool is_new = !device;
  if (is_new) link = create_interface(name);
  if (!link) return std::unexpected(link.error());
  Status done = configure_management(tunnel, *link, device ? &*device : nullptr);
  if (done) done = configure_interface(*link, tunnel.mtu, addresses_of(tunnel), {});
  if (!done && is_new) static_cast<void>(backend(*link).remove(name));  // never half of it; the first error tells
  return done;
}

}  // namespace mesh
