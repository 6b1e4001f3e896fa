// The benchmarks of meshbench. Each fills the report; an error means that something did not work,
// never that it was slow.
#pragma once

#include <cstdint>
#include <filesystem>

#include "eventstore/model/result.h"
#include "tests/bench/report.h"

namespace mesh::bench {

struct Scale {
  bool quick = false;      // a run that shows that everything works; its numbers are no figures
  size_t repetitions = 9;  // after one that is dropped
  size_t subscribers = 1'000;
  uint64_t entries = 1'000'000;     // of a history
  std::filesystem::path directory;  // where it is kept or found; empty = a temporary one

  size_t count(size_t full, size_t small) const { return quick ? small : full; }
};

/// The repetitions of one benchmark: `for (Repetitions run(report, scale); run.next();)`. The first
/// is dropped. On a machine that is too slow for all of them it ends early, with one at least: the
/// report says how many there were.
class Repetitions {
 public:
  Repetitions(Report& report, const Scale& scale);
  bool next();

 private:
  Report& report_;
  size_t begun_ = 0, wanted_;
  int64_t end_us_;
};

/// Signed requests to a real meshd, closed and open loop, beside raw RocksDB and a raw CURVE echo.
Status bench_requests(Report& report, const Scale& scale);
/// The same singles beside etcd, when it is installed. Not in the default run.
Status bench_peers(Report& report, const Scale& scale);
/// The controller's code with checkpoints and without, in one process.
Status bench_trust(Report& report, const Scale& scale);
/// A node-like replica that reads the whole log from a real meshd, beside raw CURVE PUSH/PULL; then
/// the time from a request to a verified entry in that replica.
Status bench_replay(Report& report, const Scale& scale);
/// One change to many subscribed nodes, beside raw CURVE PUB/SUB; everybody must reach the head.
Status bench_fanout(Report& report, const Scale& scale);
/// A long history: start, any past state, questions, proofs, verification, memory. Not in the
/// default run.
Status bench_history(Report& report, const Scale& scale);
/// Compile and plan in full meshes: the pure core on one core.
Status bench_compile(Report& report, const Scale& scale);
/// Preparing a commit of a full mesh with templates. Without python3-jinja2 it reports that alone.
Status bench_templates(Report& report, const Scale& scale);

}  // namespace mesh::bench
