// One seed, one stream of numbers, the same on every machine (splitmix64). Standard distributions
// are not: their results differ between libraries.
#pragma once

#include <cstdint>
#include <iterator>

namespace mesh::sim {

class Random {
 public:
  explicit Random(uint64_t seed) : state_(seed) {}

  uint64_t next() {
    uint64_t z = (state_ += 0x9e3779b97f4a7c15);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
    z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
    return z ^ (z >> 31);
  }
  /// 0 to n - 1; 0 when n is 0.
  uint64_t below(uint64_t n) { return n == 0 ? 0 : next() % n; }
  /// Both included.
  int64_t between(int64_t low, int64_t high) {
    return low + static_cast<int64_t>(below(static_cast<uint64_t>(high - low + 1)));
  }
  bool one_in(uint64_t n) { return below(n) == 0; }
  bool percent(uint64_t p) { return below(100) < p; }
  /// Precondition: not empty.
  template <class List>
  auto& pick(List& list) {
    return *std::next(std::begin(list), static_cast<int64_t>(below(std::size(list))));
  }
  /// A stream of its own, so that one part's draws do not shift another's.
  Random fork() { return Random(next()); }

 private:
  uint64_t state_;
};

}  // namespace mesh::sim
