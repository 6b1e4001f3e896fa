// meshsim: runs seeds of the simulation. Each process stops at the first seed that fails. Exit code 1 = a claim broke.
#include <fmt/format.h>
#include <sys/wait.h>
#include <unistd.h>

#include <charconv>
#include <chrono>
#include <cstdio>
#include <string_view>

#include "tests/sim/simulation.h"

namespace {

constexpr auto kUsage =
    "usage: meshsim [--seeds N] [--from S] [--nodes K] [--minutes M] [--jobs J] [-v]\n"
    "  --seeds N    how many seeds (default 1)\n"
    "  --from S     the first seed (default 1)\n"
    "  --nodes K    routers at most (default 5)\n"
    "  --minutes M  simulated time with faults (default 1.5)\n"
    "  --jobs J     processes that share the seeds (default 1)\n"
    "  -v           every step\n";

struct Options {
  uint64_t seeds = 1, from = 1, jobs = 1;
  size_t nodes = 5;
  double minutes = 1.5;
  bool verbose = false;
};

struct Totals {
  uint64_t seeds = 0, failed = 0, steps = 0, entries = 0, faults = 0;
  int64_t simulated_ms = 0;

  void add(const Totals& other) {
    seeds += other.seeds;
    failed += other.failed;
    steps += other.steps;
    entries += other.entries;
    faults += other.faults;
    simulated_ms += other.simulated_ms;
  }
};

bool read_number(std::string_view text, double& out) {
  const auto parsed = std::from_chars(text.data(), text.data() + text.size(), out);
  return parsed.ec == std::errc() && parsed.ptr == text.data() + text.size() && out >= 0 && out < 1e15;
}

bool read_options(int argc, char** argv, Options& out) {
  for (int i = 1; i < argc; ++i) {
    const std::string_view name = argv[i];
    if (name == "-v") {
      out.verbose = true;
      continue;
    }
    double value = 0;
    if (i + 1 == argc || !read_number(argv[++i], value)) return false;
    if (name == "--minutes") out.minutes = value;
    else if (name == "--seeds") out.seeds = static_cast<uint64_t>(value);
    else if (name == "--from") out.from = static_cast<uint64_t>(value);
    else if (name == "--nodes") out.nodes = static_cast<size_t>(value);
    else if (name == "--jobs" && value >= 1) out.jobs = static_cast<uint64_t>(value);
    else return false;
  }
  return true;
}

/// Every `jobs`-th seed from the `job`-th on, until one fails.
Totals run(const Options& options, uint64_t job) {
  Totals totals;
  for (uint64_t seed = options.from + job; seed < options.from + options.seeds; seed += options.jobs) {
    const auto result =
        mesh::sim::simulate({seed, options.nodes, static_cast<int64_t>(options.minutes * 60), options.verbose});
    totals.add({1, result.ok() ? 0u : 1u, result.steps, result.entries, result.faults, result.simulated_ms});
    fmt::print("seed {}: {} entries, {} acknowledged, {} faults, {} routers, settled in {} s, trace {:016x} of {} "
               "lines\n",
               seed, result.entries, result.acknowledged, result.faults, result.hosts, result.settled_ms / 1'000,
               result.trace_hash, result.trace_lines);
    if (!result.ok()) {
      fmt::print("seed {} FAILED: {}\nthe last steps:\n{}again: meshsim --from {} --nodes {} --minutes {} -v\n", seed,
                 result.failure, result.trace, seed, options.nodes, options.minutes);
    }
    std::fflush(stdout);
    if (!result.ok()) break;
  }
  return totals;
}

/// In as many processes as are wanted. A process that dies counts as a failed seed.
Totals run_all(const Options& options) {
  if (options.jobs == 1) return run(options, 0);
  Totals totals;
  int ends[2];
  if (::pipe(ends) != 0) return {0, 1, 0, 0, 0, 0};
  for (uint64_t job = 0; job < options.jobs; ++job) {
    if (::fork() != 0) continue;
    const Totals mine = run(options, job);
    const bool told = ::write(ends[1], &mine, sizeof mine) == sizeof mine;
    ::_exit(told ? 0 : 1);
  }
  ::close(ends[1]);
  for (Totals one; ::read(ends[0], &one, sizeof one) == sizeof one;) totals.add(one);
  for (int status = 0; ::wait(&status) > 0;) totals.failed += status != 0;
  return totals;
}

}  // namespace

int main(int argc, char** argv) {
  Options options;
  if (!read_options(argc, argv, options)) {
    fmt::print(stderr, "{}", kUsage);
    return 2;
  }
  using Clock = std::chrono::steady_clock;
  const auto began = Clock::now();
  const Totals totals = run_all(options);
  const double seconds = std::chrono::duration<double>(Clock::now() - began).count();
  const double simulated = static_cast<double>(totals.simulated_ms) / 1'000;
  fmt::print("{} seeds, {} failed: {} entries, {} faults, {} steps; {:.0f} simulated minutes in {:.1f} s, {:.0f} times "
             "real time\n",
             totals.seeds, totals.failed, totals.entries, totals.faults, totals.steps, simulated / 60, seconds,
             simulated / seconds);
  return totals.failed == 0 ? 0 : 1;
}
