// meshbench: how fast, beside raw RocksDB and raw CURVE in the same run (README.md).
#include <fmt/format.h>

#include <CLI/CLI.hpp>

#include "tests/bench/benches.h"
#include "tests/bench/peers.h"

namespace mesh::bench {

namespace {
// Four benchmarks, with what they prepare and verify: within a minute, or a few seconds.
constexpr int64_t kBudgetUs = 9'000'000;
constexpr int64_t kQuickBudgetUs = 1'000'000;
}  // namespace

Repetitions::Repetitions(Report& report, const Scale& scale)
    : report_(report),
      wanted_(1 + scale.repetitions),
      end_us_(now_us() + (scale.quick ? kQuickBudgetUs : kBudgetUs)) {}

bool Repetitions::next() {
  if (begun_ == wanted_ || (begun_ >= 2 && now_us() > end_us_)) return false;
  report_.begin_repetition(begun_++ == 0);
  return true;
}

}  // namespace mesh::bench

namespace {

using namespace mesh;
using namespace mesh::bench;

struct Bench {
  const char* name;
  const char* help;
  Status (*run)(Report&, const Scale&);
  bool by_name_only = false;
};
constexpr Bench kBenches[] = {
    {"requests", "Signed requests to meshd: throughput and latency", bench_requests},
    {"peers", "Signed requests beside etcd, when it is installed", bench_peers, true},
    {"trust", "What checkpoints and the Merkle tree cost", bench_trust},
    {"replay", "A node reads and checks the whole log; a live entry reaches it", bench_replay},
    {"fanout", "One change to many subscribed nodes", bench_fanout},
    {"compile", "Compile and plan of full meshes", bench_compile},
    {"templates", "Commits of full meshes with templates", bench_templates},
    {"history", "A long history: start, past states, questions, proofs, verification",
     bench_history, true},
};

}  // namespace

int main(int argc, char** argv) {
  CLI::App app{
      "Measures meshlog beside the raw parts it stands on. Without a verb: everything "
      "that takes a minute.",
      "meshbench"};
  Scale scale;
  bool table = false;
  app.add_flag("--quick", scale.quick, "Small counts: shows that it works, not how fast");
  app.add_flag("--table", table, "For people; else JSON");
  auto* repetitions =
      app.add_option("--repetitions", scale.repetitions, "Besides the first, which is dropped")
          ->check(CLI::Range(1, 1000));
  auto* subscribers =
      app.add_option("--subscribers", scale.subscribers, "Of fanout")->check(CLI::Range(1, 5000));
  auto* entries = app.add_option("--entries", scale.entries, "Of history; made when there are none")
                      ->check(CLI::Range(10'000, 100'000'000));
  app.add_option("--dir", scale.directory, "Of history: kept there, and used again");
  app.fallthrough();
  for (const Bench& bench : kBenches) app.add_subcommand(bench.name, bench.help);
  CLI11_PARSE(app, argc, argv);
  if (scale.quick && repetitions->empty()) scale.repetitions = 1;
  if (scale.quick && entries->empty()) scale.entries = 20'000;
  if (scale.quick && subscribers->empty()) scale.subscribers = 100;

  Report report;
  for (const Bench& bench : kBenches) {
    if (app.get_subcommands().empty() ? bench.by_name_only : !app.got_subcommand(bench.name))
      continue;
    if (auto done = bench.run(report, scale); !done) {
      fmt::print(stderr, "meshbench: {}: {}\n", bench.name, done.error().message);
      if (!done.error().fix.empty()) fmt::print(stderr, "fix: {}\n", done.error().fix);
      return 1;
    }
  }
  fmt::print("{}", table ? report.table() : report.json(scale.quick));
  return report.good() ? 0 : 1;
}
