// Claim: the laws of the core hold for random histories: decide is deterministic, invariants hold
// after every event, fold(fold(s, a), b) = fold(s, a + b), a decoded snapshot plus the tail is the
// full fold, and a verifying replica ends where the controller's fold ends. Method: seeded random
// commands, most of them sensible, some wrong; each seed is one history. A failure names its seed.
#include <gtest/gtest.h>

#include <random>

#include "eventstore/model/canonical.h"
#include "eventstore/model/evolve.h"
#include "schemas/codec.h"
#include "tests/support/world.h"

namespace mesh {
namespace {

using test::World;

class RandomOperator {
 public:
  explicit RandomOperator(uint64_t seed) : random_(seed) {}

  Command next() {
    switch (pick(20)) {
      case 0:
      case 11:
      case 12:
        return AddSite{site()};
      case 1:
      case 13:
      case 14:
        return AddNode{node()};
      case 2:
        return RemoveSite{site(), pick(2) == 0};
      case 3:
        return RemoveNode{node(), pick(2) == 0};
      case 4:
        return RenameSite{site(), site()};
      case 5:
        return RenameNode{node(), node().substr(0, 2)};
      case 6:
        return UnsetAttribute{target(), name()};
      case 7:
        return Activate{target(), Version(static_cast<uint32_t>(pick(4))), pick(4) == 0};
      case 8:
        return Discard{target()};
      case 9:
        return RevokeNode{node()};
      case 10:
        return SetAttribute{
            {Level::node, node()}, "endpoint", {"192.0.2." + std::to_string(pick(200) + 1)}};
      default:
        return SetAttribute{target(), name(), {static_cast<int64_t>(pick(3) + 20)}};
    }
  }
  size_t pick(size_t below) { return static_cast<size_t>(random_() % below); }
  std::string node() { return "r" + std::to_string(pick(2)) + "." + site(); }
  Target target() {
    size_t level = pick(3);
    return level == 0   ? Target{}
           : level == 1 ? Target{Level::site, site()}
                        : Target{Level::node, node()};
  }

 private:
  std::string site() { return std::string(1, static_cast<char>('a' + pick(4))) + "x"; }
  std::string name() { return std::array{"wg_keepalive", "note", "bfd_multiplier"}[pick(3)]; }
  std::mt19937_64 random_;
};

void live(World& world, RandomOperator& someone, size_t steps) {
  const Principal alice = Principal::human("alice");
  for (size_t i = 0; i < steps; ++i) {
    switch (someone.pick(8)) {
      case 0: {
        auto ignored = world.commit(alice, someone.target(), true, true);
        break;
      }
      case 1: {
        std::string node = someone.node();
        const Node* found = world.state().find_node(node);
        if (found && found->enrolment == Enrolment::none) world.enrol(node);
        break;
      }
      default: {
        std::vector<Command> commands;
        for (size_t n = someone.pick(4) == 0 ? 3 : 1; n > 0; --n)
          commands.push_back(someone.next());
        auto ignored = world.submit(alice, std::move(commands));
      }
    }
    ASSERT_EQ(check_invariants(world.state()), "")
        << "after entry " << world.state().sequence.value();
  }
}

class Histories : public testing::TestWithParam<uint64_t> {};

TEST_P(Histories, ObeyTheLaws) {
  SCOPED_TRACE("seed " + std::to_string(GetParam()));
  World world;
  RandomOperator someone(GetParam());
  live(world, someone, 120);
  ASSERT_GT(world.entries().size(), 10u);

  Replica verified;
  MeshState folded;
  MeshState from_snapshot;
  size_t middle = someone.pick(world.entries().size());
  for (size_t i = 0; i < world.entries().size(); ++i) {
    auto entry = decode_entry(world.entries()[i]);
    ASSERT_TRUE(entry.has_value()) << entry.error().message;
    auto taken = replay(verified, *entry, world.state().log);
    ASSERT_TRUE(taken.has_value()) << taken.error().message;
    evolve(folded, entry->header, *entry->body);
    if (i >= middle) {
      if (i > middle)
        evolve(from_snapshot, entry->header, *entry->body);
      else
        from_snapshot = *decode_state(encode_state(folded, true));
    }
  }
  EXPECT_EQ(verified, world.replica());
  EXPECT_EQ(folded, world.state());
  EXPECT_EQ(from_snapshot, world.state());
  EXPECT_EQ(state_digest(from_snapshot), state_digest(world.state()));
}

TEST_P(Histories, DiscardAllLeavesNothingUncommittedAndTheCommittedConfiguration) {
  SCOPED_TRACE("seed " + std::to_string(GetParam()));
  World world;
  RandomOperator someone(GetParam() + 1'000);
  live(world, someone, 60);
  auto discarded = world.submit(Principal::human("alice"), {Discard{Target{}}});
  if (!discarded) {
    // Only what cannot be taken back refuses: an enrolled node that was never committed, or a name
    // that is taken.
    EXPECT_TRUE(discarded.error().code == Errc::invalid ||
                discarded.error().code == Errc::conflict);
    return;
  }
  EXPECT_TRUE(world.state().changes.empty());
  EXPECT_EQ(check_invariants(world.state()), "");
}

INSTANTIATE_TEST_SUITE_P(Seeds, Histories, testing::Range<uint64_t>(1, 41));

}  // namespace
}  // namespace mesh
