// A node that runs v1, and a v2 (another keepalive) that is activated with a confirmation.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "agent_fixture.h"

namespace mesh::test {

struct TrialTest : AgentTest {
  TrialTest() {
    node.follow();
    routed = node.router().state();
    log.set("wg_keepalive", int64_t{33});
    log.commit();
  }
  void begin(uint32_t seconds = 20, std::vector<std::string> health = {}, uint32_t for_s = 0) {
    log.activate_confirmed(seconds, std::move(health), for_s);
    node.follow();
  }
  static bool is_v2(TestNode& at) {
    const auto& tunnels = at.router().state().tunnels;
    return !tunnels.empty() && tunnels.begin()->second.keepalive == 33;
  }
  bool on_v2() { return is_v2(node); }
  /// The router is as it was before v2.
  bool back() { return node.router().state() == routed; }
  /// "applied v1", ...: what it reported, from the first on.
  std::vector<std::string> reported() {
    constexpr std::string_view kNames[] = {"?", "applied", "failed", "reverted", "refused", "healthy"};
    std::vector<std::string> out;
    for (const auto& each : node.store().outcomes()) {
      const auto& outcome = each.outcome;
      out.push_back(std::string(kNames[static_cast<size_t>(outcome.kind)]) + " v" +
                    std::to_string(outcome.version.value()));
    }
    return out;
  }
  const Outcome& last() { return node.store().outcomes().back().outcome; }
  using Words = std::vector<std::string>;

  DryRunState routed;
};

}  // namespace mesh::test
