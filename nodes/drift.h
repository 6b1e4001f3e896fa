// Drift: what somebody changed on the router itself, past the log.
//
// What died comes back at once, whatever the policy: a tunnel's interface or its process, the routing
// daemon, an address that went with its interface, and everything after a boot. What was changed in
// something that lives is drift: it is named, and with the policy `heal` set back.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "nodes/dataplane/dataplane.h"
#include "schemas/message.h"

namespace mesh {

struct Drift {
  std::string aspect, name;     // as in DriftItem
  std::string expected, found;  // empty = nothing
  auto operator<=>(const Drift&) const = default;
};

/// What differs between an observed router and what it shall be, ascending, without what died. Of
/// keys only public halves are shown.
std::vector<Drift> find_drift(const Observed& observed, const Desired& wanted,
                              const std::map<uint32_t, WireGuardKey>& own_keys);
Drift route_drift(const RouteDifference& difference);
/// A text that somebody edited: only its lines that differ.
Drift text_drift(std::string aspect, std::string name, std::string_view expected,
                 std::string_view found);
/// Those of plan()'s actions that bring back what died.
std::vector<Action> repairs(const std::vector<Action>& actions, const Observed& observed,
                            const Desired& wanted);
/// Everything that was observed, as text: equal exactly when the router is the same. Without what
/// moves by itself (endpoints, counters).
std::string observed_text(const Observed& observed);

/// Looks at the router again and again, remembers what was edited since when, and sets it back.
class DriftWatch {
 public:
  struct Look {
    std::vector<std::string> steps;  // what was found, done and over, for people
    Status problem;                  // what died and does not come back
  };
  /// A planned change since the last look is seen by another `wanted` or `policy`: it set back what
  /// is over. `edited_files`: what the caller found on its disk; healing them is his. `now` in ms, growing.
  /// Errors: as Dataplane::observe; then nothing was judged.
  Result<Look> look(Dataplane& dataplane, const Desired& wanted,
                    const std::map<uint32_t, WireGuardKey>& own_keys, DriftPolicy policy,
                    std::vector<Drift> edited_files, int64_t now);
  /// There is nothing to compare with (no version, revoked).
  void forget();

  /// At most kDriftItemsMax, what still is so first, then what is over, the newest first.
  std::vector<DriftItem> items(int64_t now) const;
  /// How many still are so.
  size_t count() const { return open_.size(); }
  /// Zero before the first look.
  const Digest& observed() const { return observed_; }

  static constexpr int64_t kRememberMs = 10 * 60'000;  // what is over is shown so long
  static constexpr size_t kOverMax = 64;

 private:
  struct Open {
    int64_t since = 0;
    bool healing = false;
  };
  struct Over {
    Drift drift;
    int64_t since = 0, over = 0;
    std::string healed;
  };
  void note(const std::vector<Drift>& found, bool routes_known, bool healing, int64_t now,
            std::vector<std::string>& steps);
  void close_passed(const std::vector<RouteDifference>& differences, int64_t now, std::vector<std::string>& steps);
  void close(const Drift& drift, int64_t since, std::string healed, int64_t now,
             std::vector<std::string>& lines);

  std::map<Drift, Open> open_;
  std::vector<Over> over_;  // oldest first
  Digest observed_;
  std::optional<Desired> wanted_;  // at the last look
  DriftPolicy policy_ = DriftPolicy::report;
};

}  // namespace mesh
