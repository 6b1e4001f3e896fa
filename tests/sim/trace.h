// What happened, for people and for comparing two runs; and how a claim fails.
#pragma once

#include <cstdint>
#include <deque>
#include <stdexcept>
#include <string>

#include "tests/sim/scheduler.h"

namespace mesh::sim {

/// A claim of the checkers that does not hold.
class ClaimBroken : public std::runtime_error {
 public:
  ClaimBroken(const std::string& claim, const std::string& detail)
      : std::runtime_error(claim + ": " + detail) {}
};

class Trace {
 public:
  Trace(const Scheduler& clock, bool verbose) : clock_(clock), verbose_(verbose) {}

  void add(const std::string& text);
  /// Over every line so far: equal for equal runs.
  uint64_t hash() const { return hash_; }
  uint64_t lines() const { return lines_; }
  /// The newest lines.
  std::string tail() const;

 private:
  static constexpr size_t kKept = 60;
  const Scheduler& clock_;
  bool verbose_;
  uint64_t hash_ = 0xcbf29ce484222325, lines_ = 0;
  std::deque<std::string> newest_;
};

/// A frame in a few words: "Entries 5-7", "Submit".
std::string describe_frame(const uint8_t* bytes, size_t size);

}  // namespace mesh::sim
