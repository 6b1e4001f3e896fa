// Claim: what a request decides depends on the signer's right and the state, and every refusal
// names the thing and the fix. Method: one small world per case; errors are compared by code and by
// what they name.
#include <gtest/gtest.h>

#include "eventstore/model/compile.h"
#include "eventstore/model/crypto.h"
#include "schemas/codec.h"
#include "tests/support/world.h"

namespace mesh {
namespace {

using test::World;

const Principal kAlice = Principal::human("alice");

Target site(std::string name) { return {Level::site, std::move(name)}; }
Target node(std::string name) { return {Level::node, std::move(name)}; }

/// Two sites with an addressed node each.
void two_sites(World& world) {
  world.must({AddSite{"ams"}, AddSite{"lab"}, AddNode{"r1.ams"}, AddNode{"r1.lab"},
              SetAttribute{site("ams"), "lans", {"10.1.0.0/24"}},
              SetAttribute{site("lab"), "lans", {"10.2.0.0/24"}},
              SetAttribute{node("r1.ams"), "endpoint", {"192.0.2.11"}},
              SetAttribute{node("r1.lab"), "endpoint", {"192.0.2.12"}}});
}

void expect_refused(const Result<std::vector<Event>>& result, Errc code, std::string_view names) {
  ASSERT_FALSE(result.has_value());
  EXPECT_EQ(result.error().code, code) << result.error().message;
  EXPECT_NE(result.error().message.find(names), std::string::npos) << result.error().message;
}

TEST(Decide, ASecondCommandSeesTheFirst) {
  World world;
  auto events = world.must({AddSite{"ams"}, AddNode{"r1.ams"}});
  ASSERT_EQ(events.size(), 2u);
  EXPECT_EQ(std::get<NodeAdded>(events[1]).node, NodeId(11));
}

TEST(Decide, OneBadCommandRefusesTheWholeRequest) {
  World world;
  auto before = world.state();
  expect_refused(world.submit(kAlice, {AddSite{"ams"}, AddNode{"r1.amsterdam"}}), Errc::not_found,
                 "command 2 of 2");
  EXPECT_EQ(world.state(), before);
}

TEST(Decide, AlreadyTrueWritesNothing) {
  World world;
  two_sites(world);
  size_t entries = world.entries().size();
  EXPECT_TRUE(world.must(SetAttribute{site("ams"), "lans", {"10.1.0.0/24"}}).empty());
  EXPECT_TRUE(world.must(UnsetAttribute{site("ams"), "wg_keepalive"}).empty());
  EXPECT_TRUE(world.must(Discard{site("nowhere") == site("ams") ? site("ams") : Target{}}).size() >
              0);
  EXPECT_EQ(world.entries().size(), entries + 1);
}

TEST(Decide, NamesAreLabels) {
  World world;
  for (std::string name : {"", "12", "Ams", "a b", "-a", "a-", "a.b", "\xc3\xa9", "\xff\xfe"})
    expect_refused(
        decide(world.state(), world.request(kAlice, {AddSite{name}}), Context{world.now, {}}),
        Errc::invalid, "site name");
  expect_refused(decide(world.state(), world.request(kAlice, {AddSite{std::string(64, 'a')}}),
                        Context{world.now, {}}),
                 Errc::invalid, "64 characters");
  world.must(AddSite{std::string(63, 'a')});
}

TEST(Decide, UnknownNamesComeWithTheNearest) {
  World world;
  two_sites(world);
  auto refused = world.submit(kAlice, {SetAttribute{site("asm"), "wg_keepalive", {int64_t{20}}}});
  expect_refused(refused, Errc::not_found, "\"asm\" does not exist");
  EXPECT_EQ(refused.error().fix, "did you mean \"ams\"?");
}

TEST(Decide, IdsAreNeverReused) {
  World world;
  two_sites(world);
  world.must(RemoveNode{"r1.lab"});
  world.must(AddNode{"r1.lab"});
  EXPECT_EQ(world.state().find_node("r1.lab")->id, NodeId(13));
  EXPECT_TRUE(world.state().removed_nodes.contains(NodeId(12)));
}

TEST(Decide, AnothersNewerValueIsNotOverwrittenUnseen) {
  World world;
  two_sites(world);
  Request old = world.request(kAlice, {SetAttribute{site("ams"), "wg_keepalive", {int64_t{20}}}});
  world.must(SetAttribute{site("ams"), "wg_keepalive", {int64_t{30}}});
  expect_refused(decide(world.state(), old, Context{world.now, {}}), Errc::conflict,
                 "wg_keepalive of site ams");
}

TEST(Decide, AnOldSignedRequestCanNeverBeAppendedAgain) {
  World world;
  Request old = world.request(kAlice, {AddSite{"late"}});
  for (uint64_t i = 0; i <= 4'096; ++i)
    world.must(SetAttribute{Target{}, "wg_keepalive", {static_cast<int64_t>(i % 2 + 1)}});
  expect_refused(decide(world.state(), old, Context{world.now, {}}), Errc::conflict,
                 "more than 4096 entries ago");
}

TEST(Decide, ExpectSequenceLooksAtIntentOnly) {
  World world;
  two_sites(world);
  Request request = world.request(kAlice, {AddSite{"x"}});
  request.expect_sequence = world.state().sequence;
  EXPECT_TRUE(decide(world.state(), request, Context{world.now, {}}).has_value());
  request.expect_sequence = Sequence(world.state().sequence.value() - 1);
  expect_refused(decide(world.state(), request, Context{world.now, {}}), Errc::conflict,
                 "changed the intent");
}

TEST(Decide, SecretsAreRefusedAsAttributes) {
  World world;
  expect_refused(world.submit(kAlice, {SetAttribute{Target{}, "wg_private_key", {"x"}}}),
                 Errc::invalid, "wg_private_key");
}

// --- rights ---

void add_operator(World& world, const std::string& name, Role role,
                  std::vector<std::string> sites = {}) {
  world.must(AddOperator{name, role, std::move(sites), test::sign_secret(name).public_key(),
                         test::box_secret(name).public_key()});
}

TEST(Authorise, TheTableOfRights) {
  World world;
  two_sites(world);
  add_operator(world, "vera", Role::viewer);
  add_operator(world, "otto", Role::operator_);
  add_operator(world, "sam", Role::operator_, {"ams"});
  struct Row {
    std::string who;
    Command command;
    bool allowed;
  };
  const SetRecovery recovery{"r1.ams", test::sign_secret("recovery").public_key(),
                             test::box_secret("recovery").public_key()};
  const Row rows[] = {
      {"vera", AddSite{"x"}, false},
      {"otto", AddSite{"x"}, true},
      {"otto",
       AddOperator{"eve",
                   Role::admin,
                   {},
                   test::sign_secret("eve").public_key(),
                   test::box_secret("eve").public_key()},
       false},
      {"otto", ExpireToken{TokenId(1)}, false},
      {"otto", recovery, false},
      {"alice", recovery, true},
      {"sam", AddNode{"r2.ams"}, true},
      {"sam", AddNode{"r2.lab"}, false},
      {"sam", SetAttribute{site("ams"), "wg_keepalive", {int64_t{20}}}, true},
      {"sam", SetAttribute{Target{}, "wg_keepalive", {int64_t{20}}}, false},
      {"sam", RemoveNode{"r1.lab"}, false},
      {"alice", AddSite{"y"}, true},
  };
  for (const Row& row : rows) {
    auto result = decide(world.state(), world.request(Principal::human(row.who), {row.command}),
                         Context{world.now, {}});
    EXPECT_EQ(result.has_value(), row.allowed) << row.who << " " << command_name(row.command);
    if (!row.allowed) {
      EXPECT_EQ(result.error().code, Errc::not_permitted) << result.error().message;
    }
  }
}

TEST(Authorise, BannedAndUnknownSignersAreNobody) {
  World world;
  add_operator(world, "otto", Role::operator_);
  world.must(BanOperator{"otto"});
  expect_refused(world.submit(Principal::human("otto"), {AddSite{"x"}}), Errc::unauthenticated,
                 "banned");
  expect_refused(world.submit(Principal::human("zed"), {AddSite{"x"}}), Errc::unauthenticated,
                 "does not exist");
}

TEST(Authorise, TheLastAdministratorStays) {
  World world;
  expect_refused(world.submit(kAlice, {BanOperator{"alice"}}), Errc::invalid, "last administrator");
  expect_refused(world.submit(kAlice, {SetRole{"alice", Role::viewer, {}}}), Errc::invalid,
                 "last administrator");
}

TEST(Authorise, TheRecoveryKeyOnlyAddsAnAdministrator) {
  World world;
  AddOperator add{"bob",
                  Role::admin,
                  {},
                  test::sign_secret("bob").public_key(),
                  test::box_secret("bob").public_key()};
  EXPECT_TRUE(world.submit(Principal::recovery(), {add}).has_value());
  expect_refused(world.submit(Principal::recovery(), {AddSite{"x"}}), Errc::not_permitted,
                 "recovery key");
}

// --- commit, discard, activate ---

TEST(Commit, PinsAVersionOnlyWhereTheContentChanged) {
  World world;
  two_sites(world);
  ASSERT_TRUE(world.commit(kAlice, Target{}).has_value());
  EXPECT_EQ(world.state().find_node("r1.ams")->latest(), Version(1));
  EXPECT_TRUE(world.state().changes.empty());
  world.must(SetAttribute{Target{}, "note", {"no effect on any router"}});
  auto events = world.commit(kAlice, Target{});
  ASSERT_TRUE(events.has_value());
  EXPECT_TRUE(std::get<VersionsCommitted>(events->at(0)).rows.empty());
  EXPECT_EQ(world.state().find_node("r1.ams")->latest(), Version(1));
}

TEST(Commit, RefusesWhatWasPreparedBeforeAChange) {
  World world;
  two_sites(world);
  Sequence prepared = world.state().sequence;
  auto candidates = compile_candidates(world.state(), Scope{}, false);
  Commit commit{Target{}, prepared, version_rows_root(candidates->rows), true, false};
  world.must(SetAttribute{site("ams"), "wg_keepalive", {int64_t{21}}});
  expect_refused(world.submit(kAlice, {commit}, Context{{}, candidates->rows}), Errc::conflict,
                 "prepared at");
}

TEST(Commit, RefusesOtherCandidatesThanThoseSigned) {
  World world;
  two_sites(world);
  auto candidates = compile_candidates(world.state(), Scope{}, false);
  Commit commit{Target{}, world.state().sequence, version_rows_root(candidates->rows), true, false};
  candidates->rows[0].digest.bytes[0] ^= 1;
  expect_refused(world.submit(kAlice, {commit}, Context{{}, candidates->rows}), Errc::conflict,
                 "not the ones");
}

TEST(Commit, RefusesOneLanAtTwoSites) {
  World world;
  two_sites(world);
  world.must(SetAttribute{site("lab"), "lans", {"10.1.0.0/24"}});
  auto refused = world.commit(kAlice, Target{});
  expect_refused(refused, Errc::invalid, "10.1.0.0/24 is announced by two sites (ams, lab)");
  world.must(SetAttribute{site("lab"), "lans", {"10.0.0.0/8"}});
  expect_refused(world.commit(kAlice, Target{}), Errc::invalid, "overlaps");
  world.must(SetAttribute{site("lab"), "lans", {"100.64.7.0/24"}});
  expect_refused(world.commit(kAlice, Target{}), Errc::invalid, "loopback network");
}

TEST(Commit, RefusesANodeWithoutLinks) {
  World world;
  two_sites(world);
  world.must(SetAttribute{node("r1.lab"), "groups", {std::vector<Scalar>{std::string("hubs")}}});
  expect_refused(world.commit(kAlice, Target{}), Errc::invalid, "r1.ams has no link");
}

TEST(Commit, RefusesToLoseLansUnlessThatIsMeant) {
  World world;
  two_sites(world);
  world.must(SetAttribute{site("lab"), "lans", {"10.2.0.0/24"}});
  ASSERT_TRUE(world.commit(kAlice, Target{}).has_value());
  world.must(SetAttribute{site("lab"), "lans", {"10.3.0.0/24"}});
  const Target scopes[] = {{}, site("lab"), node("r1.lab")};
  for (const Target& scope : scopes)
    expect_refused(world.commit(kAlice, scope), Errc::invalid,
                   "1 pair of LANs would no longer reach each other: 10.1.0.0/24 and 10.2.0.0/24");
  EXPECT_FALSE(world.commit(kAlice, site("ams"))->empty())
      << "ams accepts the new LAN; the old one is still announced";
  EXPECT_TRUE(world.commit(kAlice, site("lab"), true, true).has_value());
  EXPECT_TRUE(world.commit(kAlice, Target{}).has_value()) << "it is lost already";
  // What covers it keeps it.
  world.must(SetAttribute{site("lab"), "lans", {"10.3.0.0/23"}});
  EXPECT_TRUE(world.commit(kAlice, Target{}).has_value());
}

TEST(Commit, UnderEarlierRulesLosesWhatItLoses) {
  World world("test", 2);
  two_sites(world);
  world.must(SetAttribute{site("lab"), "lans", {"10.2.0.0/24"}});
  ASSERT_TRUE(world.commit(kAlice, Target{}).has_value());
  world.must(UnsetAttribute{site("lab"), "lans"});
  EXPECT_TRUE(world.commit(kAlice, Target{}).has_value());
  world.must(RaiseRules{3});
  world.must(UnsetAttribute{site("ams"), "lans"});
  EXPECT_TRUE(world.commit(kAlice, Target{}).has_value()) << "a LAN alone is no pair";
}

TEST(Commit, AsksBeforeTakingOthersChangesAlong) {
  World world;
  two_sites(world);
  add_operator(world, "otto", Role::operator_);
  expect_refused(world.commit(Principal::human("otto"), Target{}, false), Errc::invalid,
                 "uncommitted changes by alice");
  EXPECT_TRUE(world.commit(Principal::human("otto"), Target{}, true).has_value());
}

TEST(Discard, BringsBackWhatWasCommitted) {
  World world;
  two_sites(world);
  ASSERT_TRUE(world.commit(kAlice, Target{}).has_value());
  auto committed = compile(world.state(), NodeId(11));
  world.must({SetAttribute{site("ams"), "wg_keepalive", {int64_t{7}}},
              UnsetAttribute{node("r1.lab"), "endpoint"}, AddSite{"new"}, AddNode{"r1.new"},
              RenameSite{"lab", "labor"}, RenameNode{"r1.ams", "edge"}, RemoveNode{"12"}});
  auto events = world.must(Discard{Target{}});
  EXPECT_EQ(event_name(events.back()), "ChangesDiscarded");
  EXPECT_TRUE(world.state().changes.empty());
  EXPECT_FALSE(world.state().find_site("new"));
  ASSERT_TRUE(world.state().find_node("r1.lab"));
  EXPECT_EQ(compile(world.state(), NodeId(11)), committed);
  EXPECT_EQ(check_invariants(world.state()), "");
}

TEST(Discard, KeepsASiteOfWhichANodeWasCommitted) {
  World world;
  two_sites(world);
  ASSERT_TRUE(world.commit(kAlice, Target{}).has_value());
  world.must({AddSite{"new"}, AddNode{"r1.new"}, SetAttribute{node("r1.new"), "endpoint", {"192.0.2.9"}}});
  ASSERT_TRUE(world.commit(kAlice, node("r1.new")).has_value());
  expect_refused(world.submit(kAlice, {Discard{Target{}}}), Errc::invalid,
                 "site new was never committed, but its node r1.new was");
  EXPECT_EQ(check_invariants(world.state()), "");
}

TEST(Discard, OfASiteLeavesTheOthersAlone) {
  World world;
  two_sites(world);
  ASSERT_TRUE(world.commit(kAlice, Target{}).has_value());
  world.must({SetAttribute{site("ams"), "wg_keepalive", {int64_t{7}}},
              SetAttribute{site("lab"), "wg_keepalive", {int64_t{8}}}});
  world.must(Discard{site("ams")});
  EXPECT_FALSE(world.state().find_site("ams")->attributes.contains("wg_keepalive"));
  EXPECT_TRUE(world.state().find_site("lab")->attributes.contains("wg_keepalive"));
}

TEST(Activate, GoesToAnyCommittedVersionAndNoOther) {
  World world;
  two_sites(world);
  expect_refused(world.submit(kAlice, {Activate{node("r1.ams"), {}}}), Errc::invalid,
                 "no committed version");
  ASSERT_TRUE(world.commit(kAlice, Target{}).has_value());
  world.must(SetAttribute{Target{}, "wg_keepalive", {int64_t{9}}});
  ASSERT_TRUE(world.commit(kAlice, Target{}).has_value());
  world.must(Activate{Target{}, {}});
  EXPECT_EQ(world.state().find_node("r1.ams")->active, Version(2));
  world.must(Activate{node("r1.ams"), Version(1)});
  EXPECT_EQ(world.state().find_node("r1.ams")->active, Version(1));
  EXPECT_EQ(world.state().find_node("r1.lab")->active, Version(2));
  expect_refused(world.submit(kAlice, {Activate{node("r1.ams"), Version(3)}}), Errc::not_found,
                 "no version v3");
  EXPECT_TRUE(world.must(Activate{node("r1.ams"), Version(1)}).empty());
  EXPECT_FALSE(world.must(Activate{node("r1.ams"), Version(1), true}).empty());
}

// --- enrolment ---

TEST(Enrolment, ATokenAdmitsItsNodeOnce) {
  World world;
  two_sites(world);
  world.enrol("r1.ams");
  EXPECT_EQ(world.state().find_node("r1.ams")->enrolment, Enrolment::enrolled);
  EXPECT_EQ(world.state().tokens.at(TokenId(1)).state, TokenState::used);
  expect_refused(
      world.submit(
          kAlice,
          {CreateToken{test::sign_secret("again").public_key(), node("r1.ams"), 1, {}, false}}),
      Errc::conflict, "enrolled already");
}

TEST(Enrolment, AForgedJoinIsRefused) {
  World world;
  two_sites(world);
  SignSecret token = test::sign_secret("token"), stranger = test::sign_secret("stranger"),
             own = test::sign_secret("own");
  world.must(CreateToken{token.public_key(), node("r1.ams"), 1, {}, false});
  JoinStatement statement{world.state().log,
                          "r1.ams",
                          TokenId(1),
                          own.public_key(),
                          test::box_secret("own").public_key(),
                          WireGuardKey{test::box_secret("wg").public_key().bytes},
                          "h",
                          "m",
                          {}};
  auto join = [&](const JoinStatement& s, const SignSecret& by_node, const SignSecret& by_token) {
    SignedJoin out{encode_join(s), {}, {}};
    out.node_signature = by_node.sign(kJoinDomain, out.statement);
    out.token_signature = by_token.sign(kJoinDomain, out.statement);
    return AdmitNode{out, s};
  };
  Principal controller = Principal::controller();
  expect_refused(world.submit(controller, {join(statement, own, stranger)}), Errc::unauthenticated,
                 "not signed by the token");
  expect_refused(world.submit(controller, {join(statement, stranger, token)}),
                 Errc::unauthenticated, "node's own key");
  JoinStatement other = statement;
  other.node = "r1.lab";
  expect_refused(world.submit(controller, {join(other, own, token)}), Errc::not_permitted,
                 "not node r1.lab");
  other = statement;
  other.log = LogId{};
  expect_refused(world.submit(controller, {join(other, own, token)}), Errc::unauthenticated,
                 "another log");
  EXPECT_TRUE(world.submit(controller, {join(statement, own, token)}).has_value());
}

TEST(Enrolment, AnExpiredTokenAdmitsNobody) {
  World world;
  two_sites(world);
  world.must(CreateToken{test::sign_secret("token").public_key(), node("r1.ams"), 1,
                         Timestamp(world.now.value() + 50), false});
  expect_refused(world.submit(Principal::controller(), {ExpireToken{TokenId(2)}}), Errc::not_found,
                 "token 2");
  world.now = Timestamp(world.now.value() + 100);
  EXPECT_TRUE(world.submit(Principal::controller(), {ExpireToken{TokenId(1)}}).has_value());
}

TEST(Enrolment, RemovingAnEnrolledNodeNeedsForceAndKillsItsKeys) {
  World world;
  two_sites(world);
  world.enrol("r1.ams");
  expect_refused(world.submit(kAlice, {RemoveNode{"r1.ams"}}), Errc::invalid,
                 "its 1 link would go down");
  auto events = world.must(RemoveNode{"r1.ams", true});
  EXPECT_EQ(event_name(events[0]), "NodeRevoked");
  world.must(Discard{Target{}});
}

TEST(Outcomes, OnlyTheNodeItselfReportsAndARepeatIsRecognised) {
  World world;
  two_sites(world);
  world.enrol("r1.ams");
  Outcome outcome{NodeId(11), 1, OutcomeKind::applied, ActivationId(1), Version(1), ""};
  SignedOutcome report{encode_outcome(outcome), {}, outcome};
  report.signature = test::sign_secret("r1.lab").sign(kOutcomeDomain, report.bytes);
  expect_refused(world.submit(Principal::controller(), {ReportOutcomes{{report}}}),
                 Errc::unauthenticated, "not signed");
  report.signature = test::sign_secret("r1.ams").sign(kOutcomeDomain, report.bytes);
  auto first = world.submit(Principal::controller(), {ReportOutcomes{{report}}});
  ASSERT_TRUE(first.has_value());
  EXPECT_EQ(first->size(), 1u);
  auto again = world.submit(Principal::controller(), {ReportOutcomes{{report}}});
  ASSERT_TRUE(again.has_value());
  EXPECT_TRUE(again->empty());
}

}  // namespace
}  // namespace mesh
