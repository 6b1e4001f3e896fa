// One pair of functions for each event, in the order of mesh::Event.
#include "schemas/codec_internal.h"

namespace mesh {

static Offset<wire::LogCreated> pack(Builder& b, const LogCreated& e) {
  const auto genesis = pack(b, e.genesis);
  return wire::CreateLogCreated(b, pack_fixed(e.log), genesis);
}
static LogCreated unpack(Reader& r, const wire::LogCreated& w) {
  LogCreated e{.log = r.fixed<LogId>(w.log(), "log id"), .genesis = {}};
  if (r.present(w.genesis(), "genesis")) e.genesis = unpack(r, *w.genesis());
  return e;
}

static Offset<wire::SiteAdded> pack(Builder& b, const SiteAdded& e) {
  const auto name = pack_text(b, e.name);
  return wire::CreateSiteAdded(b, name);
}
static SiteAdded unpack(Reader& r, const wire::SiteAdded& w) { return {.name = r.line(w.name(), "site")}; }

static Offset<wire::SiteRemoved> pack(Builder& b, const SiteRemoved& e) {
  const auto name = pack_text(b, e.name);
  return wire::CreateSiteRemoved(b, name);
}
static SiteRemoved unpack(Reader& r, const wire::SiteRemoved& w) { return {.name = r.line(w.name(), "site")}; }

static Offset<wire::SiteRestored> pack(Builder& b, const SiteRestored& e) {
  const auto name = pack_text(b, e.name);
  return wire::CreateSiteRestored(b, name);
}
static SiteRestored unpack(Reader& r, const wire::SiteRestored& w) { return {.name = r.line(w.name(), "site")}; }

static Offset<wire::SiteRenamed> pack(Builder& b, const SiteRenamed& e) {
  const auto from = pack_text(b, e.from);
  const auto to = pack_text(b, e.to);
  return wire::CreateSiteRenamed(b, from, to);
}
static SiteRenamed unpack(Reader& r, const wire::SiteRenamed& w) {
  return {.from = r.line(w.from(), "site"), .to = r.line(w.to(), "new name")};
}

static Offset<wire::NodeAdded> pack(Builder& b, const NodeAdded& e) {
  const auto name = pack_text(b, e.name);
  const auto site = pack_text(b, e.site);
  return wire::CreateNodeAdded(b, e.node.value(), name, site);
}
static NodeAdded unpack(Reader& r, const wire::NodeAdded& w) {
  return {.node = NodeId(w.node()), .name = r.line(w.name(), "node"), .site = r.line(w.site(), "site")};
}

static Offset<wire::NodeRemoved> pack(Builder& b, const NodeRemoved& e) {
  return wire::CreateNodeRemoved(b, e.node.value());
}
static NodeRemoved unpack(Reader&, const wire::NodeRemoved& w) { return {.node = NodeId(w.node())}; }

static Offset<wire::NodeRestored> pack(Builder& b, const NodeRestored& e) {
  const auto site = e.site.empty() ? Offset<WireString>() : pack_text(b, e.site);
  return wire::CreateNodeRestored(b, e.node.value(), site);
}
static NodeRestored unpack(Reader& r, const wire::NodeRestored& w) {
  return {.node = NodeId(w.node()), .site = r.line(w.site(), "site")};
}

static Offset<wire::NodeRenamed> pack(Builder& b, const NodeRenamed& e) {
  const auto from = pack_text(b, e.from);
  const auto to = pack_text(b, e.to);
  return wire::CreateNodeRenamed(b, e.node.value(), from, to);
}
static NodeRenamed unpack(Reader& r, const wire::NodeRenamed& w) {
  return {.node = NodeId(w.node()), .from = r.line(w.from(), "node"), .to = r.line(w.to(), "new name")};
}

static Offset<wire::AttributeSet> pack(Builder& b, const AttributeSet& e) {
  const auto scope = pack(b, e.scope);
  const auto name = pack_text(b, e.name);
  const auto before = e.before ? pack(b, *e.before) : Offset<wire::Value>();
  const auto value = pack(b, e.value);
  return wire::CreateAttributeSet(b, scope, name, before, value);
}
static AttributeSet unpack(Reader& r, const wire::AttributeSet& w) {
  AttributeSet e{.scope = unpack_scope(r, w.scope()),
                 .name = r.line(w.name(), "attribute", kAttributeNameBytesMax),
                 .before = std::nullopt,
                 .value = unpack_value(r, w.value())};
  if (w.before()) e.before = unpack_value(r, w.before());
  return e;
}

static Offset<wire::AttributeUnset> pack(Builder& b, const AttributeUnset& e) {
  const auto scope = pack(b, e.scope);
  const auto name = pack_text(b, e.name);
  const auto before = pack(b, e.before);
  return wire::CreateAttributeUnset(b, scope, name, before);
}
static AttributeUnset unpack(Reader& r, const wire::AttributeUnset& w) {
  return {.scope = unpack_scope(r, w.scope()),
          .name = r.line(w.name(), "attribute", kAttributeNameBytesMax),
          .before = unpack_value(r, w.before())};
}

static Offset<wire::VersionsCommitted> pack(Builder& b, const VersionsCommitted& e) {
  const auto scope = pack(b, e.scope);
  const auto rows = pack_version_rows(b, e.rows);
  return wire::CreateVersionsCommitted(b, scope, e.prepared_at.value(), pack_fixed(e.root), rows);
}
static VersionsCommitted unpack(Reader& r, const wire::VersionsCommitted& w) {
  return {.scope = unpack_scope(r, w.scope()),
          .prepared_at = Sequence(w.prepared_at()),
          .root = r.fixed<Digest>(w.root(), "root"),
          .rows = unpack_version_rows(r, w.rows())};
}

static Offset<wire::ChangesDiscarded> pack(Builder& b, const ChangesDiscarded& e) {
  const auto scope = pack(b, e.scope);
  return wire::CreateChangesDiscarded(b, scope, e.changes);
}
static ChangesDiscarded unpack(Reader& r, const wire::ChangesDiscarded& w) {
  return {.scope = unpack_scope(r, w.scope()), .changes = w.changes()};
}

static Offset<wire::ActivationStarted> pack(Builder& b, const ActivationStarted& e) {
  const auto rows = pack_rows(b, e.rows, [](const ActivationRow& row) {
    return wire::ActivationRow(row.node.value(), row.from.value(), row.to.value());
  });
  const auto health = pack_texts(b, e.health);
  return wire::CreateActivationStarted(b, e.activation.value(), rows, e.confirm_s,
                                       e.deadline.value(), health, e.for_s);
}
static ActivationStarted unpack(Reader& r, const wire::ActivationStarted& w) {
  return {.activation = ActivationId(w.activation()),
          .rows = r.list(w.rows(), "activation rows", kNodesMax, [](const wire::ActivationRow* row) {
            return ActivationRow{NodeId(row->node()), Version(row->from()), Version(row->to())};
          }),
          .confirm_s = w.confirm_s(),
          .deadline = Timestamp(w.deadline()),
          .health = unpack_gates(r, w.health()),
          .for_s = w.for_s()};
}

static Offset<wire::TokenCreated> pack(Builder& b, const TokenCreated& e) {
  const auto scope = pack(b, e.scope);
  return wire::CreateTokenCreated(b, e.token.value(), pack_fixed(e.key), scope, e.uses, e.expires.value(),
                                  e.approve);
}
static TokenCreated unpack(Reader& r, const wire::TokenCreated& w) {
  return {.token = TokenId(w.token()),
          .key = r.fixed<SignKey>(w.key(), "token key"),
          .scope = unpack_scope(r, w.scope()),
          .uses = w.uses(),
          .expires = Timestamp(w.expires()),
          .approve = w.approve()};
}

static Offset<wire::TokenUsed> pack(Builder& b, const TokenUsed& e) {
  return wire::CreateTokenUsed(b, e.token.value(), e.node.value());
}
static TokenUsed unpack(Reader&, const wire::TokenUsed& w) {
  return {.token = TokenId(w.token()), .node = NodeId(w.node())};
}

static Offset<wire::TokenRevoked> pack(Builder& b, const TokenRevoked& e) {
  return wire::CreateTokenRevoked(b, e.token.value());
}
static TokenRevoked unpack(Reader&, const wire::TokenRevoked& w) { return {.token = TokenId(w.token())}; }

static Offset<wire::TokenExpired> pack(Builder& b, const TokenExpired& e) {
  return wire::CreateTokenExpired(b, e.token.value());
}
static TokenExpired unpack(Reader&, const wire::TokenExpired& w) { return {.token = TokenId(w.token())}; }

static Offset<wire::NodeEnrolled> pack(Builder& b, const NodeEnrolled& e) {
  const auto hostname = pack_text(b, e.hostname);
  const auto machine = pack_text(b, e.machine);
  return wire::CreateNodeEnrolled(b, e.node.value(), pack_fixed(e.sign_key), pack_fixed(e.box_key), hostname,
                                  machine);
}
static NodeEnrolled unpack(Reader& r, const wire::NodeEnrolled& w) {
  return {.node = NodeId(w.node()),
          .sign_key = r.fixed<SignKey>(w.sign_key(), "sign key"),
          .box_key = r.fixed<BoxKey>(w.box_key(), "box key"),
          .hostname = r.line(w.hostname(), "host name", kHostNameBytesMax),
          .machine = r.line(w.machine(), "machine", kHostNameBytesMax)};
}

static Offset<wire::KeyRegistered> pack(Builder& b, const KeyRegistered& e) {
  return wire::CreateKeyRegistered(b, e.node.value(), e.generation, pack_fixed(e.key));
}
static KeyRegistered unpack(Reader& r, const wire::KeyRegistered& w) {
  return {.node = NodeId(w.node()),
          .generation = w.generation(),
          .key = r.fixed<WireGuardKey>(w.key(), "WireGuard key")};
}

static Offset<wire::KeyDropped> pack(Builder& b, const KeyDropped& e) {
  return wire::CreateKeyDropped(b, e.node.value(), e.generation);
}
static KeyDropped unpack(Reader&, const wire::KeyDropped& w) {
  return {.node = NodeId(w.node()), .generation = w.generation()};
}

static Offset<wire::NodeRejected> pack(Builder& b, const NodeRejected& e) {
  const auto fingerprint = pack_text(b, e.fingerprint);
  return wire::CreateNodeRejected(b, fingerprint);
}
static NodeRejected unpack(Reader& r, const wire::NodeRejected& w) {
  return {.fingerprint = r.line(w.fingerprint(), "fingerprint")};
}

static Offset<wire::NodeRevoked> pack(Builder& b, const NodeRevoked& e) {
  return wire::CreateNodeRevoked(b, e.node.value());
}
static NodeRevoked unpack(Reader&, const wire::NodeRevoked& w) { return {.node = NodeId(w.node())}; }

static Offset<wire::OperatorAdded> pack(Builder& b, const OperatorAdded& e) {
  const auto name = pack_text(b, e.name);
  const auto sites = pack_texts(b, e.sites);
  return wire::CreateOperatorAdded(b, name, static_cast<wire::Role>(e.role), sites, pack_fixed(e.sign_key),
                                   pack_fixed(e.box_key));
}
static OperatorAdded unpack(Reader& r, const wire::OperatorAdded& w) {
  return {.name = r.line(w.name(), "operator"),
          .role = r.one_of(w.role(), Role::admin, "role"),
          .sites = r.lines(w.sites(), "site", kSitesMax, kNameBytesMax),
          .sign_key = r.fixed<SignKey>(w.sign_key(), "sign key"),
          .box_key = r.fixed<BoxKey>(w.box_key(), "box key")};
}

static Offset<wire::RoleSet> pack(Builder& b, const RoleSet& e) {
  const auto name = pack_text(b, e.name);
  const auto sites = pack_texts(b, e.sites);
  return wire::CreateRoleSet(b, name, static_cast<wire::Role>(e.role), sites);
}
static RoleSet unpack(Reader& r, const wire::RoleSet& w) {
  return {.name = r.line(w.name(), "operator"),
          .role = r.one_of(w.role(), Role::admin, "role"),
          .sites = r.lines(w.sites(), "site", kSitesMax, kNameBytesMax)};
}

static Offset<wire::OperatorBanned> pack(Builder& b, const OperatorBanned& e) {
  const auto name = pack_text(b, e.name);
  return wire::CreateOperatorBanned(b, name);
}
static OperatorBanned unpack(Reader& r, const wire::OperatorBanned& w) {
  return {.name = r.line(w.name(), "operator")};
}

static Offset<wire::RulesRaised> pack(Builder& b, const RulesRaised& e) {
  return wire::CreateRulesRaised(b, e.rules);
}
static RulesRaised unpack(Reader&, const wire::RulesRaised& w) { return {.rules = w.rules()}; }

static Offset<wire::AnchorSigned> pack(Builder& b, const AnchorSigned& e) {
  const auto by = pack_text(b, e.by);
  return wire::CreateAnchorSigned(b, e.sequence.value(), pack_fixed(e.state_digest), pack_fixed(e.root), by);
}
static AnchorSigned unpack(Reader& r, const wire::AnchorSigned& w) {
  return {.sequence = Sequence(w.sequence()),
          .state_digest = r.fixed<Digest>(w.state_digest(), "state digest"),
          .root = r.fixed<Digest>(w.root(), "root"),
          .by = r.line(w.by(), "signer", kFullNameBytesMax)};
}

static Offset<wire::OutcomeReported> pack(Builder& b, const OutcomeReported& e) {
  const auto outcome = pack(b, e.outcome);
  return wire::CreateOutcomeReported(b, outcome);
}
static OutcomeReported unpack(Reader& r, const wire::OutcomeReported& w) {
  return {.outcome = unpack_outcome(r, w.outcome())};
}

static Offset<wire::TagAdded> pack(Builder& b, const TagAdded& e) {
  const auto name = pack_text(b, e.name);
  return wire::CreateTagAdded(b, name, e.sequence.value());
}
static TagAdded unpack(Reader& r, const wire::TagAdded& w) {
  return {.name = r.line(w.name(), "tag"), .sequence = Sequence(w.sequence())};
}

static Offset<wire::TagRemoved> pack(Builder& b, const TagRemoved& e) {
  const auto name = pack_text(b, e.name);
  return wire::CreateTagRemoved(b, name);
}
static TagRemoved unpack(Reader& r, const wire::TagRemoved& w) { return {.name = r.line(w.name(), "tag")}; }

static Offset<wire::RolledBack> pack(Builder& b, const RolledBack& e) {
  const auto scope = pack(b, e.scope);
  return wire::CreateRolledBack(b, scope, e.to.value(), pack_fixed(e.digest));
}
static RolledBack unpack(Reader& r, const wire::RolledBack& w) {
  return {.scope = unpack_scope(r, w.scope()),
          .to = Sequence(w.to()),
          .digest = r.fixed<Digest>(w.digest(), "intent digest")};
}

static Offset<wire::EntryUndone> pack(Builder& b, const EntryUndone& e) {
  return wire::CreateEntryUndone(b, e.sequence.value());
}
static EntryUndone unpack(Reader&, const wire::EntryUndone& w) { return {.sequence = Sequence(w.sequence())}; }

static Offset<wire::EpochStarted> pack(Builder& b, const EpochStarted& e) {
  return wire::CreateEpochStarted(b, e.epoch, e.base.value(), pack_fixed(e.base_root), e.node_floor.value(),
                                  e.version_floor.value());
}
static EpochStarted unpack(Reader& r, const wire::EpochStarted& w) {
  return {.epoch = w.epoch(),
          .base = Sequence(w.base()),
          .base_root = r.fixed<Digest>(w.base_root(), "base root"),
          .node_floor = NodeId(w.node_floor()),
          .version_floor = Version(w.version_floor())};
}

static Offset<wire::ActivationConfirmed> pack(Builder& b, const ActivationConfirmed& e) {
  const auto nodes = pack_nodes(b, e.nodes);
  return wire::CreateActivationConfirmed(b, e.activation.value(), nodes);
}
static ActivationConfirmed unpack(Reader& r, const wire::ActivationConfirmed& w) {
  return {.activation = ActivationId(w.activation()), .nodes = unpack_nodes(r, w.nodes())};
}

static Offset<wire::ActivationEnded> pack(Builder& b, const ActivationEnded& e) {
  return wire::CreateActivationEnded(b, e.activation.value(), static_cast<wire::ActivationEnd>(e.how));
}
static ActivationEnded unpack(Reader& r, const wire::ActivationEnded& w) {
  return {.activation = ActivationId(w.activation()),
          .how = r.one_of(w.how(), ActivationEnd::failed, "end of an activation")};
}

static Offset<wire::ActivationExtended> pack(Builder& b, const ActivationExtended& e) {
  return wire::CreateActivationExtended(b, e.activation.value(), e.deadline.value(), e.seconds);
}
static ActivationExtended unpack(Reader&, const wire::ActivationExtended& w) {
  return {.activation = ActivationId(w.activation()), .deadline = Timestamp(w.deadline()), .seconds = w.seconds()};
}

static Offset<wire::EndpointsSet> pack(Builder& b, const EndpointsSet& e) {
  const auto endpoints = pack_texts(b, e.endpoints);
  const auto enrol_endpoints = pack_texts(b, e.enrol_endpoints);
  return wire::CreateEndpointsSet(b, endpoints, enrol_endpoints);
}
static EndpointsSet unpack(Reader& r, const wire::EndpointsSet& w) {
  return {.endpoints = r.lines(w.endpoints(), "endpoint", kEndpointsMax, kEndpointBytesMax),
          .enrol_endpoints = r.lines(w.enrol_endpoints(), "enrolment endpoint", kEndpointsMax, kEndpointBytesMax)};
}

static Offset<wire::RecoverySet> pack(Builder& b, const RecoverySet& e) {
  return wire::CreateRecoverySet(b, e.node.value(), pack_fixed(e.sign_key), pack_fixed(e.box_key));
}
static RecoverySet unpack(Reader& r, const wire::RecoverySet& w) {
  return {.node = NodeId(w.node()),
          .sign_key = r.fixed<SignKey>(w.sign_key(), "recovery sign key"),
          .box_key = r.fixed<BoxKey>(w.box_key(), "recovery box key")};
}

Offset<wire::Event> pack_event(Builder& b, const Event& event) {
  const auto [type, body] = pack_union<wire::EventBodyTraits>(b, event);
  return wire::CreateEvent(b, type, body);
}

std::vector<Event> unpack_events(Reader& r, const WireVector<Offset<wire::Event>>* w) {
  return r.list(w, "events", kEventsPerEntryMax, [&](const wire::Event* event) {
    return unpack_union<wire::EventBodyTraits, Event>(r, event->body_type(), event->body(), "event");
  });
}

}  // namespace mesh
