// Claim: rollback, undo and declarative use give the commands that a person would have written, warn of
// what does not come back, and refuse with the reason and the fix. Method: small networks in memory; the
// laws over random histories are in tests/property/rollback.
#include "eventstore/model/difference.h"

#include <gtest/gtest.h>

#include "eventstore/model/intent_digest.h"
#include "eventstore/model/limits.h"
#include "schemas/codec.h"
#include "tests/support/world.h"

namespace mesh {
namespace {

using test::World;

struct Network : testing::Test {
  Network() {
    world.must({AddSite{"ams"}, AddSite{"fra"}, AddNode{"r1.ams"}, AddNode{"r2.ams"},
                AddNode{"r1.fra"}});
    world.must(SetAttribute{{Level::node, "r1.ams"}, "wg_keepalive", int64_t{25}});
    then = world.state();
  }
  Entry last() const { return *decode_entry(world.entries().back()); }
  /// Takes the newest entry back.
  Result<Compensation> undo_last(const MeshState& before) {
    return undo(world.state(), before, last());
  }
  void expect_back(const Result<Compensation>& back, const MeshState& to) {
    ASSERT_TRUE(back) << back.error().message;
    ASSERT_FALSE(back->commands.empty());
    world.must(back->commands);
    EXPECT_EQ(intent_digest(world.state(), {}), intent_digest(to, {}));
  }

