#include <algorithm>
#include <set>
#include <tuple>
#include <utility>

#include "eventstore/model/failure_effect.h"

namespace mesh {

namespace {

using Index = Network::Index;

/// LANs of IPv4 and of IPv6.
struct Weight {
  uint64_t v4 = 0, v6 = 0;
  Weight& operator+=(const Weight& other) { return v4 += other.v4, v6 += other.v6, *this; }
  Weight& operator-=(const Weight& other) { return v4 -= other.v4, v6 -= other.v6, *this; }
};
uint64_t pairs(const Weight& a, const Weight& b) { return a.v4 * b.v4 + a.v6 * b.v6; }

/// A depth-first search over all parts. Nodes by the time at which they were found: a subtree is a run.
class Search {
 public:
  explicit Search(const Network& network) : network_(network) {
    const size_t size = network.nodes().size();
    found_.assign(size, Network::kNone);
    for (Index i = 0; i < size; ++i)
      if (network.nodes()[i].up && found_[i] == Network::kNone) walk(i);
  }

  struct Visit {
    Index node = 0;
    uint32_t parent = 0, root = 0;  // by time; a root is its own parent
    uint32_t low = 0, end = 0;      // of the subtree: earliest neighbour; one past its last
  };
  const std::vector<Visit>& visits() const { return visits_; }
  uint32_t found(Index node) const { return found_[node]; }

 private:
  struct Step {
    uint32_t at = 0;
    size_t next = 0;  // of its peers
  };

  void enter(Index node, uint32_t parent, uint32_t root) {
    const auto at = static_cast<uint32_t>(visits_.size());
    found_[node] = at;
    visits_.push_back({node, parent, root, at, 0});
    stack_.push_back({at, 0});
  }

  /// With a stack of its own: a path of all nodes must not exhaust the program's.
  void walk(Index start) {
    const auto root = static_cast<uint32_t>(visits_.size());
    enter(start, root, root);
    while (!stack_.empty()) {
      Step& step = stack_.back();
      const uint32_t at = step.at;
      const auto peers = network_.peers(visits_[at].node);
      if (step.next < peers.size()) {
        const Index peer = peers[step.next++];
        if (found_[peer] == Network::kNone)
          enter(peer, at, root);
        else if (found_[peer] != visits_[at].parent)
          visits_[at].low = std::min(visits_[at].low, found_[peer]);
        continue;
      }
      visits_[at].end = static_cast<uint32_t>(visits_.size());
      stack_.pop_back();
      if (at != root) {
        uint32_t& low = visits_[visits_[at].parent].low;
        low = std::min(low, visits_[at].low);
      }
    }
  }

  const Network& network_;
  std::vector<uint32_t> found_;
  std::vector<Visit> visits_;
  std::vector<Step> stack_;
};

/// A part of the network that falls into pieces: runs of visits, and what is left of the part.
struct Cut {
  uint32_t root = 0, end = 0;                         // of the part
  std::optional<uint32_t> gone;                       // the node that failed
  std::vector<std::pair<uint32_t, uint32_t>> pieces;  // ascending; the rest is one more
};

/// LANs that several nodes announce, or what a cut makes of LANs: where they are.
struct Spread {
  std::vector<uint32_t> here;       // visits within the part; or numbers of pieces; ascending
  std::vector<uint32_t> elsewhere;  // roots of other parts, ascending
  Weight lans;
  auto key() const { return std::tie(here, elsewhere); }
};

bool intersect(const std::vector<uint32_t>& a, const std::vector<uint32_t>& b) {
  for (auto i = a.begin(), j = b.begin(); i != a.end() && j != b.end();) {
    if (*i == *j) return true;
    *i < *j ? ++i : ++j;
  }
  return false;
}

void sort_unique(std::vector<uint32_t>& list) {
  std::ranges::sort(list);
  list.erase(std::ranges::unique(list).begin(), list.end());
}

class Points {
 public:
  explicit Points(const Network& network)
      : network_(network), search_(network), origins_(network.origins()) {
    const auto& visits = search_.visits();
    before_.resize(visits.size() + 1);
    std::vector<Weight> own(visits.size());
    for (const Origin& origin : origins_) {
      std::vector<uint32_t> at;
      for (Index node : origin.nodes)
        if (search_.found(node) != Network::kNone) at.push_back(search_.found(node));
      std::ranges::sort(at);
      const Weight lans{origin.lans[0].size(), origin.lans[1].size()};
      if (at.size() == 1) own[at.front()] += lans;
      if (at.size() > 1) add_spread(std::move(at), lans);
      // A LAN that is down already takes no part.
    }
    for (size_t i = 0; i < visits.size(); ++i) {
      before_[i + 1] = before_[i];
      before_[i + 1] += own[i];
    }
  }

