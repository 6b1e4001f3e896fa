// Deciding and folding of activations that wait for a confirmation.
#include <gtest/gtest.h>

#include "eventstore/model/canonical.h"
#include "eventstore/model/crypto.h"
#include "eventstore/model/limits.h"
#include "schemas/codec.h"
#include "tests/support/world.h"

namespace mesh {
namespace {

const Principal kAlice = Principal::human("alice");
constexpr int64_t kSecond = 1'000'000;

Target node(const char* name) { return {Level::node, name}; }

/// Three sites with a node each (11, 12, 13), all linked; v1 is active, v2 committed.
class ActivationTest : public ::testing::Test {
 protected:
  ActivationTest() {
    for (const char* site : {"ams", "lab", "nyc"}) {
      const std::string name = std::string("r1.") + site;
      world_.must({AddSite{site}, AddNode{name}});
      world_.must(SetAttribute{{Level::node, name}, "endpoint", {name + ".example.net"}});
      world_.enrol(name);
    }
    commit();
    world_.must(Activate{{}, {}});
    world_.must(SetAttribute{{}, "wg_keepalive", int64_t{20}});
    commit();
  }

  void commit() {
    const auto committed = world_.commit(kAlice, {});
    ASSERT_TRUE(committed) << committed.error().message;
  }
  ActivationId start(const Target& target = {}, uint32_t seconds = 60, std::vector<std::string> health = {}) {
    world_.must(Activate{target, {}, false, seconds, false, std::move(health), 0});
    return world_.state().pending.rbegin()->first;
  }
  Result<std::vector<Event>> confirm(ActivationId id, std::vector<NodeId> applied, bool partial = false) {
    Context context;
    context.applied = std::move(applied);
    return world_.submit(kAlice, {ConfirmActivation{id, partial}}, std::move(context));
  }
  Result<std::vector<Event>> by_controller(Command command) {
    return world_.submit(Principal::controller(), {std::move(command)});
  }
  Errc refusal(const Result<std::vector<Event>>& result) {
    EXPECT_FALSE(result);
    return result ? Errc{} : result.error().code;
  }
  Version active(uint32_t id) const { return world_.state().find_node(NodeId(id))->active; }
  SignedOutcome said(uint32_t id, OutcomeKind kind, ActivationId activation, const std::string& by,
                     Version version = Version(2)) {
    const Outcome outcome{NodeId(id), 1, kind, activation, version, ""};
    SignedOutcome out{encode_outcome(outcome), {}, outcome};
    out.signature = test::sign_secret(by).sign(kOutcomeDomain, out.bytes);
    return out;
  }

