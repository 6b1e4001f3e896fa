#include "nodes/drift.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <set>

#include "eventstore/model/crypto.h"
#include "eventstore/model/limits.h"
#include "eventstore/model/text_diff.h"
#include "nodes/dataplane/reconciler.h"

namespace mesh {

namespace {

constexpr size_t kLinesMax = 32;  // of one look in the log of the program
constexpr std::string_view kOfRoutes = "route", kSwitchedOff = "protocol";

std::string text_of(const WireGuardKey& key) {
  return key == WireGuardKey() ? std::string() : to_base64(key.view());
}

template <class List>
std::string lines_of(const List& list) {
  std::string out;
  for (const auto& each : list) out += (out.empty() ? "" : "\n") + to_text(each);
  return out;
}

std::string both_ends(const PeerAddress& address) {
  return to_text(address.local) + " peer " + to_text(address.peer);
}

bool lacks_address(const ObservedTunnel& is, const std::vector<IpPrefix>& wanted,
                   const std::vector<PeerAddress>& with_peers) {
  const bool lacks_peer = std::ranges::any_of(with_peers, [&](const PeerAddress& address) {
    return std::ranges::find(is.peer_addresses, address) == is.peer_addresses.end();
  });
  if (is.up && lacks_peer) return true;
  return is.up && std::ranges::any_of(wanted, [&](const IpPrefix& address) {
           return std::ranges::find(is.addresses, address) == is.addresses.end();
         });
}

class Finder {
 public:
  void add(std::string_view aspect, const std::string& name, std::string expected, std::string found) {
    if (expected == found) return;
    out_.push_back({std::string(aspect), name, std::move(expected), std::move(found)});
  }

  void tunnel(const ObservedTunnel& is, const Tunnel& wanted, const WireGuardKey& own_key) {
    const std::string& name = wanted.name;
    interface(is, name, wanted, own_key);
    auto more_peers = is.peer_addresses;
    for (const auto& address : wanted.peer_addresses) std::erase(more_peers, address);
    std::string ends;
    for (const auto& address : more_peers) ends += (ends.empty() ? "" : "\n") + both_ends(address);
    add("address", name, "", ends);
    std::vector<std::string> peers;
    for (const auto& key : is.peers) peers.push_back(text_of(key));
    add("peer", name, text_of(wanted.peer_key), fmt::format("{}", fmt::join(peers, "\n")));
    if (is.peers.size() == 1) peer(is, wanted);
  }

  void management(const ObservedTunnel& is, const ManagementTunnel& wanted, const WireGuardKey& own_key) {
    const std::string name(kManagementInterface);
    interface(is, name, wanted, own_key);
    std::map<WireGuardKey, std::string> expected, found;
    for (const ManagementTunnelPeer& peer : wanted.peers)
      expected[peer.key] = peer_line(peer.key, wanted.keepalive, allowed_of(peer), true);
    for (const ObservedPeer& peer : is.each)
      found[peer.key] = peer_line(peer.key, peer.keepalive, peer.allowed,
                                  peer.psk_matches || !expected.contains(peer.key));
    for (const auto& [key, line] : expected) add("peer", name, line, found[key]);
    for (const auto& [key, line] : found)
      if (!expected.contains(key)) add("peer", name, "", line);
    if (wanted.peers.size() == 1 && is.each.size() == 1 && endpoint_differs(is, wanted))
      add("endpoint", name, host_port_text(wanted.endpoint_host, wanted.endpoint_port), is.endpoint);
  }

  std::vector<Drift> take() {
    std::ranges::sort(out_);
    return std::move(out_);
  }

 private:
  /// What a tunnel and the management interface have in common.
  template <class Wanted>
  void interface(const ObservedTunnel& is, const std::string& name, const Wanted& wanted, const WireGuardKey& own_key) {
    add("own key", name, text_of(own_key), text_of(is.own_key));
    add("listen port", name, std::to_string(wanted.listen_port), std::to_string(is.listen_port));
    add("mtu", name, std::to_string(wanted.mtu), std::to_string(is.mtu));
    add("link", name, "up", is.up ? "up" : "down");
    auto more = is.addresses;
    for (const auto& address : addresses_of(wanted)) std::erase(more, address);
    add("address", name, "", lines_of(more));
  }

  static std::string peer_line(const WireGuardKey& key, uint16_t keepalive, const std::vector<IpPrefix>& allowed,
                               bool psk_matches) {
    return fmt::format("{} keepalive {} allowed {}{}", text_of(key), keepalive, lines_of(allowed),
                       psk_matches ? "" : ", another pre-shared key");
  }

