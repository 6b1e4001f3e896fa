// plan(observed, desired): the ordered actions that make a router what it shall be. Pure.
//
// Laws (tests/property): apply(plan(o, d), o) = d; plan(d, d) is empty. Order: sysctls, new loopbacks, new tunnels,
// changed tunnels, routing daemon, removed tunnels, old loopbacks: no step removes the path over which the next is
// delivered.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "eventstore/model/attribute_table.h"
#include "eventstore/model/overlay.h"

namespace mesh {

/// A peer of the management interface.
struct ObservedPeer {
  WireGuardKey key;
  uint16_t keepalive = 0;
  bool psk_matches = false;         // as in ObservedTunnel
  std::vector<IpPrefix> allowed;    // ascending
  bool operator==(const ObservedPeer&) const = default;
};

/// A tunnel as the kernel (or wireguard-go) has it.
struct ObservedTunnel {
  std::string name;
  bool up = false;
  uint16_t mtu = 0;
  std::vector<IpPrefix> addresses;
  WireGuardKey own_key;     // public half of the private key in use; zero = none
  uint16_t listen_port = 0;
  std::optional<WireGuardKey> peer_key;  // nothing = no peer, or several (is set anew)
  std::string endpoint;     // "address:port" in use, learned or set; empty = none
  uint16_t keepalive = 0;
  bool psk_matches = false;         // equals the derived one for (peer, psk_epoch) that was asked for
  bool allowed_ips_match = false;   // exactly 0.0.0.0/0 and ::/0
  // "host:port" as it was last set through the data plane, also a name; empty = not known. Where it is known the
  // endpoint counts as right although the peer roamed since; an endpoint in use is never fought over.
  std::string configured_endpoint;
  bool answers = true;              // false: an interface whose process is gone; the rest is then empty
  std::vector<WireGuardKey> peers;  // all of them, ascending
  std::string allowed_ips;          // of the first, joined by ", ", as WireGuard orders them
  std::vector<PeerAddress> peer_addresses = {};  // ascending
  std::vector<ObservedPeer> each = {};  // of the management interface alone, ascending by key
  bool operator==(const ObservedTunnel&) const = default;
};

struct Observed {
  std::map<std::string, ObservedTunnel> tunnels;  // only interfaces named tlwg_*, without tlwg_lo
  std::vector<IpAddress> loopbacks;               // on tlwg_lo
  std::map<std::string, std::string> sysctls;     // values of those that were asked for
  bool bird_running = false;
  std::string bird;                               // the configuration it runs; empty = not known
  std::string bird_file;                          // what its file holds
  bool operator==(const Observed&) const = default;
};

struct SetSysctl { std::string name, value; bool operator==(const SetSysctl&) const = default; };
struct SetLoopbacks { std::vector<IpAddress> addresses; bool operator==(const SetLoopbacks&) const = default; };
struct CreateTunnel { Tunnel tunnel; bool operator==(const CreateTunnel&) const = default; };
/// Brings an existing interface to what `tunnel` says; `aspects` names what differs, for people.
struct UpdateTunnel { Tunnel tunnel; std::string aspects; bool operator==(const UpdateTunnel&) const = default; };
struct RemoveTunnel { std::string name; bool operator==(const RemoveTunnel&) const = default; };
/// Makes the management interface, or brings it to what `tunnel` says: then `aspects` names what differs.
struct SetManagement {
  ManagementTunnel tunnel;
  std::string aspects;
  bool operator==(const SetManagement&) const = default;
};
struct ConfigureBird { std::string text; bool start = false; bool operator==(const ConfigureBird&) const = default; };

/// RemoveTunnel also takes the management interface away.
using Action =
    std::variant<SetSysctl, SetLoopbacks, CreateTunnel, UpdateTunnel, SetManagement, ConfigureBird, RemoveTunnel>;

/// The peer is not where it was told to be, and nothing that it did itself explains that.
bool endpoint_differs(const ObservedTunnel& is, const Tunnel& wanted);
bool endpoint_differs(const ObservedTunnel& is, const ManagementTunnel& wanted);

/// `own_keys`: public halves of this node's private keys by generation.
std::vector<Action> plan(const Observed& observed, const Desired& desired,
                         const std::map<uint32_t, WireGuardKey>& own_keys);

/// Where the end of a plan begins that only takes away what nothing uses any more: everything before it must stand
/// first. The size of `actions` when nothing is taken away.
size_t removals_at(const std::vector<Action>& actions);

/// One line for people: "tunnel tlwg_12: set peer endpoint, keepalive".
std::string to_text(const Action& action);

/// A link that stays, and whose sessions begin anew.
struct LinkReset {
  NodeId peer;
  std::string duration;  // "about a second", "until r1.lab has changed too"
  bool operator==(const LinkReset&) const = default;
};

/// How one version differs from another, for `plan` before a commit. What each change does to traffic is what the data
/// plane was seen to do (tests/lab/dataplane/apply_lab_test.cc).
struct ConfigChange {
  Effect effect = Effect::none;      // the worst
  std::vector<std::string> lines;    // "+ link to r1.ams", "~ link to r1.lab: keepalive 25 -> 20"
  std::vector<Effect> effects = {};  // of each line
  std::vector<LinkReset> resets = {};  // ascending by peer
  bool operator==(const ConfigChange&) const = default;
};
/// "none", "hot", "session reset", "restart".
std::string_view effect_name(Effect effect);
/// `before` may be nullptr: the first version.
ConfigChange compare_configs(const NodeConfig* before, const NodeConfig& after);

}  // namespace mesh
