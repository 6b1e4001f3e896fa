// meshsim: runs seeds of the simulation until one fails. Exit code 1 = a claim broke.
#include <fmt/format.h>

#include <charconv>
#include <cstdio>
#include <string_view>

#include "tests/sim/simulation.h"

namespace {

constexpr auto kUsage =
    "usage: meshsim [--seeds N] [--from S] [--nodes K] [--minutes M] [-v]\n"
    "  --seeds N    how many seeds (default 1)\n"
    "  --from S     the first seed (default 1)\n"
    "  --nodes K    routers at most (default 5)\n"
    "  --minutes M  simulated time with faults (default 1.5)\n"
    "  -v           every step\n";

bool read_number(std::string_view text, double& out) {
  const auto parsed = std::from_chars(text.data(), text.data() + text.size(), out);
  return parsed.ec == std::errc() && parsed.ptr == text.data() + text.size() && out >= 0 &&
         out < 1e15;
}

}  // namespace

int main(int argc, char** argv) {
  double seeds = 1, from = 1, nodes = 5, minutes = 1.5;
  bool verbose = false;
  for (int i = 1; i < argc; ++i) {
    const std::string_view name = argv[i];
    if (name == "-v") {
      verbose = true;
      continue;
    }
    double* value = name == "--seeds"     ? &seeds
                    : name == "--from"    ? &from
                    : name == "--nodes"   ? &nodes
                    : name == "--minutes" ? &minutes
                                          : nullptr;
    if (!value || i + 1 == argc || !read_number(argv[++i], *value)) {
      fmt::print(stderr, "{}", kUsage);
      return 2;
    }
  }
  for (uint64_t seed = static_cast<uint64_t>(from); seed < static_cast<uint64_t>(from + seeds);
       ++seed) {
    const auto result = mesh::sim::simulate(
        {seed, static_cast<size_t>(nodes), static_cast<int64_t>(minutes * 60), verbose});
    fmt::print(
        "seed {}: {} entries, {} acknowledged, {} faults, {} routers, settled in {} s, trace "
        "{:016x} of {} lines\n",
        seed, result.entries, result.acknowledged, result.faults, result.hosts,
        result.settled_ms / 1'000, result.trace_hash, result.trace_lines);
    std::fflush(stdout);
    if (result.ok()) continue;
    fmt::print("seed {} FAILED: {}\nthe last steps:\n{}", seed, result.failure, result.trace);
    return 1;
  }
  return 0;
}
