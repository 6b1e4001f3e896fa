// Routes of the mesh as values: what the kernel has, what our BIRD wants it to have, and how the two
// differ. Pure.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "eventstore/model/address.h"
#include "eventstore/model/ids.h"
#include "nodes/dataplane/bird_text.h"

namespace mesh {

/// What render_bird gives the routes of the mesh.
inline constexpr uint32_t kRouteMetric = 2048;
/// Routes that BIRD made (RTPROT_BIRD), and those that the kernel made by itself.
inline constexpr uint8_t kBirdRoutes = 12, kKernelRoutes = 2;

struct Route {
  IpPrefix to;
  std::string kind = "unicast";  // or "blackhole", "unreachable", "prohibit", "multipath"
  std::optional<IpAddress> via;  // next hop; also of the other family
  std::string interface;         // empty = none
  std::optional<IpAddress> source;
  uint32_t metric = kRouteMetric;
  uint8_t protocol = kBirdRoutes;
  auto operator<=>(const Route&) const = default;
};
/// As ip(8) writes it: "10.2.0.0/24 via fe80::c dev tlwg_12 src 100.64.0.11 metric 2048 proto bird".
std::string to_text(const Route& route);

/// A place where the kernel's routes are not those that BIRD wants.
struct RouteDifference {
  IpPrefix to;
  std::optional<Route> expected;  // nothing = no route of ours belongs there
  std::optional<Route> found;     // nothing = it is missing
  bool passed = false;            // it was so since the last look, and BIRD has put it right
  bool operator==(const RouteDifference&) const = default;
};

struct RouteLook {
  bool known = false;  // false: BIRD does not run, or moved routes while we looked; all else is empty
  Digest digest;       // of the kernel's routes, as text
  std::vector<RouteDifference> differences;  // ascending by `to`
  std::vector<std::string> disabled;         // BIRD's protocols that are switched off, ascending
};

/// The routes that the kernel should have: `unicast`, `unreachable` and so on out of `show route
/// export`. `source4` and `source6`: what render_bird sets. Errors: io (a line that is no route).
Result<std::vector<Route>> parse_bird_routes(const BirdReply& reply,
                                             const std::vector<IpAddress>& sources);
/// Changes whenever BIRD gives a kernel protocol another set of routes: its lines about exports out
/// of `show protocols all NAME`, with the time of its start.
std::string export_marks(const BirdReply& reply);
/// Protocols that are down in `show protocols`: only somebody who disabled them makes them so.
std::vector<std::string> parse_disabled(const BirdReply& reply);

/// Routes that concern us: BIRD's, those over our tunnels that neither BIRD nor the kernel made, and
/// those of our metric, which take the place of one of BIRD's.
bool concerns_us(const Route& route);
/// Both ascending, `kernel` only with routes that concern us. What leads over an interface that is
/// not in `up` is left out: it went with the interface.
std::vector<RouteDifference> compare_routes(const std::vector<Route>& kernel,
                                            const std::vector<Route>& bird,
                                            const std::vector<std::string>& up);
Digest digest_of(const std::vector<Route>& routes);

}  // namespace mesh
