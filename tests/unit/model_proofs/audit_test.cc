// Claim: a checkpoint that somebody kept is judged by what an honest log may do: append, and, when an administrator
// signs it, start an epoch on an older base. Everything else is told as what it is.
// Method: a small log, its own checkpoints and those of a second history with the same keys, before and after epochs.
#include "eventstore/model/audit.h"

#include <gtest/gtest.h>

#include "schemas/codec.h"
#include "tests/support/world.h"

namespace mesh {
namespace {

using test::World;

Checkpoint checkpoint_of(const World& world, uint32_t epoch = 0) {
  const Replica& replica = world.replica();
  return {checkpoint_origin(replica.state.log, epoch ? epoch : replica.state.epoch), replica.frontier.size(),
          replica.frontier.root(), {}};
}

void start_epoch(World& world) {
  const MeshState& state = world.state();
  world.must(StartEpoch{state.epoch + 1, state.sequence, world.replica().frontier.root(),
                        NodeId(state.next_node.value() + 100), Version(100)});
}

Judgement judged(const World& world, const Checkpoint& checkpoint, size_t entries = SIZE_MAX) {
  Audit audit(world.state().log);
  if (checkpoint.size <= world.entries().size()) audit.want(checkpoint.size);
  for (const EncodedEntry& encoded : world.entries()) {
    if (audit.head().value() == entries) break;
    const auto added = audit.add(decode_entry(encoded).value());
    EXPECT_TRUE(added) << added.error().message;
  }
  return audit.judge(checkpoint, entries == SIZE_MAX).value();
}

TEST(Audit, OwnCheckpointsAgree) {
  World world;
  std::vector<Checkpoint> kept{checkpoint_of(world)};
  for (const char* site : {"a", "b", "c"}) {
    world.must(AddSite{site});
    kept.push_back(checkpoint_of(world));
  }
  for (const Checkpoint& checkpoint : kept) EXPECT_EQ(judged(world, checkpoint).standing, Standing::agrees);
}

TEST(Audit, AnotherHistoryIsAnEquivocationAndAShorterLogLostEntries) {
  World world, other;
  world.must(AddSite{"a"});
  other.must(AddSite{"b"});
  EXPECT_EQ(judged(world, checkpoint_of(other)).standing, Standing::contradicts);
  EXPECT_NE(judged(world, checkpoint_of(other)).text.find("equivocation"), std::string::npos);
  other = world;
  other.must(AddSite{"c"});
  EXPECT_EQ(judged(world, checkpoint_of(other)).standing, Standing::ahead);
  EXPECT_EQ(judged(other, checkpoint_of(other), 2).standing, Standing::unchecked) << "an earlier entry is bad";
}

TEST(Audit, AnEpochGivesUpOnlyWhatIsBeyondItsBase) {
  World lost;
  lost.must(AddSite{"a"});
  World restored = lost;
  const Checkpoint at_base = checkpoint_of(lost);
  lost.must(AddSite{"b"});
  const Checkpoint beyond = checkpoint_of(lost);
  World stranger;
  stranger.must(AddSite{"x"});
  const Checkpoint contradicting = checkpoint_of(stranger);
  start_epoch(restored);
  const Checkpoint of_the_start = checkpoint_of(restored);
  restored.must(AddSite{"c"});
  EXPECT_EQ(of_the_start.origin, checkpoint_origin(lost.state().log, 2)) << "the entry that starts it is under it";
  EXPECT_EQ(judged(restored, at_base).standing, Standing::agrees);
  EXPECT_EQ(judged(restored, beyond).standing, Standing::given_up);
  EXPECT_NE(judged(restored, beyond).text.find("alice"), std::string::npos);
  EXPECT_FALSE(judged(restored, beyond).bad());
  EXPECT_EQ(judged(restored, contradicting).standing, Standing::contradicts);
  EXPECT_EQ(judged(restored, of_the_start).standing, Standing::agrees);
  EXPECT_EQ(judged(lost, of_the_start).standing, Standing::contradicts) << "the old history served again";
  EXPECT_EQ(judged(lost, checkpoint_of(restored)).standing, Standing::ahead);
}

TEST(Audit, EpochsAreListed) {
  World world;
  world.must(AddSite{"a"});
  start_epoch(world);
  start_epoch(world);
  Audit audit(world.state().log);
  for (const EncodedEntry& encoded : world.entries()) ASSERT_TRUE(audit.add(decode_entry(encoded).value()));
  const std::vector<EpochStart> expected{{2, Sequence(2), Sequence(3), "alice"},
                                         {3, Sequence(3), Sequence(4), "alice"}};
  EXPECT_EQ(audit.epochs(), expected);
}

TEST(Audit, AnEpochOnAnotherRootIsRefused) {
  World world;
  const MeshState& state = world.state();
  world.must(StartEpoch{2, state.sequence, Digest{}, NodeId(1000), Version(100)});
  Audit audit(state.log);
  ASSERT_TRUE(audit.add(decode_entry(world.entries()[0]).value()));
  const auto added = audit.add(decode_entry(world.entries()[1]).value());
  ASSERT_FALSE(added);
  EXPECT_EQ(added.error().code, Errc::corrupt);
  EXPECT_NE(added.error().message.find("starts epoch 2 on root"), std::string::npos) << added.error().message;
}

TEST(Audit, ACheckpointOfAnotherLogIsAnError) {
  World world, other("other");
  Audit audit(world.state().log);
  EXPECT_EQ(audit.judge(checkpoint_of(other), true).error().code, Errc::corrupt);
}

TEST(KeptCheckpoints, AreNamedByTheirPlaceInTheFile) {
  World world;
  const std::string text = checkpoint_text(checkpoint_of(world));
  const std::string note = text + "\n\u2014 name AAAAAAAA\n";
  const auto kept = read_kept_checkpoints("kept", note + note).value();
  ASSERT_EQ(kept.size(), 2u);
  EXPECT_EQ(kept[0].name, "kept");
  EXPECT_EQ(kept[1].name, "kept (2)");
  EXPECT_EQ(kept[1].checkpoint, checkpoint_of(world));
  EXPECT_FALSE(read_kept_checkpoints("kept", ""));
  EXPECT_FALSE(read_kept_checkpoints("kept", "no note"));
}

}  // namespace
}  // namespace mesh
