// The network that configurations make, as a graph: who is linked with whom, what each announces, and
// the way that BIRD finds from everywhere to a prefix. Pure; nothing of what it was built from is kept.
//
// Modelled is what render.cc configures, settled, every link and LAN up that did not fail: one eBGP
// session a link, one AS a node, nothing filtered but unknown and own networks; so the path with the
// fewest links wins, and of several the neighbour with the lowest router id (RFC 4271 9.1.2.2 as
// BIRD 2 does it with `prefer older` off), which is the lowest loopback. One next hop, no multipath.
// A prefix that a node announces itself is local there.
// Not modelled: whether nodes are enrolled or up, firewalls, routes from outside the mesh.
#pragma once

#include <cstdint>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <vector>

#include "eventstore/model/address.h"
#include "eventstore/model/reach.h"
#include "eventstore/model/topology.h"

namespace mesh {

/// What does not work.
struct Failures {
  std::set<Link> links;
  std::set<NodeId> nodes;
  bool empty() const { return links.empty() && nodes.empty(); }
};

/// LANs, or one loopback, that the same nodes announce.
struct Origin {
  std::vector<uint32_t> nodes;   // indices, ascending
  std::vector<IpPrefix> lans[2];  // IPv4, IPv6; ascending
};

/// Nodes are named by their index, ascending by number. Memory is linear in the links.
class Network {
 public:
  using Index = uint32_t;
  static constexpr uint32_t kNone = UINT32_MAX;

  struct Place {
    NodeId id;
    std::string fullname;
    IpAddress loopback4, loopback6;
    std::vector<IpPrefix> lans;  // ascending
    bool up = true;
  };

  /// By intent: the links of compile().
  explicit Network(const MeshState& state);
  /// By configurations, ascending by number; a link counts when both ends name each other.
  explicit Network(const std::vector<ReachNode>& nodes);

  /// The same nodes and indices, without the links that failed and those of nodes that failed.
  Network after(const Failures& failures) const;

  std::span<const Place> nodes() const { return nodes_; }
  std::optional<Index> find(NodeId node) const;
  /// In the order in which BIRD prefers them.
  std::span<const Index> peers(Index node) const {
    return {peers_.data() + first_[node], peers_.data() + first_[node + 1]};
  }
  size_t link_count() const { return peers_.size() / 2; }
  bool linked(Index a, Index b) const;
  /// Of each node the number of its part, from 0 in order of first appearance; kNone when down.
  std::vector<uint32_t> parts() const;

  /// LANs by who announces them, in order of the first LAN; also those of nodes that are down.
  std::vector<Origin> origins() const;
  /// Every LAN and loopback, each as an Origin of one prefix, ascending.
  std::vector<Origin> prefixes() const;

  /// Of each node the number of links to the nearest of `to` that is up: 0 there, kNone when there is
  /// no way. At most linear in the links.
  std::vector<uint32_t> hops_to(std::span<const Index> to) const;
  /// Where `node` sends what goes there: a peer one hop nearer; itself at 0 hops, kNone at kNone.
  Index next_hop(Index node, const std::vector<uint32_t>& hops) const;

 private:
  Network() = default;
  void link_up(const std::vector<std::vector<Index>>& peers);

  std::vector<Place> nodes_;
  std::vector<size_t> first_;  // one more than nodes
  std::vector<Index> peers_;
};

}  // namespace mesh
