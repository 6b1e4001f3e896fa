#include "nodes/dataplane/linux_dataplane.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "nodes/dataplane/machine.h"

namespace mesh {
namespace {

using Clock = std::chrono::steady_clock;

const Tunnel* find_tunnel(const Desired& wanted, const std::string& name) {
  auto it = std::ranges::find(wanted.tunnels, name, &Tunnel::name);
  return it == wanted.tunnels.end() ? nullptr : &*it;
}

int64_t newest_handshake(const WireGuardDevice& device) {
  int64_t newest = 0;
  for (const WireGuardPeer& peer : device.peers) newest = std::max(newest, peer.handshake);
  return newest;
}

/// A setting of an interface of ours, which goes with it; where it does not exist there is nothing
/// to set.
void write_setting(std::string_view interface, std::string_view setting, std::string_view value) {
  Fd fd(::open(fmt::format("/proc/sys/net/ipv6/conf/{}/{}", interface, setting).c_str(),
               O_WRONLY | O_CLOEXEC));
  if (fd) static_cast<void>(::write(fd.get(), value.data(), value.size()) == 1);
}

const WireGuardPeer* find_peer(const WireGuardDevice* device, const WireGuardKey& key) {
  if (device == nullptr) return nullptr;
  auto it = std::ranges::find(device->peers, key, &WireGuardPeer::key);
  return it == device->peers.end() ? nullptr : &*it;
}

void put_measured(const PathSurvey::Report& report, TunnelHealth& out) {
  constexpr int64_t kSecond = 1'000'000;
  out.rtt_us = report.rtt_us;
  if (report.rtt_age_us >= 0) out.rtt_age_s = report.rtt_age_us / kSecond;
  out.path_mtu = report.path_mtu;
  if (report.path_mtu_age_us >= 0) out.path_mtu_age_s = report.path_mtu_age_us / kSecond;
}

/// WireGuard itself knows no largest one.
uint16_t mtu_of(const LinkInfo& link) { return static_cast<uint16_t>(std::min<uint32_t>(link.mtu, UINT16_MAX)); }

Status make_directory(const std::filesystem::path& directory) {
  std::error_code error;
  if (std::filesystem::create_directories(directory, error) &&
      ::chmod(directory.c_str(), 0755) != 0)
    return fail_errno("setting the mode of " + directory.string(), errno);
  return error ? fail_errno("creating " + directory.string(), error.value()) : Status();
}

}  // namespace

LinuxDataplane::LinuxDataplane(Options options, const TunnelKeys& keys, Rtnetlink netlink)
    : options_(std::move(options)),
      keys_(keys),
      netlink_(std::move(netlink)),
      kernel_(netlink_),
      userspace_(netlink_),
      bird_({options_.run_directory, options_.bird_user, options_.bird_confirm_timeout}),
      routes_(netlink_, bird_),
      sysctls_(options_.run_directory / "sysctl.saved"),
      endpoints_(options_.run_directory / "endpoints"),
      known_(options_.known_addresses),
      handshakes_(options_.run_directory / "handshakes"),
      paths_(options_.survey),
      next_refresh_(Clock::now() + options_.refresh_interval) {}

Result<std::unique_ptr<LinuxDataplane>> LinuxDataplane::open(Options options,
                                                             const TunnelKeys& keys) {
  if (::geteuid() != 0)
    return fail(Errc::unavailable, "routers are configured by root only",
                "run as root, or with --dataplane dry-run");
  auto netlink = Rtnetlink::open();
  if (!netlink) return std::unexpected(netlink.error());
  MESH_TRY(make_directory(options.run_directory));
  return std::unique_ptr<LinuxDataplane>(
      new LinuxDataplane(std::move(options), keys, std::move(*netlink)));
}

WireGuardBackend& LinuxDataplane::backend(const LinkInfo& link) {
  return link.kind == "wireguard" ? static_cast<WireGuardBackend&>(kernel_) : userspace_;
}

Result<LinuxDataplane::Seen> LinuxDataplane::look() {
  auto links = netlink_.links();
  if (!links) return std::unexpected(links.error());
  Seen seen;
  std::vector<std::string> in_kernel, in_userspace;
  for (LinkInfo& link : *links) {
    if (!link.name.starts_with(kTunnelPrefix)) continue;
    if (link.name != kLoopbackInterface)
      (link.kind == "wireguard" ? in_kernel : in_userspace).push_back(link.name);
    seen.links.emplace(link.name, std::move(link));
  }
  auto devices = userspace_.read(in_userspace);
  if (!devices) return std::unexpected(devices.error());
  auto more = kernel_.read(in_kernel);
  if (!more) return std::unexpected(more.error());
  devices->merge(*more);
  seen.devices = std::move(*devices);
  std::map<std::string, int64_t> stamps;
  for (const auto& [name, device] : seen.devices) stamps[name] = newest_handshake(device);
  handshakes_.look(stamps, boot_seconds());
  return seen;
}

Result<Observed> LinuxDataplane::observe(const Desired& wanted) {
  for (const Tunnel& tunnel : wanted.tunnels)  // all at once, before the first is needed
    if (!tunnel.endpoint_host.empty() && !is_literal(tunnel.endpoint_host) && !was_told(tunnel))
      resolver_.start(tunnel.endpoint_host);
  if (wanted.management) {
    const Tunnel hub = dialled_by(*wanted.management);
    if (!hub.endpoint_host.empty() && !is_literal(hub.endpoint_host) && !was_told(hub))
      resolver_.start(hub.endpoint_host);
  }
  resolve_deadline_ = Clock::now() + options_.resolve_budget;

  auto seen = look();
  if (!seen) return std::unexpected(seen.error());
  watch_paths(*seen, wanted);
  auto addresses = netlink_.addresses();
  if (!addresses) return std::unexpected(addresses.error());
  auto bird = bird_.observe();
  if (!bird) return std::unexpected(bird.error());

  Observed out;
  out.bird_running = bird->running;
  out.bird = std::move(bird->text);
  out.bird_file = std::move(bird->file);
  std::map<int, std::vector<IpPrefix>> by_link;
  std::map<int, std::vector<PeerAddress>> with_peers;
  for (const LinkAddress& address : *addresses)
    if (address.peer)
      with_peers[address.index].push_back({address.prefix.address, *address.peer});
    else
      by_link[address.index].push_back(address.prefix);
  for (const auto& [name, link] : seen->links) {
    auto& own = by_link[link.index];
    std::ranges::sort(own);
    if (name == kLoopbackInterface) {
      for (const IpPrefix& prefix : own)
        if (!is_link_local(prefix)) out.loopbacks.push_back(prefix.address);
      continue;
    }
    auto device = seen->devices.find(name);
    const WireGuardDevice* answer = device == seen->devices.end() ? nullptr : &device->second;
    ObservedTunnel tunnel =
        name == kManagementInterface
            ? observe_management(link, answer, wanted.management ? &*wanted.management : nullptr)
            : observe_tunnel(link, answer, find_tunnel(wanted, name));
    tunnel.addresses = std::move(own);
    tunnel.peer_addresses = std::move(with_peers[link.index]);
    std::ranges::sort(tunnel.peer_addresses);
    out.tunnels.emplace(name, std::move(tunnel));
  }
  // A setting that this kernel lacks is missing from what was observed; setting it then says why.
  for (const auto& [name, value] : wanted.sysctls)
    if (auto is = sysctls_.read(name)) out.sysctls.emplace(name, std::move(*is));
  return out;
}

void LinuxDataplane::watch_paths(const Seen& seen, const Desired& wanted) {
  std::vector<PathSurvey::Target> targets;
  for (const Tunnel& tunnel : wanted.tunnels)
    if (auto link = seen.links.find(tunnel.name); link != seen.links.end() && link->second.up)
      targets.push_back({link->second.index, tunnel.peer_address, mtu_of(link->second)});
  paths_.watch(targets);
}

ObservedTunnel LinuxDataplane::observe_interface(const LinkInfo& link, const WireGuardDevice* device) {
  ObservedTunnel out;
  out.name = link.name;
  out.up = link.up;
  out.mtu = mtu_of(link);
  out.answers = device != nullptr;
  if (device == nullptr) return out;  // nobody answers: it differs in everything, and is made anew
  if (device->private_key) out.own_key = device->private_key->public_key();
  out.listen_port = device->listen_port;
  for (const WireGuardPeer& peer : device->peers) out.peers.push_back(peer.key);
  std::ranges::sort(out.peers);
  if (device->peers.size() != 1) return out;
  out.endpoint = device->peers.front().endpoint;
  auto told = endpoints_.find(link.name);
  if (told != nullptr && (told->address.empty() || !out.endpoint.empty()))
    out.configured_endpoint = told->asked;
  return out;
}

ObservedTunnel LinuxDataplane::observe_tunnel(const LinkInfo& link, const WireGuardDevice* device,
                                              const Tunnel* wanted) {
  ObservedTunnel out = observe_interface(link, device);
  if (device == nullptr || device->peers.size() != 1) return out;
  const WireGuardPeer& peer = device->peers.front();
  out.peer_key = peer.key;
  out.keepalive = peer.keepalive;
  out.allowed_ips_match = peer.allows_everything();
  out.allowed_ips = fmt::format("{}", fmt::join(peer.allowed_ips, ", "));
  if (wanted != nullptr && peer.psk)
    if (auto psk = psk_of(*wanted)) out.psk_matches = psk->equals(*peer.psk);
  return out;
}

/// remove_all() takes the run directory away, and so may anybody who cleans /run.
Status LinuxDataplane::make_run_directory() const { return make_directory(options_.run_directory); }

Status LinuxDataplane::execute(const Action& action) {
  MESH_TRY(make_run_directory());
  return std::visit([this](const auto& one) { return execute_one(one); }, action);
}

Result<SecretKey> LinuxDataplane::psk_of(const Tunnel& tunnel) const {
  const SecretKey* own = keys_.find(tunnel.own_generation);
  if (own == nullptr)
    return fail(Errc::not_found, fmt::format("this node has no WireGuard key of generation {}",
                                             tunnel.own_generation));
  const bool ours = tunnel.psk_log.is_zero();
  return derive_psk(*own, tunnel.peer_key,
                    {ours ? options_.log : tunnel.psk_log, ours ? options_.node : tunnel.psk_node, tunnel.peer,
                     tunnel.psk_epoch});
}

Result<LinkInfo> LinuxDataplane::create_interface(const std::string& name) {
  Status made = kernel_.create(name);
  if (!made && made.error().code == Errc::unsupported) made = userspace_.create(name);
  if (!made) return std::unexpected(made.error());
  auto link = netlink_.link(name);
  if (!link) return link;
  if (auto done = netlink_.disable_generated_addresses(link->index); !done)
    return std::unexpected(done.error());
  return link;
}

Status LinuxDataplane::execute_one(const CreateTunnel& action) {
  const Tunnel& tunnel = action.tunnel;
  MESH_TRY(psk_of(tunnel));  // what cannot be configured is not begun
  auto link = netlink_.link(tunnel.name);
  if (!link) link = create_interface(tunnel.name);
  if (!link) return std::unexpected(link.error());
  Status done = configure_wireguard(tunnel, *link, nullptr);
  if (done) done = configure_interface(*link, tunnel.mtu, addresses_of(tunnel), tunnel.peer_addresses);
  if (!done)
    static_cast<void>(
        backend(*link).remove(tunnel.name));  // never half a tunnel; the first error tells
  return done;
}

Status LinuxDataplane::execute_one(const UpdateTunnel& action) {
  auto link = netlink_.link(action.tunnel.name);
  if (!link && link.error().code == Errc::not_found)
    return execute_one(CreateTunnel{action.tunnel});
  if (!link) return std::unexpected(link.error());
  auto device = backend(*link).read({link->name});
  if (!device) return std::unexpected(device.error());
  if (device->empty()) {  // an interface whose process is gone or hangs
    MESH_TRY(execute_one(RemoveTunnel{link->name}));
    return execute_one(CreateTunnel{action.tunnel});
  }
  MESH_TRY(configure_wireguard(action.tunnel, *link, &device->begin()->second));
  return configure_interface(*link, action.tunnel.mtu, addresses_of(action.tunnel), action.tunnel.peer_addresses);
}

Status LinuxDataplane::execute_one(const RemoveTunnel& action) {
  auto link = netlink_.link(action.name);
  if (!link && link.error().code != Errc::not_found) return std::unexpected(link.error());
  MESH_TRY(link ? backend(*link).remove(action.name)
                : userspace_.remove(action.name));  // a socket may be left
  return endpoints_.forget(action.name);
}

bool LinuxDataplane::was_told(const Tunnel& tunnel) {
  auto told = endpoints_.find(tunnel.name);
  return told != nullptr && told->asked == endpoint_text(tunnel) && !told->address.empty();
}

Status LinuxDataplane::configure_wireguard(const Tunnel& tunnel, const LinkInfo& link,
                                           const WireGuardDevice* before) {
  auto psk = psk_of(tunnel);
  if (!psk) return std::unexpected(psk.error());
  const WireGuardPeer* peer = find_peer(before, tunnel.peer_key);
  const bool leave = keeps_endpoint(tunnel, peer);
  std::string endpoint = leave ? std::string() : resolve(tunnel);
  MESH_TRY(backend(link).configure(settings_of({tunnel, *keys_.find(tunnel.own_generation), *psk, endpoint})));
  return leave ? Status() : remember_endpoint(tunnel, endpoint);
}

/// A peer that was told before may have moved since, and WireGuard knows better by now.
bool LinuxDataplane::keeps_endpoint(const Tunnel& tunnel, const WireGuardPeer* before) {
  return before != nullptr && !before->endpoint.empty() && was_told(tunnel);
}

Status LinuxDataplane::remember_endpoint(const Tunnel& tunnel, const std::string& endpoint) {
  if (tunnel.endpoint_host.empty()) return endpoints_.forget(tunnel.name);
  return endpoints_.put(tunnel.name, {endpoint_text(tunnel), endpoint});
}

Status LinuxDataplane::configure_interface(const LinkInfo& link, uint16_t mtu,
                                           const std::vector<IpPrefix>& addresses,
                                           const std::vector<PeerAddress>& with_peers) {
  // Containers often disable IPv6 on new interfaces; on this one it is ours to say.
  write_setting(link.name, "disable_ipv6", "0");
  if (link.mtu != mtu) MESH_TRY(netlink_.set_mtu(link.index, mtu));
  if (!link.up) MESH_TRY(netlink_.set_up(link.index, true));
  // After "up": going down drops link-local addresses, and nothing but us brings them back.
  return set_addresses(link.index, addresses, with_peers);
}

Status LinuxDataplane::set_addresses(int index, const std::vector<IpPrefix>& wanted,
                                     const std::vector<PeerAddress>& with_peers) {
  for (const IpPrefix& prefix : wanted) MESH_TRY(netlink_.add_address(index, prefix));
  for (const PeerAddress& address : with_peers) MESH_TRY(netlink_.add_address(index, address));
  auto addresses = netlink_.addresses();
  if (!addresses) return std::unexpected(addresses.error());
  for (const LinkAddress& address : *addresses) {
    if (address.index != index) continue;
    if (!address.peer) {
      const bool stays = std::ranges::find(wanted, address.prefix) != wanted.end();
      if (!stays) MESH_TRY(netlink_.remove_address(index, address.prefix));
      continue;
    }
    const PeerAddress own{address.prefix.address, *address.peer};
    if (std::ranges::find(with_peers, own) == with_peers.end()) MESH_TRY(netlink_.remove_address(index, own));
  }
  return {};
}

Result<LinkInfo> LinuxDataplane::loopback_interface() {
  auto link = netlink_.link(kLoopbackInterface);
  if (link || link.error().code != Errc::not_found) return link;
  // A bridge without ports serves where the kernel has no dummy: its addresses answer (measured).
  Status made = netlink_.create(kLoopbackInterface, "dummy");
  if (!made && made.error().code == Errc::unsupported)
    made = netlink_.create(kLoopbackInterface, "bridge");
  if (!made) return std::unexpected(made.error());
  link = netlink_.link(kLoopbackInterface);
  if (link)
    if (auto done = netlink_.disable_generated_addresses(link->index); !done)
      return std::unexpected(done.error());
  return link;
}

Status LinuxDataplane::execute_one(const SetLoopbacks& action) {
  if (action.addresses.empty()) {
    auto link = netlink_.link(kLoopbackInterface);
    if (link) return netlink_.remove(link->index);
    return link.error().code == Errc::not_found ? Status() : std::unexpected(link.error());
  }
  auto link = loopback_interface();
  if (!link) return std::unexpected(link.error());
  write_setting(kLoopbackInterface, "disable_ipv6", "0");
  if (!link->up) MESH_TRY(netlink_.set_up(link->index, true));
  std::vector<IpPrefix> prefixes;
  for (const IpAddress& address : action.addresses) prefixes.push_back({address, address.bits()});
  return set_addresses(link->index, prefixes, {});
}

std::string LinuxDataplane::resolve(const Tunnel& tunnel) {
  if (tunnel.endpoint_host.empty()) return {};
  if (is_literal(tunnel.endpoint_host)) return endpoint_text(tunnel);
  resolver_.start(tunnel.endpoint_host);
  // Without waiting: a router boots without a DNS. Where a peer moved, refresh_endpoints() finds
  // out when it is silent.
  if (auto known = known_.find(endpoint_text(tunnel)); !known.empty()) return known;
  auto addresses = resolver_.get(tunnel.endpoint_host, resolve_deadline_);
  if (addresses.empty()) return {};
  auto found = host_port_text(to_text(addresses.front()), tunnel.endpoint_port);
  known_.put(endpoint_text(tunnel), found, false);
  return found;
}

std::vector<std::string> LinuxDataplane::choices(const Tunnel& tunnel) {
  if (is_literal(tunnel.endpoint_host)) return {endpoint_text(tunnel)};
  std::vector<std::string> out;
  for (const IpAddress& address : resolver_.get(tunnel.endpoint_host, Clock::time_point::min()))
    out.push_back(host_port_text(to_text(address), tunnel.endpoint_port));
  resolver_.start(tunnel.endpoint_host);  // for the next time
  auto known = known_.find(endpoint_text(tunnel));
  if (!known.empty() && std::ranges::find(out, known) == out.end()) out.push_back(known);
  return out;
}

bool LinuxDataplane::is_silent(const std::string& tunnel) const {
  const int64_t age = handshakes_.age(tunnel);
  return age < 0 || age > options_.silent_after.count();
}

Status LinuxDataplane::refresh_endpoints(const Desired& wanted) {
  if (Clock::now() < next_refresh_) return {};
  next_refresh_ = Clock::now() + options_.refresh_interval;
  auto seen = look();
  if (!seen) return std::unexpected(seen.error());
  Status first;
  auto refresh = [&](const Tunnel& tunnel, auto tell) {
    auto device = seen->devices.find(tunnel.name);
    if (tunnel.endpoint_host.empty() || device == seen->devices.end()) return;
    const LinkInfo& link = seen->links.at(tunnel.name);
    auto done = refresh_endpoint(tunnel, device->second, [&](const std::string& place) { return tell(link, place); });
    if (!done && first) first = done;
  };
  for (const Tunnel& tunnel : wanted.tunnels)
    refresh(tunnel, [&](const LinkInfo& link, const std::string& place) { return tell_endpoint(tunnel, link, place); });
  if (const auto& management = wanted.management)
    refresh(dialled_by(*management), [&](const LinkInfo& link, const std::string& place) {
      return tell_management(*management, link, place);
    });
  return first;
}

Status LinuxDataplane::refresh_endpoint(const Tunnel& tunnel, const WireGuardDevice& device,
                                        const std::function<Status(const std::string& endpoint)>& tell) {
  if (!is_silent(tunnel.name)) {
    if (!is_literal(tunnel.endpoint_host) && !device.peers.empty())
      known_.put(endpoint_text(tunnel), device.peers.front().endpoint, true);
    return {};
  }
  auto told = endpoints_.find(tunnel.name);
  const auto places = choices(tunnel);
  if (places.empty()) return {};
  auto last = told == nullptr ? places.end() : std::ranges::find(places, told->address);
  size_t next = last == places.end() ? 0 : static_cast<size_t>(last - places.begin() + 1) % places.size();
  return tell(places[next]);
}

Status LinuxDataplane::tell_endpoint(const Tunnel& tunnel, const LinkInfo& link,
                                     const std::string& endpoint) {
  auto psk = psk_of(tunnel);
  if (!psk) return std::unexpected(psk.error());
  MESH_TRY(backend(link).configure(settings_of({tunnel, *keys_.find(tunnel.own_generation), *psk, endpoint})));
  return endpoints_.put(tunnel.name, {endpoint_text(tunnel), endpoint});
}

std::string LinuxDataplane::wireguard_of(const Seen& seen) {
  bool kernel = false, userspace = false;
  for (const auto& [name, link] : seen.links) {
    if (name == kLoopbackInterface) continue;
    (link.kind == "wireguard" ? kernel : userspace) = true;
  }
  if (userspace && userspace_version_.empty()) userspace_version_ = userspace_wireguard();
  const std::string both = kernel && userspace ? ", " : "";
  return (kernel ? kernel_wireguard() : std::string()) + both + (userspace ? userspace_version_ : std::string());
}

Result<Health> LinuxDataplane::health() {
  auto seen = look();
  if (!seen) return std::unexpected(seen.error());
  auto sessions = bird_.sessions();
  if (!sessions) return std::unexpected(sessions.error());
  auto addresses = netlink_.addresses();
  if (!addresses) return std::unexpected(addresses.error());
  // A session between loopbacks is over the tunnel on which its neighbour is the other end of an address.
  std::map<std::string, int> by_neighbour;
  for (const LinkAddress& address : *addresses)
    if (address.peer) by_neighbour[to_text(address.peer->address)] = address.index;
  const auto is_over = [&](const std::string& interface, const std::string& neighbour, const LinkInfo& link) {
    if (interface == link.name) return true;
    const auto at = by_neighbour.find(neighbour);
    return at != by_neighbour.end() && at->second == link.index;
  };
  Health out;
  out.bird_running = sessions->running;
  out.machine = read_machine(options_.data);
  out.machine.bird = sessions->version;
  out.machine.wireguard = wireguard_of(*seen);
  if (!paths_.problem().empty()) out.warnings.push_back(paths_.problem());
  for (const auto& [name, link] : seen->links) {
    if (name == kLoopbackInterface) continue;
    if (name == kManagementInterface) {
      if (!seen->devices.contains(name))
        out.warnings.push_back(fmt::format("the process of tunnel {} does not answer", name));
      continue;
    }
    TunnelHealth& health = out.tunnels.emplace_back();
    health.name = name;
    health.peer = peer_in_name(name);
    health.up = link.up;
    health.mtu = mtu_of(link);
    put_measured(paths_.report(link.index), health);
    if (auto device = seen->devices.find(name); device == seen->devices.end()) {
      out.warnings.push_back(fmt::format("the process of tunnel {} does not answer", name));
    } else {
      health.handshake_age_s = handshakes_.age(name);
      for (const WireGuardPeer& peer : device->second.peers) {
        health.rx_bytes += peer.rx_bytes;
        health.tx_bytes += peer.tx_bytes;
        health.endpoint = peer.endpoint;
      }
    }
    for (const BgpSession& session : sessions->bgp)
      if (is_over(session.interface, session.neighbour, link)) health.bgp_state = session.state;
    for (const BfdSession& session : sessions->bfd)
      if (is_over(session.interface, session.address, link)) health.bfd_state = session.state;
  }
  for (const auto& [name, told] : endpoints_.all())
    if (told.address.empty())
      out.warnings.push_back(
          fmt::format("endpoint {} of tunnel {} does not resolve", told.asked, name));
  return out;
}

Status LinuxDataplane::remove_all() {
  Status first = bird_.stop();
  auto note = [&](Status done) {
    if (!done && first) first = std::move(done);
  };
  auto links = netlink_.links();
  if (!links)
    note(std::unexpected(links.error()));
  else
    for (const LinkInfo& link : *links)
      if (is_tunnel_name(link.name)) note(execute_one(RemoveTunnel{link.name}));
  note(execute_one(SetLoopbacks{}));
  note(sysctls_.restore());
  std::error_code error;
  for (const char* name : {"endpoints", "handshakes"})
    std::filesystem::remove(options_.run_directory / name, error);
  known_.clear();
  std::filesystem::remove(options_.run_directory, error);  // only when nothing of others is in it
  return first;
}

}  // namespace mesh
