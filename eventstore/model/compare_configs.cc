// How one version of a configuration differs from another, in lines for people.
#include <fmt/format.h>

#include <algorithm>
#include <iterator>

#include "eventstore/model/plan.h"

namespace mesh {

namespace {

class Comparison {
 public:
  void line(Effect effect, std::string text) {
    out_.effect = std::max(out_.effect, effect);
    out_.lines.push_back(std::move(text));
    out_.effects.push_back(effect);
  }

  /// What the sessions of all links are made of. A router id alone is of no concern to the peers.
  void speaker(const NodeConfig& before, const NodeConfig& after) {
    value(Effect::session_reset, "AS", before.as_number, after.as_number);
    value(Effect::session_reset, "loopback", before.loopback4, after.loopback4);
    value(Effect::hot, "loopback", before.loopback6, after.loopback6);
    auto style = [](RoutingStyle routing) { return std::string(routing == RoutingStyle::link ? "link" : "loopback"); };
    value(Effect::session_reset, "routing style", style(before.routing), style(after.routing));
    other_session_ = before.as_number != after.as_number || before.routing != after.routing;
    other_id_ = before.loopback4 != after.loopback4;
  }

  template <class T>
  void value(Effect effect, std::string_view name, const T& before, const T& after) {
    if (before != after)
      line(effect, fmt::format("~ {} {} -> {}", name, shown(before), shown(after)));
  }

  void prefixes(std::string_view what, const std::vector<IpPrefix>& before,
                const std::vector<IpPrefix>& after) {
    std::vector<IpPrefix> gone, come;
    std::ranges::set_difference(before, after, std::back_inserter(gone));
    std::ranges::set_difference(after, before, std::back_inserter(come));
    for (const auto& prefix : come)
      line(Effect::hot, fmt::format("+ {} {}", what, to_text(prefix)));
    for (const auto& prefix : gone)
      line(Effect::hot, fmt::format("- {} {}", what, to_text(prefix)));
  }

  void links(const std::vector<LinkConfig>& before, const std::vector<LinkConfig>& after) {
    auto old = before.begin();
    for (const auto& link : after) {
      for (; old != before.end() && old->peer < link.peer; ++old) removed(*old);
      if (old != before.end() && old->peer == link.peer) {
        changed(*old++, link);
      } else {
        line(Effect::hot, "+ link to " + link.peer_name);
      }
    }
    for (; old != before.end(); ++old) removed(*old);
  }

  void sysctls(const std::map<std::string, std::string>& before,
               const std::map<std::string, std::string>& after) {
    for (const auto& [name, value] : after) {
      auto old = before.find(name);
      if (old == before.end()) {
        line(Effect::hot, fmt::format("+ sysctl {} = {}", name, value));
      } else if (old->second != value) {
        line(Effect::hot, fmt::format("~ sysctl {} {} -> {}", name, old->second, value));
      }
    }
    for (const auto& [name, value] : before)
      if (!after.contains(name))
        line(Effect::none, fmt::format("- sysctl {} is no longer set", name));
  }

  template <class T>
  void named(std::string_view what, const std::vector<T>& before, const std::vector<T>& after, Effect effect) {
    auto find = [](const std::vector<T>& list, const std::string& name) {
      return std::ranges::find(list, name, &T::name);
    };
    for (const T& each : after) {
      auto old = find(before, each.name);
      if (old == before.end() || *old != each)
        line(effect, fmt::format("{} {} {}", old == before.end() ? "+" : "~", what, each.name));
    }
    for (const T& each : before)
      if (find(after, each.name) == after.end()) line(effect, fmt::format("- {} {}", what, each.name));
  }

  void management(const std::optional<ManagementConfig>& before, const std::optional<ManagementConfig>& after) {
    if (before == after) return;
    if (!before || !after) return line(Effect::hot, after ? "+ management network" : "- management network");
    ManagementConfig own = *before, now = *after;
    own.peers.clear();
    now.peers.clear();
    if (own != now) line(Effect::hot, "~ management network");
    named("management of", before->peers, after->peers, Effect::hot);
  }

  ConfigChange take() { return std::move(out_); }

