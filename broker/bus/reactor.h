// The loop that all three programs run: frames, stop signals, finished jobs and ticks, in one
// thread.
#pragma once

#include <array>
#include <condition_variable>
#include <csignal>
#include <cstddef>
#include <deque>
#include <functional>
#include <mutex>
#include <optional>
#include <thread>
#include <vector>

#include "broker/bus/wake.h"

namespace mesh {

/// SIGTERM and SIGINT as a descriptor instead of an interruption. Construct it before any thread
/// starts: it blocks both in the calling thread, and new threads inherit that. The destructor
/// restores the mask.
class StopSignals {
 public:
  StopSignals();
  ~StopSignals();
  StopSignals(const StopSignals&) = delete;
  StopSignals& operator=(const StopSignals&) = delete;

  int fd() const { return fd_; }
  /// The signal that waits, or nothing.
  std::optional<int> take();

 private:
  int fd_ = -1;
  sigset_t before_;
};

/// Threads for long pure work over immutable values: compile, render, plan, verify. Owned by one
/// thread, which alone calls run() and finish(). Not bounded: whoever calls run() bounds what a
/// peer may ask for, by pending().
class WorkerPool {
 public:
  using Job = std::move_only_function<void()>;

  /// `wake` is called from a worker after each job, e.g. to wake the bus; it must stay callable
  /// until destruction.
  WorkerPool(size_t threads, std::function<void()> wake);
  /// Waits for the jobs that run; the others, and what should follow them, are forgotten.
  ~WorkerPool();
  WorkerPool(const WorkerPool&) = delete;
  WorkerPool& operator=(const WorkerPool&) = delete;

  /// Runs `job` on a worker, in the order of the calls; `then` follows in finish(). Neither may
  /// throw.
  void run(
      Job job, Job then = [] {});
  /// Calls the `then` of every job that has ended, on this thread. Returns how many.
  size_t finish();
  /// Jobs given and not yet finished.
  size_t pending() const { return pending_; }

 private:
  struct Task {
    Job job;
    Job then;
  };
  void work(std::stop_token stop);

  std::function<void()> wake_;
  size_t pending_ = 0;
  std::mutex mutex_;
  std::condition_variable_any ready_;
  std::deque<Task> waiting_;
  std::vector<Job> done_;
  std::vector<std::jthread> threads_;  // last: they end before what they use
};

/// Returned by a handler's tick(): leave the loop.
inline constexpr int kStopReactor = -1;

/// Runs `bus` (a BusServer or BusClient) until the handler's tick() says kStopReactor. The handler
/// has
/// - int tick(): called on every turn, and again within as many milliseconds as it returned;
/// - void handle(events): what poll() returned, never empty;
/// - void stop(int signal): somebody wants the program to end.
template <class Bus, class Handler>
void run_reactor(Bus& bus, StopSignals& signals, WorkerPool& pool, Handler& handler) {
  for (int wait = handler.tick(); wait != kStopReactor; wait = handler.tick()) {
    std::array<Watched, 1> watched{{{signals.fd()}}};
    auto events = bus.poll(wait, watched);
    while (auto signal = signals.take()) handler.stop(*signal);
    pool.finish();
    if (!events.empty()) handler.handle(std::move(events));
  }
}

}  // namespace mesh
