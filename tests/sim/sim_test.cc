// Claim: whatever fails, in whatever order, everything that was acknowledged is in the log once,
// every router holds a verified prefix of it and is what it says, and when faults stop everybody
// gets there (README.md lists the claims). Method: seeds. MESH_SIM_SEED=n runs that one alone,
// MESH_SIM_SEEDS=count another number of them; meshsim does the same by hand.
#include <gtest/gtest.h>

#include <cstdlib>
#include <optional>
#include <string>

#include "tests/sim/simulation.h"

namespace mesh::sim {
namespace {

constexpr uint64_t kSeeds = 200, kShards = 8;

std::optional<uint64_t> number_from(const char* variable) {
  const char* text = std::getenv(variable);
  if (!text) return std::nullopt;
  return std::strtoull(text, nullptr, 10);
}

void expect_ok(uint64_t seed) {
  const auto result = simulate({seed});
  EXPECT_TRUE(result.ok()) << "seed " << seed << ": " << result.failure << "\nthe last steps:\n"
                           << result.trace << "again: meshsim --from " << seed << " -v";
  // A simulation in which nothing happens proves nothing.
  EXPECT_GT(result.entries, 5u) << "seed " << seed;
  EXPECT_GT(result.faults, 10u) << "seed " << seed;
}

class Seeds : public testing::TestWithParam<uint64_t> {};

TEST_P(Seeds, HoldAllClaims) {
  if (auto only = number_from("MESH_SIM_SEED")) {
    if (GetParam() == 0) expect_ok(*only);
    return;
  }
  const uint64_t seeds = number_from("MESH_SIM_SEEDS").value_or(kSeeds);
  for (uint64_t seed = 1 + GetParam(); seed <= seeds && !HasFailure(); seed += kShards)
    expect_ok(seed);
}

INSTANTIATE_TEST_SUITE_P(Simulation, Seeds, testing::Range(uint64_t{0}, kShards),
                         [](const auto& shard) { return "Shard" + std::to_string(shard.param); });

// Claim: a seed is a run. Method: the hash of every step, twice with one seed and once with
// another.
TEST(Simulation, OneSeedGivesOneTrace) {
  for (uint64_t seed : {3, 4, 5}) {
    const auto first = simulate({seed}), second = simulate({seed});
    EXPECT_EQ(first.trace_hash, second.trace_hash) << "seed " << seed;
    EXPECT_EQ(first.trace_lines, second.trace_lines) << "seed " << seed;
    EXPECT_NE(first.trace_hash, simulate({seed + 100}).trace_hash);
  }
}

}  // namespace
}  // namespace mesh::sim
