// One pair of functions for each message, in the order of mesh::Body.
#include "message_generated.h"
#include "schemas/codec.h"
#include "schemas/codec_internal.h"

namespace mesh {

static Offset<wire::Error> pack(Builder& b, const Error& e) {
  const auto message = pack_prose(b, e.message, kErrorBytesMax);
  const auto fix = pack_prose(b, e.fix, kErrorBytesMax);
  return wire::CreateError(b, static_cast<wire::ErrorCode>(e.code), message, fix);
}
static Error unpack_error(Reader& r, const wire::Error* w) {
  if (!r.present(w, "error")) return {};
  return {.code = r.one_of(w->code(), Errc::unsupported, "error code"),
          .message = r.prose(w->message(), "error message", kErrorBytesMax),
          .fix = r.prose(w->fix(), "fix", kErrorBytesMax)};
}

static Offset<wire::Submit> pack(Builder& b, const Submit& m) {
  const auto bytes = pack_bytes(b, m.request.bytes);
  const auto request = wire::CreateSignedRequest(b, bytes, pack_fixed(m.request.signature));
  const auto attachments = pack_list(b, m.attachments, [&](const Bytes& content) {
    const auto packed = pack_bytes(b, content);
    return wire::CreateAttachment(b, packed);
  });
  return wire::CreateSubmit(b, request, m.dry_run, attachments);
}
static Submit unpack(Reader& r, const wire::Submit& w) {
  Submit m{.request = {}, .dry_run = w.dry_run(), .attachments = {}};
  if (!r.present(w.request(), "request")) return m;
  m.request = {.bytes = r.bytes(w.request()->bytes(), "request", kRequestBytesMax),
               .signature = r.fixed<Signature>(w.request()->signature(), "signature")};
  size_t total = 0;
  m.attachments = r.list(w.attachments(), "attachments", kAttachmentsMax, [&](const wire::Attachment* attachment) {
    Bytes content = r.bytes(attachment->bytes(), "attachment", kFileBytesMax + kFileSaltBytes);
    total += content.size();
    return content;
  });
  if (total > kAttachmentBytesMax) r.fail(Errc::exhausted, "the attachments are too large together");
  return m;
}

static Offset<wire::Reply> pack(Builder& b, const Reply& m) {
  const auto events = pack_list(b, m.events, [&](const Event& event) { return pack_event(b, event); });
  const auto warnings = pack_texts(b, m.warnings);
  return wire::CreateReply(b, m.sequence.value(), m.time.value(), events, warnings);
}
static Reply unpack(Reader& r, const wire::Reply& w) {
  return {.sequence = Sequence(w.sequence()),
          .time = Timestamp(w.time()),
          .events = unpack_events(r, w.events()),
          .warnings = r.lines(w.warnings(), "warnings", kWarningsMax, kFrameBytesMax)};
}

static Offset<wire::ErrorReply> pack(Builder& b, const ErrorReply& m) {
  const auto error = pack(b, m.error);
  return wire::CreateErrorReply(b, error);
}
static ErrorReply unpack(Reader& r, const wire::ErrorReply& w) { return {.error = unpack_error(r, w.error())}; }

static Offset<wire::Prepare> pack(Builder& b, const Prepare& m) {
  const auto target = pack(b, m.target);
  return wire::CreatePrepare(b, target, m.include_others, m.with_neighbours);
}
static Prepare unpack(Reader& r, const wire::Prepare& w) {
  return {.target = unpack_target(r, w.target()),
          .include_others = w.include_others(),
          .with_neighbours = w.with_neighbours()};
}

static Offset<wire::Prepared> pack(Builder& b, const Prepared& m) {
  const auto rows = pack_version_rows(b, m.rows);
  const auto plan = pack_text(b, m.plan);
  return wire::CreatePrepared(b, m.sequence.value(), pack_fixed(m.root), rows, plan);
}
static Prepared unpack(Reader& r, const wire::Prepared& w) {
  return {.sequence = Sequence(w.sequence()),
          .root = r.fixed<Digest>(w.root(), "root"),
          .rows = unpack_version_rows(r, w.rows()),
          .plan = r.prose(w.plan(), "plan", kFrameBytesMax)};
}

static Offset<wire::Query> pack(Builder& b, const Query& m) {
  const auto kind = pack_text(b, m.kind);
  const auto arguments = pack_list(b, m.arguments, [&](const auto& argument) {
    const auto name = pack_text(b, argument.first);
    const auto value = pack_text(b, argument.second);
    return wire::CreateArgument(b, name, value);
  });
  return wire::CreateQuery(b, kind, arguments, m.at.value());
}
static Query unpack(Reader& r, const wire::Query& w) {
  Query m{.kind = r.line(w.kind(), "kind of query"), .arguments = {}, .at = Sequence(w.at())};
  if (!w.arguments() || !r.take(w.arguments()->size(), sizeof(uint32_t), kQueryArgumentsMax, "arguments")) return m;
  for (const auto* argument : *w.arguments()) {
    auto name = r.line(argument->name(), "argument");
    auto value = r.prose(argument->value(), "argument's value", kQueryValueBytesMax);
    if (!m.arguments.emplace(std::move(name), std::move(value)).second && r.ok())
      r.fail(Errc::corrupt, "argument given twice");
  }
  return m;
}

static Offset<wire::QueryResult> pack(Builder& b, const QueryResult& m) {
  const auto json = pack_text(b, m.json);
  const auto cursor = pack_text(b, m.cursor);
  return wire::CreateQueryResult(b, json, m.more, cursor);
}
static QueryResult unpack(Reader& r, const wire::QueryResult& w) {
  return {.json = r.prose(w.json(), "document", kFrameBytesMax),
          .more = w.more(),
          .cursor = r.line(w.cursor(), "cursor", kQueryValueBytesMax)};
}

static Offset<wire::Subscribe> pack(Builder& b, const Subscribe& m) {
  return wire::CreateSubscribe(b, m.after.value(), m.credit, m.snapshots);
}
static uint64_t unpack_credit(Reader& r, uint64_t bytes) {
  if (bytes > kCreditBytesMax)
    r.fail(Errc::exhausted, fmt::format("credit is {} bytes, at most {}", bytes, kCreditBytesMax));
  return bytes;
}
static Subscribe unpack(Reader& r, const wire::Subscribe& w) {
  return {.after = Sequence(w.after()), .credit = unpack_credit(r, w.credit()), .snapshots = w.snapshots()};
}

static void check_chunk(Reader& r, uint64_t offset, uint64_t size, uint64_t total, uint64_t max) {
  if (total > max) r.fail(Errc::exhausted, fmt::format("whole has {} bytes, at most {}", total, max));
  if (offset > total || size > total - offset)
    r.fail(Errc::corrupt, fmt::format("part of {} bytes at {} does not fit {}", size, offset, total));
}

static Offset<wire::SnapshotChunk> pack(Builder& b, const SnapshotChunk& m) {
  const auto bytes = pack_bytes(b, m.bytes);
  return wire::CreateSnapshotChunk(b, m.sequence.value(), m.offset, m.total, bytes);
}
static SnapshotChunk unpack(Reader& r, const wire::SnapshotChunk& w) {
  SnapshotChunk m{.sequence = Sequence(w.sequence()),
                  .offset = w.offset(),
                  .total = w.total(),
                  .bytes = r.bytes(w.bytes(), "part of a snapshot", kFrameBytesMax)};
  check_chunk(r, m.offset, m.bytes.size(), m.total, kSnapshotBytesMax);
  return m;
}

static Offset<wire::EncodedEntry> pack(Builder& b, const EncodedEntry& entry) {
  const auto header = pack_bytes(b, entry.header);
  const auto body = pack_bytes(b, entry.body);
  return wire::CreateEncodedEntry(b, header, body);
}
static EncodedEntry unpack_entry(Reader& r, const wire::EncodedEntry* w) {
  return {.header = r.bytes(w->header(), "header", kHeaderBytesMax),
          .body = r.bytes(w->body(), "body", kEntryBytesMax)};
}

static Offset<wire::Entries> pack(Builder& b, const Entries& m) {
  const auto entries = pack_list(b, m.entries, [&](const EncodedEntry& entry) { return pack(b, entry); });
  const auto checkpoint = pack_text(b, m.checkpoint);
  return wire::CreateEntries(b, entries, checkpoint);
}
static Entries unpack(Reader& r, const wire::Entries& w) {
  return {.entries = r.list(w.entries(), "entries", kFlatBufferTablesMax,
                            [&](const wire::EncodedEntry* entry) { return unpack_entry(r, entry); }),
          .checkpoint = r.prose(w.checkpoint(), "checkpoint", kNoteBytesMax)};
}

static Offset<wire::Credit> pack(Builder& b, const Credit& m) { return wire::CreateCredit(b, m.bytes); }
static Credit unpack(Reader& r, const wire::Credit& w) { return {.bytes = unpack_credit(r, w.bytes())}; }

static Offset<wire::Head> pack(Builder& b, const Head& m) {
  const auto checkpoint = pack_text(b, m.checkpoint);
  return wire::CreateHead(b, m.sequence.value(), checkpoint);
}
static Head unpack(Reader& r, const wire::Head& w) {
  return {.sequence = Sequence(w.sequence()),
          .checkpoint = r.prose(w.checkpoint(), "checkpoint", kNoteBytesMax)};
}

static Offset<wire::Fetch> pack(Builder& b, const Fetch& m) {
  return wire::CreateFetch(b, pack_fixed(m.digest), m.offset, m.limit);
}
static Fetch unpack(Reader& r, const wire::Fetch& w) {
  return {.digest = r.fixed<Digest>(w.digest(), "digest"), .offset = w.offset(), .limit = w.limit()};
}

static Offset<wire::BlobChunk> pack(Builder& b, const BlobChunk& m) {
  const auto bytes = pack_bytes(b, m.bytes);
  return wire::CreateBlobChunk(b, pack_fixed(m.digest), m.offset, m.total, bytes);
}
static BlobChunk unpack(Reader& r, const wire::BlobChunk& w) {
  BlobChunk m{.digest = r.fixed<Digest>(w.digest(), "digest"),
              .offset = w.offset(),
              .total = w.total(),
              .bytes = r.bytes(w.bytes(), "part of a blob", kFrameBytesMax)};
  check_chunk(r, m.offset, m.bytes.size(), m.total, kBlobBytesMax);
  return m;
}

static Offset<wire::LinkHealth> pack(Builder& b, const LinkHealth& link) {
  const auto interface = pack_text(b, link.interface);
  const auto endpoint = pack_line(b, link.endpoint, kEndpointBytesMax);
  return wire::CreateLinkHealth(b, link.peer.value(), interface, link.bgp_up, link.bfd_up, link.handshake_age_s,
                                link.rx_bytes, link.tx_bytes, endpoint, link.rtt_us, link.rtt_age_s, link.mtu,
                                link.path_mtu, link.path_mtu_age_s);
}
static LinkHealth unpack_link(Reader& r, const wire::LinkHealth* w) {
  return {.peer = NodeId(w->peer()),
          .interface = r.line(w->interface(), "interface", kInterfaceNameMax),
          .bgp_up = w->bgp_up(),
          .bfd_up = w->bfd_up(),
          .handshake_age_s = w->handshake_age_s(),
          .rx_bytes = w->rx_bytes(),
          .tx_bytes = w->tx_bytes(),
          .endpoint = r.line(w->endpoint(), "endpoint", kEndpointBytesMax),
          .rtt_us = w->rtt_us(),
          .rtt_age_s = w->rtt_age_s(),
          .mtu = w->mtu(),
          .path_mtu = w->path_mtu(),
          .path_mtu_age_s = w->path_mtu_age_s()};
}

static Offset<wire::DriftItem> pack(Builder& b, const DriftItem& item) {
  const auto aspect = pack_line(b, item.aspect, kNameBytesMax);
  const auto name = pack_line(b, item.name, kHostNameBytesMax);
  const auto expected = pack_prose(b, item.expected, kDriftTextMax);
  const auto found = pack_prose(b, item.found, kDriftTextMax);
  const auto healed = pack_line(b, item.healed, kNameBytesMax);
  return wire::CreateDriftItem(b, aspect, name, expected, found, item.since_s, item.over_s, healed);
}
static DriftItem unpack_drift(Reader& r, const wire::DriftItem* w) {
  return {.aspect = r.line(w->aspect(), "aspect", kNameBytesMax),
          .name = r.line(w->name(), "name", kHostNameBytesMax),
          .expected = r.prose(w->expected(), "expected", kDriftTextMax),
          .found = r.prose(w->found(), "found", kDriftTextMax),
          .since_s = w->since_s(),
          .over_s = w->over_s(),
          .healed = r.line(w->healed(), "healed", kNameBytesMax)};
}

static Offset<wire::MachineStatus> pack(Builder& b, const MachineStatus& m) {
  const auto kernel = pack_line(b, m.kernel, kHostNameBytesMax);
  const auto bird = pack_line(b, m.bird, kNameBytesMax);
  const auto wireguard = pack_line(b, m.wireguard, kNameBytesMax);
  return wire::CreateMachineStatus(b, m.load_milli, m.processors, m.memory_bytes, m.memory_free_bytes, m.disk_bytes,
                                   m.disk_free_bytes, m.uptime_s, kernel, bird, wireguard);
}
/// Nodes before 0.4 do not tell it.
static MachineStatus unpack_machine(Reader& r, const wire::MachineStatus* w) {
  if (w == nullptr) return {};
  return {.load_milli = w->load_milli(),
          .processors = w->processors(),
          .memory_bytes = w->memory_bytes(),
          .memory_free_bytes = w->memory_free_bytes(),
          .disk_bytes = w->disk_bytes(),
          .disk_free_bytes = w->disk_free_bytes(),
          .uptime_s = w->uptime_s(),
          .kernel = r.line(w->kernel(), "kernel", kHostNameBytesMax),
          .bird = r.line(w->bird(), "bird", kNameBytesMax),
          .wireguard = r.line(w->wireguard(), "wireguard", kNameBytesMax)};
}

static Offset<wire::NodeStatus> pack(Builder& b, const NodeStatus& m) {
  const auto cosignature = pack_text(b, m.cosignature);
  const auto state = pack_prose(b, m.state, kMessageBytesMax);
  const auto problem = pack_prose(b, m.problem, kMessageBytesMax);
  const auto program = pack_text(b, m.program);
  const auto links = pack_list(b, m.links, [&](const LinkHealth& link) { return pack(b, link); });
  const auto contradiction = pack_text(b, m.contradiction);
  const auto drift = pack_list(b, m.drift, [&](const DriftItem& item) { return pack(b, item); });
  const auto drift_policy = pack_text(b, m.drift_policy);
  const auto machine = pack(b, m.machine);
  return wire::CreateNodeStatus(b, m.head.value(), pack_fixed(m.root), cosignature, m.active.value(),
                                m.previous.value(), m.overlay.value(), state, problem, program, links,
                                contradiction, drift, m.drift_count, drift_policy, pack_fixed(m.observed),
                                m.pending.value(), m.pending_activation.value(), m.pending_left_s, machine);
}
static NodeStatus unpack(Reader& r, const wire::NodeStatus& w) {
  return {.head = Sequence(w.head()),
          .root = r.fixed<Digest>(w.root(), "root"),
          .cosignature = r.prose(w.cosignature(), "cosignature", kNoteBytesMax),
          .active = Version(w.active()),
          .previous = Version(w.previous()),
          .overlay = Sequence(w.overlay()),
          .state = r.prose(w.state(), "state", kMessageBytesMax),
          .problem = r.prose(w.problem(), "problem", kMessageBytesMax),
          .program = r.line(w.program(), "program"),
          .links = r.list(w.links(), "links", kNodesMax,
                          [&](const wire::LinkHealth* link) { return unpack_link(r, link); }),
          .contradiction = r.prose(w.contradiction(), "contradiction", kNoteBytesMax),
          .drift = r.list(w.drift(), "drift", kDriftItemsMax,
                          [&](const wire::DriftItem* item) { return unpack_drift(r, item); }),
          .drift_count = w.drift_count(),
          .drift_policy = r.line(w.drift_policy(), "drift policy", kNameBytesMax),
          .observed = w.observed() ? r.fixed<Digest>(w.observed(), "observed") : Digest(),
          .pending = Version(w.pending()),
          .pending_activation = ActivationId(w.pending_activation()),
          .pending_left_s = w.pending_left_s(),
          .machine = unpack_machine(r, w.machine())};
}

static Offset<wire::OutcomeMessage> pack(Builder& b, const OutcomeMessage& m) {
  const auto outcome = pack(b, m.outcome);
  return wire::CreateOutcomeMessage(b, outcome);
}
static OutcomeMessage unpack(Reader& r, const wire::OutcomeMessage& w) {
  return {.outcome = unpack_signed_outcome(r, w.outcome())};
}

static Offset<wire::Ack> pack(Builder& b, const Ack& m) { return wire::CreateAck(b, m.serial); }
static Ack unpack(Reader&, const wire::Ack& w) { return {.serial = w.serial()}; }

static Offset<wire::Join> pack(Builder& b, const Join& m) {
  const auto join = pack(b, m.join);
  return wire::CreateJoin(b, join);
}
static Join unpack(Reader& r, const wire::Join& w) { return {.join = unpack_join(r, w.join())}; }

static Offset<wire::Admitted> pack(Builder& b, const Admitted& m) {
  const auto fullname = pack_text(b, m.fullname);
  const auto endpoints = pack_texts(b, m.endpoints);
  return wire::CreateAdmitted(b, m.node.value(), fullname, endpoints);
}
static Admitted unpack(Reader& r, const wire::Admitted& w) {
  return {.node = NodeId(w.node()),
          .fullname = r.line(w.fullname(), "node", kFullNameBytesMax),
          .endpoints = r.lines(w.endpoints(), "endpoint", kEndpointsMax, kEndpointBytesMax)};
}

static Offset<wire::Waiting> pack(Builder& b, const Waiting& m) {
  const auto fingerprint = pack_text(b, m.fingerprint);
  return wire::CreateWaiting(b, fingerprint);
}
static Waiting unpack(Reader& r, const wire::Waiting& w) {
  return {.fingerprint = r.line(w.fingerprint(), "fingerprint")};
}

static Offset<wire::Refused> pack(Builder& b, const Refused& m) {
  const auto error = pack(b, m.error);
  return wire::CreateRefused(b, error);
}
static Refused unpack(Reader& r, const wire::Refused& w) { return {.error = unpack_error(r, w.error())}; }

static Offset<wire::Orphans> pack(Builder& b, const Orphans& m) {
  const auto entries = pack_list(b, m.entries, [&](const EncodedEntry& entry) { return pack(b, entry); });
  return wire::CreateOrphans(b, m.epoch, entries);
}
static Orphans unpack(Reader& r, const wire::Orphans& w) {
  return {.epoch = w.epoch(),
          .entries = r.list(w.entries(), "entries", kOrphansMax,
                            [&](const wire::EncodedEntry* entry) { return unpack_entry(r, entry); })};
}

static Offset<wire::OrphansKept> pack(Builder& b, const OrphansKept& m) {
  return wire::CreateOrphansKept(b, m.epoch, m.last.value());
}
static OrphansKept unpack(Reader&, const wire::OrphansKept& w) {
  return {.epoch = w.epoch(), .last = Sequence(w.last())};
}

Bytes encode_message(const Message& message) {
  Builder b;
  const auto [type, body] = pack_union<wire::MessageBodyTraits>(b, message.body);
  b.Finish(wire::CreateMessage(b, kProtocol, message.correlation, type, body), kMessageIdentifier);
  return finished(b);
}

Result<Message> decode_message(ByteView frame) {
  const AlignedInput input(frame);
  auto root = open_root<wire::Message>(input, kMessageIdentifier, kFrameBytesMax, "frame");
  if (!root) return std::unexpected(std::move(root).error());
  const auto& w = **root;
  Reader r(frame.size());
  if (w.protocol() != kProtocol)
    r.fail(w.protocol() > kProtocol ? Errc::unsupported : Errc::corrupt,
           fmt::format("protocol is {}, this program has {}", w.protocol(), kProtocol), Reader::kUpgrade);
  Message message{.correlation = w.correlation(), .body = {}};
  if (r.ok()) message.body = unpack_union<wire::MessageBodyTraits, Body>(r, w.body_type(), w.body(), "message");
  return r.finish("frame", std::move(message));
}

uint64_t frame_correlation(ByteView frame) {
  const AlignedInput input(frame);
  auto root = open_root<wire::Message>(input, kMessageIdentifier, kFrameBytesMax, "frame");
  return root ? (*root)->correlation() : 0;
}

}  // namespace mesh
