// Disjoint sets with path halving (Tarjan, van Leeuwen 1984).
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <numeric>
#include <vector>

namespace mesh {

class DisjointSets {
 public:
  explicit DisjointSets(size_t size) : parent_(size) {
    std::iota(parent_.begin(), parent_.end(), size_t{0});
  }
  size_t find(size_t of) {
    while (parent_[of] != of) of = parent_[of] = parent_[parent_[of]];
    return of;
  }
  void join(size_t a, size_t b) { parent_[find(a)] = find(b); }
  /// The number of each one's set, from 0 in order of first appearance.
  std::vector<uint32_t> numbers() {
    std::map<size_t, uint32_t> known;
    std::vector<uint32_t> out;
    for (size_t i = 0; i < parent_.size(); ++i)
      out.push_back(known.emplace(find(i), static_cast<uint32_t>(known.size())).first->second);
    return out;
  }

 private:
  std::vector<size_t> parent_;
};

}  // namespace mesh
