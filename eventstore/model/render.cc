// Text for BIRD 2 and for WireGuard. The same arguments give the same bytes.
#include <fmt/format.h>

#include <algorithm>
#include <iterator>

#include "eventstore/model/overlay.h"

namespace mesh {

namespace {

using Out = std::back_insert_iterator<std::string>;

/// What stands between quotes in BIRD's text; it has no escapes.
std::string quotable(std::string_view text) {
  std::string out;
  for (char c : text)
    if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' ||
        c == '-' || c == '_')
      out += c;
  return out;
}

std::string prefix_set(const std::vector<std::string>& items) {
  if (items.size() == 1) return fmt::format("[ {} ]", items.front());
  std::string out = "[";
  for (size_t i = 0; i < items.size(); ++i) out += (i > 0 ? ",\n  " : "\n  ") + items[i];
  return out + "\n]";
}

std::vector<std::string> own_networks(const NodeConfig& config, bool v6) {
  std::vector<std::string> out;
  for (const auto& lan : config.lans)
    if (lan.v6() == v6) out.push_back(to_text(lan));
  const IpAddress& loopback = v6 ? config.loopback6 : config.loopback4;
  out.push_back(to_text(IpPrefix{loopback, loopback.bits()}));
  return out;
}

/// The accepted LANs exactly, and host routes out of the loopback network.
std::vector<std::string> mesh_networks(const NodeConfig& config, bool v6) {
  std::vector<std::string> out;
  const IpAddress& loopback = v6 ? config.loopback6 : config.loopback4;
  for (const auto& network : config.accepted) {
    if (network.v6() != v6) continue;
    std::string text = to_text(network);
    if (network.contains(loopback)) text += fmt::format("{{{0},{0}}}", loopback.bits());
    out.push_back(std::move(text));
  }
  return out;
}

/// Networks and filters of one family. `n` is 4 or 6.
void render_family(Out out, const NodeConfig& config, bool v6) {
  char n = v6 ? '6' : '4';
  fmt::format_to(out, "define OWN{} = {};\n", n, prefix_set(own_networks(config, v6)));
  fmt::format_to(out, "define MESH{} = {};\n\n", n, prefix_set(mesh_networks(config, v6)));
  fmt::format_to(out,
                 "filter import{0} {{\n"
                 "  if net ~ OWN{0} then reject;\n"
                 "  if net ~ MESH{0} then accept;\n"
                 "  reject;\n"
                 "}}\n"
                 "filter export{0} {{\n"
                 "  if source = RTS_BGP then accept;\n"
                 "  if source = RTS_DEVICE && net ~ OWN{0} then accept;\n"
                 "  reject;\n"
                 "}}\n"
                 "filter install{0} {{\n"
                 "  if source != RTS_BGP then reject;\n"
                 "  krt_prefsrc = {1};\n"
                 "  accept;\n"
                 "}}\n\n",
                 n, to_text(v6 ? config.loopback6 : config.loopback4));
}

// What is announced is decided on export: a filter on the import of a direct protocol would restart
// it when the LANs change, and so withdraw all of them for a moment (seen).
// Metric: routes of the machine itself win, also those of NetworkManager (100) and of static IPv6
// (1024).
constexpr std::string_view kRouting = R"(protocol device {
  scan time 10;
}
protocol direct loopbacks {
  interface "tlwg_lo";
  ipv4 { import all; };
  ipv6 { import all; };
}
protocol direct lans {
  check link yes;
  interface "-tlwg_*", "*";
  ipv4 { import all; };
  ipv6 { import all; };
}
protocol kernel kernel4 {
  scan time 20;
  metric 2048;
  ipv4 { import none; export filter install4; };
}
protocol kernel kernel6 {
  scan time 20;
  metric 2048;
  ipv6 { import none; export filter install6; };
}
)";

// BFD finds a dead link, BGP's own timers only have to bring it back soon; the hold time is for a
// peer whose BFD lives and whose BGP does not. Graceful restart was measured to delay or prevent
// failover.
constexpr std::string_view kSessions = R"(protocol bfd {{
  accept ipv6 direct;
}}
template bgp mesh {{
  local {} as {};
  graceful restart off;
  connect delay time 1;
  connect retry time 5;
  error wait time 1, 30;
  error forget time 60;
  hold time 15;
  keepalive time 5;
  enforce first as on;
  ipv4 {{ import filter import4; export filter export4; next hop self; extended next hop on; }};
  ipv6 {{ import filter import6; export filter export6; next hop self; }};
}}
)";