  /// Every link and node whose failure makes pieces.
  std::vector<std::pair<SinglePoint, Cut>> find() {
    const auto& visits = search_.visits();
    std::vector<std::vector<uint32_t>> children(visits.size());
    for (uint32_t i = 0; i < visits.size(); ++i)
      if (visits[i].root != i) children[visits[i].parent].push_back(i);
    std::vector<std::pair<SinglePoint, Cut>> out;
    for (uint32_t i = 0; i < visits.size(); ++i) {
      if (visits[i].root != i && visits[i].low > visits[i].parent) out.push_back(bridge(i));
      Cut cut{visits[i].root, visits[visits[i].root].end, i, {}};
      for (uint32_t child : children[i])
        if (visits[child].low >= i) cut.pieces.emplace_back(child, visits[child].end);
      const bool root = visits[i].root == i;
      if (cut.pieces.size() < (root ? 2 : 1) && !bridgeheads_.contains(i)) continue;
      SinglePoint point;
      point.node = id(i);
      out.emplace_back(std::move(point), std::move(cut));
    }
    for (auto& [point, cut] : out) point.pairs = lost(cut);
    std::erase_if(out, [](const auto& item) { return item.first.pairs == 0; });
    return out;
  }

  void describe(const Cut& cut, size_t examples, SinglePoint& point) const {
    std::vector<size_t> sizes(cut.pieces.size() + 1);
    for (uint32_t at = cut.root; at < cut.end; ++at)
      if (at != cut.gone) ++sizes[piece_of(cut, at)];
    const auto largest = static_cast<size_t>(std::ranges::max_element(sizes) - sizes.begin());
    std::vector<NodeId> apart;
    for (uint32_t at = cut.root; at < cut.end; ++at)
      if (at != cut.gone && piece_of(cut, at) != largest) apart.push_back(id(at));
    std::ranges::sort(apart);
    point.apart_total = apart.size();
    apart.resize(std::min(apart.size(), examples));
    point.apart = std::move(apart);
    add_examples(cut, examples, point.lost);
  }

 private:
  NodeId id(uint32_t visit) const { return network_.nodes()[search_.visits()[visit].node].id; }
  Weight between(uint32_t begin, uint32_t end) const {
    Weight out = before_[end];
    return out -= before_[begin];
  }

  /// LANs announced by nodes of several parts count in each.
  void add_spread(std::vector<uint32_t> at, const Weight& lans) {
    const auto& visits = search_.visits();
    std::vector<uint32_t> roots;
    for (uint32_t visit : at) roots.push_back(visits[visit].root);
    sort_unique(roots);
    for (uint32_t root : roots) {
      Spread spread{{}, roots, lans};
      std::erase(spread.elsewhere, root);
      for (uint32_t visit : at)
        if (visits[visit].root == root) spread.here.push_back(visit);
      if (roots.size() > 1 && spread.here.size() == 1) bridgeheads_.insert(spread.here.front());
      spread_[root].push_back(std::move(spread));
    }
  }

  std::pair<SinglePoint, Cut> bridge(uint32_t lower) const {
    const auto& visit = search_.visits()[lower];
    const NodeId a = id(lower), b = id(visit.parent);
    SinglePoint point;
    point.link = Link{std::min(a, b), std::max(a, b)};
    return {std::move(point),
            Cut{visit.root, search_.visits()[visit.root].end, {}, {{lower, visit.end}}}};
  }

  /// The rest is numbered behind the pieces.
  static uint32_t piece_of(const Cut& cut, uint32_t visit) {
    auto at = std::ranges::upper_bound(cut.pieces, visit, {}, [](const auto& p) { return p.first; });
    if (at == cut.pieces.begin() || visit >= std::prev(at)->second)
      return static_cast<uint32_t>(cut.pieces.size());
    return static_cast<uint32_t>(std::prev(at) - cut.pieces.begin());
  }

  static Spread spread_over(const Cut& cut, const Spread& spread) {
    Spread out{{}, spread.elsewhere, spread.lans};
    for (uint32_t visit : spread.here)
      if (visit != cut.gone) out.here.push_back(piece_of(cut, visit));
    sort_unique(out.here);
    return out;
  }

