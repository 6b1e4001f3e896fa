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

std::string endpoint_text(std::string_view host, uint16_t port) {
  if (host.empty()) return {};
  return host.contains(':') ? fmt::format("[{}]:{}", host, port) : fmt::format("{}:{}", host, port);
}

}  // namespace mesh
