#include "nodes/dataplane/dataplane.h"

#include <fmt/format.h>

#include <charconv>

namespace mesh {

bool is_tunnel_name(std::string_view name) {
  return name.starts_with(kTunnelPrefix) && name != kLoopbackInterface;
}

NodeId peer_in_name(std::string_view name) {
  if (!name.starts_with(kTunnelPrefix)) return {};
  name.remove_prefix(kTunnelPrefix.size());
  if (name.ends_with('b')) name.remove_suffix(1);
  uint32_t id = 0;
  auto [end, error] = std::from_chars(name.data(), name.data() + name.size(), id);
  return error == std::errc() && end == name.data() + name.size() ? NodeId(id) : NodeId();
}

std::string endpoint_text(const Tunnel& tunnel) {
  return tunnel.endpoint_host.empty() ? std::string()
                                      : host_port_text(tunnel.endpoint_host, tunnel.endpoint_port);
}

std::string bird_protocol_of(std::string_view tunnel) {
  return "peer_" + std::string(tunnel.substr(kTunnelPrefix.size()));
}

Status check_keys(const Desired& wanted, const TunnelKeys& keys) {
  auto check = [&](std::string_view name, uint32_t generation) -> Status {
    if (keys.find(generation) != nullptr) return {};
    return fail(Errc::not_found,
                fmt::format("tunnel {} needs this node's WireGuard key of generation {}, which is not on its disk",
                            name, generation),
                "put the key file back, or let the node join anew");
  };
  for (const Tunnel& tunnel : wanted.tunnels) MESH_TRY(check(tunnel.name, tunnel.own_generation));
  return wanted.management ? check(kManagementInterface, wanted.management->own_generation) : Status();
}

}  // namespace mesh
