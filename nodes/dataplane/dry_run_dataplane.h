// A router that exists only as values: actions are applied to it purely. For `--dataplane dry-run`,
// for tests and for the simulator; deterministic, no clock, no randomness.
//
// Like a real one it keeps an unconfirmed routing configuration apart: it is lost by cancel(), by
// bird_timer_expired() and by loading the file again.
#pragma once

#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "nodes/dataplane/dataplane.h"
#include "nodes/dataplane/tunnel_keys.h"

namespace mesh {

/// What somebody did to a tunnel by hand, which its settings cannot say.
struct TunnelEdit {
  bool down = false, no_peer = false, no_address = false;
  std::optional<WireGuardKey> other_peer;  // beside the right one
  std::vector<IpPrefix> more_addresses;
  bool operator==(const TunnelEdit&) const = default;
};

/// All there is to know about a simulated router.
struct DryRunState {
  std::map<std::string, Tunnel> tunnels;
  std::optional<ManagementTunnel> management;
  std::vector<IpAddress> loopbacks;
  std::map<std::string, std::string> sysctls;
  bool bird_running = false;
  std::string bird;
  std::optional<std::string> unconfirmed;  // runs instead of `bird` until confirmed or cancelled
  std::map<std::string, TunnelEdit> edits;   // by tunnel; undone by the next action on it
  std::vector<RouteDifference> route_edits;  // until they are mended
  std::vector<std::string> disabled;         // protocols
  bool operator==(const DryRunState&) const = default;

  const std::string& running_bird() const { return unconfirmed ? *unconfirmed : bird; }
};

/// The state after `action`. Total: whatever was planned can be done.
DryRunState apply_action(DryRunState state, const Action& action);
/// What a router in this state would report, asked for `wanted`.
Observed observe_state(const DryRunState& state, const Desired& wanted,
                       const std::map<uint32_t, WireGuardKey>& own_keys);

/// JSON with sorted keys; addresses, keys and texts as people write them. Without the unconfirmed
/// part and the edits.
std::string state_text(const DryRunState& state);
/// Errors: corrupt.
Result<DryRunState> parse_state(std::string_view text);

class DryRunDataplane : public Dataplane {
 public:
  /// Asked before each action; an error is what execute() then returns, with nothing changed.
  using Fault = std::function<Status(const Action&)>;
  /// Asked at the begin of every call, `changes` = one that changes the router; an error is what the
  /// call then returns, with nothing changed: for a program that dies between any two calls.
  using Gate = std::function<Status(bool changes)>;
  /// What check() says besides what it sees by itself.
  using Obstacle = std::function<Status(const Desired&)>;

  /// Borrows `keys` for its lifetime.
  explicit DryRunDataplane(const TunnelKeys& keys) : keys_(keys) {}
  /// Continues from `file` when it exists and rewrites it after every change. Errors: io, corrupt.
  static Result<std::unique_ptr<DryRunDataplane>> open(const TunnelKeys& keys,
                                                       std::filesystem::path file);

  /// Of what a real router is asked, only private keys can be missing here.
  Status check(const Desired& wanted) override;
  Result<Observed> observe(const Desired& wanted) override;
  Status execute(const Action& action) override;
  Status confirm() override;
  Status cancel() override;
  /// No packet is carried, so nothing is waited for; the calls are counted.
  void await_other_paths(const std::vector<std::string>& going) override;
  void await_silence(const std::vector<std::string>&) override {}
  /// Of what nobody can measure here, such as round-trip times and the machine: numbers that are always the same.
  Result<Health> health() override;
  Result<RouteLook> look_at_routes(const Desired& wanted) override;
  Status mend_routes(const std::vector<RouteDifference>& differences) override;
  Status enable_protocol(const std::string& name) override;
  Status refresh_endpoints(const Desired&) override { return {}; }
  /// Those that set_answers() lets answer.
  Result<std::vector<IpAddress>> probe(const std::vector<IpAddress>& from,
                                       const std::vector<IpAddress>& targets) override;
  Status remove_all() override;

  /// What an engineer does on the router itself, past us.
  void edit(const std::function<void(DryRunState&)>& by_hand) { by_hand(state_); }
  /// What health() adds to what it knows: states of sessions.
  void set_look(std::function<void(Health&)> look) { look_ = std::move(look); }
  void set_answers(std::function<bool(const IpAddress&)> answers) { answers_ = std::move(answers); }
  void set_fault(Fault fault) { fault_ = std::move(fault); }
  void set_gate(Gate gate) { gate_ = std::move(gate); }
  void set_obstacle(Obstacle obstacle) { obstacle_ = std::move(obstacle); }
  /// A new program over the same router: a routing configuration that is not final is not known to it.
  void program_restarted() { candidate_known_ = false; }
  /// A new program over a router like that one.
  void restore(DryRunState state) {
    state_ = std::move(state);
    candidate_known_ = false;
  }
  /// The routing daemon's time-out passed without a confirm.
  void bird_timer_expired() { state_.unconfirmed.reset(); }
  /// The routing daemon dies; what it had not been told to keep is lost. Errors: io.
  Status kill_bird();
  /// The machine starts anew: everything is gone that a kernel forgets.
  Status reboot();
  const DryRunState& state() const { return state_; }
  /// Actions executed since construction.
  uint64_t executed() const { return executed_; }
  /// For each time tunnels were to go: what the router was at that moment, and which.
  struct Handover {
    DryRunState state;
    std::vector<std::string> going;
  };
  const std::vector<Handover>& handovers() const { return handovers_; }

 private:
  Status save() const;
  Status pass(bool changes) const { return gate_ ? gate_(changes) : Status(); }

  const TunnelKeys& keys_;
  std::filesystem::path file_;  // empty = in memory
  DryRunState state_;
  Fault fault_;
  Gate gate_;
  Obstacle obstacle_;
  bool candidate_known_ = true;
  std::function<void(Health&)> look_;
  std::function<bool(const IpAddress&)> answers_;  // nobody does without
  uint64_t executed_ = 0;
  std::vector<Handover> handovers_;
};

}  // namespace mesh
