// Claim: the committed state is what a discard of everything would give. Method: random histories of
// a world; after each entry the committed state is compared with the state after a discard, in what
// an intent digest covers.
#include "eventstore/model/committed.h"

#include <gtest/gtest.h>

#include <random>
#include <set>
#include <string>

#include "eventstore/model/intent_digest.h"
#include "tests/support/world.h"

namespace mesh {
namespace {

class RandomHistory {
 public:
  explicit RandomHistory(uint64_t seed) : random_(seed) {}

  void step() {
    const Principal alice = Principal::human("alice");
    switch (below(9)) {
      case 0: return try_it({AddSite{site()}});
      case 1: return try_it({RemoveSite{site(), true}});
      case 2: return try_it({RenameSite{site(), site()}});
      case 3: return try_it({AddNode{node()}});
      case 4: return try_it({RemoveNode{node(), true}});
      case 5: return try_it({RenameNode{node(), "n" + std::to_string(below(3))}});
      case 6: return try_it({SetAttribute{target(), name(), {int64_t(below(3))}}});
      case 7: return try_it({UnsetAttribute{target(), name()}});
      default:
        if (below(3) == 0) static_cast<void>(world.commit(alice, Target{}, true, true));
    }
  }
  test::World world;

 private:
  uint64_t below(uint64_t n) { return random_() % n; }
  std::string site() { return "s" + std::to_string(below(3)); }
  std::string node() { return "n" + std::to_string(below(3)) + "." + site(); }
  std::string name() { return "note" + std::to_string(below(2)); }
  Target target() {
    const uint64_t level = below(3);
    if (level == 0) return Target{};
    return level == 1 ? Target{Level::site, site()} : Target{Level::node, node()};
  }
  void try_it(std::vector<Command> commands) {
    static_cast<void>(world.submit(Principal::human("alice"), std::move(commands)));
  }
  std::mt19937_64 random_;
};

/// Two committed sites took one name after the other and were removed: only one of them is kept under
/// it, so neither a discard nor the committed state brings both back.
bool two_sites_under_one_name(const MeshState& state) {
  std::set<std::string> renamed;
  for (const Change& change : state.changes)
    if (change.kind == Change::Kind::site_renamed && !renamed.insert(change.scope.site).second) return true;
  return false;
}

TEST(CommittedState, IsWhatADiscardGives) {
  const uint64_t seed = std::random_device{}();
  SCOPED_TRACE("seed " + std::to_string(seed));
  size_t compared = 0;
  for (uint64_t round = 0; round < 40; ++round) {
    RandomHistory history(seed + round);
    for (int i = 0; i < 40; ++i) {
      history.step();
      if (two_sites_under_one_name(history.world.state())) break;
      RandomHistory other = history;
      // A discard is refused when names are in each other's way; the committed state is not.
      if (!other.world.submit(Principal::human("alice"), {Discard{Target{}}})) continue;
      ++compared;
      ASSERT_EQ(intent_digest(committed_state(history.world.state()), Scope{}),
                intent_digest(other.world.state(), Scope{}))
          << "round " << round << ", step " << i;
    }
  }
  EXPECT_GT(compared, 500u);
}

TEST(CommittedState, NamesThatWereExchangedComeBack) {
  test::World world;
  world.must({AddSite{"a"}, AddSite{"b"}, AddNode{"r1.a"}, SetAttribute{{Level::site, "a"}, "note", {"of a"}}});
  ASSERT_TRUE(world.commit(Principal::human("alice"), Target{}).has_value());
  const Digest committed = intent_digest(world.state(), Scope{});
  world.must({RenameSite{"a", "c"}, RenameSite{"b", "a"}, RenameSite{"c", "b"}});
  EXPECT_NE(intent_digest(world.state(), Scope{}), committed);
  EXPECT_EQ(intent_digest(committed_state(world.state()), Scope{}), committed);
}

}  // namespace
}  // namespace mesh
