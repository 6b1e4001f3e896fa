#include "tests/golden/logs/histories.h"

#include <gtest/gtest.h>

#include "eventstore/model/canonical.h"
#include "eventstore/model/crypto.h"
#include "eventstore/model/intent_digest.h"
#include "schemas/codec.h"

namespace mesh::test {

namespace {

const Principal kAlice = Principal::human("alice");

Target site(const char* name) { return {Level::site, name}; }
Target node(const char* name) { return {Level::node, name}; }

void commit(World& world, const Target& target) {
  const auto committed = world.commit(kAlice, target, true, world.state().rules >= 3);
  ASSERT_TRUE(committed) << committed.error().message;
}

void report(World& world, const Outcome& outcome, const char* by) {
  SignedOutcome reported{encode_outcome(outcome), {}, outcome};
  reported.signature = sign_secret(by).sign(kOutcomeDomain, reported.bytes);
  ASSERT_TRUE(world.submit(Principal::controller(), {ReportOutcomes{{reported}}}));
}

/// Two sites with a node each, and what makes configurations of them.
void build(World& world) {
  world.must({AddSite{"ams"}, AddNode{"r1.ams"}, AddSite{"lab"}, AddNode{"r1.lab"}});
  world.must({SetAttribute{node("r1.ams"), "endpoint", {"192.0.2.1"}},
              SetAttribute{node("r1.lab"), "endpoint", {"r1.lab.example.net:40000"}},
              SetAttribute{site("ams"), "lans", {"10.1.0.0/24"}},
              SetAttribute{site("lab"), "lans", {"10.2.0.0/24"}}});
  world.must({SetAttribute{{}, "wg_keepalive", int64_t{25}}, SetAttribute{{}, "note", {"first"}}});
  world.enrol("r1.ams");
  world.enrol("r1.lab");
}

void add_people_and_tokens(World& world) {
  world.must(AddOperator{"bob", Role::operator_, {"lab"}, sign_secret("bob").public_key(),
                         box_secret("bob").public_key()});
  const auto by_bob =
      world.submit(Principal::human("bob"), {SetAttribute{node("r1.lab"), "bfd_multiplier", int64_t{5}}});
  ASSERT_TRUE(by_bob) << by_bob.error().message;
  world.must(SetRole{"bob", Role::viewer, {}});
  world.must(BanOperator{"bob"});
  const TokenId first = world.state().next_token;
  world.must(CreateToken{sign_secret("one").public_key(), site("lab"), 3, {}, true});
  world.must(CreateToken{sign_secret("two").public_key(), site("lab"), 1, Timestamp(world.now.value() + 500), false});
  world.must(RevokeToken{first});
  const auto expired = world.submit(Principal::controller(), {ExpireToken{TokenId(first.value() + 1)}});
  ASSERT_TRUE(expired) << expired.error().message;
  world.must(RejectNode{"0123:4567:89ab:cdef:0123:4567:89ab:cdef"});
}

void change_and_remove(World& world) {
  world.must({UnsetAttribute{{}, "note"}, AddSite{"nyc"}, AddNode{"r1.nyc"}});
  world.must(RenameSite{"nyc", "ny"});
  world.must(RenameNode{"r1.ny", "r2.ny"});
  world.must(Discard{site("ny")});
  world.must({AddNode{"r2.ams"}, SetAttribute{node("r2.ams"), "endpoint", {"192.0.2.2"}}});
  world.enrol("r2.ams");
  commit(world, site("ams"));
  world.must(RevokeNode{"r2.ams"});
  world.must(RemoveNode{"r2.ams", true});
}

void live(World& world) {
  build(world);
  commit(world, {});
  world.must(Activate{{}, {}});
  report(world, {NodeId(11), 1, OutcomeKind::applied, ActivationId(1), Version(1), ""}, "r1.ams");
  report(world, {NodeId(12), 1, OutcomeKind::reverted, ActivationId(1), {}, "no handshake"}, "r1.lab");
  world.must(Activate{node("r1.lab"), {}, true});
  add_people_and_tokens(world);
  world.must(SignAnchor{world.state().sequence, state_digest(world.state()), world.replica().frontier.root()});
  change_and_remove(world);
}

void use_rules_2(World& world) {
  world.must(AddTag{"good", {}});
  world.must(AddTag{"gone", Sequence(1)});
  world.must(RemoveTag{"gone"});
  const Sequence good = world.state().sequence;
  const Digest intent = intent_digest(world.state(), {});
  const Digest of_lab = intent_digest(world.state(), {Level::site, "lab", {}});
  commit(world, {});
  world.must(SetAttribute{site("lab"), "lans", {"10.3.0.0/24"}});
  world.must({SetAttribute{site("lab"), "lans", {"10.2.0.0/24"}}, RollBack{site("lab"), good, of_lab}});
  world.must({RemoveNode{"r1.lab", true}, RemoveSite{"lab"}});
  commit(world, {});
  world.must({RestoreSite{"lab"}, RestoreNode{NodeId(12), ""}, RollBack{{}, good, intent}});
  world.must(SetAttribute{{}, "note", {"by mistake"}});
  world.must({UnsetAttribute{{}, "note"}, Undo{world.state().sequence}});
  world.enrol("r1.lab", " again");
  commit(world, {});
  world.must(StartEpoch{2, world.state().sequence, world.replica().frontier.root(), NodeId(1'000), Version(100)});
  world.must({AddNode{"r3.ams"}, SetAttribute{node("r3.ams"), "endpoint", {"192.0.2.3"}}});
  world.enrol("r3.ams");
  commit(world, {});
  world.must(Activate{{}, {}});
}

void confirm(World& world, std::vector<Command> commands, std::vector<NodeId> applied) {
  Context context;
  context.applied = std::move(applied);
  const auto confirmed = world.submit(kAlice, std::move(commands), std::move(context));
  ASSERT_TRUE(confirmed) << confirmed.error().message;
}

SignedOutcome healthy(NodeId node, ActivationId activation, Version version, const char* by) {
  const Outcome outcome{node, 7, OutcomeKind::healthy, activation, version, ""};
  SignedOutcome out{encode_outcome(outcome), {}, outcome};
  out.signature = sign_secret(by).sign(kOutcomeDomain, out.bytes);
  return out;
}

void by_controller(World& world, Command command) {
  const auto decided = world.submit(Principal::controller(), {std::move(command)});
  ASSERT_TRUE(decided) << decided.error().message;
}

/// Continues use_rules_2: r1.ams is node 11, r1.lab node 12 with the keys of "r1.lab again".
void use_rules_3(World& world) {
  world.must(SetEndpoints{{"tcp://control.example.net:7400", "tcp://192.0.2.9:7400"}, {}});
  world.must(SetAttribute{{}, "activation_confirm", int64_t{60}});
  const auto change = [&](int64_t keepalive) {
    world.must(SetAttribute{{}, "wg_keepalive", keepalive});
    commit(world, {});
    return world.state().next_activation;
  };
  const ActivationId all = change(20);
  world.must(Activate{{}, {}});
  world.must(ExtendActivation{all, 120});
  std::vector<NodeId> applied;
  for (const ActivationRow& row : world.state().pending.at(all).rows) applied.push_back(row.node);
  confirm(world, {ConfirmActivation{all}}, applied);

  const ActivationId some = change(21);
  world.must(Activate{{}, {}, false, 30});
  confirm(world, {ConfirmActivation{some, true}}, {NodeId(11)});

  const ActivationId cancelled = change(22);
  world.must(Activate{{}, {}});
  world.must(CancelActivation{cancelled});

  const ActivationId expired = change(23);
  world.must(Activate{{}, {}, false, 20});
  world.now = world.state().pending.at(expired).deadline;
  by_controller(world, ExpireActivation{expired});

  const ActivationId passed = change(24);
  world.must(Activate{node("r1.ams"), {}, false, 60, false, {"controller", "bgp", "reach:lab"}, 10});
  const Version version = world.state().pending.at(passed).rows[0].to;
  by_controller(world, ConfirmActivation{passed, false, {healthy(NodeId(11), passed, version, "r1.ams")}});

  world.must(Activate{node("r1.lab"), {}, false, 60, false, {"bfd"}, 0});
  const ActivationId last = world.state().pending.rbegin()->first;
  SignedOutcome back = healthy(NodeId(12), last, {}, "r1.lab again");
  back.outcome.kind = OutcomeKind::reverted;
  back.bytes = encode_outcome(back.outcome);
  back.signature = sign_secret("r1.lab again").sign(kOutcomeDomain, back.bytes);
  by_controller(world, CancelActivation{last, {back}});

  world.must(Activate{{}, {}, false, 0, true});
  world.must(Activate{{}, Version(1)});
  world.must(RemoveNode{"r1.lab", true});
}

/// Continues use_rules_3: only the nodes of site ams are left.
void use_rules_4(World& world) {
  const FileRef common{sha256(as_bytes("common")), 10}, own{sha256(as_bytes("own")), 20};
  world.must(CancelActivation{world.state().pending.begin()->first});
  world.must(SetAttribute{{}, "activation_confirm", int64_t{0}});
  world.must(AddNode{"hub.ams", NodeId(1'500)});
  world.must({SetAttribute{node("hub.ams"), "endpoint", {"192.0.2.99"}}, SetAttribute{{}, "management_hub", {"hub.ams"}},
              SetAttribute{{}, "controller_hostname", {"control.example.net"}},
              SetAttribute{{}, "node_sshauthkeys", std::vector<Scalar>{"ssh-ed25519 AAAAC3Nza example"}}});
  world.must({SetAttribute{{}, "file:motd.conf", common}, SetAttribute{site("ams"), "file:dnsmasq.conf.jinja", common},
              SetAttribute{node("r1.ams"), "file:motd.conf", own}, SetAttribute{site("ams"), "service.dnsmasq.files", {"dnsmasq*.conf"}},
              SetAttribute{{}, "service.dnsmasq.destination", {"/etc/dnsmasq.d"}},
              SetAttribute{{}, "service.dnsmasq.check", {"dnsmasq --test -C {}/dnsmasq.conf"}},
              SetAttribute{{}, "service.dnsmasq.reload", {"systemctl reload dnsmasq"}}});
  commit(world, {});
  world.must(Activate{{}, {}});
  world.must(UnsetAttribute{node("r1.ams"), "file:motd.conf"});
  world.must(SetAttribute{site("ams"), "routing_style", {"loopback"}});
  world.must(SetRecovery{"r1.ams", sign_secret("recovery r1.ams").public_key(), box_secret("recovery r1.ams").public_key()});
  commit(world, {});
  world.must(Discard{{}});
  world.must(SetRecovery{"hub.ams", sign_secret("recovery hub").public_key(), box_secret("recovery hub").public_key()});
  world.must(SetRecovery{"hub.ams", {}, {}});
}

}  // namespace

World history_of_rules_1() {
  World world("golden 1", 1);
  live(world);
  return world;
}

World history_of_rules_2() {
  World world("golden 2", 2);
  live(world);
  use_rules_2(world);
  return world;
}

World history_of_rules_3() {
  World world("golden 3", 3);
  live(world);
  use_rules_2(world);
  use_rules_3(world);
  return world;
}

World history_of_two_raises() {
  World world("golden raises", 1);
  live(world);
  world.must(RaiseRules{2});
  use_rules_2(world);
  world.must(RaiseRules{3});
  use_rules_3(world);
  return world;
}

World history_of_rules_4() {
  World world("golden 4", 4);
  live(world);
  use_rules_2(world);
  use_rules_3(world);
  use_rules_4(world);
  return world;
}

World history_of_three_raises() {
  World world = history_of_two_raises();
  world.must(RaiseRules{4});
  use_rules_4(world);
  return world;
}

World history_of_a_raise() {
  World world("golden raise", 1);
  live(world);
  world.must(RaiseRules{2});
  use_rules_2(world);
  return world;
}

}  // namespace mesh::test
