#include "eventstore/model/network.h"

#include <algorithm>
#include <map>

#include "eventstore/model/intent.h"

namespace mesh {

using Index = Network::Index;

namespace {

/// Breadth first. Each round looks at the edges of the frontier or at those of what is still open,
/// whichever are fewer (Beamer, Asanovic, Patterson 2012): else a full mesh of public nodes with some
/// behind NAT would have all its links looked at for every prefix.
class Search {
 public:
  Search(const Network& network, std::span<const Index> to)
      : network_(network), hops_(network.nodes().size(), Network::kNone) {
    for (Index i = 0; i < hops_.size(); ++i)
      if (network.nodes()[i].up && !network.peers(i).empty()) open_.push_back(i);
    for (Index i : open_) open_edges_ += network.peers(i).size();
    for (Index i : to)
      if (network.nodes()[i].up) visit(i, 0, frontier_);
  }

  std::vector<uint32_t> run() {
    for (uint32_t hops = 1; !frontier_.empty() && open_edges_ > 0; ++hops) {
      size_t frontier_edges = 0;
      for (Index i : frontier_) frontier_edges += network_.peers(i).size();
      std::vector<Index> next;
      frontier_edges <= open_edges_ ? from_frontier(hops, next) : from_open(hops, next);
      frontier_ = std::move(next);
    }
    return std::move(hops_);
  }

 private:
  void visit(Index node, uint32_t hops, std::vector<Index>& out) {
    if (hops_[node] != Network::kNone) return;
    hops_[node] = hops;
    open_edges_ -= network_.peers(node).size();
    out.push_back(node);
  }

  void from_frontier(uint32_t hops, std::vector<Index>& next) {
    for (Index node : frontier_)
      for (Index peer : network_.peers(node)) visit(peer, hops, next);
  }

  void from_open(uint32_t hops, std::vector<Index>& next) {
    std::erase_if(open_, [&](Index node) { return hops_[node] != Network::kNone; });
    for (Index node : open_) {
      auto peers = network_.peers(node);
      if (std::ranges::any_of(peers, [&](Index peer) { return hops_[peer] == hops - 1; }))
        visit(node, hops, next);
    }
  }

