// Parts of commands, events and messages.
#include "schemas/codec.h"
#include "schemas/codec_internal.h"

namespace mesh {

Offset<wire::Target> pack(Builder& b, const Target& target) {
  const auto name = pack_text(b, target.name);
  return wire::CreateTarget(b, static_cast<wire::Level>(target.level), name);
}

Target unpack_target(Reader& r, const wire::Target* w) {
  if (!r.present(w, "target")) return {};
  return {.level = r.one_of(w->level(), Level::node, "level"),
          .name = r.line(w->name(), "target", kFullNameBytesMax)};
}

Offset<wire::Scope> pack(Builder& b, const Scope& scope) {
  const auto site = pack_text(b, scope.site);
  return wire::CreateScope(b, static_cast<wire::Level>(scope.level), site, scope.node.value());
}

Scope unpack_scope(Reader& r, const wire::Scope* w) {
  if (!r.present(w, "scope")) return {};
  return {.level = r.one_of(w->level(), Level::node, "level"),
          .site = r.line(w->site(), "site"),
          .node = NodeId(w->node())};
}

Offset<wire::Principal> pack(Builder& b, const Principal& principal) {
  const auto name = pack_text(b, principal.name);
  return wire::CreatePrincipal(b, static_cast<wire::PrincipalKind>(principal.kind), name);
}

Principal unpack_principal(Reader& r, const wire::Principal* w) {
  if (!r.present(w, "principal")) return {};
  return {.kind = r.one_of(w->kind(), PrincipalKind::recovery, "kind of principal"),
          .name = r.line(w->name(), "principal")};
}

namespace {

Offset<wire::Value> pack_scalar(Builder& b, const Scalar& scalar) {
  if (const auto* flag = std::get_if<bool>(&scalar))
    return wire::CreateValue(b, wire::ValueKind::boolean, *flag ? 1 : 0);
  if (const auto* number = std::get_if<int64_t>(&scalar))
    return wire::CreateValue(b, wire::ValueKind::integer, *number);
  const auto text = pack_text(b, std::get<std::string>(scalar));
  return wire::CreateValue(b, wire::ValueKind::text, 0, text);
}

Scalar unpack_scalar(Reader& r, const wire::Value& w) {
  switch (w.kind()) {
    case wire::ValueKind::boolean:
      if (w.integer() != 0 && w.integer() != 1) r.fail(Errc::corrupt, "boolean is neither 0 nor 1");
      return w.integer() == 1;
    case wire::ValueKind::integer:
      return w.integer();
    case wire::ValueKind::text:
      return r.prose(w.text(), "attribute value", kAttributeValueBytesMax);
    case wire::ValueKind::list:
      r.fail(Errc::corrupt, "attribute value has a list in a list");
      return {};
    case wire::ValueKind::file:
      r.fail(Errc::corrupt, "attribute value has a file in a list");
      return {};
  }
  r.fail(Errc::unsupported, fmt::format("kind {} of attribute value is unknown", static_cast<int>(w.kind())),
         Reader::kUpgrade);
  return {};
}

}  // namespace

Offset<wire::Value> pack(Builder& b, const AttributeValue& value) {
  if (const auto* list = value.list()) {
    const auto items = pack_list(b, *list, [&](const Scalar& scalar) { return pack_scalar(b, scalar); });
    return wire::CreateValue(b, wire::ValueKind::list, 0, 0, items);
  }
  if (const auto* file = value.file())
    return wire::CreateValue(b, wire::ValueKind::file, static_cast<int64_t>(file->size), 0, 0,
                             pack_fixed(file->digest));
  return std::visit(
      [&b]<class T>(const T& data) -> Offset<wire::Value> {
        if constexpr (std::is_constructible_v<Scalar, const T&>) return pack_scalar(b, Scalar(data));
        return 0;  // the list and the file above
      },
      value.data);
}

AttributeValue unpack_value(Reader& r, const wire::Value* w) {
  if (!r.present(w, "attribute value")) return {};
  if (w->kind() == wire::ValueKind::list)
    return r.list(w->list(), "attribute list", kAttributeListMax,
                  [&](const wire::Value* item) { return unpack_scalar(r, *item); });
  if (w->kind() == wire::ValueKind::file) {
    if (w->integer() < 0) r.fail(Errc::corrupt, "a file has a negative size");
    return FileRef{r.fixed<Digest>(w->digest(), "file's digest"), static_cast<uint64_t>(w->integer())};
  }
  return std::visit([](auto&& scalar) { return AttributeValue(std::move(scalar)); }, unpack_scalar(r, *w));
}

Offset<WireVector<const wire::VersionRow*>> pack_version_rows(Builder& b, const std::vector<VersionRow>& rows) {
  return pack_rows(b, rows, [](const VersionRow& row) {
    return wire::VersionRow(row.node.value(), row.version.value(), *pack_fixed(row.digest));
  });
}

std::vector<VersionRow> unpack_version_rows(Reader& r, const WireVector<const wire::VersionRow*>* w) {
  return r.list(w, "version rows", kNodesMax, [&](const wire::VersionRow* row) {
    return VersionRow{NodeId(row->node()), Version(row->version()), r.fixed<Digest>(&row->digest(), "digest")};
  });
}

Offset<wire::SignedJoin> pack(Builder& b, const SignedJoin& join) {
  const auto statement = pack_bytes(b, join.statement);
  return wire::CreateSignedJoin(b, statement, pack_fixed(join.node_signature), pack_fixed(join.token_signature));
}

SignedJoin unpack_join(Reader& r, const wire::SignedJoin* w) {
  if (!r.present(w, "join")) return {};
  return {.statement = r.bytes(w->statement(), "join statement", kJoinBytesMax),
          .node_signature = r.fixed<Signature>(w->node_signature(), "node's signature"),
          .token_signature = r.fixed<Signature>(w->token_signature(), "token's signature")};
}

Bytes encode_join(const JoinStatement& statement) {
  Builder b;
  const auto node = pack_text(b, statement.node);
  const auto hostname = pack_line(b, statement.hostname, kHostNameBytesMax);
  const auto machine = pack_line(b, statement.machine, kHostNameBytesMax);
  b.Finish(wire::CreateJoinStatement(b, pack_fixed(statement.log), node, statement.token.value(),
                                     pack_fixed(statement.sign_key), pack_fixed(statement.box_key),
                                     pack_fixed(statement.wireguard_key), hostname, machine,
                                     pack_fixed(statement.nonce)),
           kJoinIdentifier);
  return finished(b);
}

Result<JoinStatement> decode_join(ByteView bytes) {
  const AlignedInput input(bytes);
  auto root = open_root<wire::JoinStatement>(input, kJoinIdentifier, kJoinBytesMax, "join statement");
  if (!root) return std::unexpected(std::move(root).error());
  const auto& w = **root;
  Reader r(bytes.size());
  JoinStatement statement{.log = r.fixed<LogId>(w.log(), "log id"),
                          .node = r.line(w.node(), "node", kFullNameBytesMax),
                          .token = TokenId(w.token()),
                          .sign_key = r.fixed<SignKey>(w.sign_key(), "sign key"),
                          .box_key = r.fixed<BoxKey>(w.box_key(), "box key"),
                          .wireguard_key = r.fixed<WireGuardKey>(w.wireguard_key(), "WireGuard key"),
                          .hostname = r.line(w.hostname(), "host name", kHostNameBytesMax),
                          .machine = r.line(w.machine(), "machine", kHostNameBytesMax),
                          .nonce = r.fixed<Digest>(w.nonce(), "nonce")};
  return r.finish("join statement", std::move(statement));
}

Offset<wire::Outcome> pack(Builder& b, const Outcome& outcome) {
  const auto message = pack_prose(b, outcome.message, kMessageBytesMax);
  return wire::CreateOutcome(b, outcome.node.value(), outcome.serial, static_cast<wire::OutcomeKind>(outcome.kind),
                             outcome.activation.value(), outcome.version.value(), message);
}

Outcome unpack_outcome(Reader& r, const wire::Outcome* w) {
  if (!r.present(w, "outcome")) return {};
  return {.node = NodeId(w->node()),
          .serial = w->serial(),
          .kind = r.one_of(w->kind(), OutcomeKind::healthy, "kind of outcome"),
          .activation = ActivationId(w->activation()),
          .version = Version(w->version()),
          .message = r.prose(w->message(), "outcome's message", kMessageBytesMax)};
}

Bytes encode_outcome(const Outcome& outcome) {
  Builder b;
  b.Finish(pack(b, outcome), kOutcomeIdentifier);
  return finished(b);
}

Result<Outcome> decode_outcome(ByteView bytes) {
  const AlignedInput input(bytes);
  auto root = open_root<wire::Outcome>(input, kOutcomeIdentifier, kOutcomeBytesMax, "outcome");
  if (!root) return std::unexpected(std::move(root).error());
  Reader r(bytes.size());
  Outcome outcome = unpack_outcome(r, *root);
  return r.finish("outcome", std::move(outcome));
}

Offset<wire::SignedOutcome> pack(Builder& b, const SignedOutcome& outcome) {
  const auto bytes = pack_bytes(b, outcome.bytes);
  return wire::CreateSignedOutcome(b, bytes, pack_fixed(outcome.signature));
}

Offset<WireVector<uint32_t>> pack_nodes(Builder& b, const std::vector<NodeId>& nodes) {
  if (nodes.empty()) return 0;
  std::vector<uint32_t> numbers;
  numbers.reserve(nodes.size());
  for (NodeId node : nodes) numbers.push_back(node.value());
  return b.CreateVector(numbers);
}

std::vector<NodeId> unpack_nodes(Reader& r, const WireVector<uint32_t>* w) {
  auto nodes = r.list(w, "nodes", kNodesMax, [](uint32_t number) { return NodeId(number); });
  for (size_t i = 1; i < nodes.size(); ++i)
    if (nodes[i - 1] >= nodes[i]) r.fail(Errc::corrupt, "nodes are not in order");
  return nodes;
}

std::vector<std::string> unpack_gates(Reader& r, const WireVector<Offset<WireString>>* w) {
  constexpr size_t kGateBytesMax = kNameBytesMax + 8;  // "reach:" and a site
  return r.lines(w, "gate", kHealthGatesMax, kGateBytesMax);
}

SignedOutcome unpack_signed_outcome(Reader& r, const wire::SignedOutcome* w) {
  if (!r.present(w, "signed outcome")) return {};
  SignedOutcome out{.bytes = r.bytes(w->bytes(), "outcome", kOutcomeBytesMax),
                    .signature = r.fixed<Signature>(w->signature(), "outcome's signature"),
                    .outcome = {}};
  if (!r.ok()) return out;
  if (auto outcome = decode_outcome(out.bytes))
    out.outcome = std::move(*outcome);
  else
    r.fail(outcome.error().code, outcome.error().message, outcome.error().fix);
  return out;
}

}  // namespace mesh
