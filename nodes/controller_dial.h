// What meshnode dials to reach its controller.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "nodes/controller_endpoints.h"
#include "nodes/dataplane/endpoints.h"

namespace mesh {

/// Turns endpoints into addresses: names are looked up on threads beside, and until the DNS answers the address of the
/// last connection stands in for the name. libzmq is given no names: it looks them up on the one thread that moves all
/// frames, so that a DNS that does not answer keeps it from trying a numeric endpoint, for ever (each attempt queues
/// behind the next look-up).
class ControllerDial {
 public:
  /// Borrows `known`.
  explicit ControllerDial(ControllerEndpoints& known) : known_(known) {}

  /// In the order to try, 1 to kClientEndpointsMax; never waits. `now`: milliseconds since boot. `in_use`: the address
  /// of the connection that stands, or empty; it stays in the list for as long as its endpoint is known.
  std::vector<std::string> addresses(int64_t now, const std::string& in_use);
  /// The endpoint, as configured, behind an address that was given.
  std::string endpoint_of(const std::string& address) const;

 private:
  void look_up(const std::vector<std::string>& endpoints, int64_t now, bool connected);
  void add(const std::string& address, const std::string& endpoint);

  ControllerEndpoints& known_;
  Resolver resolver_;
  int64_t next_look_up_ = 0;
  std::vector<std::string> list_;
  std::map<std::string, std::string> endpoint_of_;  // by address, of all that were ever given
};

}  // namespace mesh
