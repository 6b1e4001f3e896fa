// A Linux router: WireGuard interfaces, addresses, sysctls and a BIRD of our own, in the network
// namespace of the thread that calls. Processes it starts outlive it, and are adopted by the next
// one with the same run directory.
#pragma once

#include <chrono>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>

#include "nodes/dataplane/bird_control.h"
#include "nodes/dataplane/dataplane.h"
#include "nodes/dataplane/echo.h"
#include "nodes/dataplane/endpoints.h"
#include "nodes/dataplane/path_prober.h"
#include "nodes/dataplane/peer_memory.h"
#include "nodes/dataplane/route_watch.h"
#include "nodes/dataplane/rtnetlink.h"
#include "nodes/dataplane/sysctls.h"
#include "nodes/dataplane/tunnel_keys.h"
#include "nodes/dataplane/wireguard_backend.h"

namespace mesh {

/// Where the management interface dials, as the tunnel that the memory of endpoints knows.
Tunnel dialled_by(const ManagementTunnel& management);

class LinuxDataplane final : public Dataplane {
 public:
  struct Options {
    LogId log;  // with `node`: what the pre-shared keys are bound to
    NodeId node;
    std::filesystem::path run_directory =
        "/run/meshnode";                            // one per network namespace; made when missing
    std::filesystem::path known_addresses;          // of peers given by name; on the node's disk
    std::filesystem::path data = "/";               // whose file system's free space health() tells
    PathSurvey::Options survey;                     // of round-trip times and path MTUs
    // WireGuard makes a new handshake every two minutes while packets flow, and gives up a session after three.
    std::chrono::seconds silent_after{180};
    std::string bird_user = "bird";                 // see BirdDaemon::Options
    std::chrono::seconds bird_confirm_timeout{60};  // longer than the rest of any plan takes
    // How long all names of one observe() together may hold up a plan. One that was reached before
    // waits for nothing. A tunnel whose peer's name was never known, nor is found by then, is made
    // without endpoint, and told by refresh_endpoints() later.
    std::chrono::milliseconds resolve_budget{1000};
    std::chrono::milliseconds refresh_interval{
        15'000};  // between two refresh_endpoints() that look
    // How long a tunnel that goes is kept for others to take over what it carries. A handshake that
    // met a peer without its new configuration is tried again after 5 s.
    std::chrono::milliseconds handover_patience{8000};
    std::chrono::milliseconds port_patience{1000};  // for a port that another program holds
  };

  /// Borrows `keys` for its lifetime. Errors: unavailable (not root), io.
  static Result<std::unique_ptr<LinuxDataplane>> open(Options options, const TunnelKeys& keys);

  Status check(const Desired& wanted) override;
  Result<Observed> observe(const Desired& wanted) override;
  Status execute(const Action& action) override;
  Status confirm() override { return bird_.confirm(); }
  Status cancel() override { return bird_.cancel(); }
  void await_other_paths(const std::vector<std::string>& going) override;
  void await_silence(const std::vector<std::string>& going) override;
  Result<Health> health() override;
  /// Of a BIRD whose protocols somebody else named nothing is known.
  Result<RouteLook> look_at_routes(const Desired& wanted) override {
    return wanted.own_routing ? routes_.look(wanted) : RouteLook{};
  }
  Status mend_routes(const std::vector<RouteDifference>& differences) override {
    return routes_.mend(differences);
  }
  Status enable_protocol(const std::string& name) override { return bird_.enable(name); }
  Status refresh_endpoints(const Desired& wanted) override;
  Result<std::vector<IpAddress>> probe(const std::vector<IpAddress>& from,
                                       const std::vector<IpAddress>& targets) override {
    return echo_.probe(from, targets);
  }
  void probe_links() override { paths_.run(); }
  Status remove_all() override;

