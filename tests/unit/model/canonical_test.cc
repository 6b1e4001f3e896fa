// Claim: a state's canonical bytes come back as the same state, identify its intent, and hostile
// bytes are refused. Method: a rich world; truncation at every byte; flips of every byte, which may
// only fail or give a valid state.
#include "eventstore/model/canonical.h"

#include <gtest/gtest.h>

#include "tests/support/world.h"

namespace mesh {
namespace {

using test::World;

MeshState rich_state() {
  World world;
  world.must(
      {AddSite{"ams"}, AddNode{"r1.ams"}, AddSite{"lab"}, AddNode{"r1.lab"}, AddNode{"r2.lab"}});
  world.must({SetAttribute{{Level::node, "11"}, "endpoint", {"192.0.2.1"}},
              SetAttribute{{Level::site, "lab"}, "lans", {"10.2.0.0/24"}},
              SetAttribute{{Level::global, ""},
                           "tags",
                           {std::vector<Scalar>{std::string("a"), int64_t{-4}, true}}}});
  world.enrol("r1.ams");
  EXPECT_TRUE(world.commit(Principal::human("alice"), Target{}).has_value());
  world.must({Activate{Target{}, {}}, RemoveNode{"r2.lab"},
              RejectNode{"0011:2233:4455:6677:8899:aabb:ccdd:eeff"}});
  world.must(SignAnchor{Sequence(2), {}, {}});
  MeshState state = world.state();
  state.reports[NodeId(11)] = {3,     OutcomeKind::failed, ActivationId(1), Version(1),
                               "why", Timestamp(5),        Sequence(6)};
  return state;
}

TEST(Canonical, ComesBackWhole) {
  MeshState state = rich_state();
  auto back = decode_state(encode_state(state, true));
  ASSERT_TRUE(back.has_value()) << back.error().message;
  EXPECT_EQ(*back, state);
}

TEST(Canonical, TheDigestCoversIntentOnly) {
  MeshState state = rich_state();
  Digest digest = state_digest(state);
  state.reports.clear();
  EXPECT_EQ(state_digest(state), digest);
  state.next_node = NodeId(99);
  EXPECT_NE(state_digest(state), digest);
}

TEST(Canonical, RefusesEveryTruncation) {
  Bytes bytes = encode_state(rich_state(), true);
  for (size_t size = 0; size < bytes.size(); ++size)
    ASSERT_FALSE(decode_state(ByteView(bytes).first(size)).has_value()) << size;
  bytes.push_back(0);
  EXPECT_FALSE(decode_state(bytes).has_value());
}

TEST(Canonical, AFlippedByteIsRefusedOrStaysCanonical) {
  const Bytes bytes = encode_state(rich_state(), true);
  for (size_t i = 0; i < bytes.size(); ++i) {
    Bytes flipped = bytes;
    flipped[i] ^= 0x41;
    auto state = decode_state(flipped);
    if (state) {
      EXPECT_EQ(encode_state(*state, true), flipped) << i;
    }
  }
}

}  // namespace
}  // namespace mesh
