// Looks whether the kernel has the routes that BIRD wants it to have.
//
// BIRD puts back what is missing when it reads the kernel's routes again, every 20 s; so deletions
// are also heard as they happen. When BIRD has given the kernel nothing new since the last look, a
// route that changed was changed by somebody else, though it may be right again by now.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "eventstore/model/overlay.h"
#include "nodes/dataplane/bird_control.h"
#include "nodes/dataplane/routes.h"
#include "nodes/dataplane/rtnetlink.h"

namespace mesh {

class RouteWatch {
 public:
  /// Borrows both.
  RouteWatch(Rtnetlink& netlink, BirdDaemon& bird) : netlink_(netlink), bird_(bird) {}

  /// With 10,000 routes 12 ms of CPU, 22 ms when BIRD has to be asked for its routes anew; measured on
  /// a busy machine it took 35 and 85 ms. Errors: io, timeout.
  Result<RouteLook> look(const Desired& wanted);
  /// Removes what does not belong there, and has BIRD give the kernel all its routes again, which
  /// replaces those that are there without a gap. Errors: io, timeout, not_found (no BIRD).
  Status mend(const std::vector<RouteDifference>& differences);

 private:
  struct Marks {
    std::string exports;
    std::vector<std::string> disabled;
  };
  Result<Marks> ask_marks(BirdControl& control) const;
  Status ask_routes(BirdControl& control, const Desired& wanted);
  void add_passed(const std::vector<RouteEvent>& events, const std::vector<Route>& kernel,
                  std::vector<RouteDifference>& out) const;

  Rtnetlink& netlink_;
  BirdDaemon& bird_;
  std::optional<RouteMonitor> monitor_;
  std::string exports_;             // BIRD's marks when `bird_routes_` were read
  std::vector<IpAddress> sources_;  // with which they were read
  std::vector<Route> bird_routes_;  // ascending
};

}  // namespace mesh