void render_peer(Out out, const LinkConfig& link, const Tunnel& tunnel) {
  fmt::format_to(out,
                 "protocol bgp peer_{} from mesh {{\n"
                 "  description \"{}\";\n"
                 "  neighbor {} % '{}' as {};\n"
                 "  bfd {{ interval {} ms; multiplier {}; }};\n"
                 "}}\n",
                 std::string_view(tunnel.name).substr(std::string_view("tlwg_").size()),
                 quotable(link.peer_name), to_text(tunnel.peer_address), tunnel.name, link.peer_as,
                 link.bfd_interval_ms, link.bfd_multiplier);
}

}  // namespace

std::string render_bird(const NodeConfig& config, const std::vector<Tunnel>& tunnels) {
  std::string text;
  Out out(text);
  fmt::format_to(out,
                 "# Made by Meshlog for {} (node {}); what is changed here is overwritten.\n"
                 "log stderr {{ info, warning, error, fatal, bug, auth }};\n"
                 "router id {};\n\n",
                 quotable(config.fullname()), config.node.value(), to_text(config.loopback4));
  render_family(out, config, false);
  render_family(out, config, true);
  text += kRouting;
  if (tunnels.empty()) return text;
  fmt::format_to(out, kSessions, to_text(tunnels.front().address), config.as_number);
  for (const auto& tunnel : tunnels) {
    auto link = std::ranges::lower_bound(config.links, tunnel.peer, {}, &LinkConfig::peer);
    if (link != config.links.end() && link->peer == tunnel.peer) render_peer(out, *link, tunnel);
  }
  return text;
}

std::string render_wireguard(const Tunnel& tunnel) {
  std::string text = fmt::format(
      "# {}\n"
      "[Interface]\n"
      "ListenPort = {}\n"
      "PrivateKey = (own key, generation {})\n"
      "Address = {}/64\n"
      "MTU = {}\n"
      "Table = off\n"
      "\n"
      "[Peer]\n"
      "PublicKey = {}\n"
      "PresharedKey = (derived, epoch {})\n"
      "AllowedIPs = 0.0.0.0/0, ::/0\n",
      tunnel.name, tunnel.listen_port, tunnel.own_generation, to_text(tunnel.address), tunnel.mtu,
      to_base64(tunnel.peer_key.view()), tunnel.psk_epoch);
  if (!tunnel.endpoint_host.empty())
    text += "Endpoint = " + host_port_text(tunnel.endpoint_host, tunnel.endpoint_port) + "\n";
  if (tunnel.keepalive > 0) text += fmt::format("PersistentKeepalive = {}\n", tunnel.keepalive);
  return text;
}

std::string render_wireguard(const ManagementTunnel& tunnel) {
  std::string text = fmt::format(
      "# {}\n[Interface]\nListenPort = {}\nPrivateKey = (own key, generation {})\n"
      "Address = {}/64, {}/64\nMTU = {}\n",
      kManagementInterface, tunnel.listen_port, tunnel.own_generation, to_text(tunnel.address),
      to_text(tunnel.link_local), tunnel.mtu);
  for (const ManagementTunnelPeer& peer : tunnel.peers) {
    text += fmt::format(
        "\n[Peer]\n# node {}\nPublicKey = {}\nPresharedKey = (derived, epoch {})\nAllowedIPs = {}/128, {}/128\n",
        peer.node.value(), to_base64(peer.key.view()), peer.psk_epoch, to_text(peer.address),
        to_text(peer.link_local));
    if (!tunnel.endpoint_host.empty())
      text += "Endpoint = " + host_port_text(tunnel.endpoint_host, tunnel.endpoint_port) + "\n";
    if (tunnel.keepalive > 0) text += fmt::format("PersistentKeepalive = {}\n", tunnel.keepalive);
  }
  return text;
}

std::map<std::string, std::string> rendered_files(const NodeConfig& config,
                                                  const Overlay& overlay) {
  const Desired desired = bind(config, overlay);
  std::map<std::string, std::string> out{{"bird.conf", desired.bird}};
  for (const Tunnel& tunnel : desired.tunnels)
    out[tunnel.name + ".conf"] = render_wireguard(tunnel);
  if (desired.management)
    out[std::string(kManagementInterface) + ".conf"] = render_wireguard(*desired.management);
  return out;
}

std::map<std::string, std::string> rendered_files(const NodeConfig& config) {
  Overlay overlay;
  overlay.node = config.node;
  overlay.generations = {1};
  for (const LinkConfig& link : config.links) overlay.peers[link.peer].keys = {{1, WireGuardKey{}}};
  if (config.management)
    for (const ManagementPeer& peer : config.management->peers) overlay.peers[peer.node].keys = {{1, WireGuardKey{}}};
  return rendered_files(config, overlay);
}

}  // namespace mesh
