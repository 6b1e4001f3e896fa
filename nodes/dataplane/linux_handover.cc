// What a router is asked before it is touched, and what is waited for before a tunnel goes.
#include <fmt/format.h>

#include <algorithm>
#include <thread>

#include "nodes/dataplane/linux_dataplane.h"
#include "nodes/dataplane/udp_ports.h"

namespace mesh {
namespace {

using Clock = std::chrono::steady_clock;
using namespace std::chrono_literals;

constexpr auto kPoll = 100ms;
constexpr auto kSilence = 200ms;  // BFD speaks more often over a session that lives
constexpr auto kSilencePatience = 1000ms;

Status check_kind(const LinkInfo& link, std::initializer_list<std::string_view> ours) {
  if (std::ranges::find(ours, link.kind) != ours.end()) return {};
  return fail(Errc::conflict,
              fmt::format("interface {} is of kind {} and not made by Meshlog", link.name,
                          link.kind.empty() ? "hardware" : link.kind),
              fmt::format("ip link delete {0}, or ip link set {0} name OTHER", link.name));
}

}  // namespace

Status LinuxDataplane::check_names(const Seen& seen, const Desired& wanted) const {
  for (const Tunnel& tunnel : wanted.tunnels)
    if (auto link = seen.links.find(tunnel.name); link != seen.links.end())
      MESH_TRY(check_kind(link->second, {"wireguard", "tun"}));
  if (auto link = seen.links.find(std::string(kManagementInterface)); wanted.management && link != seen.links.end())
    MESH_TRY(check_kind(link->second, {"wireguard", "tun"}));
  auto loopback = seen.links.find(std::string(kLoopbackInterface));
  if (loopback == seen.links.end() || wanted.loopbacks.empty()) return {};
  return check_kind(loopback->second, {"dummy", "bridge"});
}

/// Ports that our own tunnels hold are ours to move.
Status LinuxDataplane::check_ports(const Seen& seen, const Desired& wanted) const {
  auto check = [&](std::string_view name, uint16_t port) -> Status {
    const bool ours =
        std::ranges::any_of(seen.devices, [&](const auto& device) { return device.second.listen_port == port; });
    if (ours) return {};
    auto free = check_udp_port(port, options_.port_patience);
    return free ? Status() : fail_in(fmt::format("tunnel {}", name), free.error());
  };
  for (const Tunnel& tunnel : wanted.tunnels) MESH_TRY(check(tunnel.name, tunnel.listen_port));
  return wanted.management ? check(kManagementInterface, wanted.management->listen_port) : Status();
}

Status LinuxDataplane::check(const Desired& wanted) {
  MESH_TRY(check_keys(wanted, keys_));
  for (const Tunnel& tunnel : wanted.tunnels)
    if (auto psk = psk_of(tunnel); !psk) return fail_in("tunnel " + tunnel.name, psk.error());
  if (wanted.management)
    if (auto psks = psks_of(*wanted.management); !psks) return fail_in("tunnel tlwg_mgmt", psks.error());
  auto seen = look();
  if (!seen) return std::unexpected(seen.error());
  MESH_TRY(check_names(*seen, wanted));
  MESH_TRY(check_ports(*seen, wanted));
  for (const auto& [name, value] : wanted.sysctls)
    if (auto is = sysctls_.read(name); !is) return std::unexpected(is.error());
  MESH_TRY(make_run_directory());
  return bird_.check(wanted.bird);
}

void LinuxDataplane::await_other_paths(const std::vector<std::string>& going) {
  std::vector<std::string> protocols;
  for (const std::string& name : going) protocols.push_back(bird_protocol_of(name));
  const auto deadline = Clock::now() + options_.handover_patience;
  while (Clock::now() < deadline) {
    auto done = bird_.others_tell_all_of(protocols);
    if (!done || *done) return;
    std::this_thread::sleep_for(kPoll);
  }
}

void LinuxDataplane::await_silence(const std::vector<std::string>& going) {
  const auto deadline = Clock::now() + kSilencePatience;
  auto received = [&] {
    uint64_t bytes = 0;
    if (auto seen = look())
      for (const std::string& name : going)
        if (auto device = seen->devices.find(name); device != seen->devices.end())
          for (const WireGuardPeer& peer : device->second.peers) bytes += peer.rx_bytes;
    return bytes;
  };
  for (uint64_t before = received(); Clock::now() < deadline;) {
    std::this_thread::sleep_for(kSilence);
    const uint64_t now = received();
    if (now == before) return;
    before = now;
  }
}

}  // namespace mesh