 private:
  static std::string shown(const std::string& text) { return text.empty() ? "none" : text; }
  static std::string shown(const IpAddress& address) { return to_text(address); }
  static std::string shown(uint32_t number) { return std::to_string(number); }

  void removed(const LinkConfig& link) { line(Effect::hot, "- link to " + link.peer_name); }

  static std::string endpoint(const LinkConfig& link) {
    return link.endpoint_host.empty() ? "" : host_port_text(link.endpoint_host, link.endpoint_port);
  }

  void changed(const LinkConfig& before, const LinkConfig& after) {
    // A peer hears of another port by our next packet, unless its NAT lets only answers in.
    const bool unheard = before.listen_port != after.listen_port && after.endpoint_host.empty();
    const bool both_ends = other_session_ || before.peer_as != after.peer_as || before.address != after.address ||
                           before.peer_address != after.peer_address || unheard;
    if (both_ends)
      out_.resets.push_back({after.peer, fmt::format("until {} has changed too", after.peer_name)});
    else if (other_id_)
      out_.resets.push_back({after.peer, "about a second"});
    if (before == after) return;
    Effect effect = Effect::none;
    std::string aspects;
    auto aspect = [&](Effect how, std::string_view name, const auto& from, const auto& to) {
      if (from == to) return;
      effect = std::max(effect, how);
      aspects +=
          fmt::format("{} {} {} -> {}", aspects.empty() ? "" : ",", name, shown(from), shown(to));
    };
    aspect(Effect::none, "name", before.peer_name, after.peer_name);
    aspect(Effect::session_reset, "peer AS", before.peer_as, after.peer_as);
    aspect(unheard ? Effect::session_reset : Effect::hot, "listen port", before.listen_port,
           after.listen_port);
    aspect(Effect::hot, "endpoint", endpoint(before), endpoint(after));
    aspect(Effect::hot, "mtu", before.mtu, after.mtu);
    aspect(Effect::hot, "keepalive", before.keepalive, after.keepalive);
    aspect(Effect::session_reset, "address", before.address, after.address);
    aspect(Effect::session_reset, "peer address", before.peer_address, after.peer_address);
    aspect(Effect::hot, "BFD interval", before.bfd_interval_ms, after.bfd_interval_ms);
    aspect(Effect::hot, "BFD multiplier", before.bfd_multiplier, after.bfd_multiplier);
    line(effect, fmt::format("~ link to {}:{}", after.peer_name, aspects));
  }

  ConfigChange out_;
  bool other_session_ = false;  // both ends of every link have to change
  bool other_id_ = false;
};

}  // namespace

ConfigChange compare_configs(const NodeConfig* before, const NodeConfig& after) {
  Comparison out;
  if (before == nullptr) {
    out.line(Effect::hot,
             fmt::format("+ first version of {}: AS {}, loopbacks {} and {}", after.fullname(),
                         after.as_number, to_text(after.loopback4), to_text(after.loopback6)));
  } else {
    out.value(Effect::none, "rules", before->rules, after.rules);
    out.value(Effect::none, "name", before->fullname(), after.fullname());
    out.speaker(*before, after);
  }
  static const NodeConfig kNothing;
  const NodeConfig& old = before == nullptr ? kNothing : *before;
  out.links(old.links, after.links);
  out.prefixes("LAN", old.lans, after.lans);
  out.prefixes("accept", old.accepted, after.accepted);
  out.sysctls(old.sysctls, after.sysctls);
  out.value(Effect::hot, "drift", std::string(drift_policy_name(old.drift)),
            std::string(drift_policy_name(after.drift)));
  out.named("file", old.files, after.files, Effect::hot);
  if (old.files == after.files) out.named("source", old.sources, after.sources, Effect::none);
  out.named("service", old.services, after.services, Effect::hot);
  if (old.ssh_keys != after.ssh_keys)
    out.line(Effect::hot, fmt::format("~ keys that may log in: {} -> {}", old.ssh_keys.size(), after.ssh_keys.size()));
  out.management(old.management, after.management);
  return out.take();
}

std::string_view effect_name(Effect effect) {
  switch (effect) {
    case Effect::none:
      return "none";
    case Effect::hot:
      return "hot";
    case Effect::session_reset:
      return "session reset";
    case Effect::restart:
      return "restart";
  }
  return "unknown";
}

}  // namespace mesh