  /// LANs with one node are counted by piece; those with several one by one.
  uint64_t lost(const Cut& cut) const {
    std::vector<Weight> pieces(cut.pieces.size() + 1);
    Weight all = between(cut.root, cut.end);
    if (cut.gone) all -= between(*cut.gone, *cut.gone + 1);
    pieces.back() = all;
    for (size_t i = 0; i < cut.pieces.size(); ++i) {
      pieces[i] = between(cut.pieces[i].first, cut.pieces[i].second);
      pieces.back() -= pieces[i];
    }
    uint64_t twice = pairs(all, all), out = 0;
    for (const Weight& piece : pieces) twice -= pairs(piece, piece);
    out = twice / 2;

    std::vector<Spread> groups;
    if (auto known = spread_.find(cut.root); known != spread_.end())
      for (const Spread& spread : known->second) {
        Spread now = spread_over(cut, spread);
        if (now.here.empty() && now.elsewhere.empty()) continue;
        Weight others = all;
        for (uint32_t piece : now.here) others -= pieces[piece];
        out += pairs(now.lans, others);
        groups.push_back(std::move(now));
      }
    return out + lost_between(groups);
  }

  static uint64_t lost_between(std::vector<Spread>& groups) {
    std::ranges::sort(groups, {}, &Spread::key);
    std::vector<Spread> alike;
    for (Spread& group : groups)
      if (!alike.empty() && alike.back().key() == group.key())
        alike.back().lans += group.lans;
      else
        alike.push_back(std::move(group));
    uint64_t out = 0;
    for (size_t i = 0; i < alike.size(); ++i)
      for (size_t j = i + 1; j < alike.size(); ++j)
        if (!intersect(alike[i].here, alike[j].here) &&
            !intersect(alike[i].elsewhere, alike[j].elsewhere))
          out += pairs(alike[i].lans, alike[j].lans);
    return out;
  }

  /// Where the LANs of `origin` are after the cut; nothing when it takes no part.
  std::optional<Spread> where(const Cut& cut, const Origin& origin) const {
    Spread out;
    bool part = false;
    for (Index node : origin.nodes) {
      const uint32_t at = search_.found(node);
      if (at == Network::kNone) continue;
      const uint32_t root = search_.visits()[at].root;
      part = part || root == cut.root;
      if (root != cut.root) out.elsewhere.push_back(root);
      if (root == cut.root && at != cut.gone) out.here.push_back(piece_of(cut, at));
    }
    if (!part || (out.here.empty() && out.elsewhere.empty())) return std::nullopt;
    sort_unique(out.here);
    sort_unique(out.elsewhere);
    return out;
  }

  void add_examples(const Cut& cut, size_t most, std::vector<LanPair>& out) const {
    std::vector<std::pair<const Origin*, Spread>> there;
    for (const Origin& origin : origins_)
      if (auto spread = where(cut, origin)) there.emplace_back(&origin, std::move(*spread));
    auto add = [&](const Origin& a, const Origin& b) {
      for (const bool v6 : {false, true})
        for (const IpPrefix& one : a.lans[v6])
          for (const IpPrefix& two : b.lans[v6])
            if (out.size() < most) out.push_back({std::min(one, two), std::max(one, two)});
    };
    for (size_t i = 0; i < there.size() && out.size() < most; ++i)
      for (size_t j = i + 1; j < there.size() && out.size() < most; ++j)
        if (!intersect(there[i].second.here, there[j].second.here) &&
            !intersect(there[i].second.elsewhere, there[j].second.elsewhere))
          add(*there[i].first, *there[j].first);
    std::ranges::sort(out);
  }

  const Network& network_;
  Search search_;
  std::vector<Origin> origins_;
  std::vector<Weight> before_;                        // LANs with one node, of the visits before
  std::map<uint32_t, std::vector<Spread>> spread_;    // by root
  // The only ones in their part that have a LAN which other parts have too: without one of them its
  // part is whole, but does not reach that LAN.
  std::set<uint32_t> bridgeheads_;
};

}  // namespace

SinglePoints single_points(const Network& network, size_t most, size_t examples) {
  Points points(network);
  auto found = points.find();
  SinglePoints out;
  for (const auto& [point, cut] : found) ++(point.link ? out.links : out.nodes);
  auto before = [](const auto& a, const auto& b) {
    return std::tuple(b.first.pairs, a.first.node, a.first.link) <
           std::tuple(a.first.pairs, b.first.node, b.first.link);
  };
  const size_t count = std::min(most, found.size());
  std::ranges::partial_sort(found, found.begin() + static_cast<std::ptrdiff_t>(count), before);
  for (size_t i = 0; i < count; ++i) {
    points.describe(found[i].second, examples, found[i].first);
    out.points.push_back(std::move(found[i].first));
  }
  return out;
}

}  // namespace mesh
