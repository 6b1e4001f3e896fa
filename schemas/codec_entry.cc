// Requests and entries.
#include "eventstore/model/crypto.h"
#include "eventstore/model/merkle.h"
#include "schemas/codec.h"
#include "schemas/codec_internal.h"

namespace mesh {

Bytes encode_request(const Request& request) {
  Builder b;
  const auto principal = pack(b, request.principal);
  const auto commands = pack_list(b, request.commands, [&](const Command& c) { return pack_command(b, c); });
  const auto message = pack_text(b, request.message);
  const auto reference = pack_text(b, request.reference);
  const auto origin = pack_text(b, request.origin);
  b.Finish(wire::CreateRequest(b, pack_fixed(request.log), request.epoch, principal, pack_fixed(request.id),
                               request.based_on.value(), request.expect_sequence.value(), commands, message,
                               reference, origin),
           kRequestIdentifier);
  return finished(b);
}

Result<Request> decode_request(ByteView bytes) {
  const AlignedInput input(bytes);
  auto root = open_root<wire::Request>(input, kRequestIdentifier, kRequestBytesMax, "request");
  if (!root) return std::unexpected(std::move(root).error());
  const auto& w = **root;
  Reader r(bytes.size());
  Request request{
      .log = r.fixed<LogId>(w.log(), "log id"),
      .epoch = w.epoch(),
      .principal = unpack_principal(r, w.principal()),
      .id = r.fixed<RequestId>(w.id(), "request id"),
      .based_on = Sequence(w.based_on()),
      .expect_sequence = Sequence(w.expect_sequence()),
      .commands = r.list(w.commands(), "commands", kCommandsPerRequestMax,
                         [&](const wire::Command* command) { return unpack_command(r, command); }),
      .message = r.prose(w.message(), "message", kMessageBytesMax),
      .reference = r.line(w.reference(), "reference", kMessageBytesMax),
      .origin = r.line(w.origin(), "origin")};
  if (request.commands.empty()) r.fail(Errc::corrupt, "has no commands");
  return r.finish("request", std::move(request));
}

namespace {

Bytes encode_context(const Context& context) {
  Builder b;
  const auto candidates = pack_version_rows(b, context.candidates);
  const auto applied = pack_nodes(b, context.applied);
  b.Finish(wire::CreateContext(b, context.time.value(), candidates, applied), kContextIdentifier);
  return finished(b);
}

Bytes encode_events(const std::vector<Event>& events) {
  Builder b;
  const auto list = pack_list(b, events, [&](const Event& event) { return pack_event(b, event); });
  b.Finish(wire::CreateEventList(b, list), kEventsIdentifier);
  return finished(b);
}

Bytes encode_header(const EntryHeader& header) {
  Builder b;
  const auto principal = pack(b, header.principal);
  b.Finish(wire::CreateEntryHeader(b, pack_fixed(header.log), header.epoch, header.term,
                                   header.sequence.value(), header.time.value(), principal,
                                   static_cast<wire::EntryClass>(header.entry_class), header.rules,
                                   pack_fixed(header.request_hash), pack_fixed(header.context_hash),
                                   pack_fixed(header.events_hash)),
           kHeaderIdentifier);
  return finished(b);
}

Digest request_hash(const SignedRequest& request) {
  return Sha256().add(request.signature.view()).add(request.bytes).finish();
}

/// A part of a body: the buffer inside it, aligned and checked against the header's hash.
Status check_hash(ByteView bytes, const Digest& expected, std::string_view what) {
  if (sha256(bytes) == expected) return {};
  return fail(Errc::corrupt, fmt::format("{} are not those that the header names", what));
}

Result<Context> decode_context(ByteView bytes) {
  const AlignedInput input(bytes);
  auto root = open_root<wire::Context>(input, kContextIdentifier, kEntryBytesMax, "context");
  if (!root) return std::unexpected(std::move(root).error());
  Reader r(bytes.size());
  Context context{.time = Timestamp((*root)->time()),
                  .candidates = unpack_version_rows(r, (*root)->candidates()),
                  .applied = unpack_nodes(r, (*root)->applied())};
  return r.finish("context", std::move(context));
}

Result<std::vector<Event>> decode_events(ByteView bytes) {
  const AlignedInput input(bytes);
  auto root = open_root<wire::EventList>(input, kEventsIdentifier, kEntryBytesMax, "events");
  if (!root) return std::unexpected(std::move(root).error());
  Reader r(bytes.size());
  auto events = unpack_events(r, (*root)->events());
  return r.finish("events", std::move(events));
}

ByteView part(const WireVector<uint8_t>* bytes) {
  return bytes ? ByteView(bytes->data(), bytes->size()) : ByteView();
}

Result<EntryBody> decode_body(ByteView bytes, const EntryHeader& header) {
  const AlignedInput input(bytes);
  auto root = open_root<wire::EntryBody>(input, kBodyIdentifier, kEntryBytesMax, "body");
  if (!root) return std::unexpected(std::move(root).error());
  const auto& w = **root;
  Reader r(bytes.size());
  SignedRequest signed_request{.bytes = r.bytes(w.request(), "request", kRequestBytesMax),
                               .signature = r.fixed<Signature>(w.signature(), "signature")};
  auto checked = r.finish("body", std::move(signed_request));
  if (!checked) return std::unexpected(std::move(checked).error());
  if (request_hash(*checked) != header.request_hash)
    return fail(Errc::corrupt, "request is not the one that the header names");
  MESH_TRY(check_hash(part(w.context()), header.context_hash, "context's bytes"));
  MESH_TRY(check_hash(part(w.events()), header.events_hash, "events"));
  auto request = decode_request(checked->bytes);
  if (!request) return std::unexpected(std::move(request).error());
  auto context = decode_context(part(w.context()));
  if (!context) return std::unexpected(std::move(context).error());
  auto events = decode_events(part(w.events()));
  if (!events) return std::unexpected(std::move(events).error());
  return EntryBody{.signed_request = std::move(*checked),
                   .request = std::move(*request),
                   .context = std::move(*context),
                   .events = std::move(*events)};
}

}  // namespace

EncodedEntry encode_entry(EntryHeader header, const EntryBody& body) {
  const Bytes context = encode_context(body.context);
  const Bytes events = encode_events(body.events);
  header.request_hash = request_hash(body.signed_request);
  header.context_hash = sha256(context);
  header.events_hash = sha256(events);
  Builder b(body.signed_request.bytes.size() + context.size() + events.size() + 256);
  const auto packed_request = pack_bytes(b, body.signed_request.bytes);
  const auto packed_context = pack_bytes(b, context);
  const auto packed_events = pack_bytes(b, events);
  b.Finish(wire::CreateEntryBody(b, pack_fixed(body.signed_request.signature), packed_request, packed_context,
                                 packed_events),
           kBodyIdentifier);
  return {.header = encode_header(header), .body = finished(b)};
}

Result<EntryHeader> decode_header(ByteView bytes) {
  const AlignedInput input(bytes);
  auto root = open_root<wire::EntryHeader>(input, kHeaderIdentifier, kHeaderBytesMax, "header");
  if (!root) return std::unexpected(std::move(root).error());
  const auto& w = **root;
  Reader r(bytes.size());
  EntryHeader header{.log = r.fixed<LogId>(w.log(), "log id"),
                     .epoch = w.epoch(),
                     .term = w.term(),
                     .sequence = Sequence(w.sequence()),
                     .time = Timestamp(w.time()),
                     .principal = unpack_principal(r, w.principal()),
                     .entry_class = r.one_of(w.entry_class(), EntryClass::report, "class"),
                     .rules = w.rules(),
                     .request_hash = r.fixed<Digest>(w.request_hash(), "request hash"),
                     .context_hash = r.fixed<Digest>(w.context_hash(), "context hash"),
                     .events_hash = r.fixed<Digest>(w.events_hash(), "events hash")};
  return r.finish("header", std::move(header));
}

Result<Entry> decode_entry(const EncodedEntry& encoded) {
  if (encoded.size() > kEntryBytesMax)
    return fail(Errc::exhausted, fmt::format("entry has {} bytes, at most {}", encoded.size(), kEntryBytesMax));
  auto header = decode_header(encoded.header);
  if (!header) return fail_in("entry", std::move(header).error());
  Entry entry{.header = std::move(*header), .leaf = leaf_hash(encoded.header), .body = std::nullopt};
  if (encoded.body.empty()) return entry;
  auto body = decode_body(encoded.body, entry.header);
  if (!body) return fail_in(fmt::format("entry {}", entry.header.sequence.value()), std::move(body).error());
  entry.body = std::move(*body);
  return entry;
}

}  // namespace mesh
