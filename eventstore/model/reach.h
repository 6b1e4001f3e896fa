// Reachability by intent: which LANs of a network can talk to which others. Pure.
//
// Modelled: the links that compile() would make, every one of them up and carrying both families, and
// routers that pass on what their neighbours announce; so the nodes of one connected part reach each
// other. Not modelled: whether nodes are enrolled or up, firewalls, routes from outside the mesh,
// nor the one of several nodes with the same LAN that traffic ends at.
#pragma once

#include <cstdint>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "eventstore/model/address.h"
#include "eventstore/model/ids.h"
#include "eventstore/model/result.h"
#include "eventstore/model/state.h"

namespace mesh {

/// A LAN and who announces it.
struct ReachedLan {
  IpPrefix prefix;
  std::vector<NodeId> nodes;    // ascending, at least one
  std::vector<uint32_t> parts;  // of those nodes, ascending
};

/// What a node's configuration says of it.
struct ReachNode {
  NodeId id;
  std::string fullname;
  IpAddress loopback4, loopback6;
  std::vector<IpPrefix> lans;
  std::vector<NodeId> peers;  // a link counts when both ends name each other
};

/// Keeps nothing of what it was built from; some microseconds a node.
class Reach {
 public:
  explicit Reach(const MeshState& state);
  /// A network of configurations, ascending by number.
  explicit Reach(const std::vector<ReachNode>& nodes);
  /// The same, when the part of each node is known; `peers` are not looked at.
  Reach(const std::vector<ReachNode>& nodes, const std::vector<uint32_t>& parts);

  /// How many parts the network falls into: 1 when every node reaches every other.
  size_t parts() const { return part_count_; }
  /// Nothing for a node that does not exist.
  std::optional<uint32_t> part_of(NodeId node) const;
  /// Ascending by prefix.
  const std::vector<ReachedLan>& lans() const { return lans_; }

  /// Where a text points: a node's number or full name; an address or prefix: the nodes of the
  /// smallest LAN that holds it, or the node whose loopback it is. Empty when nothing here is called
  /// so. Ascending.
  std::vector<NodeId> nodes_at(std::string_view place) const;
  /// Whether a node at `from` reaches a node at `to`; false when one of them is nowhere.
  /// Errors: usage (addresses of different families).
  Result<bool> reaches(std::string_view from, std::string_view to) const;

 private:
  struct Place {
    NodeId id;
    std::string fullname;
    IpAddress loopback4, loopback6;
    uint32_t part = 0;
  };

  void read(const std::vector<ReachNode>& nodes, const std::vector<uint32_t>& parts);
  void add(Place place, const std::vector<IpPrefix>& lans);
  void finish();

  std::vector<Place> nodes_;  // ascending by number
  std::vector<ReachedLan> lans_;
  uint32_t part_count_ = 0;
};

/// Two LANs of one family, from < to; reachability is mutual.
struct LanPair {
  IpPrefix from, to;
  auto operator<=>(const LanPair&) const = default;
};

/// Pairs that reach each other in only one of two networks. The lists are cut, the totals are not.
/// A LAN that is not in a network counts there as the LAN around it, else as those inside it when they
/// fill it: so what is only split, joined or made larger is neither lost nor gained.
struct ReachDifference {
  std::vector<LanPair> lost, gained;  // ascending
  uint64_t lost_total = 0, gained_total = 0;
};
/// At most `most` pairs in each list. With `about`, only pairs of which one is there.
ReachDifference compare_reach(const Reach& before, const Reach& after, size_t most,
                              const std::set<IpPrefix>* about = nullptr);

}  // namespace mesh