 private:
  struct Seen {
    std::map<std::string, LinkInfo> links;           // tunnels and tlwg_lo
    std::map<std::string, WireGuardDevice> devices;  // of the tunnels that answer
  };
  LinuxDataplane(Options options, const TunnelKeys& keys, Rtnetlink netlink);
  Result<Seen> look();
  void watch_paths(const Seen& seen, const Desired& wanted);
  std::string wireguard_of(const Seen& seen);
  Status make_run_directory() const;
  Status check_names(const Seen& seen, const Desired& wanted) const;
  Status check_ports(const Seen& seen, const Desired& wanted) const;
  WireGuardBackend& backend(const LinkInfo& link);
  /// What a tunnel and the management interface have in common.
  ObservedTunnel observe_interface(const LinkInfo& link, const WireGuardDevice* device);
  ObservedTunnel observe_tunnel(const LinkInfo& link, const WireGuardDevice* device,
                                const Tunnel* wanted);
  ObservedTunnel observe_management(const LinkInfo& link, const WireGuardDevice* device,
                                    const ManagementTunnel* wanted);

  Status execute_one(const SetSysctl& action) { return sysctls_.write(action.name, action.value); }
  Status execute_one(const SetLoopbacks& action);
  Status execute_one(const CreateTunnel& action);
  Status execute_one(const UpdateTunnel& action);
  Status execute_one(const ConfigureBird& action) { return bird_.configure(action.text); }
  Status execute_one(const RemoveTunnel& action);
  Status execute_one(const SetManagement& action);

  Result<LinkInfo> create_interface(const std::string& name);
  Result<LinkInfo> loopback_interface();
  /// `before`: what the interface has; nullptr when it is new.
  Status configure_wireguard(const Tunnel& tunnel, const LinkInfo& link,
                             const WireGuardDevice* before);
  /// WireGuard has once been told an address for the endpoint that `tunnel` has now.
  bool was_told(const Tunnel& tunnel);
  Status configure_interface(const LinkInfo& link, uint16_t mtu, const std::vector<IpPrefix>& addresses,
                             const std::vector<PeerAddress>& with_peers);
  bool keeps_endpoint(const Tunnel& tunnel, const WireGuardPeer* before);
  Status remember_endpoint(const Tunnel& tunnel, const std::string& endpoint);
  Status configure_management(const ManagementTunnel& tunnel, const LinkInfo& link, const WireGuardDevice* before);
  /// `endpoint`: of the hub; empty = leave it as it is.
  Status write_management(const ManagementTunnel& tunnel, const LinkInfo& link, const std::string& endpoint);
  Status tell_management(const ManagementTunnel& tunnel, const LinkInfo& link, const std::string& endpoint);
  /// In the order of the peers.
  Result<std::vector<SecretKey>> psks_of(const ManagementTunnel& tunnel) const;
  Status set_addresses(int index, const std::vector<IpPrefix>& wanted, const std::vector<PeerAddress>& with_peers);
  Result<SecretKey> psk_of(const Tunnel& tunnel) const;
  /// "address:port"; empty when the name has no address until the budget is spent.
  std::string resolve(const Tunnel& tunnel);
  /// Where its name was found last or a handshake was made, in the order to try; never waits.
  std::vector<std::string> choices(const Tunnel& tunnel);
  bool is_silent(const std::string& tunnel) const;
  Status refresh_endpoint(const Tunnel& tunnel, const WireGuardDevice& device,
                          const std::function<Status(const std::string& endpoint)>& tell);
  Status tell_endpoint(const Tunnel& tunnel, const LinkInfo& link, const std::string& endpoint);

  Options options_;
  const TunnelKeys& keys_;
  Rtnetlink netlink_;
  KernelWireGuard kernel_;
  UserspaceWireGuard userspace_;
  BirdDaemon bird_;
  RouteWatch routes_;
  Sysctls sysctls_;
  Resolver resolver_;
  EndpointMemory endpoints_;
  KnownAddresses known_;
  HandshakeWatch handshakes_;
  Echo echo_;
  PathProber paths_;
  std::string userspace_version_;  // empty = not asked yet
  std::chrono::steady_clock::time_point resolve_deadline_{}, next_refresh_{};
};

}  // namespace mesh
