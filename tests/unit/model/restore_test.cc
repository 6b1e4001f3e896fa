// Claim: tags, restored things and epochs are decided as their declarations say, and an old log
// refuses them until its rules are raised. Method: requests to a world in memory.
#include <gtest/gtest.h>

#include "eventstore/model/evolve.h"
#include "eventstore/model/intent_digest.h"
#include "eventstore/model/limits.h"
#include "tests/support/world.h"

namespace mesh {
namespace {

using test::World;
const Principal kAlice = Principal::human("alice");

Errc refused(World& world, Command command) {
  auto taken = world.submit(kAlice, {std::move(command)});
  return taken ? Errc{} : taken.error().code;
}

TEST(Tags, NameAnInstantOnce) {
  World world;
  world.must(AddSite{"ams"});
  world.must(AddTag{"start", Sequence(1)});
  world.must(AddTag{"here", {}});
  EXPECT_EQ(world.state().tags.at("start").sequence, Sequence(1));
  EXPECT_EQ(world.state().tags.at("here").sequence, Sequence(3)) << "the entry before its own";
  EXPECT_TRUE(world.submit(kAlice, {AddTag{"start", Sequence(1)}})->empty()) << "already true";
  EXPECT_EQ(refused(world, AddTag{"start", Sequence(2)}), Errc::conflict);
  EXPECT_EQ(refused(world, AddTag{"later", Sequence(99)}), Errc::not_found);
  for (const char* bad : {"v5", "7", "2026-01-02", "working", "now", "", "-x", "A"})
    EXPECT_EQ(refused(world, AddTag{bad, Sequence(1)}), Errc::invalid) << bad;
  world.must(RemoveTag{"start"});
  EXPECT_EQ(refused(world, RemoveTag{"start"}), Errc::not_found);
}

TEST(Restore, BringsBackNumberNameAndAttributesButNoKeys) {
  World world;
  world.must({AddSite{"ams"}, AddNode{"r1.ams"}});
  world.must(SetAttribute{{Level::node, "r1.ams"}, "wg_keepalive", int64_t{25}});
  world.enrol("r1.ams");
  ASSERT_TRUE(world.commit(kAlice, Target{}));
  const Digest before = intent_digest(world.state(), Scope{});
  world.must({RemoveNode{"r1.ams", true}, RemoveSite{"ams"}});
  ASSERT_TRUE(world.commit(kAlice, Target{}));
  EXPECT_NE(intent_digest(world.state(), Scope{}), before);

  EXPECT_EQ(refused(world, RestoreNode{NodeId(11), ""}), Errc::invalid) << "its site is gone";
  world.must({RestoreSite{"ams"}, RestoreNode{NodeId(11), ""}, RollBack{{}, Sequence(4), before}});
  const Node* node = world.state().find_node("r1.ams");
  ASSERT_NE(node, nullptr);
  EXPECT_EQ(node->id, NodeId(11));
  EXPECT_EQ(node->enrolment, Enrolment::revoked);
  EXPECT_TRUE(node->keys.empty());
  EXPECT_EQ(intent_digest(world.state(), Scope{}), before);
  EXPECT_FALSE(world.state().changes.empty()) << "its removal was committed, so it is a change";
  EXPECT_EQ(refused(world, RestoreNode{NodeId(11), ""}), Errc::not_found);
  EXPECT_EQ(refused(world, RollBack{{}, Sequence(4), {}}), Errc::conflict);
}

TEST(Restore, UnderAnotherNameWhereTheOldOneIsTaken) {
  World world;
  world.must({AddSite{"ams"}, AddNode{"r1.ams"}});
  world.must(RemoveNode{"r1.ams"});
  world.must(AddNode{"r1.ams"});
  EXPECT_EQ(refused(world, RestoreNode{NodeId(11), ""}), Errc::conflict);
  world.must(RestoreNode{NodeId(11), "old"});
  EXPECT_EQ(world.state().find_node("old.ams")->id, NodeId(11));
}

TEST(Epoch, VoidsWhatFollowedAndLeavesNumbersOut) {
  World world;
  world.must({AddSite{"ams"}, AddNode{"r1.ams"}});
  const StartEpoch start{2, world.state().sequence, world.replica().frontier.root(), NodeId(1'000),
                         Version(100)};
  StartEpoch wrong = start;
  wrong.epoch = 3;
  EXPECT_EQ(refused(world, wrong), Errc::conflict);
  wrong = start;
  wrong.base = Sequence(1);
  EXPECT_EQ(refused(world, wrong), Errc::conflict);
  wrong = start;
  wrong.node_floor = NodeId(11);
  EXPECT_EQ(refused(world, wrong), Errc::invalid);
  const uint64_t activation = world.state().next_activation.value();
  world.must(start);
  EXPECT_EQ(world.state().next_activation.value(), activation + kFloorStepMax) << "also what lost entries started";
  EXPECT_EQ(world.state().epoch, 2u);
  world.must(AddNode{"r2.ams"});
  EXPECT_NE(world.state().find_node(NodeId(1'000)), nullptr);
  world.must(SetAttribute{{Level::node, "r1.ams"}, "endpoint", std::string("192.0.2.1:51820")});
  world.enrol("r1.ams");
  ASSERT_TRUE(world.commit(kAlice, Target{}));
  EXPECT_EQ(world.state().find_node("r1.ams")->latest(), Version(100));
}

TEST(Rules, OlderLogsRefuseWhatCameLater) {
  MeshState state = World().state();
  state.rules = 1;
  Request request;
  request.log = state.log;
  request.epoch = state.epoch;
  request.principal = kAlice;
  request.id = test::request_id(77);
  request.based_on = state.sequence;
  request.commands = {AddTag{"start", Sequence(1)}};
  auto events = decide(state, request, Context{state.time, {}});
  ASSERT_FALSE(events);
  EXPECT_EQ(events.error().code, Errc::unsupported);
  request.commands = {RaiseRules{2}, AddTag{"start", Sequence(1)}};
  EXPECT_FALSE(decide(state, request, Context{state.time, {}})) << "not in the same entry either";
  request.commands = {RaiseRules{2}};
  EXPECT_TRUE(decide(state, request, Context{state.time, {}}));
}

}  // namespace
}  // namespace mesh