  test::World world_;
};

// `active` moves only at the confirmation; until then the activation stands in the state with its deadline.
TEST_F(ActivationTest, WaitsAndIsConfirmed) {
  const ActivationId id = start();
  EXPECT_EQ(active(11), Version(1));
  const PendingActivation* pending = pending_of(world_.state(), NodeId(12));
  ASSERT_NE(pending, nullptr);
  EXPECT_EQ(pending->id, id);
  EXPECT_EQ(pending->deadline.value(), world_.state().time.value() + 60 * kSecond);
  EXPECT_EQ(refusal(confirm(id, {NodeId(11), NodeId(13)})), Errc::conflict);
  ASSERT_TRUE(confirm(id, {NodeId(11), NodeId(12), NodeId(13)}));
  EXPECT_EQ(active(11), Version(2));
  EXPECT_EQ(world_.state().find_node(NodeId(11))->activation, id);
  EXPECT_TRUE(world_.state().pending.empty());
  EXPECT_TRUE(confirm(id, {})->empty()) << "a repeat changes nothing";
}

// With --partial only those that applied it are moved; with none of them there is nothing to confirm.
TEST_F(ActivationTest, APartialConfirmationLeavesTheOthers) {
  const ActivationId id = start();
  EXPECT_EQ(refusal(confirm(id, {}, true)), Errc::conflict);
  ASSERT_TRUE(confirm(id, {NodeId(13)}, true));
  EXPECT_EQ(active(11), Version(1));
  EXPECT_EQ(active(13), Version(2));
}

// A node without keys runs nothing: nobody waits for it.
TEST_F(ActivationTest, NobodyWaitsForANodeWithoutKeys) {
  world_.must(RevokeNode{"r1.lab"});
  const ActivationId id = start();
  ASSERT_TRUE(confirm(id, {NodeId(11), NodeId(13)}));
  EXPECT_EQ(active(12), Version(2));
}

// Cancelled, expired: nobody's version has moved, and what became of it is told to who comes late.
TEST_F(ActivationTest, EndsWithoutAConfirmation) {
  const ActivationId cancelled = start();
  world_.must(CancelActivation{cancelled});
  EXPECT_TRUE(world_.must(CancelActivation{cancelled}).empty());
  EXPECT_EQ(refusal(confirm(cancelled, {NodeId(11), NodeId(12), NodeId(13)})), Errc::conflict);

  const ActivationId expired = start();
  EXPECT_EQ(refusal(by_controller(ExpireActivation{expired})), Errc::invalid) << "too early";
  world_.now = world_.state().pending.at(expired).deadline;
  ASSERT_TRUE(by_controller(ExpireActivation{expired}));
  EXPECT_EQ(active(11), Version(1));
  const auto late = confirm(expired, {NodeId(11), NodeId(12), NodeId(13)});
  ASSERT_FALSE(late);
  EXPECT_NE(late.error().message.find("expired by #"), std::string::npos) << late.error().message;
}

TEST_F(ActivationTest, AWrongIdIsNamed) {
  const ActivationId id = start();
  const auto wrong = confirm(ActivationId(77), {});
  ASSERT_FALSE(wrong);
  EXPECT_EQ(wrong.error().code, Errc::not_found);
  EXPECT_NE(wrong.error().fix.find(std::to_string(id.value())), std::string::npos);
  EXPECT_EQ(refusal(confirm(ActivationId(1), {})), Errc::conflict) << "the first one never waited";
}

// In the last seconds a confirmation or an extension would not reach all nodes in time.
TEST_F(ActivationTest, NothingIsConfirmedOrExtendedAtTheLastMoment) {
  const ActivationId id = start({}, 60);
  world_.now = Timestamp(world_.state().time.value() + 50 * kSecond - 1);
  world_.must(ExtendActivation{id, 61});
  world_.now = Timestamp(world_.state().time.value() + 51 * kSecond);
  EXPECT_EQ(refusal(confirm(id, {NodeId(11), NodeId(12), NodeId(13)})), Errc::conflict);
  EXPECT_EQ(refusal(world_.submit(kAlice, {ExtendActivation{id, 600}})), Errc::conflict);
}

TEST_F(ActivationTest, AnExtensionCountsFromNow) {
  const ActivationId id = start({}, 60);
  EXPECT_EQ(refusal(world_.submit(kAlice, {ExtendActivation{id, 30}})), Errc::invalid) << "less than it has";
  world_.now = Timestamp(world_.state().time.value() + 10 * kSecond);
  world_.must(ExtendActivation{id, 100});
  const PendingActivation& pending = world_.state().pending.at(id);
  EXPECT_EQ(pending.deadline.value(), world_.state().time.value() + 100 * kSecond);
  EXPECT_EQ(pending.seconds, 100u);
  EXPECT_EQ(pending.extensions, 1u);
}

// A second activation of a target or of a router linked with one is refused with the id of the
// first, whatever its kind.
TEST_F(ActivationTest, TwoDoNotWaitSideBySide) {
  const ActivationId id = start(node("r1.ams"));
  for (const bool unconfirmed : {false, true})
    for (const char* target : {"r1.ams", "r1.lab"}) {
      const auto second = world_.submit(
          kAlice, {Activate{node(target), {}, false, unconfirmed ? 0u : 60u, unconfirmed}});
      EXPECT_EQ(refusal(second), Errc::conflict);
      EXPECT_NE(second.error().message.find("activation " + std::to_string(id.value())), std::string::npos);
    }
  for (const char* name : {"r1.ams", "r1.lab", "r1.nyc"})
    world_.must(SetAttribute{node(name), "groups", AttributeValue{std::vector<Scalar>{std::string(name)}}});
  EXPECT_TRUE(world_.submit(kAlice, {Activate{node("r1.lab"), {}, false, 60}})) << "not linked any more";
}

// The policy is the shortest time among the targets, and all their gates; an operator may want it otherwise.
TEST_F(ActivationTest, APolicyMakesItTheDefault) {
  world_.must({SetAttribute{{}, "activation_confirm", int64_t{300}},
               SetAttribute{node("r1.lab"), "activation_confirm", int64_t{120}},
               SetAttribute{node("r1.nyc"), "activation_health", AttributeValue{std::vector<Scalar>{"bgp"}}}});
  const ActivationId id = start({}, 0);
  const PendingActivation pending = world_.state().pending.at(id);
  EXPECT_EQ(pending.seconds, 120u);
  EXPECT_EQ(pending.health, std::vector<std::string>{"bgp"});
  EXPECT_EQ(pending.for_s, kHealthSecondsDefault);
  world_.must(CancelActivation{id});
  world_.must(Activate{{}, {}, false, 0, true});
  EXPECT_EQ(active(11), Version(2)) << "at once";
}

TEST_F(ActivationTest, SenselessWaitsAreRefused) {
  const auto code = [&](Activate activate) { return refusal(world_.submit(kAlice, {std::move(activate)})); };
  EXPECT_EQ(code({{}, {}, false, 2}), Errc::invalid);
  EXPECT_EQ(code({{}, {}, false, kConfirmSecondsMax + 1}), Errc::invalid);
  EXPECT_EQ(code({{}, {}, false, 60, true}), Errc::usage);
  EXPECT_EQ(code({{}, {}, false, 60, false, {"weather"}}), Errc::invalid);
  EXPECT_EQ(code({{}, {}, false, 60, false, {"reach:nowhere"}}), Errc::not_found);
  EXPECT_EQ(code({{}, {}, false, 60, false, {"bgp"}, 31}), Errc::invalid);
  EXPECT_EQ(code({{}, {}, false, 0, false, {}, 10}), Errc::usage);
}

// The controller alone cannot confirm: it needs the word of every target, signed for this activation.
TEST_F(ActivationTest, TheControllerConfirmsOnlyByEvidence) {
  const ActivationId bare = start(node("r1.ams"));
  const SignedOutcome good = said(11, OutcomeKind::healthy, bare, "r1.ams");
  EXPECT_EQ(refusal(by_controller(ConfirmActivation{bare, false, {good}})), Errc::not_permitted) << "it has no gates";
  world_.must(CancelActivation{bare});

  const ActivationId id = start({}, 60, {"bgp"});
  const auto ams = said(11, OutcomeKind::healthy, id, "r1.ams"), lab = said(12, OutcomeKind::healthy, id, "r1.lab"),
             nyc = said(13, OutcomeKind::healthy, id, "r1.nyc");
  EXPECT_EQ(refusal(by_controller(ConfirmActivation{id, false, {ams, lab}})), Errc::invalid);
  EXPECT_EQ(refusal(by_controller(ConfirmActivation{id, true, {ams, lab}})), Errc::invalid) << "never partly";
  EXPECT_EQ(refusal(by_controller(ConfirmActivation{
                id, false, {ams, lab, said(13, OutcomeKind::healthy, id, "r1.lab")}})),
            Errc::unauthenticated);
  EXPECT_EQ(refusal(by_controller(ConfirmActivation{
                id, false, {ams, lab, said(13, OutcomeKind::applied, id, "r1.nyc")}})),
            Errc::invalid);
  EXPECT_EQ(refusal(by_controller(ConfirmActivation{
                id, false, {ams, lab, said(13, OutcomeKind::healthy, bare, "r1.nyc")}})),
            Errc::invalid);
  ASSERT_TRUE(by_controller(ConfirmActivation{id, false, {ams, lab, nyc}}));
  EXPECT_EQ(active(12), Version(2));
}

// After a restore an activation may have the number of one that was given up: the word is about the version too.
TEST_F(ActivationTest, AHealthyWordIsAboutTheVersion) {
  const ActivationId id = start(node("r1.ams"), 60, {"bgp"});
  EXPECT_EQ(refusal(by_controller(
                ConfirmActivation{id, false, {said(11, OutcomeKind::healthy, id, "r1.ams", Version(1))}})),
            Errc::invalid);
  EXPECT_EQ(active(11), Version(1));
  ASSERT_TRUE(by_controller(ConfirmActivation{id, false, {said(11, OutcomeKind::healthy, id, "r1.ams")}}));
}

// A gate that nobody can answer is refused at once, and one that stands follows the site's name.
TEST_F(ActivationTest, AGateReachesASiteThatHasANode) {
  world_.must({AddSite{"new"}, AddNode{"r1.new"}});
  const auto nobody = world_.submit(kAlice, {Activate{node("r1.ams"), {}, false, 60, false, {"reach:new"}}});
  EXPECT_EQ(refusal(nobody), Errc::invalid);
  EXPECT_NE(nobody.error().message.find("no node of site new is enrolled"), std::string::npos);
  world_.must({SetAttribute{{}, "activation_confirm", int64_t{60}},
               SetAttribute{{}, "activation_health", {"reach:new"}}});
  const auto by_policy = world_.submit(kAlice, {Activate{node("r1.ams"), {}}});
  EXPECT_EQ(refusal(by_policy), Errc::invalid);
  EXPECT_TRUE(by_policy.error().message.starts_with("attribute activation_health: ")) << by_policy.error().message;

  const ActivationId id = start(node("r1.ams"), 60, {"bgp", "reach:lab"});
  world_.must(RenameSite{"lab", "berlin"});
  EXPECT_EQ(world_.state().pending.at(id).health, (std::vector<std::string>{"bgp", "reach:berlin"}));
}

// Who may act in one site only: there, and nowhere beside; what is over everybody hears.
TEST_F(ActivationTest, AScopedOperatorActsInHisSiteOnly) {
  world_.must(AddOperator{"sam", Role::operator_, {"ams"}, test::sign_secret("sam").public_key(),
                          test::box_secret("sam").public_key()});
  const auto by_sam = [&](Command command) {
    Context context;
    context.applied = {NodeId(11), NodeId(12), NodeId(13)};
    return world_.submit(Principal::human("sam"), {std::move(command)}, std::move(context));
  };
  EXPECT_EQ(refusal(by_sam(Activate{{}, {}, false, 60})), Errc::not_permitted);
  const ActivationId all = start();
  for (const Command& command :
       std::vector<Command>{ConfirmActivation{all}, CancelActivation{all}, ExtendActivation{all, 600}})
    EXPECT_EQ(refusal(by_sam(command)), Errc::not_permitted) << command_name(command);
  world_.must(CancelActivation{all});
  const auto late = by_sam(ConfirmActivation{all});
  EXPECT_EQ(refusal(late), Errc::conflict);
  EXPECT_NE(late.error().message.find("cancelled by #"), std::string::npos) << late.error().message;
  EXPECT_EQ(refusal(by_sam(ExtendActivation{ActivationId(77), 60})), Errc::not_found);

  ASSERT_TRUE(by_sam(Activate{{Level::site, "ams"}, {}, false, 60}));
  const ActivationId own = world_.state().pending.rbegin()->first;
  ASSERT_TRUE(by_sam(ConfirmActivation{own}));
  EXPECT_EQ(active(11), Version(2));
  const auto again = by_sam(ConfirmActivation{own});
  ASSERT_TRUE(again) << again.error().message;
  EXPECT_TRUE(again->empty()) << "a repeat changes nothing";
}

// A policy that no activation could meet is not taken.
TEST_F(ActivationTest, APolicyLeavesTimeToConfirm) {
  EXPECT_EQ(refusal(world_.submit(kAlice, {SetAttribute{{}, "activation_confirm", int64_t{4}}})), Errc::invalid);
  world_.must(SetAttribute{{}, "activation_confirm", int64_t{5}});
  world_.must(SetAttribute{{}, "activation_confirm", int64_t{0}});
}

// The time of a log is its controller's word: near its end a deadline stands there.
TEST_F(ActivationTest, ADeadlineDoesNotOverflow) {
  world_.now = Timestamp(INT64_MAX - kSecond);
  const ActivationId id = start();
  EXPECT_EQ(world_.state().pending.at(id).deadline, Timestamp(INT64_MAX));
  EXPECT_EQ(refusal(world_.submit(kAlice, {ExtendActivation{id, 600}})), Errc::conflict) << "its end is near";
  world_.must(CancelActivation{id});
}

TEST_F(ActivationTest, TheControllerCancelsOnlyByEvidence) {
  const ActivationId id = start({}, 60, {"bgp"});
  EXPECT_EQ(refusal(by_controller(CancelActivation{id})), Errc::invalid);
  EXPECT_EQ(
      refusal(by_controller(CancelActivation{id, {said(12, OutcomeKind::healthy, id, "r1.lab")}})),
      Errc::invalid);
  ASSERT_TRUE(by_controller(CancelActivation{id, {said(12, OutcomeKind::reverted, id, "r1.lab")}}));
  EXPECT_EQ(world_.state().closed.back().how, ActivationEnd::failed);
}

// A removed node leaves what it was in; an activation that waits for nobody is over.
TEST_F(ActivationTest, RemovedNodesLeaveIt) {
  const ActivationId all = start();
  world_.must(RemoveNode{"r1.lab", true});
  EXPECT_EQ(world_.state().pending.at(all).rows.size(), 2u);
  world_.must({RemoveNode{"r1.ams", true}, RemoveNode{"r1.nyc", true}});
  EXPECT_TRUE(world_.state().pending.empty());
  EXPECT_EQ(check_invariants(world_.state()), "");
}

// The state in bytes keeps what waits and what is over, also the endpoints.
TEST_F(ActivationTest, SnapshotsKeepIt) {
  world_.must(CancelActivation{start()});
  start({}, 90, {"bfd"});
  world_.must(SetEndpoints{{"tcp://[2001:db8::1]:7400"}, {}});
  const auto read = decode_state(encode_state(world_.state(), true));
  ASSERT_TRUE(read) << read.error().message;
  EXPECT_EQ(*read, world_.state());
}

TEST_F(ActivationTest, EndpointsAreChecked) {
  for (const char* wrong : {"control:7400", "tcp://control", "tcp://control:0", "udp://control:7400", "tcp://:7400"})
    EXPECT_EQ(refusal(world_.submit(kAlice, {SetEndpoints{{wrong}, {}}})), Errc::invalid) << wrong;
  EXPECT_EQ(refusal(world_.submit(kAlice, {SetEndpoints{{}, {}}})), Errc::usage);
  const std::string twice = "tcp://control:7400";
  EXPECT_EQ(refusal(world_.submit(kAlice, {SetEndpoints{{twice, twice}, {}}})), Errc::invalid);
  world_.must(SetEndpoints{{twice}, {}});
  EXPECT_EQ(controller_endpoints(world_.state()), std::vector<std::string>{twice});
  EXPECT_EQ(controller_enrol_endpoints(world_.state()), world_.state().genesis.enrol_endpoints);
}

// A log under older rules holds none of it.
TEST(ActivationRules, OlderRulesKnowNoWaiting) {
  test::World world("old", 2);
  world.must({AddSite{"ams"}, AddNode{"r1.ams"}});
  for (const Command& command : std::vector<Command>{
           Activate{{}, {}, false, 60}, Activate{{}, {}, false, 0, true}, ConfirmActivation{ActivationId(1)},
           SetEndpoints{{"tcp://control:7400"}, {}}, Commit{{}, {}, {}, false, false, true}}) {
    const auto refused = world.submit(kAlice, {command});
    ASSERT_FALSE(refused) << command_name(command);
    EXPECT_EQ(refused.error().code, Errc::unsupported) << command_name(command);
  }
  world.must({SetAttribute{{}, "activation_confirm", {"anything"}},
              SetAttribute{node("r1.ams"), "activation_confirm", int64_t{-7}},
              SetAttribute{node("r1.ams"), "endpoint", {"192.0.2.1"}}});
  world.must(RaiseRules{3});
  ASSERT_TRUE(world.commit(kAlice, {}));
  EXPECT_FALSE(world.submit(kAlice, {Activate{{}, {}}})) << "rules 3 took it for a time";
  world.must(RaiseRules{4});
  world.must(Activate{{}, {}});
  EXPECT_TRUE(world.state().pending.empty()) << "what is no time is none";
  EXPECT_FALSE(world.submit(kAlice, {SetAttribute{{}, "activation_confirm", {"something"}}}));
}

// What 0.3.0 decided under rules 3 is decided so for ever: whoever replays its logs has to come to the same, and so has
// a router of 0.3.0 whose controller is newer.
TEST(ActivationRules, Rules3DecideAsTheyDid) {
  test::World world("old", 3);
  for (const char* site : {"ams", "lab"}) {
    const std::string name = std::string("r1.") + site;
    world.must({AddSite{site}, AddNode{name}, SetAttribute{{Level::node, name}, "endpoint", {name + ".example.net"}}});
  }
  world.enrol("r1.ams");
  ASSERT_TRUE(world.commit(kAlice, {}));
  world.must({SetAttribute{{}, "activation_confirm", int64_t{4}}, UnsetAttribute{{}, "activation_confirm"}});
  world.must(AddOperator{"sam", Role::operator_, {"lab"}, test::sign_secret("sam").public_key(),
                         test::box_secret("sam").public_key()});
  const auto by_sam = world.submit(Principal::human("sam"), {CancelActivation{ActivationId(77)}});
  ASSERT_FALSE(by_sam);
  EXPECT_EQ(by_sam.error().code, Errc::not_permitted);

  world.must(Activate{node("r1.ams"), {}, false, 60, false, {"reach:lab"}});
  const ActivationId id = world.state().pending.rbegin()->first;
  world.must(RenameSite{"lab", "berlin"});
  EXPECT_EQ(world.state().pending.at(id).health, std::vector<std::string>{"reach:lab"});
  const Outcome healthy{NodeId(11), 1, OutcomeKind::healthy, id, Version(7), ""};
  SignedOutcome said{encode_outcome(healthy), {}, healthy};
  said.signature = test::sign_secret("r1.ams").sign(kOutcomeDomain, said.bytes);
  const auto confirmed = world.submit(Principal::controller(), {ConfirmActivation{id, false, {said}}});
  EXPECT_TRUE(confirmed) << confirmed.error().message;
}

// Files came with rules 4, also where taking one away changes nothing.
TEST(ActivationRules, OlderRulesKnowNoFiles) {
  test::World world("old", 3);
  const auto refused = world.submit(kAlice, {UnsetAttribute{{}, "file:a.conf"}});
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, Errc::unsupported);
}

}  // namespace
}  // namespace mesh
