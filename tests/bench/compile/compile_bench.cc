// How long compile and plan take in full meshes: one attribute changed, one node and all nodes;
// bind and plan of one router. Prints JSON; each figure is the median of the runs after one
// warm-up. Nothing here is durable, encrypted or signed: it is the pure core on one core.
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <functional>
#include <vector>

#include "eventstore/model/compile.h"
#include "eventstore/model/plan.h"
#include "tests/unit/compile/states.h"

namespace mesh {
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
  return state;
}

double median_ms(const std::function<void()>& work) {
  using Clock = std::chrono::steady_clock;
  std::vector<double> runs;
  for (int i = 0; i < 6; ++i) {
    auto begin = Clock::now();
    work();
    if (i > 0)
      runs.push_back(std::chrono::duration<double, std::milli>(Clock::now() - begin).count());
  }
  std::ranges::sort(runs);
  return runs[runs.size() / 2];
}

void measure(uint32_t nodes, bool last) {
  MeshState state = full_mesh(nodes);
  pin_all(state);
  set(state.global, {{"wg_mtu", "1400"}});
  size_t rows = 0;
  double all = median_ms([&] { rows = compile_candidates(state, Scope{}, false)->rows.size(); });
  NodeConfig config;
  double one = median_ms([&] { config = *compile(state, NodeId(11)); });
  size_t bytes = 0;
  double text = median_ms([&] { bytes = config_text(config).size(); });
  double digest = median_ms([&] { config_digest(config); });
  Desired desired;
  double bound = median_ms([&] { desired = bind(config, make_overlay(state, NodeId(11))); });
  double planned = median_ms([&] { plan(Observed{}, desired, {{1, key_of(11, 1)}}); });
  std::printf(
      "  {\"nodes\": %u, \"compile_one_ms\": %.2f, \"candidates_all_ms\": %.1f, \"changed\": %zu, "
      "\"config_bytes\": %zu, \"config_text_ms\": %.2f, \"config_digest_ms\": %.2f, \"bind_ms\": "
      "%.2f, "
      "\"plan_ms\": %.2f}%s\n",
      nodes, one, all, rows, bytes, text, digest, bound, planned, last ? "" : ",");
}

}  // namespace
}  // namespace mesh

int main() {
  std::puts(
      "{\"bench\": \"compile\", \"durable\": false, \"encrypted\": false, \"signed\": false, "
      "\"runs\": [");
  mesh::measure(100, false);
  mesh::measure(1'000, true);
  std::puts("]}");
}
