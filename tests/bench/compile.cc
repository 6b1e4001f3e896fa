#include "eventstore/model/compile.h"

#include <fmt/format.h>

#include <functional>

#include "eventstore/model/plan.h"
#include "tests/bench/benches.h"
#include "tests/bench/peers.h"
#include "tests/unit/compile/states.h"

namespace mesh::bench {

namespace {

using namespace testing;

MeshState full_mesh(uint32_t nodes) {
  MeshState state = default_state();
  for (uint32_t id = 11; id < 11 + nodes; ++id) {
    std::string number = std::to_string(id);
    add_node(state, id, "r1.site" + number, {{"endpoint", "r" + number + ".example.net"}});
    std::string lan = "10." + std::to_string(id / 256) + "." + std::to_string(id % 256) + ".0/24";
    add_site(state, "site" + number, {{"lans", lan}});
  }
  enrol_all(state);
  pin_all(state);
  set(state.global, {{"wg_mtu", "1400"}});
  return state;
}

double milliseconds(const std::function<void()>& work) {
  int64_t begin = now_us();
  work();
  return static_cast<double>(now_us() - begin) / 1e3;
}

void measure(Report& report, const MeshState& state, const std::string& name) {
  auto time = [&](const char* what, const std::function<void()>& work) {
    report.sample(name + "." + what, "ms", kPure, milliseconds(work));
  };
  NodeConfig config;
  Desired desired;
  time("compile_one", [&] { config = *compile(state, NodeId(11)); });
  time("config_text", [&] { config_text(config); });
  time("config_digest", [&] { config_digest(config); });
  time("bind", [&] { desired = bind(config, make_overlay(state, NodeId(11))); });
  time("plan", [&] { plan(Observed{}, desired, {{1, key_of(11, 1)}}); });
}

}  // namespace

Status bench_compile(Report& report, const Scale& scale) {
  const MeshState small = full_mesh(100), large = full_mesh(scale.count(1'000, 200));
  for (Repetitions run(report, scale); run.next();) {
    measure(report, small, "compile.100_nodes");
    report.sample("compile.100_nodes.all_changed", "ms", kPure,
                  milliseconds([&] { compile_candidates(small, Scope{}, false); }));
    if (!scale.quick) measure(report, large, "compile.1000_nodes");
  }
  // Once, because it takes seconds.
  if (!scale.quick)
    report.fact("compile.1000_nodes.all_changed_ms",
                milliseconds([&] { compile_candidates(large, Scope{}, false); }));
  return {};
}

}  // namespace mesh::bench