  const Network& network_;
  std::vector<uint32_t> hops_;
  std::vector<Index> open_, frontier_;  // open_ may still hold some that are not
  size_t open_edges_ = 0;
};

}  // namespace

Network::Network(const MeshState& state) {
  const Intent intent(state);
  const Topology topology(intent);
  auto nodes = intent.nodes();
  std::vector<std::vector<Index>> peers(nodes.size());
  std::vector<Index> publics;
  for (Index i = 0; i < nodes.size(); ++i) {
    const NodeIntent& node = nodes[i];
    nodes_.push_back(
        {node.node->id, node.node->fullname(), node.loopback4, node.loopback6, node.lans});
    auto join = [&](Index other) { peers[i].push_back(other), peers[other].push_back(i); };
    for (size_t other : topology.uplinks(i)) join(static_cast<Index>(other));
    if (!node.outside) continue;
    for (Index other : publics)
      if (topology.linked(i, other)) join(other);
    publics.push_back(i);
  }
  link_up(peers);
}

Network::Network(const std::vector<ReachNode>& nodes) {
  std::vector<std::vector<Index>> named(nodes.size()), peers(nodes.size());
  for (const ReachNode& node : nodes)
    nodes_.push_back({node.id, node.fullname, node.loopback4, node.loopback6, node.lans});
  for (Index i = 0; i < nodes.size(); ++i) {
    for (NodeId peer : nodes[i].peers)
      if (auto j = find(peer)) named[i].push_back(*j);
    std::ranges::sort(named[i]);
  }
  for (Index i = 0; i < nodes.size(); ++i)
    for (Index j : named[i])
      if (j != i && std::ranges::binary_search(named[j], i)) peers[i].push_back(j);
  link_up(peers);
}

/// In BIRD's order: by router id, which is the loopback.
void Network::link_up(const std::vector<std::vector<Index>>& peers) {
  first_.push_back(0);
  auto before = [&](Index a, Index b) {
    return std::tie(nodes_[a].loopback4, a) < std::tie(nodes_[b].loopback4, b);
  };
  for (const auto& list : peers) {
    const auto begin = static_cast<std::ptrdiff_t>(peers_.size());
    peers_.insert(peers_.end(), list.begin(), list.end());
    std::sort(peers_.begin() + begin, peers_.end(), before);
    first_.push_back(peers_.size());
  }
}

Network Network::after(const Failures& failures) const {
  Network out;
  out.nodes_ = nodes_;
  for (Place& node : out.nodes_) node.up = node.up && !failures.nodes.contains(node.id);
  std::set<std::pair<Index, Index>> cut;  // both ways
  for (const Link& link : failures.links) {
    auto low = find(link.low), high = find(link.high);
    if (low && high) cut.insert({{*low, *high}, {*high, *low}});
  }
  out.first_.push_back(0);
  for (Index i = 0; i < nodes_.size(); ++i) {
    for (Index peer : peers(i))
      if (out.nodes_[i].up && out.nodes_[peer].up && (cut.empty() || !cut.contains({i, peer})))
        out.peers_.push_back(peer);
    out.first_.push_back(out.peers_.size());
  }
  return out;
}

std::optional<Index> Network::find(NodeId node) const {
  auto at = std::ranges::lower_bound(nodes_, node, {}, &Place::id);
  if (at == nodes_.end() || at->id != node) return std::nullopt;
  return static_cast<Index>(at - nodes_.begin());
}

bool Network::linked(Index a, Index b) const {
  auto list = peers(a);
  return std::ranges::find(list, b) != list.end();
}

std::vector<uint32_t> Network::parts() const {
  std::vector<uint32_t> out(nodes_.size(), kNone);
  uint32_t part = 0;
  for (Index i = 0; i < nodes_.size(); ++i) {
    if (!nodes_[i].up || out[i] != kNone) continue;
    const Index start[] = {i};
    const auto hops = hops_to(start);
    for (Index j = i; j < nodes_.size(); ++j)
      if (hops[j] != kNone) out[j] = part;
    ++part;
  }
  return out;
}

std::vector<Origin> Network::origins() const {
  std::map<IpPrefix, std::vector<uint32_t>> announced;
  for (Index i = 0; i < nodes_.size(); ++i)
    for (const IpPrefix& lan : nodes_[i].lans) announced[lan].push_back(i);
  std::map<std::vector<uint32_t>, size_t> known;
  std::vector<Origin> out;
  for (auto& [lan, nodes] : announced) {
    auto [at, fresh] = known.try_emplace(nodes, out.size());
    if (fresh) out.push_back({std::move(nodes), {}});
    out[at->second].lans[lan.v6()].push_back(lan);
  }
  return out;
}

std::vector<Origin> Network::prefixes() const {
  std::map<IpPrefix, std::vector<uint32_t>> announced;
  for (Index i = 0; i < nodes_.size(); ++i) {
    for (const IpPrefix& lan : nodes_[i].lans) announced[lan].push_back(i);
    for (const IpAddress& loopback : {nodes_[i].loopback4, nodes_[i].loopback6})
      announced[IpPrefix{loopback, loopback.bits()}].push_back(i);
  }
  std::vector<Origin> out;
  for (auto& [prefix, nodes] : announced) {
    out.push_back({std::move(nodes), {}});
    out.back().lans[prefix.v6()].push_back(prefix);
  }
  return out;
}

std::vector<uint32_t> Network::hops_to(std::span<const Index> to) const {
  return Search(*this, to).run();
}

Index Network::next_hop(Index node, const std::vector<uint32_t>& hops) const {
  if (hops[node] == kNone) return kNone;
  if (hops[node] == 0) return node;
  for (Index peer : peers(node))
    if (hops[peer] == hops[node] - 1) return peer;
  return kNone;
}

}  // namespace mesh
