// Dataplane: the port between what a router shall look like and the router itself.
//
// Protocol, driven by reconcile() in reconciler.h:
//   check(wanted)            whether it could be done at all; touches nothing
//   observe(wanted)          what is there, as far as `wanted` needs it
//   plan(observed, wanted)   pure, eventstore/model/plan.h
//   execute(action) ...      in plan's order; the first failure stops
//   observe, plan            nothing is left but to take away what nothing uses any more
//   confirm()                makes the routing daemon's new configuration final
//   execute(action) ...      takes it away
//   cancel()                 after a failure: takes back what is not final; the caller then
//                            reconciles towards the previous Desired
// Only the routing daemon has something that is not final: its new configuration runs with a
// time-out, after which it undoes it by itself. So a process that dies between execute and confirm
// leaves no half applied routing, and the tunnels that it goes back to are still there; observe()
// reports such a configuration as unknown, which plans it anew.
//
// Thread: one caller at a time; calls block for up to seconds. Implementations: linux_dataplane.h
// (a router), dry_run_dataplane.h (tests, simulator, `--dataplane dry-run`).
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "eventstore/model/plan.h"
#include "nodes/dataplane/machine.h"
#include "nodes/dataplane/routes.h"
#include "nodes/dataplane/tunnel_keys.h"

namespace mesh {

/// What one tunnel and the sessions over it did until now. An observation, never in the log.
struct TunnelHealth {
  std::string name;
  NodeId peer;
  bool up = false;               // the interface
  int64_t handshake_age_s = -1;  // of the newest handshake; -1 = never
  uint64_t rx_bytes = 0, tx_bytes = 0;
  std::string endpoint;   // in use, "address:port"; empty = none
  std::string bgp_state;  // "Established", "Active", ...; empty = no session configured
  std::string bfd_state;  // "Up", "Down", "Init"; empty = no session
  // By probe_links(); -1 and 0 = not measured (yet).
  int64_t rtt_us = -1, rtt_age_s = -1;           // of the newest answer, and how long ago it came
  uint16_t mtu = 0, path_mtu = 0;                // of the interface; the largest packet that came back
  int64_t path_mtu_age_s = -1;
  bool bgp_up() const { return bgp_state == "Established"; }
  bool bfd_up() const { return bfd_state == "Up"; }
  bool operator==(const TunnelHealth&) const = default;
};

/// What was measured longer ago is no round-trip time of now: three rounds over the busiest hub.
inline constexpr int64_t kRttFreshS = 180;

struct Health {
  std::vector<TunnelHealth> tunnels;  // ascending by name; without the management interface, which is no link
  bool bird_running = false;
  std::vector<std::string>
      warnings;  // "endpoint of tlwg_12: lab.example does not resolve"; empty when all is well
  MachineStatus machine;
  bool operator==(const Health&) const = default;
};

class Dataplane {
 public:
  virtual ~Dataplane() = default;

  /// Whether `wanted` can be made of this router, as far as that can be known without touching it: private keys, names
  /// of interfaces, UDP ports, kernel settings, and the routing daemon's opinion of its text. Errors: not_found (no
  /// private key of that generation), conflict (an interface of that name that is no tunnel of ours, or a port that
  /// another program holds, with its name), invalid (BIRD refuses the text, "bird.conf:LINE:COLUMN why"), unavailable.
  virtual Status check(const Desired& wanted) = 0;

  /// Reads the router; changes nothing. Whatever is named tlwg_* is reported, also when `wanted`
  /// lacks it. Errors: unavailable (no root, a missing program, with the package to install), io.
  virtual Result<Observed> observe(const Desired& wanted) = 0;

  /// Does one action. Idempotent: an action whose effect is already there succeeds and disturbs no
  /// session. Errors: unavailable, io, timeout, invalid (BIRD refuses the text: file, line and
  /// reason; what ran before runs on), not_found (no private key of that generation).
  virtual Status execute(const Action& action) = 0;

  /// Makes what was executed final. Errors: io, timeout, unavailable; then cancel().
  virtual Status confirm() = 0;
  /// Takes back the routing daemon's configuration that is not final. Nothing to take back =
  /// success.
  virtual Status cancel() = 0;

  /// Waits until every network that the sessions over `going` tell is told by another session too, so that nothing is
  /// lost when they go. Measured, not guessed; gives up after some seconds, because there may be no other way.
  virtual void await_other_paths(const std::vector<std::string>& going) = 0;
  /// Waits until nothing comes out of `going` any more: their peers have heard that the sessions ended. At most a
  /// second.
  virtual void await_silence(const std::vector<std::string>& going) = 0;

  /// Errors: as observe(). A router without BIRD still answers, with bird_running = false.
  virtual Result<Health> health() = 0;

  /// Compares the kernel's routes with what the routing daemon wants there. Changes nothing. A
  /// router without routes knows nothing of them. Errors: as observe().
  virtual Result<RouteLook> look_at_routes(const Desired&) { return RouteLook{}; }
  /// Puts routes right that were found different. Errors: io, timeout, unavailable.
  virtual Status mend_routes(const std::vector<RouteDifference>&) { return {}; }
  /// Switches a protocol of the routing daemon on that somebody switched off. Errors: as above.
  virtual Status enable_protocol(const std::string&) { return {}; }

  /// Tells tunnels that have been without a handshake for three minutes, or whose peer's name had
  /// no address yet, where the peer is now: names are looked up again, in turn through their
  /// addresses. reconcile() calls it each time; does little more often than its interval, and never
  /// waits for the DNS. Errors: as observe().
  virtual Status refresh_endpoints(const Desired& wanted) = 0;

  /// Sends an echo (ICMP) to each of `targets`, from the address among `from` of its family, and gives those that
  /// answered within kEchoFreshMs before, ascending. Never waits: call it about once a second. Errors: unavailable.
  virtual Result<std::vector<IpAddress>> probe(const std::vector<IpAddress>& from,
                                               const std::vector<IpAddress>& targets) = 0;

  /// Measures round-trip times and path MTUs of the tunnels that observe() was last asked for; health() tells them.
  /// Never waits, and sends little (path_survey.h): call it a few times a second.
  virtual void probe_links() {}

  /// Removes everything that is ours: tunnels, loopbacks, the routing daemon, and sets sysctls back
  /// to what they were before. Goes on after a failure and returns the first.
  virtual Status remove_all() = 0;
};

inline constexpr int64_t kEchoFreshMs = 3'000;

/// The prefix of every interface we own, and the interface of the loopback addresses.
inline constexpr std::string_view kTunnelPrefix = "tlwg_";
inline constexpr std::string_view kLoopbackInterface = "tlwg_lo";

/// True for tlwg_* but not tlwg_lo.
bool is_tunnel_name(std::string_view name);
/// The peer in "tlwg_12" or "tlwg_12b"; NodeId(0) when the name has none.
NodeId peer_in_name(std::string_view name);
/// "host:port" of a tunnel's configured endpoint; empty when the peer is to dial.
std::string endpoint_text(const Tunnel& tunnel);
/// The routing daemon's protocol over this tunnel, as render_bird() names it: "peer_12".
std::string bird_protocol_of(std::string_view tunnel);
/// Every private key that `wanted` needs is there. Errors: not_found.
Status check_keys(const Desired& wanted, const TunnelKeys& keys);

}  // namespace mesh
