// Whose traffic is interrupted while changed configurations are activated, and which way it goes meanwhile. Pure.
//
// Counted are links that stay and whose sessions begin anew, all of them as down at once: the worst case of nodes that
// change at the same moment. Links that come or go interrupt nothing where another way exists (bind_bridge); pairs of
// LANs that a commit loses for good are commit_reach()'s.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "eventstore/model/network.h"
#include "eventstore/model/plan.h"

namespace mesh {

struct Interruptions {
  /// For each node with such links, a line for each link: "session reset: link r1.ams - r1.lab, about a second (its
  /// traffic goes another way: via r1.hub)".
  std::map<NodeId, std::vector<std::string>> lines;
  /// LANs that no other way connects meanwhile, ascending; cut, the total is not.
  std::vector<LanPair> pairs;
  uint64_t pairs_total = 0;
};

/// `network`: what there is after the changes. At most `most` pairs are listed.
Interruptions find_interruptions(const Network& network, const std::map<NodeId, ConfigChange>& changes, size_t most);

}  // namespace mesh