  void peer(const ObservedTunnel& is, const Tunnel& wanted) {
    const std::string& name = wanted.name;
    add("keepalive", name, std::to_string(wanted.keepalive), std::to_string(is.keepalive));
    // The key itself is nobody's to see.
    if (!is.psk_matches) add("pre-shared key", name, fmt::format("of epoch {}", wanted.psk_epoch), "another");
    if (!is.allowed_ips_match) add("allowed addresses", name, "0.0.0.0/0, ::/0", is.allowed_ips);
    if (endpoint_differs(is, wanted))
      add("endpoint", name, host_port_text(wanted.endpoint_host, wanted.endpoint_port), is.endpoint);
  }

  std::vector<Drift> out_;
};

const Tunnel* find_tunnel(const Desired& wanted, const std::string& name) {
  auto it = std::ranges::find(wanted.tunnels, name, &Tunnel::name);
  return it == wanted.tunnels.end() ? nullptr : &*it;
}

/// What would bring back something that died?
struct BringsBack {
  const Observed& observed;
  const Desired& wanted;
  bool operator()(const CreateTunnel& a) const { return !observed.tunnels.contains(a.tunnel.name); }
  bool operator()(const UpdateTunnel& a) const {
    auto is = observed.tunnels.find(a.tunnel.name);
    return is == observed.tunnels.end() || !is->second.answers ||
           lacks_address(is->second, addresses_of(a.tunnel), a.tunnel.peer_addresses);
  }
  bool operator()(const SetManagement& a) const {
    auto is = observed.tunnels.find(std::string(kManagementInterface));
    return is == observed.tunnels.end() || !is->second.answers ||
           lacks_address(is->second, addresses_of(a.tunnel), {});
  }
  bool operator()(const SetLoopbacks& a) const {
    return std::ranges::any_of(a.addresses, [this](const IpAddress& address) {
      return std::ranges::find(observed.loopbacks, address) == observed.loopbacks.end();
    });
  }
  bool operator()(const ConfigureBird& a) const { return a.start; }
  template <class Other>
  bool operator()(const Other&) const {
    return false;
  }
};

/// The interface that an action brings to what it shall be; empty = none.
std::string updated_by(const Action& action) {
  if (const auto* update = std::get_if<UpdateTunnel>(&action)) return update->tunnel.name;
  return std::holds_alternative<SetManagement>(action) ? std::string(kManagementInterface) : std::string();
}

std::string cut(std::string text) {
  if (text.size() <= kDriftTextMax) return text;
  size_t end = kDriftTextMax - 4;
  while (end > 0 && (static_cast<unsigned char>(text[end]) & 0xC0) == 0x80) --end;
  return text.substr(0, end) + "\n...";
}

/// For one line of a log.
std::string line_of(const Drift& drift) {
  auto flat = [](std::string text) {
    std::ranges::replace(text, '\n', ' ');
    return text.empty() ? std::string("nothing") : text;
  };
  return fmt::format("{} of {} is {}, not {}", drift.aspect, drift.name, flat(drift.found), flat(drift.expected));
}

/// The log of the program is for people: of many lines it shows the first.
void add_lines(std::vector<std::string>& steps, std::vector<std::string> lines) {
  const size_t shown = std::min(lines.size(), kLinesMax);
  steps.insert(steps.end(), lines.begin(), lines.begin() + static_cast<ptrdiff_t>(shown));
  if (shown < lines.size()) steps.push_back(fmt::format("drift: and {} more", lines.size() - shown));
}

/// Executes what can be done; the first failure is the value.
Status execute_all(Dataplane& dataplane, const std::vector<Action>& actions,
                   std::vector<std::string>& steps) {
  Status first;
  for (const Action& action : actions) {
    if (auto done = dataplane.execute(action); done)
      steps.push_back(to_text(action));
    else if (first)
      first = fail_in(to_text(action), done.error());
  }
  if (auto confirmed = dataplane.confirm(); !confirmed && first) first = confirmed;
  return first;
}

/// All of the router, as a planned change does it.
Status heal_all(Dataplane& dataplane, const Desired& wanted, const std::map<uint32_t, WireGuardKey>& own_keys,
                std::vector<std::string>& steps) {
  auto report = reconcile(dataplane, wanted, own_keys);
  steps.insert(steps.end(), report.steps.begin(), report.steps.end());
  return report.error ? Status(std::unexpected(*report.error)) : Status();
}

}  // namespace

std::vector<Drift> find_drift(const Observed& observed, const Desired& wanted,
                              const std::map<uint32_t, WireGuardKey>& own_keys) {
  Finder out;
  for (const auto& [name, value] : wanted.sysctls) {
    auto is = observed.sysctls.find(name);
    out.add("sysctl", name, value, is == observed.sysctls.end() ? std::string() : is->second);
  }
  auto more = observed.loopbacks;
  std::erase_if(more, [&](const IpAddress& address) {
    return std::ranges::find(wanted.loopbacks, address) != wanted.loopbacks.end();
  });
  out.add("address", std::string(kLoopbackInterface), "", lines_of(more));
  for (const auto& [name, is] : observed.tunnels) {
    const Tunnel* tunnel = find_tunnel(wanted, name);
    if (name == kManagementInterface && wanted.management) {
      auto key = own_keys.find(wanted.management->own_generation);
      if (key != own_keys.end() && is.answers) out.management(is, *wanted.management, key->second);
    } else if (tunnel == nullptr) {
      out.add("interface", name, "", fmt::format("port {}", is.listen_port));
    } else if (auto key = own_keys.find(tunnel->own_generation); key != own_keys.end() && is.answers) {
      out.tunnel(is, *tunnel, key->second);
    }
  }
  auto found = out.take();
  if (observed.bird_running && observed.bird != wanted.bird) {
    auto edit = text_drift("configuration", "bird.conf", wanted.bird, observed.bird_file);
    if (edit.expected == edit.found) edit.expected = "this file", edit.found = "another configuration runs";
    found.push_back(std::move(edit));
  }
  std::ranges::sort(found);
  return found;
}

Drift route_drift(const RouteDifference& difference) {
  return {std::string(kOfRoutes), to_text(difference.to), difference.expected ? to_text(*difference.expected) : "",
          difference.found ? to_text(*difference.found) : ""};
}

Drift text_drift(std::string aspect, std::string name, std::string_view expected, std::string_view found) {
  Drift out{std::move(aspect), std::move(name), {}, {}};
  const std::string diff = unified_diff("a", expected, "b", found);
  for (size_t begin = 0, line = 0; begin < diff.size(); ++line) {
    const size_t end = std::min(diff.find('\n', begin), diff.size());
    const std::string_view text(diff.data() + begin, end - begin);
    begin = end + 1;
    if (line < 2 || text.empty()) continue;  // the names
    if (text.front() == '-') out.expected += std::string(text.substr(1)) + "\n";
    if (text.front() == '+') out.found += std::string(text.substr(1)) + "\n";
  }
  for (std::string* side : {&out.expected, &out.found}) {
    if (side->ends_with('\n')) side->pop_back();
    *side = cut(std::move(*side));
  }
  return out;
}

std::vector<Action> repairs(const std::vector<Action>& actions, const Observed& observed,
                            const Desired& wanted) {
  std::vector<Action> out;
  for (const Action& action : actions)
    if (std::visit(BringsBack{observed, wanted}, action)) out.push_back(action);
  return out;
}

std::string observed_text(const Observed& observed) {
  std::string out;
  for (const auto& [name, value] : observed.sysctls) out += fmt::format("sysctl {} = {}\n", name, value);
  auto loopbacks = observed.loopbacks;
  std::ranges::sort(loopbacks);
  for (const auto& address : loopbacks) out += fmt::format("loopback {}\n", to_text(address));
  for (const auto& [name, is] : observed.tunnels) {
    out += fmt::format("tunnel {} {} {} mtu {} port {} key {} keepalive {} psk {} allowed {} told {}\n", name,
                       is.up ? "up" : "down", is.answers ? "alive" : "dead", is.mtu, is.listen_port,
                       text_of(is.own_key), is.keepalive, is.psk_matches, is.allowed_ips, is.configured_endpoint);
    for (const auto& address : is.addresses) out += fmt::format("address {}\n", to_text(address));
    for (const auto& address : is.peer_addresses) out += fmt::format("address {}\n", both_ends(address));
    for (const auto& key : is.peers) out += fmt::format("peer {}\n", text_of(key));
    for (const auto& each : is.each)
      out += fmt::format("of {} keepalive {} psk {} allowed {}\n", text_of(each.key), each.keepalive, each.psk_matches,
                         lines_of(each.allowed));
  }
  out += fmt::format("bird {} {}\n", observed.bird_running ? "runs" : "does not run",
                     to_hex(sha256(as_bytes(observed.bird)).view()));
  return out;
}

// --- DriftWatch ---

Result<DriftWatch::Look> DriftWatch::look(Dataplane& dataplane, const Desired& wanted,
                                          const std::map<uint32_t, WireGuardKey>& own_keys, DriftPolicy policy,
                                          std::vector<Drift> edited_files, int64_t now) {
  auto observed = dataplane.observe(wanted);
  if (!observed) return fail_in("observing the router", observed.error());
  const auto actions = plan(*observed, wanted, own_keys);
  const auto died = repairs(actions, *observed, wanted);
  Look out;
  // Routes go with the interface that died, and come back with it: then there is nothing to judge.
  RouteLook routes;
  if (died.empty()) {
    if (auto looked = dataplane.look_at_routes(wanted)) routes = std::move(*looked);
  }
  const bool heals = policy == DriftPolicy::heal;
  const bool planned = wanted_ != wanted || policy_ != policy;
  wanted_ = wanted;
  policy_ = policy;
  for (auto& [drift, open] : open_) open.healing = open.healing || planned;
  const auto& todo = heals ? actions : died;
  auto found = find_drift(*observed, wanted, own_keys);
  std::vector<RouteDifference> wrong;
  for (const auto& difference : routes.differences) {
    found.push_back(route_drift(difference));
    if (!difference.passed) wrong.push_back(difference);
  }
  for (const auto& name : routes.disabled) found.push_back({std::string(kSwitchedOff), name, "enabled", "disabled"});
  std::string text = observed_text(*observed) + to_hex(routes.digest.view()) + "\n";
  for (auto& edit : edited_files) {
    text += fmt::format("file {}\n{}\n{}\n", edit.name, edit.expected, edit.found);
    found.push_back(std::move(edit));
  }
  if (routes.known || !died.empty() || !wanted.own_routing) observed_ = sha256(as_bytes(text));
  note(found, routes.known, heals, now, out.steps);
  close_passed(routes.differences, now, out.steps);
  if (!todo.empty()) out.problem = heals ? heal_all(dataplane, wanted, own_keys, out.steps)
                                         : execute_all(dataplane, todo, out.steps);
  for (const Action& action : todo)  // a tunnel that comes back comes back whole
    if (const std::string name = updated_by(action); !name.empty())
      for (auto& [drift, open] : open_) open.healing = open.healing || drift.name == name;
  if (heals) {
    Status mended = wrong.empty() ? Status() : dataplane.mend_routes(wrong);
    for (const auto& name : routes.disabled)
      if (auto enabled = dataplane.enable_protocol(name); !enabled && mended) mended = enabled;
    if (!mended && out.problem) out.problem = mended;
  }
  return out;
}

void DriftWatch::note(const std::vector<Drift>& found, bool routes_known, bool healing, int64_t now,
                      std::vector<std::string>& steps) {
  const std::set<Drift> now_there(found.begin(), found.end());
  std::vector<std::string> fresh, over;
  for (const Drift& drift : now_there) {
    auto [open, added] = open_.try_emplace(drift, Open{now, false});
    open->second.healing = healing;
    if (added) fresh.push_back("drift: " + line_of(drift));
  }
  add_lines(steps, std::move(fresh));
  std::erase_if(open_, [&](const auto& item) {
    const auto& [drift, open] = item;
    const bool of_routes = drift.aspect == kOfRoutes || drift.aspect == kSwitchedOff;
    if (now_there.contains(drift) || (of_routes && !routes_known)) return false;
    close(drift, open.since, open.healing ? "meshnode" : drift.aspect == kOfRoutes ? "bird" : "", now, over);
    return true;
  });
  add_lines(steps, std::move(over));
  std::erase_if(over_, [&](const Over& each) { return now - each.over > kRememberMs; });
}

/// What BIRD was faster with is over already.
void DriftWatch::close_passed(const std::vector<RouteDifference>& differences, int64_t now,
                              std::vector<std::string>& steps) {
  std::vector<std::string> lines;
  for (const auto& difference : differences) {
    const auto open = difference.passed ? open_.find(route_drift(difference)) : open_.end();
    if (open == open_.end()) continue;
    close(open->first, open->second.since, "bird", now, lines);
    open_.erase(open);
  }
  add_lines(steps, std::move(lines));
}

void DriftWatch::close(const Drift& drift, int64_t since, std::string healed, int64_t now,
                       std::vector<std::string>& lines) {
  lines.push_back(fmt::format("drift over: {} of {}{}", drift.aspect, drift.name,
                              healed.empty() ? "" : ", healed by " + healed));
  if (over_.size() == kOverMax) over_.erase(over_.begin());
  over_.push_back({drift, since, now, std::move(healed)});
}

void DriftWatch::forget() { *this = DriftWatch(); }

std::vector<DriftItem> DriftWatch::items(int64_t now) const {
  std::vector<DriftItem> out;
  const auto add = [&](const Drift& drift, int64_t since, int64_t over_s, const std::string& healed) {
    if (out.size() == kDriftItemsMax) return;
    out.push_back({drift.aspect, drift.name, cut(drift.expected), cut(drift.found),
                   static_cast<uint64_t>((now - since) / 1000), over_s, healed});
  };
  for (const auto& [drift, open] : open_) add(drift, open.since, -1, "");
  for (auto over = over_.rbegin(); over != over_.rend(); ++over)
    add(over->drift, over->since, (now - over->over) / 1000, over->healed);
  return out;
}

}  // namespace mesh
