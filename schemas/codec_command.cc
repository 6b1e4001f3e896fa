// One pair of functions for each command, in the order of mesh::Command.
#include "schemas/codec.h"
#include "schemas/codec_internal.h"

namespace mesh {

Offset<wire::CreateLog> pack(Builder& b, const CreateLog& c) {
  const auto admin = pack_text(b, c.admin);
  const auto endpoints = pack_texts(b, c.endpoints);
  const auto enrol_endpoints = pack_texts(b, c.enrol_endpoints);
  const auto profile = pack_text(b, c.profile);
  const auto loopbacknet_ipv4 = pack_text(b, c.loopbacknet_ipv4);
  const auto loopbacknet_ipv6 = pack_text(b, c.loopbacknet_ipv6);
  const auto transfernet_ipv4 = pack_text(b, c.transfernet_ipv4);
  const auto transfernet_ipv6 = pack_text(b, c.transfernet_ipv6);
  return wire::CreateCreateLog(b, pack_fixed(c.log_key), pack_fixed(c.controller_key),
                               pack_fixed(c.recovery_key), admin, pack_fixed(c.admin_sign_key),
                               pack_fixed(c.admin_box_key), endpoints, enrol_endpoints, profile,
                               loopbacknet_ipv4, loopbacknet_ipv6, transfernet_ipv4, transfernet_ipv6,
                               c.bgp_as_base, pack_fixed(c.nonce), c.rules);
}

CreateLog unpack(Reader& r, const wire::CreateLog& w) {
  return {.log_key = r.fixed<SignKey>(w.log_key(), "log key"),
          .controller_key = r.fixed<BoxKey>(w.controller_key(), "controller key"),
          .recovery_key = r.fixed<SignKey>(w.recovery_key(), "recovery key"),
          .admin = r.line(w.admin(), "administrator"),
          .admin_sign_key = r.fixed<SignKey>(w.admin_sign_key(), "administrator's sign key"),
          .admin_box_key = r.fixed<BoxKey>(w.admin_box_key(), "administrator's box key"),
          .endpoints = r.lines(w.endpoints(), "endpoint", kEndpointsMax, kEndpointBytesMax),
          .enrol_endpoints = r.lines(w.enrol_endpoints(), "enrolment endpoint", kEndpointsMax, kEndpointBytesMax),
          .profile = r.line(w.profile(), "profile"),
          .loopbacknet_ipv4 = r.line(w.loopbacknet_ipv4(), "loopbacknet_ipv4"),
          .loopbacknet_ipv6 = r.line(w.loopbacknet_ipv6(), "loopbacknet_ipv6"),
          .transfernet_ipv4 = r.line(w.transfernet_ipv4(), "transfernet_ipv4"),
          .transfernet_ipv6 = r.line(w.transfernet_ipv6(), "transfernet_ipv6"),
          .bgp_as_base = w.bgp_as_base(),
          .nonce = r.fixed<Digest>(w.nonce(), "nonce"),
          .rules = w.rules()};
}

static Offset<wire::AddSite> pack(Builder& b, const AddSite& c) {
  const auto name = pack_text(b, c.name);
  return wire::CreateAddSite(b, name);
}
static AddSite unpack(Reader& r, const wire::AddSite& w) { return {.name = r.line(w.name(), "site")}; }

static Offset<wire::RemoveSite> pack(Builder& b, const RemoveSite& c) {
  const auto name = pack_text(b, c.name);
  return wire::CreateRemoveSite(b, name, c.force);
}
static RemoveSite unpack(Reader& r, const wire::RemoveSite& w) {
  return {.name = r.line(w.name(), "site"), .force = w.force()};
}

static Offset<wire::RenameSite> pack(Builder& b, const RenameSite& c) {
  const auto from = pack_text(b, c.from);
  const auto to = pack_text(b, c.to);
  return wire::CreateRenameSite(b, from, to);
}
static RenameSite unpack(Reader& r, const wire::RenameSite& w) {
  return {.from = r.line(w.from(), "site"), .to = r.line(w.to(), "new name")};
}

static Offset<wire::AddNode> pack(Builder& b, const AddNode& c) {
  const auto fullname = pack_text(b, c.fullname);
  return wire::CreateAddNode(b, fullname, c.number.value());
}
static AddNode unpack(Reader& r, const wire::AddNode& w) {
  return {.fullname = r.line(w.fullname(), "node", kFullNameBytesMax), .number = NodeId(w.number())};
}

static Offset<wire::RemoveNode> pack(Builder& b, const RemoveNode& c) {
  const auto node = pack_text(b, c.node);
  return wire::CreateRemoveNode(b, node, c.force);
}
static RemoveNode unpack(Reader& r, const wire::RemoveNode& w) {
  return {.node = r.line(w.node(), "node", kFullNameBytesMax), .force = w.force()};
}

static Offset<wire::RenameNode> pack(Builder& b, const RenameNode& c) {
  const auto from = pack_text(b, c.from);
  const auto to = pack_text(b, c.to);
  return wire::CreateRenameNode(b, from, to);
}
static RenameNode unpack(Reader& r, const wire::RenameNode& w) {
  return {.from = r.line(w.from(), "node", kFullNameBytesMax),
          .to = r.line(w.to(), "new name", kFullNameBytesMax)};
}

static Offset<wire::SetAttribute> pack(Builder& b, const SetAttribute& c) {
  const auto target = pack(b, c.target);
  const auto name = pack_text(b, c.name);
  const auto value = pack(b, c.value);
  return wire::CreateSetAttribute(b, target, name, value);
}
static SetAttribute unpack(Reader& r, const wire::SetAttribute& w) {
  return {.target = unpack_target(r, w.target()),
          .name = r.line(w.name(), "attribute", kAttributeNameBytesMax),
          .value = unpack_value(r, w.value())};
}

static Offset<wire::UnsetAttribute> pack(Builder& b, const UnsetAttribute& c) {
  const auto target = pack(b, c.target);
  const auto name = pack_text(b, c.name);
  return wire::CreateUnsetAttribute(b, target, name);
}
static UnsetAttribute unpack(Reader& r, const wire::UnsetAttribute& w) {
  return {.target = unpack_target(r, w.target()),
          .name = r.line(w.name(), "attribute", kAttributeNameBytesMax)};
}

static Offset<wire::Commit> pack(Builder& b, const Commit& c) {
  const auto target = pack(b, c.target);
  return wire::CreateCommit(b, target, c.prepared_at.value(), pack_fixed(c.root), c.include_others,
                            c.with_neighbours, c.allow_loss);
}
static Commit unpack(Reader& r, const wire::Commit& w) {
  return {.target = unpack_target(r, w.target()),
          .prepared_at = Sequence(w.prepared_at()),
          .root = r.fixed<Digest>(w.root(), "root"),
          .include_others = w.include_others(),
          .with_neighbours = w.with_neighbours(),
          .allow_loss = w.allow_loss()};
}

static Offset<wire::Discard> pack(Builder& b, const Discard& c) {
  const auto target = pack(b, c.target);
  return wire::CreateDiscard(b, target);
}
static Discard unpack(Reader& r, const wire::Discard& w) { return {.target = unpack_target(r, w.target())}; }

static Offset<WireVector<Offset<wire::SignedOutcome>>> pack_outcomes(Builder& b,
                                                                     const std::vector<SignedOutcome>& outcomes) {
  return pack_list(b, outcomes, [&](const SignedOutcome& outcome) { return pack(b, outcome); });
}
static std::vector<SignedOutcome> unpack_outcomes(Reader& r, const WireVector<Offset<wire::SignedOutcome>>* w) {
  return r.list(w, "outcomes", kNodesMax,
                [&](const wire::SignedOutcome* outcome) { return unpack_signed_outcome(r, outcome); });
}

static Offset<wire::Activate> pack(Builder& b, const Activate& c) {
  const auto target = pack(b, c.target);
  const auto health = pack_texts(b, c.health);
  return wire::CreateActivate(b, target, c.version.value(), c.again, c.confirm_s, c.unconfirmed, health, c.for_s);
}
static Activate unpack(Reader& r, const wire::Activate& w) {
  return {.target = unpack_target(r, w.target()),
          .version = Version(w.version()),
          .again = w.again(),
          .confirm_s = w.confirm_s(),
          .unconfirmed = w.unconfirmed(),
          .health = unpack_gates(r, w.health()),
          .for_s = w.for_s()};
}

static Offset<wire::CreateToken> pack(Builder& b, const CreateToken& c) {
  const auto target = pack(b, c.target);
  return wire::CreateCreateToken(b, pack_fixed(c.key), target, c.uses, c.expires.value(), c.approve);
}
static CreateToken unpack(Reader& r, const wire::CreateToken& w) {
  return {.key = r.fixed<SignKey>(w.key(), "token key"),
          .target = unpack_target(r, w.target()),
          .uses = w.uses(),
          .expires = Timestamp(w.expires()),
          .approve = w.approve()};
}

static Offset<wire::RevokeToken> pack(Builder& b, const RevokeToken& c) {
  return wire::CreateRevokeToken(b, c.token.value());
}
static RevokeToken unpack(Reader&, const wire::RevokeToken& w) { return {.token = TokenId(w.token())}; }

static Offset<wire::ExpireToken> pack(Builder& b, const ExpireToken& c) {
  return wire::CreateExpireToken(b, c.token.value());
}
static ExpireToken unpack(Reader&, const wire::ExpireToken& w) { return {.token = TokenId(w.token())}; }

/// What `join` says, so that the core needs no decoder.
static JoinStatement opened(Reader& r, const SignedJoin& join) {
  if (!r.ok()) return {};
  auto statement = decode_join(join.statement);
  if (statement) return std::move(*statement);
  r.fail(statement.error().code, statement.error().message, statement.error().fix);
  return {};
}

static Offset<wire::AdmitNode> pack(Builder& b, const AdmitNode& c) {
  const auto join = pack(b, c.join);
  return wire::CreateAdmitNode(b, join);
}
static AdmitNode unpack(Reader& r, const wire::AdmitNode& w) {
  AdmitNode c{.join = unpack_join(r, w.join()), .statement = {}};
  c.statement = opened(r, c.join);
  return c;
}

static Offset<wire::ApproveNode> pack(Builder& b, const ApproveNode& c) {
  const auto node = pack_text(b, c.node);
  const auto join = pack(b, c.join);
  return wire::CreateApproveNode(b, node, join);
}
static ApproveNode unpack(Reader& r, const wire::ApproveNode& w) {
  ApproveNode c{.node = r.line(w.node(), "node", kFullNameBytesMax),
                .join = unpack_join(r, w.join()),
                .statement = {}};
  c.statement = opened(r, c.join);
  return c;
}

static Offset<wire::RejectNode> pack(Builder& b, const RejectNode& c) {
  const auto fingerprint = pack_text(b, c.fingerprint);
  return wire::CreateRejectNode(b, fingerprint);
}
static RejectNode unpack(Reader& r, const wire::RejectNode& w) {
  return {.fingerprint = r.line(w.fingerprint(), "fingerprint")};
}

static Offset<wire::RevokeNode> pack(Builder& b, const RevokeNode& c) {
  const auto node = pack_text(b, c.node);
  return wire::CreateRevokeNode(b, node);
}
static RevokeNode unpack(Reader& r, const wire::RevokeNode& w) {
  return {.node = r.line(w.node(), "node", kFullNameBytesMax)};
}

static Offset<wire::AddOperator> pack(Builder& b, const AddOperator& c) {
  const auto name = pack_text(b, c.name);
  const auto sites = pack_texts(b, c.sites);
  return wire::CreateAddOperator(b, name, static_cast<wire::Role>(c.role), sites, pack_fixed(c.sign_key),
                                 pack_fixed(c.box_key));
}
static AddOperator unpack(Reader& r, const wire::AddOperator& w) {
  return {.name = r.line(w.name(), "operator"),
          .role = r.one_of(w.role(), Role::admin, "role"),
          .sites = r.lines(w.sites(), "site", kSitesMax, kNameBytesMax),
          .sign_key = r.fixed<SignKey>(w.sign_key(), "sign key"),
          .box_key = r.fixed<BoxKey>(w.box_key(), "box key")};
}

static Offset<wire::SetRole> pack(Builder& b, const SetRole& c) {
  const auto name = pack_text(b, c.name);
  const auto sites = pack_texts(b, c.sites);
  return wire::CreateSetRole(b, name, static_cast<wire::Role>(c.role), sites);
}
static SetRole unpack(Reader& r, const wire::SetRole& w) {
  return {.name = r.line(w.name(), "operator"),
          .role = r.one_of(w.role(), Role::admin, "role"),
          .sites = r.lines(w.sites(), "site", kSitesMax, kNameBytesMax)};
}

static Offset<wire::BanOperator> pack(Builder& b, const BanOperator& c) {
  const auto name = pack_text(b, c.name);
  return wire::CreateBanOperator(b, name);
}
static BanOperator unpack(Reader& r, const wire::BanOperator& w) { return {.name = r.line(w.name(), "operator")}; }

static Offset<wire::RaiseRules> pack(Builder& b, const RaiseRules& c) {
  return wire::CreateRaiseRules(b, c.rules);
}
static RaiseRules unpack(Reader&, const wire::RaiseRules& w) { return {.rules = w.rules()}; }

static Offset<wire::SignAnchor> pack(Builder& b, const SignAnchor& c) {
  return wire::CreateSignAnchor(b, c.sequence.value(), pack_fixed(c.state_digest), pack_fixed(c.root));
}
static SignAnchor unpack(Reader& r, const wire::SignAnchor& w) {
  return {.sequence = Sequence(w.sequence()),
          .state_digest = r.fixed<Digest>(w.state_digest(), "state digest"),
          .root = r.fixed<Digest>(w.root(), "root")};
}

static Offset<wire::ReportOutcomes> pack(Builder& b, const ReportOutcomes& c) {
  const auto outcomes = pack_outcomes(b, c.outcomes);
  return wire::CreateReportOutcomes(b, outcomes);
}
static ReportOutcomes unpack(Reader& r, const wire::ReportOutcomes& w) {
  return {.outcomes = unpack_outcomes(r, w.outcomes())};
}

static Offset<wire::AddTag> pack(Builder& b, const AddTag& c) {
  const auto name = pack_text(b, c.name);
  return wire::CreateAddTag(b, name, c.sequence.value());
}
static AddTag unpack(Reader& r, const wire::AddTag& w) {
  return {.name = r.line(w.name(), "tag"), .sequence = Sequence(w.sequence())};
}

static Offset<wire::RemoveTag> pack(Builder& b, const RemoveTag& c) {
  const auto name = pack_text(b, c.name);
  return wire::CreateRemoveTag(b, name);
}
static RemoveTag unpack(Reader& r, const wire::RemoveTag& w) { return {.name = r.line(w.name(), "tag")}; }

static Offset<wire::RestoreSite> pack(Builder& b, const RestoreSite& c) {
  const auto name = pack_text(b, c.name);
  return wire::CreateRestoreSite(b, name);
}
static RestoreSite unpack(Reader& r, const wire::RestoreSite& w) { return {.name = r.line(w.name(), "site")}; }

static Offset<wire::RestoreNode> pack(Builder& b, const RestoreNode& c) {
  const auto name = pack_text(b, c.name);
  return wire::CreateRestoreNode(b, c.node.value(), name);
}
static RestoreNode unpack(Reader& r, const wire::RestoreNode& w) {
  return {.node = NodeId(w.node()), .name = r.line(w.name(), "node", kFullNameBytesMax)};
}

static Offset<wire::RollBack> pack(Builder& b, const RollBack& c) {
  const auto target = pack(b, c.target);
  return wire::CreateRollBack(b, target, c.to.value(), pack_fixed(c.digest));
}
static RollBack unpack(Reader& r, const wire::RollBack& w) {
  return {.target = unpack_target(r, w.target()),
          .to = Sequence(w.to()),
          .digest = r.fixed<Digest>(w.digest(), "intent digest")};
}

static Offset<wire::Undo> pack(Builder& b, const Undo& c) { return wire::CreateUndo(b, c.sequence.value()); }
static Undo unpack(Reader&, const wire::Undo& w) { return {.sequence = Sequence(w.sequence())}; }

static Offset<wire::StartEpoch> pack(Builder& b, const StartEpoch& c) {
  return wire::CreateStartEpoch(b, c.epoch, c.base.value(), pack_fixed(c.base_root), c.node_floor.value(),
                                c.version_floor.value());
}
static StartEpoch unpack(Reader& r, const wire::StartEpoch& w) {
  return {.epoch = w.epoch(),
          .base = Sequence(w.base()),
          .base_root = r.fixed<Digest>(w.base_root(), "base root"),
          .node_floor = NodeId(w.node_floor()),
          .version_floor = Version(w.version_floor())};
}

static Offset<wire::ConfirmActivation> pack(Builder& b, const ConfirmActivation& c) {
  const auto evidence = pack_outcomes(b, c.evidence);
  return wire::CreateConfirmActivation(b, c.activation.value(), c.partial, evidence);
}
static ConfirmActivation unpack(Reader& r, const wire::ConfirmActivation& w) {
  return {.activation = ActivationId(w.activation()),
          .partial = w.partial(),
          .evidence = unpack_outcomes(r, w.evidence())};
}

static Offset<wire::CancelActivation> pack(Builder& b, const CancelActivation& c) {
  const auto evidence = pack_outcomes(b, c.evidence);
  return wire::CreateCancelActivation(b, c.activation.value(), evidence);
}
static CancelActivation unpack(Reader& r, const wire::CancelActivation& w) {
  return {.activation = ActivationId(w.activation()), .evidence = unpack_outcomes(r, w.evidence())};
}

static Offset<wire::ExtendActivation> pack(Builder& b, const ExtendActivation& c) {
  return wire::CreateExtendActivation(b, c.activation.value(), c.seconds);
}
static ExtendActivation unpack(Reader&, const wire::ExtendActivation& w) {
  return {.activation = ActivationId(w.activation()), .seconds = w.seconds()};
}

static Offset<wire::ExpireActivation> pack(Builder& b, const ExpireActivation& c) {
  return wire::CreateExpireActivation(b, c.activation.value());
}
static ExpireActivation unpack(Reader&, const wire::ExpireActivation& w) {
  return {.activation = ActivationId(w.activation())};
}

static Offset<wire::SetEndpoints> pack(Builder& b, const SetEndpoints& c) {
  const auto endpoints = pack_texts(b, c.endpoints);
  const auto enrol_endpoints = pack_texts(b, c.enrol_endpoints);
  return wire::CreateSetEndpoints(b, endpoints, enrol_endpoints);
}
static SetEndpoints unpack(Reader& r, const wire::SetEndpoints& w) {
  return {.endpoints = r.lines(w.endpoints(), "endpoint", kEndpointsMax, kEndpointBytesMax),
          .enrol_endpoints = r.lines(w.enrol_endpoints(), "enrolment endpoint", kEndpointsMax, kEndpointBytesMax)};
}

static Offset<wire::SetRecovery> pack(Builder& b, const SetRecovery& c) {
  const auto node = pack_text(b, c.node);
  return wire::CreateSetRecovery(b, node, pack_fixed(c.sign_key), pack_fixed(c.box_key));
}
static SetRecovery unpack(Reader& r, const wire::SetRecovery& w) {
  return {.node = r.line(w.node(), "node", kFullNameBytesMax),
          .sign_key = r.fixed<SignKey>(w.sign_key(), "recovery sign key"),
          .box_key = r.fixed<BoxKey>(w.box_key(), "recovery box key")};
}

Offset<wire::Command> pack_command(Builder& b, const Command& command) {
  const auto [type, body] = pack_union<wire::CommandBodyTraits>(b, command);
  return wire::CreateCommand(b, type, body);
}

Command unpack_command(Reader& r, const wire::Command* w) {
  return unpack_union<wire::CommandBodyTraits, Command>(r, w->body_type(), w->body(), "command");
}

}  // namespace mesh
