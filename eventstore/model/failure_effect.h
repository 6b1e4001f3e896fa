// What failures do to the LANs of a network, and which single ones cut it. Pure.
//
// LANs reach each other when a way leads from a node that announces one to a node that announces the
// other; their distance is the fewest links between two such nodes. Pairs are of one family.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <vector>

#include "eventstore/model/network.h"

namespace mesh {

struct LongerWay {
  LanPair pair;
  uint32_t before = 0, after = 0;  // links on the way
  auto operator<=>(const LongerWay&) const = default;
};

/// Lists are cut and ascending, totals are not cut.
struct FailureEffect {
  uint64_t pairs = 0;        // that reached each other before
  uint64_t unreached = 0;    // that did not
  uint64_t pairs_down = 0;   // of `pairs`: one of them is gone itself
  std::vector<IpPrefix> down;  // all nodes that announce it failed
  uint64_t down_total = 0;
  std::vector<LanPair> lost;  // both are there, but no way between them
  uint64_t lost_total = 0;
  std::vector<LongerWay> longer;
  uint64_t longer_total = 0;
  std::map<uint32_t, uint64_t> hops_before, hops_after;  // links on the way: how many pairs
};
/// `after` is `before` after failures. Time: a search for each set of nodes that announces a LAN.
FailureEffect compare_ways(const Network& before, const Network& after, size_t most);

/// A link or a node that is the only way between some LANs. The LANs of a node that fails are not
/// counted: they are down, not cut off.
struct SinglePoint {
  std::optional<Link> link;  // else the node
  NodeId node;
  uint64_t pairs = 0;         // cut, at least one
  std::vector<LanPair> lost;  // some of them, ascending
  std::vector<NodeId> apart;  // nodes outside the largest remaining piece, ascending, cut
  size_t apart_total = 0;
};
struct SinglePoints {
  std::vector<SinglePoint> points;  // by pairs, most first; cut
  uint64_t nodes = 0, links = 0;    // all of them
};
/// At most `most` points, each with at most `examples` pairs and nodes. Bridges and articulation points
/// (Tarjan 1972, Hopcroft and Tarjan 1973): linear in the links, but for LANs with several nodes.
SinglePoints single_points(const Network& network, size_t most, size_t examples);

}  // namespace mesh
