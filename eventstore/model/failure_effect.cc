#include "eventstore/model/failure_effect.h"

#include <algorithm>

namespace mesh {

namespace {

using Index = Network::Index;

uint32_t nearest(const Origin& origin, const std::vector<uint32_t>& hops) {
  uint32_t out = Network::kNone;
  for (Index node : origin.nodes) out = std::min(out, hops[node]);
  return out;
}

LanPair pair_of(const IpPrefix& a, const IpPrefix& b) { return {std::min(a, b), std::max(a, b)}; }

class Comparison {
 public:
  Comparison(const Network& before, const Network& after, size_t most)
      : before_(before), after_(after), most_(most), origins_(before.origins()) {
    for (const Origin& origin : origins_)
      up_.push_back(std::ranges::any_of(
          origin.nodes, [&](Index node) { return after.nodes()[node].up; }));
  }

  FailureEffect run() {
    for (size_t i = 0; i < origins_.size(); ++i) {
      if (!up_[i]) add_down(origins_[i]);
      add_own(i);
      const auto then = before_.hops_to(origins_[i].nodes);
      const auto now = up_[i] ? after_.hops_to(origins_[i].nodes) : std::vector<uint32_t>();
      for (size_t j = i + 1; j < origins_.size(); ++j) {
        const uint32_t hops = nearest(origins_[j], then);
        add(i, j, hops, up_[i] && up_[j] ? nearest(origins_[j], now) : Network::kNone);
      }
    }
    std::ranges::sort(out_.down);
    std::ranges::sort(out_.lost);
    std::ranges::sort(out_.longer);
    return std::move(out_);
  }

 private:
  static uint64_t count(const Origin& a, const Origin& b) {
    return a.lans[0].size() * b.lans[0].size() + a.lans[1].size() * b.lans[1].size();
  }

  void add_down(const Origin& origin) {
    for (const auto& lans : origin.lans) {
      out_.down_total += lans.size();
      for (const IpPrefix& lan : lans)
        if (out_.down.size() < most_) out_.down.push_back(lan);
    }
  }

  /// LANs of one node reach each other without a link.
  void add_own(size_t i) {
    uint64_t pairs = 0;
    for (const auto& lans : origins_[i].lans) pairs += lans.size() * (lans.size() - 1) / 2;
    if (pairs == 0) return;
    out_.pairs += pairs;
    out_.hops_before[0] += pairs;
    (up_[i] ? out_.hops_after[0] : out_.pairs_down) += pairs;
  }

  void add(size_t i, size_t j, uint32_t then, uint32_t now) {
    const uint64_t pairs = count(origins_[i], origins_[j]);
    if (pairs == 0) return;
    if (then == Network::kNone) {
      out_.unreached += pairs;
      return;
    }
    out_.pairs += pairs;
    out_.hops_before[then] += pairs;
    if (!up_[i] || !up_[j]) {
      out_.pairs_down += pairs;
    } else if (now == Network::kNone) {
      out_.lost_total += pairs;
      each(i, j, out_.lost, [](const LanPair& pair) { return pair; });
    } else {
      out_.hops_after[now] += pairs;
      if (now <= then) return;
      out_.longer_total += pairs;
      each(i, j, out_.longer, [&](const LanPair& pair) { return LongerWay{pair, then, now}; });
    }
  }

  template <class List, class Make>
  void each(size_t i, size_t j, List& out, const Make& make) {
    for (const bool v6 : {false, true})
      for (const IpPrefix& a : origins_[i].lans[v6])
        for (const IpPrefix& b : origins_[j].lans[v6]) {
          if (out.size() >= most_) return;
          out.push_back(make(pair_of(a, b)));
        }
  }

  const Network &before_, &after_;
  size_t most_;
  std::vector<Origin> origins_;
  std::vector<bool> up_;
  FailureEffect out_;
};

}  // namespace

FailureEffect compare_ways(const Network& before, const Network& after, size_t most) {
  return Comparison(before, after, most).run();
}

}  // namespace mesh
