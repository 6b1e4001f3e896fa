#include "tests/unit/codec/generate.h"

#include <set>
#include <utility>

#include "eventstore/model/limits.h"

namespace mesh::testing {

uint64_t Generator::wide() {
  switch (below(5)) {
    case 0: return 0;
    case 1: return below(300);
    case 2: return UINT64_MAX - below(2);
    case 3: return (uint64_t{1} << 63) - below(2);
    default: return number();
  }
}

std::string Generator::text(size_t max, bool prose) {
  static constexpr std::string_view kCharacters[] = {"a", "z", "0", "-", ".", " ", "\"", "\\", "ü", "中", "🙂", "~"};
  const size_t choice = below(6);
  const size_t length = choice == 0 ? 0 : choice == 1 ? max : below(std::min<size_t>(max, 40) + 1);
  std::string out;
  while (out.size() < length) {
    std::string_view next = kCharacters[below(std::size(kCharacters))];
    if (prose && below(10) == 0) next = flag() ? "\n" : "\t";
    if (out.size() + next.size() > length) next = "x";
    out += next;
  }
  return out;
}

std::string Generator::line(size_t max) { return text(max, false); }
std::string Generator::prose(size_t max) { return text(max, true); }

Bytes Generator::bytes(size_t max) {
  Bytes out(below(max + 1));
  for (auto& byte : out) byte = static_cast<uint8_t>(number());
  return out;
}

Target Generator::target() { return {.level = static_cast<Level>(1 + below(3)), .name = line(kFullNameBytesMax)}; }

Scope Generator::scope() {
  return {.level = static_cast<Level>(1 + below(3)), .site = name(), .node = NodeId(narrow())};
}

Principal Generator::principal() { return {.kind = static_cast<PrincipalKind>(1 + below(5)), .name = name()}; }

AttributeValue Generator::value() {
  const auto scalar = [this]() -> Scalar {
    switch (below(3)) {
      case 0: return flag();
      case 1: return wide_signed();
      default: return prose(kAttributeValueBytesMax);
    }
  };
  switch (below(5)) {
    case 0: return flag();
    case 1: return wide_signed();
    case 2: return prose(kAttributeValueBytesMax);
    case 3: return FileRef{array<Digest>(), wide() >> 1};
    default: return list(5, scalar);
  }
}

std::vector<VersionRow> Generator::version_rows() {
  uint32_t node = kNodeIdMin;
  return list(20, [&] {
    return VersionRow{NodeId(node += 1 + static_cast<uint32_t>(below(3))), Version(narrow()), array<Digest>()};
  });
}

JoinStatement Generator::statement() {
  return {.log = array<LogId>(),
          .node = line(kFullNameBytesMax),
          .token = TokenId(wide()),
          .sign_key = array<SignKey>(),
          .box_key = array<BoxKey>(),
          .wireguard_key = array<WireGuardKey>(),
          .hostname = line(kHostNameBytesMax),
          .machine = line(kHostNameBytesMax),
          .nonce = array<Digest>()};
}

SignedJoin Generator::join(const JoinStatement& statement) {
  return {.statement = encode_join(statement),
          .node_signature = array<Signature>(),
          .token_signature = array<Signature>()};
}

Outcome Generator::outcome() {
  return {.node = NodeId(narrow()),
          .serial = wide(),
          .kind = static_cast<OutcomeKind>(1 + below(4)),
          .activation = ActivationId(wide()),
          .version = Version(narrow()),
          .message = prose(kMessageBytesMax)};
}

SignedOutcome Generator::signed_outcome() {
  const Outcome content = outcome();
  return {.bytes = encode_outcome(content), .signature = array<Signature>(), .outcome = content};
}

CreateLog Generator::create_log() {
  const auto endpoint = [this] { return line(kEndpointBytesMax); };
  return {.log_key = array<SignKey>(),
          .controller_key = array<BoxKey>(),
          .recovery_key = array<SignKey>(),
          .admin = name(),
          .admin_sign_key = array<SignKey>(),
          .admin_box_key = array<BoxKey>(),
          .endpoints = list(kEndpointsMax, endpoint),
          .enrol_endpoints = list(kEndpointsMax, endpoint),
          .profile = name(),
          .loopbacknet_ipv4 = name(),
          .loopbacknet_ipv6 = name(),
          .transfernet_ipv4 = name(),
          .transfernet_ipv6 = name(),
          .bgp_as_base = wide_signed(),
          .nonce = array<Digest>(),
          .rules = narrow()};
}

Command Generator::command(size_t kind) {
  const auto role = [this] { return static_cast<Role>(1 + below(3)); };
  const auto sites = [this] { return list(4, [this] { return name(); }); };
  const auto node = [this] { return line(kFullNameBytesMax); };
  const auto attribute = [this] { return line(kAttributeNameBytesMax); };
  const auto endpoints = [this] { return list(kEndpointsMax, [this] { return line(kEndpointBytesMax); }); };
  switch (kind) {
    case 0: return create_log();
    case 1: return AddSite{name()};
    case 2: return RemoveSite{name(), flag()};
    case 3: return RenameSite{name(), name()};
    case 4: return AddNode{node(), NodeId(narrow())};
    case 5: return RemoveNode{node(), flag()};
    case 6: return RenameNode{node(), node()};
    case 7: return SetAttribute{target(), attribute(), value()};
    case 8: return UnsetAttribute{target(), attribute()};
    case 9: return Commit{target(), Sequence(wide()), array<Digest>(), flag(), flag(), flag()};
    case 10: return Discard{target()};
    case 11:
      return Activate{target(), Version(narrow()), narrow() % 2 == 0, narrow(), flag(),
                      list(kHealthGatesMax, [this] { return name(); }), narrow()};
    case 12: return CreateToken{array<SignKey>(), target(), narrow(), Timestamp(wide_signed()), flag()};
    case 13: return RevokeToken{TokenId(wide())};
    case 14: return ExpireToken{TokenId(wide())};
    case 15: {
      const JoinStatement content = statement();
      return AdmitNode{join(content), content};
    }
    case 16: {
      const JoinStatement content = statement();
      return ApproveNode{node(), join(content), content};
    }
    case 17: return RejectNode{name()};
    case 18: return RevokeNode{node()};
    case 19: return AddOperator{name(), role(), sites(), array<SignKey>(), array<BoxKey>()};
    case 20: return SetRole{name(), role(), sites()};
    case 21: return BanOperator{name()};
    case 22: return RaiseRules{narrow()};
    case 23: return SignAnchor{Sequence(wide()), array<Digest>(), array<Digest>()};
    case 24: return ReportOutcomes{list(4, [this] { return signed_outcome(); })};
    case 25: return AddTag{name(), Sequence(wide())};
    case 26: return RemoveTag{name()};
    case 27: return RestoreSite{name()};
    case 28: return RestoreNode{NodeId(narrow()), name()};
    case 29: return RollBack{target(), Sequence(wide()), array<Digest>()};
    case 30: return Undo{Sequence(wide())};
    case 31:
      return StartEpoch{narrow(), Sequence(wide()), array<Digest>(), NodeId(narrow()), Version(narrow())};
    case 32: return ConfirmActivation{ActivationId(wide()), flag(), list(4, [this] { return signed_outcome(); })};
    case 33: return CancelActivation{ActivationId(wide()), list(4, [this] { return signed_outcome(); })};
    case 34: return ExtendActivation{ActivationId(wide()), narrow()};
    case 35: return ExpireActivation{ActivationId(wide())};
    case 36: return SetEndpoints{endpoints(), endpoints()};
    case 37: return SetRecovery{node(), array<SignKey>(), array<BoxKey>()};
  }
  static_assert(std::variant_size_v<Command> == 38, "a new command needs a random value");
  std::unreachable();
}

Event Generator::event(size_t kind) {
  const auto role = [this] { return static_cast<Role>(1 + below(3)); };
  const auto sites = [this] { return list(4, [this] { return name(); }); };
  const auto node = [this] { return NodeId(narrow()); };
  const auto attribute = [this] { return line(kAttributeNameBytesMax); };
  const auto endpoints = [this] { return list(kEndpointsMax, [this] { return line(kEndpointBytesMax); }); };
  switch (kind) {
    case 0: return LogCreated{array<LogId>(), create_log()};
    case 1: return SiteAdded{name()};
    case 2: return SiteRemoved{name()};
    case 3: return SiteRestored{name()};
    case 4: return SiteRenamed{name(), name()};
    case 5: return NodeAdded{node(), name(), name()};
    case 6: return NodeRemoved{node()};
    case 7: return NodeRestored{node(), flag() ? name() : ""};
    case 8: return NodeRenamed{node(), name(), name()};
    case 9:
      return AttributeSet{scope(), attribute(), flag() ? std::optional(value()) : std::nullopt, value()};
    case 10: return AttributeUnset{scope(), attribute(), value()};
    case 11: return VersionsCommitted{scope(), Sequence(wide()), array<Digest>(), version_rows()};
    case 12: return ChangesDiscarded{scope(), narrow()};
    case 13:
      return ActivationStarted{ActivationId(wide()), list(20, [&] {
                                 return ActivationRow{node(), Version(narrow()), Version(narrow())};
                               }),
                               narrow(), Timestamp(wide_signed()),
                               list(kHealthGatesMax, [this] { return name(); }), narrow()};
    case 14:
      return TokenCreated{TokenId(wide()), array<SignKey>(), scope(), narrow(), Timestamp(wide_signed()), flag()};
    case 15: return TokenUsed{TokenId(wide()), node()};
    case 16: return TokenRevoked{TokenId(wide())};
    case 17: return TokenExpired{TokenId(wide())};
    case 18:
      return NodeEnrolled{node(), array<SignKey>(), array<BoxKey>(), line(kHostNameBytesMax),
                          line(kHostNameBytesMax)};
    case 19: return KeyRegistered{node(), narrow(), array<WireGuardKey>()};
    case 20: return KeyDropped{node(), narrow()};
    case 21: return NodeRejected{name()};
    case 22: return NodeRevoked{node()};
    case 23: return OperatorAdded{name(), role(), sites(), array<SignKey>(), array<BoxKey>()};
    case 24: return RoleSet{name(), role(), sites()};
    case 25: return OperatorBanned{name()};
    case 26: return RulesRaised{narrow()};
    case 27: return AnchorSigned{Sequence(wide()), array<Digest>(), array<Digest>(), name()};
    case 28: return OutcomeReported{outcome()};
    case 29: return TagAdded{name(), Sequence(wide())};
    case 30: return TagRemoved{name()};
    case 31: return RolledBack{scope(), Sequence(wide()), array<Digest>()};
    case 32: return EntryUndone{Sequence(wide())};
    case 33:
      return EpochStarted{narrow(), Sequence(wide()), array<Digest>(), NodeId(narrow()), Version(narrow())};
    case 34: {
      std::set<NodeId> nodes;
      for (size_t i = below(20); i > 0; --i) nodes.insert(node());
      return ActivationConfirmed{ActivationId(wide()), {nodes.begin(), nodes.end()}};
    }
    case 35: return ActivationEnded{ActivationId(wide()), static_cast<ActivationEnd>(1 + below(4))};
    case 36: return ActivationExtended{ActivationId(wide()), Timestamp(wide_signed()), narrow()};
    case 37: return EndpointsSet{endpoints(), endpoints()};
    case 38: return RecoverySet{node(), array<SignKey>(), array<BoxKey>()};
  }
  static_assert(std::variant_size_v<Event> == 39, "a new event needs a random value");
  std::unreachable();
}

MachineStatus Generator::machine() {
  return {narrow(), narrow(), wide(), wide(), wide(), wide(), wide(), line(kHostNameBytesMax), name(), name()};
}

LinkHealth Generator::link_health() {
  return {NodeId(narrow()), line(kInterfaceNameMax), flag(), flag(), flag() ? -1 : wide_signed(), wide(), wide(),
          line(kEndpointBytesMax), flag() ? -1 : wide_signed(), flag() ? -1 : wide_signed(),
          static_cast<uint16_t>(narrow()), static_cast<uint16_t>(narrow()), flag() ? -1 : wide_signed()};
}

Body Generator::body(size_t kind) {
  const auto error = [this] {
    return Error{static_cast<Errc>(1 + below(12)), prose(3000), prose(300)};
  };
  const auto part = [this] {
    Bytes content = bytes(400);
    const uint64_t offset = below(1000);
    return std::tuple(offset, offset + content.size() + below(1000), content);
  };
  const auto entry = [this] {
    Bytes header = bytes(300);
    header.push_back(1);
    return EncodedEntry{header, bytes(600)};
  };
  const auto drift = [this] {
    return DriftItem{name(), line(kHostNameBytesMax), prose(kDriftTextMax), prose(kDriftTextMax), wide(),
                     flag() ? -1 : wide_signed(), name()};
  };
  switch (kind) {
    case 0: return Submit{{bytes(600), array<Signature>()}, flag(), list(3, [this] { return bytes(400); })};
    case 1:
      return Reply{Sequence(wide()), Timestamp(wide_signed()), list(5, [this] { return event(); }),
                   list(3, [this] { return line(500); })};
    case 2: return ErrorReply{error()};
    case 3: return Prepare{target(), flag(), flag()};
    case 4: return Prepared{Sequence(wide()), array<Digest>(), version_rows(), prose(5000)};
    case 5: {
      std::map<std::string, std::string> arguments;
      for (uint64_t left = below(kQueryArgumentsMax + 1); left > 0; --left)
        arguments.emplace(name(), prose(kQueryValueBytesMax));
      return Query{name(), arguments, Sequence(wide())};
    }
    case 6: return QueryResult{prose(5000), flag(), line(kQueryValueBytesMax)};
    case 7: return Subscribe{Sequence(wide()), below(kCreditBytesMax + 1), flag()};
    case 8: {
      auto [offset, total, content] = part();
      return SnapshotChunk{Sequence(wide()), offset, total, content};
    }
    case 9: return Entries{list(6, entry), prose(500)};
    case 10: return Credit{below(kCreditBytesMax + 1)};
    case 11: return Head{Sequence(wide()), prose(500)};
    case 12: return Fetch{array<Digest>(), wide(), wide()};
    case 13: {
      auto [offset, total, content] = part();
      return BlobChunk{array<Digest>(), offset, total, content};
    }
    case 14:
      return NodeStatus{Sequence(wide()), array<Digest>(), prose(kNoteBytesMax), Version(narrow()),
                        Version(narrow()), Sequence(wide()), prose(kMessageBytesMax), prose(kMessageBytesMax),
                        name(), list(5, [this] { return link_health(); }), prose(kNoteBytesMax), list(5, drift),
                        narrow(), name(), array<Digest>(),
                        Version(narrow()), ActivationId(wide()), static_cast<int64_t>(wide()), machine()};
    case 15: return OutcomeMessage{signed_outcome()};
    case 16: return Ack{wide()};
    case 17: return Join{join(statement())};
    case 18:
      return Admitted{NodeId(narrow()), line(kFullNameBytesMax),
                      list(kEndpointsMax, [this] { return line(kEndpointBytesMax); })};
    case 19: return Waiting{name()};
    case 20: return Refused{error()};
    case 21: return Orphans{narrow(), list(6, entry)};
    case 22: return OrphansKept{narrow(), Sequence(wide())};
  }
  static_assert(std::variant_size_v<Body> == 23, "a new message needs a random value");
  std::unreachable();
}

Request Generator::request(Command command) {
  return {.log = array<LogId>(),
          .epoch = narrow(),
          .principal = principal(),
          .id = array<RequestId>(),
          .based_on = Sequence(wide()),
          .expect_sequence = Sequence(wide()),
          .commands = {std::move(command)},
          .message = prose(kMessageBytesMax),
          .reference = line(kMessageBytesMax),
          .origin = name()};
}

Request Generator::request() {
  Request request = this->request(command());
  for (uint64_t more = below(8); more > 0; --more) request.commands.push_back(command());
  return request;
}

EntryHeader Generator::header() {
  return {.log = array<LogId>(),
          .epoch = narrow(),
          .term = wide(),
          .sequence = Sequence(wide()),
          .time = Timestamp(wide_signed()),
          .principal = principal(),
          .entry_class = static_cast<EntryClass>(1 + below(2)),
          .rules = narrow(),
          .request_hash = {},
          .context_hash = {},
          .events_hash = {}};
}

EntryBody Generator::entry_body(Request request, std::vector<Event> events) {
  Bytes signed_bytes = encode_request(request);
  return {.signed_request = {std::move(signed_bytes), array<Signature>()},
          .request = std::move(request),
          .context = {Timestamp(wide_signed()), version_rows()},
          .events = std::move(events)};
}

TokenText Generator::token() {
  TokenText token{.log = array<LogId>(),
                  .token = TokenId(wide()),
                  .log_key = array<SignKey>(),
                  .controller_key = array<BoxKey>(),
                  .enrol_endpoints = list(kEndpointsMax, [this] { return line(kEndpointBytesMax); }),
                  .node = line(kFullNameBytesMax),
                  .anchor = std::nullopt,
                  .seed = {}};
  if (flag()) token.anchor = Anchor{Sequence(wide()), array<Digest>(), array<Digest>(), name()};
  for (auto& byte : token.seed) byte = static_cast<uint8_t>(number());
  return token;
}

}  // namespace mesh::testing
