#include "tests/unit/codec/examples.h"

#include "eventstore/model/evolve.h"
#include "schemas/codec.h"

namespace mesh::testing {

namespace {

/// `first`, `first` + 1, ...
template <class Array>
Array counted(uint8_t first) {
  Array out;
  for (auto& byte : out.bytes) byte = first++;
  return out;
}

CreateLog genesis() {
  return {.log_key = counted<SignKey>(1),
          .controller_key = counted<BoxKey>(2),
          .recovery_key = counted<SignKey>(3),
          .admin = "alice",
          .admin_sign_key = counted<SignKey>(4),
          .admin_box_key = counted<BoxKey>(5),
          .endpoints = {"tcp://mesh.example.net:7400", "tcp://[2001:db8::1]:7400"},
          .enrol_endpoints = {"tcp://mesh.example.net:7401"},
          .profile = "default",
          .loopbacknet_ipv4 = "100.70.0.0/16",
          .loopbacknet_ipv6 = "fd12:3456:789a::/48",
          .transfernet_ipv4 = "100.71.0.0/16",
          .transfernet_ipv6 = "fd12:3456:789b::/48",
          .bgp_as_base = 4'200'000'000,
          .nonce = counted<Digest>(6)};
}

JoinStatement statement() {
  return {.log = counted<LogId>(7),
          .node = "r1.ams",
          .token = TokenId(3),
          .sign_key = counted<SignKey>(8),
          .box_key = counted<BoxKey>(9),
          .wireguard_key = counted<WireGuardKey>(10),
          .hostname = "router-1",
          .machine = "x86_64",
          .nonce = counted<Digest>(11)};
}

SignedJoin join() {
  return {.statement = encode_join(statement()),
          .node_signature = counted<Signature>(12),
          .token_signature = counted<Signature>(13)};
}

Outcome outcome() {
  return {.node = NodeId(11),
          .serial = 4,
          .kind = OutcomeKind::reverted,
          .activation = ActivationId(2),
          .version = Version(1),
          .message = "bird did not start:\nno such file"};
}

AttributeValue mixed_list() { return std::vector<Scalar>{"lan", int64_t{-7}, true, "zürich"}; }

}  // namespace

std::vector<Command> example_commands() {
  const Target global{Level::global, ""}, ams{Level::site, "ams"}, r1{Level::node, "r1.ams"};
  return {genesis(),
          AddSite{"ams"},
          RemoveSite{"ams", true},
          RenameSite{"ams", "amsterdam"},
          AddNode{"r1.ams"},
          RemoveNode{"11", true},
          RenameNode{"r1.ams", "edge1"},
          SetAttribute{ams, "groups", mixed_list()},
          UnsetAttribute{r1, "wg_links.13.wg_peer_keepalive"},
          Commit{global, Sequence(41), counted<Digest>(20), true, true},
          Discard{ams},
          Activate{r1, Version(3)},
          CreateToken{counted<SignKey>(21), r1, 1, Timestamp(1'767'323'045'000'006), true},
          RevokeToken{TokenId(3)},
          ExpireToken{TokenId(4)},
          AdmitNode{join(), statement()},
          ApproveNode{"r1.ams", join(), statement()},
          RejectNode{"3f2a:91c0:0011:2233:4455:6677:8899:aabb"},
          RevokeNode{"r1.ams"},
          AddOperator{"bob", Role::operator_, {"ams", "fra"}, counted<SignKey>(22), counted<BoxKey>(23)},
          SetRole{"bob", Role::viewer, {}},
          BanOperator{"bob"},
          RaiseRules{2},
          SignAnchor{Sequence(40), counted<Digest>(24), counted<Digest>(25)},
          ReportOutcomes{{{encode_outcome(outcome()), counted<Signature>(26), outcome()}}},
          AddTag{"before-the-move", Sequence(40)},
          RemoveTag{"before-the-move"},
          RestoreSite{"ams"},
          RestoreNode{NodeId(11), "r1"},
          RollBack{ams, Sequence(40), counted<Digest>(27)},
          Undo{Sequence(41)},
          StartEpoch{2, Sequence(40), counted<Digest>(28), NodeId(1011), Version(1001)},
          ConfirmActivation{ActivationId(2), true, {{encode_outcome(outcome()), counted<Signature>(26), outcome()}}},
          CancelActivation{ActivationId(2), {{encode_outcome(outcome()), counted<Signature>(26), outcome()}}},
          ExtendActivation{ActivationId(2), 600},
          ExpireActivation{ActivationId(2)},
          SetEndpoints{{"tcp://control.example.net:7400"}, {"tcp://control.example.net:7401"}},
          SetRecovery{"r1.ams", counted<SignKey>(32), counted<BoxKey>(33)}};
}

std::vector<Event> example_events() {
  const Scope global{Level::global, "", NodeId()}, ams{Level::site, "ams", NodeId()}, r1{Level::node, "", NodeId(11)};
  return {LogCreated{counted<LogId>(7), genesis()},
          SiteAdded{"ams"},
          SiteRemoved{"ams"},
          SiteRestored{"ams"},
          SiteRenamed{"ams", "amsterdam"},
          NodeAdded{NodeId(11), "r1", "ams"},
          NodeRemoved{NodeId(11)},
          NodeRestored{NodeId(11), {}},
          NodeRenamed{NodeId(11), "r1", "edge1"},
          AttributeSet{ams, "groups", std::nullopt, mixed_list()},
          AttributeUnset{r1, "wg_keepalive", int64_t{25}},
          VersionsCommitted{global,
                            Sequence(41),
                            counted<Digest>(20),
                            {{NodeId(11), Version(1), counted<Digest>(30)},
                             {NodeId(12), Version(4), counted<Digest>(31)}}},
          ChangesDiscarded{ams, 5},
          ActivationStarted{ActivationId(2),
                            {{NodeId(11), Version(0), Version(1)}, {NodeId(12), Version(4), Version(3)}}},
          TokenCreated{TokenId(3), counted<SignKey>(21), r1, 1, Timestamp(1'767'323'045'000'006), true},
          TokenUsed{TokenId(3), NodeId(11)},
          TokenRevoked{TokenId(3)},
          TokenExpired{TokenId(4)},
          NodeEnrolled{NodeId(11), counted<SignKey>(8), counted<BoxKey>(9), "router-1", "x86_64"},
          KeyRegistered{NodeId(11), 1, counted<WireGuardKey>(10)},
          KeyDropped{NodeId(11), 1},
          NodeRejected{"3f2a:91c0:0011:2233:4455:6677:8899:aabb"},
          NodeRevoked{NodeId(11)},
          OperatorAdded{"bob", Role::operator_, {"ams", "fra"}, counted<SignKey>(22), counted<BoxKey>(23)},
          RoleSet{"bob", Role::viewer, {}},
          OperatorBanned{"bob"},
          RulesRaised{2},
          AnchorSigned{Sequence(40), counted<Digest>(24), counted<Digest>(25), "alice"},
          OutcomeReported{outcome()},
          TagAdded{"before-the-move", Sequence(40)},
          TagRemoved{"before-the-move"},
          RolledBack{ams, Sequence(40), counted<Digest>(27)},
          EntryUndone{Sequence(41)},
          EpochStarted{2, Sequence(40), counted<Digest>(28), NodeId(1011), Version(1001)},
          ActivationConfirmed{ActivationId(2), {NodeId(11), NodeId(12)}},
          ActivationEnded{ActivationId(2), ActivationEnd::expired},
          ActivationExtended{ActivationId(2), Timestamp(1'767'323'645'000'006), 600},
          EndpointsSet{{"tcp://control.example.net:7400"}, {"tcp://control.example.net:7401"}},
          RecoverySet{NodeId(11), counted<SignKey>(32), counted<BoxKey>(33)}};
}

std::vector<std::pair<std::string, Command>> example_later_commands() {
  const Target r1{Level::node, "r1.ams"};
  return {{"Activate_again", Activate{{Level::site, "ams"}, Version(0), true}},
          {"Activate_confirmed", Activate{r1, Version(3), false, 600, false, {"controller", "reach:ams"}, 30}},
          {"Commit_with_loss", Commit{{}, Sequence(41), counted<Digest>(20), false, false, true}},
          {"AddNode_number", AddNode{"r1.ams", NodeId(40)}},
          {"SetAttribute_file", SetAttribute{r1, "file:bird.conf.jinja", FileRef{counted<Digest>(34), 1234}}}};
}

std::vector<std::pair<std::string, Event>> example_later_events() {
  return {{"NodeRestored_site", NodeRestored{NodeId(11), "fra"}},
          {"ActivationStarted_confirmed",
           ActivationStarted{ActivationId(2),
                             {{NodeId(11), Version(0), Version(1)}},
                             600,
                             Timestamp(1'767'323'645'000'006),
                             {"bgp", "bfd"},
                             30}}};
}

EntryHeader example_header(uint64_t sequence) {
  return {.log = counted<LogId>(7),
          .epoch = 1,
          .term = 2,
          .sequence = Sequence(sequence),
          .time = Timestamp(1'767'323'045'000'000 + static_cast<int64_t>(sequence)),
          .principal = Principal::human("alice"),
          .entry_class = EntryClass::intent,
          .rules = 1,
          .request_hash = {},
          .context_hash = {},
          .events_hash = {}};
}

EntryBody example_body(std::vector<Command> commands, std::vector<Event> events) {
  Request request{.log = counted<LogId>(7),
                  .epoch = 1,
                  .principal = Principal::human("alice"),
                  .id = counted<RequestId>(40),
                  .based_on = Sequence(40),
                  .expect_sequence = Sequence(39),
                  .commands = std::move(commands),
                  .message = "as agreed\nwith Bob",
                  .reference = "NET-17",
                  .origin = "cli"};
  Bytes bytes = encode_request(request);
  return {.signed_request = {std::move(bytes), counted<Signature>(41)},
          .request = std::move(request),
          .context = {Timestamp(1'767'323'045'000'006), {{NodeId(11), Version(1), counted<Digest>(30)}}},
          .events = std::move(events)};
}

Replica example_replica() {
  const Scope ams{Level::site, "ams", NodeId()};
  const std::vector<std::vector<Event>> entries = {
      {LogCreated{counted<LogId>(7), genesis()}},
      {SiteAdded{"ams"}, NodeAdded{NodeId(11), "r1", "ams"}, NodeAdded{NodeId(12), "r2", "ams"}},
      {AttributeSet{ams, "groups", std::nullopt, mixed_list()}},
      {NodeEnrolled{NodeId(11), counted<SignKey>(8), counted<BoxKey>(9), "router-1", "x86_64"},
       KeyRegistered{NodeId(11), 1, counted<WireGuardKey>(10)}},
      {OutcomeReported{outcome()}}};
  Replica replica;
  for (const auto& events : entries) {
    const EntryHeader header = example_header(replica.head().value() + 1);
    EntryBody body = example_body({AddSite{"ams"}}, events);
    body.request.id.bytes[0] = static_cast<uint8_t>(header.sequence.value());
    replica.frontier.append(decode_entry(encode_entry(header, body))->leaf);
    evolve(replica.state, header, body);
  }
  return replica;
}

}  // namespace mesh::testing
