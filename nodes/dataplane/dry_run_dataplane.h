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

#include "nodes/dataplane/dataplane.h"
#include "nodes/dataplane/tunnel_keys.h"

namespace mesh {

/// All there is to know about a simulated router.
struct DryRunState {
  std::map<std::string, Tunnel> tunnels;
  std::vector<IpAddress> loopbacks;
  std::map<std::string, std::string> sysctls;
  bool bird_running = false;
  std::string bird;
  std::optional<std::string> unconfirmed;  // runs instead of `bird` until confirmed or cancelled
  bool operator==(const DryRunState&) const = default;

  const std::string& running_bird() const { return unconfirmed ? *unconfirmed : bird; }
};

/// The state after `action`. Total: whatever was planned can be done.
DryRunState apply_action(DryRunState state, const Action& action);
/// What a router in this state would report, asked for `wanted`.
Observed observe_state(const DryRunState& state, const Desired& wanted,
                       const std::map<uint32_t, WireGuardKey>& own_keys);

/// JSON with sorted keys; addresses, keys and texts as people write them. Without the unconfirmed
/// part.
std::string state_text(const DryRunState& state);
/// Errors: corrupt.
Result<DryRunState> parse_state(std::string_view text);

class DryRunDataplane final : public Dataplane {
 public:
  /// Asked before each action; an error is what execute() then returns, with nothing changed.
  using Fault = std::function<Status(const Action&)>;

  /// Borrows `keys` for its lifetime.
  explicit DryRunDataplane(const TunnelKeys& keys) : keys_(keys) {}
  /// Continues from `file` when it exists and rewrites it after every change. Errors: io, corrupt.
  static Result<std::unique_ptr<DryRunDataplane>> open(const TunnelKeys& keys,
                                                       std::filesystem::path file);

  Result<Observed> observe(const Desired& wanted) override;
  Status execute(const Action& action) override;
  Status confirm() override;
  Status cancel() override;
  Result<Health> health() override;
  Status refresh_endpoints(const Desired&) override { return {}; }
  Status remove_all() override;

  void set_fault(Fault fault) { fault_ = std::move(fault); }
  /// The routing daemon's time-out passed without a confirm.
  void bird_timer_expired() { state_.unconfirmed.reset(); }
  /// The routing daemon dies; what it had not been told to keep is lost. Errors: io.
  Status kill_bird();
  /// The machine starts anew: everything is gone that a kernel forgets.
  Status reboot();
  const DryRunState& state() const { return state_; }
  /// Actions executed since construction.
  uint64_t executed() const { return executed_; }

 private:
  Status save() const;

  const TunnelKeys& keys_;
  std::filesystem::path file_;  // empty = in memory
  DryRunState state_;
  Fault fault_;
  uint64_t executed_ = 0;
};

}  // namespace mesh