  World world;
  MeshState then;
};

using RollBacks = Network;
using Applied = Network;
using Undos = Network;

TEST_F(RollBacks, AreNothingWhenNothingChanged) {
  EXPECT_TRUE(roll_back(world.state(), then, {})->commands.empty());
}

TEST_F(RollBacks, EndWithTheirMarkAndItsDigest) {
  world.must(SetAttribute{{}, "bfd_multiplier", int64_t{5}});
  auto back = roll_back(world.state(), then, {});
  ASSERT_TRUE(back);
  const std::vector<Command> wanted{UnsetAttribute{{}, "bfd_multiplier"},
                                    RollBack{{}, then.sequence, intent_digest(then, {})}};
  EXPECT_EQ(back->commands, wanted);
  EXPECT_TRUE(back->warnings.empty());
}

TEST_F(RollBacks, TurnCirclesOfNamesInOneRequest) {
  world.must({RenameSite{"ams", "x"}, RenameSite{"fra", "ams"}, RenameSite{"x", "fra"}});
  world.must({RenameNode{"r1.fra", "x"}, RenameNode{"r2.fra", "r1"}, RenameNode{"x.fra", "r2"}});
  EXPECT_EQ(world.state().find_node(NodeId(11))->fullname(), "r2.fra");
  expect_back(roll_back(world.state(), then, {}), then);
  EXPECT_EQ(world.state().find_node(NodeId(11))->fullname(), "r1.ams");
}

TEST_F(RollBacks, BringRemovedThingsBackAndSayThatKeysAreDead) {
  world.enrol("r1.ams");
  then = world.state();
  world.must(RemoveSite{"ams", true});
  auto back = roll_back(world.state(), then, {});
  expect_back(back, then);
  ASSERT_EQ(back->warnings.size(), 1u);
  EXPECT_NE(back->warnings[0].find("meshcli token create --node r1.ams"), std::string::npos);
  EXPECT_TRUE(world.state().find_node("r1.ams")->keys.empty());
}

TEST_F(RollBacks, SayWhoseKeysWereRevokedSince) {
  world.enrol("r1.ams");
  then = world.state();
  world.must({RevokeNode{"r1.ams"}, SetAttribute{{}, "note", int64_t{1}}});
  auto back = roll_back(world.state(), then, {});
  expect_back(back, then);
  ASSERT_EQ(back->warnings.size(), 1u);
}

TEST_F(RollBacks, PutANodeBackIntoItsSiteWhenTheNameMeansAnotherNow) {
  world.must(RemoveSite{"fra", true});
  world.must(RenameSite{"ams", "fra"});
  expect_back(roll_back(world.state(), then, {}), then);
  const MeshState again = world.state();
  world.must({RemoveNode{"r1.fra", true}, RemoveSite{"fra"}, RenameSite{"ams", "fra"},
              RestoreNode{NodeId(13), "r9.fra"}});
  expect_back(roll_back(world.state(), again, {}), again);
  EXPECT_EQ(world.state().find_node(NodeId(13))->fullname(), "r1.fra");
}

TEST_F(RollBacks, OfOneSiteLeaveTheOthersAlone) {
  world.must(SetAttribute{{Level::site, "fra"}, "note", "other"});
  world.must({RemoveNode{"r2.ams"}, RenameSite{"ams", "adam"}});
  auto back = roll_back(world.state(), then, {Level::site, "adam"});
  ASSERT_TRUE(back) << back.error().message;
  world.must(back->commands);
  EXPECT_EQ(intent_digest(world.state(), {Level::site, "ams", {}}),
            intent_digest(then, {Level::site, "ams", {}}));
  EXPECT_TRUE(world.state().find_site("fra")->attributes.contains("note"));
}

TEST_F(RollBacks, OfOneNodeLeaveItsSiteItsName) {
  world.must({SetAttribute{{Level::node, "r1.ams"}, "wg_keepalive", int64_t{9}},
              RenameSite{"ams", "adam"}});
  auto back = roll_back(world.state(), then, {Level::node, "r1.adam"});
  ASSERT_TRUE(back) << back.error().message;
  ASSERT_EQ(back->warnings.size(), 1u);
  EXPECT_NE(back->warnings[0].find("adam"), std::string::npos);
  world.must(back->commands);
  EXPECT_EQ(world.state().find_node("r1.adam")->attributes.at("wg_keepalive").value,
            AttributeValue(int64_t{25}));
}

TEST_F(RollBacks, RefuseWhatDidNotExist) {
  world.must({AddSite{"par"}, AddNode{"r1.par"}});
  for (const Target& target : {Target{Level::site, "par"}, Target{Level::node, "r1.par"},
                               Target{Level::site, "nowhere"}}) {
    auto back = roll_back(world.state(), then, target);
    ASSERT_FALSE(back);
    EXPECT_EQ(back.error().code, Errc::not_found);
    EXPECT_NE(back.error().message.find("did not exist at #3"), std::string::npos);
  }
}

TEST_F(RollBacks, OfASiteRefuseANameThatIsTaken) {
  world.must({RenameSite{"ams", "adam"}, AddSite{"ams"}});
  auto back = roll_back(world.state(), then, {Level::site, "adam"});
  ASSERT_FALSE(back);
  EXPECT_EQ(back.error().code, Errc::conflict);
  EXPECT_EQ(back.error().fix, "meshcli rename site ams to something else first");
}

TEST_F(Applied, FindsNodesByNameAddsNewOnesAndOnlyPrunesWhenAsked) {
  DesiredIntent desired;
  desired.sites = {{"ams", {}}, {"par", {{"note", "new"}}}};
  desired.nodes = {{NodeId(), "r2.ams", {{"wg_keepalive", int64_t{7}}}}, {NodeId(), "r1.par", {}}};
  auto added = difference(world.state(), desired, {}, {});
  ASSERT_TRUE(added) << added.error().message;
  const std::vector<Command> wanted{
      AddSite{"par"}, AddNode{"r1.par"},
      SetAttribute{{Level::site, "par"}, "note", "new"},
      SetAttribute{{Level::node, "12"}, "wg_keepalive", int64_t{7}}};
  EXPECT_EQ(*added, wanted);
  auto pruned = difference(world.state(), desired, {}, {.prune = true});
  ASSERT_TRUE(pruned);
  world.must(*pruned);
  EXPECT_EQ(world.state().nodes.size(), 2u);
  EXPECT_EQ(world.state().find_site("fra"), nullptr);
}

// Claim: an export of one log brings another one, in which no node ever was, to the same numbers, in whatever order.
TEST_F(Applied, ANewLogTakesTheNumbersOfAnotherOne) {
  World fresh;
  DesiredIntent wanted = desired_intent(then, {});
  wanted.nodes.insert(wanted.nodes.begin(), {NodeId(), "r0.ams", {}});
  std::swap(wanted.nodes[1], wanted.nodes[3]);
  wanted.nodes[2].id = NodeId(40);
  auto commands = difference(fresh.state(), wanted, {}, {});
  ASSERT_TRUE(commands) << commands.error().message;
  fresh.must(*commands);
  for (const DesiredNode& node : wanted.nodes) {
    const Node* made = fresh.state().find_node(node.fullname);
    ASSERT_TRUE(made) << node.fullname;
    EXPECT_EQ(made->id, node.id == NodeId() ? NodeId(41) : node.id);
    EXPECT_EQ(made->attributes.size(), node.attributes.size());
  }
  EXPECT_TRUE(difference(fresh.state(), wanted, {}, {})->empty());
  fresh.must(RemoveNode{"r0.ams", true});
  wanted.nodes[0].id = NodeId(99);
  EXPECT_EQ(difference(fresh.state(), wanted, {}, {}).error().code, Errc::not_found) << "it has nodes now";
}

TEST_F(Applied, RefusesWhatContradictsItselfOrTheNetwork) {
  auto code = [&](std::vector<DesiredSite> sites, std::vector<DesiredNode> nodes) {
    auto commands = difference(world.state(), {{}, std::move(sites), std::move(nodes)}, {}, {});
    EXPECT_TRUE(commands || !commands.error().message.empty());
    return commands ? Errc{} : commands.error().code;
  };
  EXPECT_EQ(code({{"ams", {}}, {"ams", {}}}, {}), Errc::invalid);
  EXPECT_EQ(code({{"ams", {}}}, {{{}, "r1.ams", {}}, {{}, "r1.ams", {}}}), Errc::invalid);
  EXPECT_EQ(code({{"ams", {}}}, {{NodeId(11), "a.ams", {}}, {NodeId(11), "b.ams", {}}}),
            Errc::invalid);
  EXPECT_EQ(code({{"ams", {}}}, {{{}, "r1", {}}}), Errc::invalid) << "no site";
  EXPECT_EQ(code({{"ams", {}}}, {{{}, "r1.par", {}}}), Errc::invalid) << "another site";
  EXPECT_EQ(code({{"ams", {}}}, {{NodeId(99), "r9.ams", {}}}), Errc::not_found);
  EXPECT_EQ(code({{"ams", {}}, {"fra", {}}}, {{NodeId(13), "r9.ams", {}}, {NodeId(11), "r1.ams", {}}}),
            Errc::unsupported) << "a node that would move";
  EXPECT_EQ(code({{"ams", {}}}, {{NodeId(11), "r2.ams", {}}}), Errc::conflict) << "name taken";
  EXPECT_EQ(code({{"fra", {}}}, {{NodeId(11), "r1.fra", {}}}), Errc::conflict) << "site taken";
}

TEST_F(Undos, TakeBackAttributesAndStructure) {
  const std::vector<std::vector<Command>> entries{
      {SetAttribute{{Level::node, "r1.ams"}, "wg_keepalive", int64_t{9}}},
      {UnsetAttribute{{Level::node, "r1.ams"}, "wg_keepalive"}},
      {AddSite{"par"}, AddNode{"r1.par"}, SetAttribute{{Level::site, "par"}, "note", "x"}},
      {RemoveSite{"ams", true}},
      {RemoveNode{"r1.ams", true}},
      {RenameSite{"ams", "adam"}, SetAttribute{{Level::site, "adam"}, "note", "x"}},
      {RenameNode{"r1.ams", "x"}, RenameNode{"r2.ams", "r1"}, RenameNode{"x.ams", "r2"}}};
  for (const auto& commands : entries) {
    const MeshState before = world.state();
    world.must(commands);
    auto back = undo_last(before);
    expect_back(back, before);
    EXPECT_EQ(std::get<Undo>(back->commands.back()).sequence, next(before.sequence));
  }
}

TEST_F(Undos, TakeBackTagsRolesAndActivations) {
  world.must(SetAttribute{{Level::node, "r1.ams"}, "endpoint", "192.0.2.1:51820"});
  ASSERT_TRUE(world.commit(Principal::human("alice"), {}));
  world.must(Activate{{}, {}, false});
  world.must(SetAttribute{{}, "bfd_multiplier", int64_t{5}});
  ASSERT_TRUE(world.commit(Principal::human("alice"), {}));
  const MeshState before = world.state();
  world.must({Activate{{}, {}, false}, AddTag{"here", Sequence(2)}});
  auto back = undo_last(before);
  ASSERT_TRUE(back) << back.error().message;
  world.must(back->commands);
  EXPECT_TRUE(world.state().tags.empty());
  for (const auto& [id, node] : world.state().nodes)
    EXPECT_EQ(node->active, before.find_node(id)->active);

  world.must(AddOperator{"bob", Role::operator_, {"ams"}, test::sign_secret("bob").public_key(),
                         test::box_secret("bob").public_key()});
  const MeshState as_operator = world.state();
  world.must(SetRole{"bob", Role::admin, {}});
  back = undo_last(as_operator);
  ASSERT_TRUE(back);
  world.must(back->commands);
  EXPECT_EQ(world.state().find_operator("bob")->role, Role::operator_);
  EXPECT_EQ(world.state().find_operator("bob")->sites, std::vector<std::string>{"ams"});
}

TEST_F(Undos, RefuseWhatChangedSinceAndNameTheEntry) {
  const MeshState before = world.state();
  world.must({AddNode{"r3.ams"}, SetAttribute{{}, "note", "mine"}});
  const Entry entry = last();
  world.must(SetAttribute{{}, "note", "theirs"});
  auto back = undo(world.state(), before, entry);
  ASSERT_FALSE(back);
  EXPECT_EQ(back.error().code, Errc::conflict);
  EXPECT_EQ(back.error().message, "note of global was changed since by #5");
  world.must(SetAttribute{{}, "note", "mine"});
  world.enrol("r3.ams");
  back = undo(world.state(), before, entry);
  ASSERT_FALSE(back);
  EXPECT_EQ(back.error().message,
            "adding node r3.ams cannot be undone: it was enrolled or revoked by #8");
}

TEST_F(Undos, RefuseWhatIsForEverAndSayWhatToDoInstead) {
  auto refused = [&](const MeshState& before) {
    auto back = undo_last(before);
    EXPECT_FALSE(back);
    if (back) return std::string();
    EXPECT_EQ(back.error().code, Errc::unsupported) << back.error().message;
    return back.error().message + "; " + back.error().fix;
  };
  world.must(SetAttribute{{Level::node, "r1.ams"}, "endpoint", "192.0.2.1:51820"});
  MeshState before = world.state();
  ASSERT_TRUE(world.commit(Principal::human("alice"), {}));
  EXPECT_NE(refused(before).find("meshcli rollback 4"), std::string::npos);
  before = world.state();
  world.must(Activate{{}, {}, false});
  EXPECT_NE(refused(before).find("first activation"), std::string::npos);
  world.must(CreateToken{test::sign_secret("t").public_key(), {Level::node, "r2.ams"}, 1, {}, false});
  before = world.state();
  world.must(RevokeToken{TokenId(1)});
  EXPECT_NE(refused(before).find("meshcli token create"), std::string::npos);
  world.enrol("r1.ams");
  before = world.state();
  world.must(RevokeNode{"r1.ams"});
  EXPECT_NE(refused(before).find("meshcli token create --node 11"), std::string::npos);
  before = world.state();
  world.must(SetRecovery{"r1.ams", test::sign_secret("paper").public_key(), test::box_secret("paper").public_key()});
  EXPECT_NE(refused(before).find("the recovery secret of node r1.ams"), std::string::npos);
}

// What was confirmed stays so, also when the state has forgotten how it ended.
TEST_F(Undos, RefuseAStartThatWasConfirmedLongAgo) {
  const Principal alice = Principal::human("alice");
  world.must(SetAttribute{{Level::node, "r1.ams"}, "endpoint", "192.0.2.1:51820"});
  ASSERT_TRUE(world.commit(alice, {}));
  const MeshState before = world.state();
  world.must(Activate{{Level::node, "r1.ams"}, {}, false, 60});
  const Entry start = last();
  world.must(ConfirmActivation{world.state().pending.begin()->first});
  for (size_t i = 0; i <= kClosedActivationsMax; ++i) {
    world.must(Activate{{Level::node, "r1.fra"}, {}, false, 60});
    world.must(CancelActivation{world.state().pending.begin()->first});
    auto back = undo(world.state(), before, start);
    ASSERT_FALSE(back) << i;
    ASSERT_EQ(back.error().code, Errc::conflict) << i;
  }
}

TEST_F(Undos, CloseATokenThatNobodyUsed) {
  const MeshState before = world.state();
  world.must(CreateToken{test::sign_secret("t").public_key(), {Level::node, "r2.ams"}, 1, {}, false});
  auto back = undo_last(before);
  ASSERT_TRUE(back) << back.error().message;
  world.must(back->commands);
  EXPECT_EQ(world.state().tokens.find(TokenId(1))->second.state, TokenState::revoked);
}

}  // namespace
}  // namespace mesh
