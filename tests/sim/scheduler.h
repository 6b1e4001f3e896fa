// Simulated time: actions in the order of their time, and of their making when times are equal.
#pragma once

#include <cstdint>
#include <functional>
#include <queue>
#include <utility>
#include <vector>

namespace mesh::sim {

class Scheduler {
 public:
  using Action = std::function<void()>;

  /// Milliseconds since the simulation began.
  int64_t now() const { return now_; }
  /// Actions that ran.
  uint64_t steps() const { return steps_; }
  void after(int64_t milliseconds, Action action) {
    actions_.push({now_ + milliseconds, made_++, std::move(action)});
  }
  /// Runs the next action that is due by `until`. False when there is none; it is then `until`.
  bool step(int64_t until) {
    if (actions_.empty() || actions_.top().time > until) {
      now_ = until;
      return false;
    }
    Action action = std::move(const_cast<Item&>(actions_.top()).action);
    now_ = actions_.top().time;
    actions_.pop();
    ++steps_;
    action();
    return true;
  }

 private:
  struct Item {
    int64_t time;
    uint64_t number;
    Action action;
    bool operator<(const Item& other) const {
      return std::pair(time, number) > std::pair(other.time, other.number);
    }
  };
  std::priority_queue<Item> actions_;
  int64_t now_ = 0;
  uint64_t made_ = 0, steps_ = 0;
};

}  // namespace mesh::sim
