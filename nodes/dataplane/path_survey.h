// What to ask over each tunnel, and what the answers say: round-trip times and path MTUs. Pure: the clock is an
// argument, the sockets are path_prober.h's.
//
// A round is one small echo, and in a check of the path MTU a large one with it. A large one counts as too large when
// the small one beside it came back and it did not, kTries times: neither an outage nor some loss is taken for an MTU.
// A check begins with the MTU of the tunnel, which is all there is to it on a good path. When that is too large it goes
// on with 1,280, the smallest that IPv6 knows, and then halves what is left.
//
// Load: at most `per_second` rounds begin each second, so the interval grows with the links; at most `checks` checks
// run at once; one call of due() gives at most `per_second` packets. Times in microseconds of one clock that
// only grows.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <set>
#include <utility>
#include <vector>

#include "eventstore/model/address.h"

namespace mesh {

class PathSurvey {
 public:
  struct Options {
    int64_t interval_us = 10'000'000;       // between two rounds over one tunnel, at least
    int64_t mtu_interval_us = 300'000'000;  // between two checks of one path, at least
    uint32_t per_second = 50;               // 3,000 links: each once a minute
    size_t checks = 20;
  };
  /// A tunnel by the index of its interface, its peer's link-local address, and the interface's MTU.
  struct Target {
    int index = 0;
    IpAddress to;
    uint16_t mtu = 0;
    bool operator==(const Target&) const = default;
  };
  /// An echo request to send now; `bytes` with the IPv6 header.
  struct Packet {
    int index = 0;
    IpAddress to;
    uint32_t round = 0;
    uint16_t bytes = 0;
  };
  struct Answer {
    int index = 0;
    uint32_t round = 0;
    uint16_t bytes = 0;
    int64_t sent_us = 0, at_us = 0;
  };
  /// -1 and 0 = nothing was measured yet.
  struct Report {
    int64_t rtt_us = -1, rtt_age_us = -1;
    uint16_t path_mtu = 0;
    int64_t path_mtu_age_us = -1;
  };

  /// `seed`: of the jitter.
  PathSurvey(Options options, uint64_t seed) : options_(options), random_(seed | 1) {}

  /// From now on these; what is known of those that stay is kept. A new one is first asked at a random moment of the
  /// interval.
  void watch(const std::vector<Target>& targets, int64_t now_us);
  /// What is to be sent now. Call it a few times a second.
  std::vector<Packet> due(int64_t now_us);
  /// An answer to a packet of ours; others must not be given.
  void answered(const Answer& answer);
  Report report(int index, int64_t now_us) const;

  /// Of the small echo; of the largest one that is ever sent, whatever MTU somebody gave an interface (wg_mtu is at
  /// most 9,000).
  static constexpr uint16_t kSmallBytes = 72, kLargestBytes = 9'216;

 private:
  struct Path {
    Target target;
    int64_t due_us = 0, check_us = 0;  // the next round; the next check may begin
    uint32_t round = 0;
    bool small_back = false, large_back = false;  // in this round
    bool alive = false;                           // the round before was answered
    uint16_t large = 0;                           // the size that is tried; 0 = no check
    uint16_t low = 0, high = 0;                   // came back; may still do
    unsigned tries = 0;                           // of `large`, that were lost
    Report found;                                 // ages are moments here
  };
  void settle(Path& path, int64_t now_us);
  void try_next(Path& path, int64_t now_us);
  void begin_check(Path& path, int64_t now_us);
  int64_t pause(const Path& path);
  int64_t jittered(int64_t us);
  uint64_t draw(uint64_t below);

  Options options_;
  uint64_t random_;
  int64_t interval_us_ = 0;
  std::vector<Target> targets_;
  std::map<int, Path> paths_;
  std::set<std::pair<int64_t, int>> queue_;  // (due, index) of every path
  size_t checks_ = 0;                        // paths with `large`
};

}  // namespace mesh
