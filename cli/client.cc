#include "cli/client.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "eventstore/model/crypto.h"
#include "eventstore/model/limits.h"
#include "schemas/codec.h"

namespace mesh::cli {

namespace {

constexpr int kQueryMs = 15'000;
constexpr int kSubmitMs = 30'000;    // a busy disk: one synced write, queued behind others
constexpr uint64_t kPieceBytes = 256 * 1024;  // of a blob: one frame each, so that every answer is whole
constexpr int kPrepareMs = 180'000;  // compiles a fleet of 10,000 nodes

std::unexpected<Error> unexpected_answer(std::string_view question) {
  return fail(Errc::corrupt,
              fmt::format("the controller answered {} with another kind of message", question),
              "compare `meshcli version` with `meshcli controller status`");
}

template <class Answer>
Result<Answer> ask(Transport& transport, const Body& question, int timeout_ms,
                   std::string_view name) {
  auto body = transport.call(question, timeout_ms);
  if (!body) return std::unexpected(std::move(body).error());
  if (Answer* answer = std::get_if<Answer>(&*body)) return std::move(*answer);
  return unexpected_answer(name);
}

}  // namespace

Result<Json> Client::ask_page(Sequence at, const std::string& kind, QueryArguments arguments,
                              std::string& cursor) {
  if (!cursor.empty()) arguments["cursor"] = cursor;
  auto answer =
      ask<QueryResult>(transport_, Query{kind, std::move(arguments), at}, kQueryMs, "a query");
  if (!answer) return std::unexpected(std::move(answer).error());
  Json document = Json::parse(answer->json, nullptr, false);
  if (!document.is_object())
    return fail(Errc::corrupt,
                fmt::format("the controller's answer to query {} is not a JSON document", kind));
  cursor = answer->more ? answer->cursor : std::string();
  return document;
}

Result<Json> Client::query_page(const std::string& kind, QueryArguments arguments,
                                std::string& cursor) {
  return ask_page(at_, kind, std::move(arguments), cursor);
}

Result<Json> Client::query(const std::string& kind, const QueryArguments& arguments) {
  return query_at(at_, kind, arguments);
}

Result<Json> Client::query_at(Sequence at, const std::string& kind,
                              const QueryArguments& arguments) {
  std::string cursor;
  auto document = ask_page(at, kind, arguments, cursor);
  while (document && !cursor.empty()) {
    auto page = ask_page(at, kind, arguments, cursor);
    if (!page) return page;
    for (Json& item : (*page)["items"]) (*document)["items"].push_back(std::move(item));
  }
  return document;
}

Result<Position> open_position(const Connection& connection, const std::string& note) {
  auto checkpoint = open_checkpoint(note, connection.log, connection.log_key);
  if (!checkpoint) return std::unexpected(std::move(checkpoint).error());
  auto epoch = origin_epoch(checkpoint->origin, connection.log);
  if (!epoch) return std::unexpected(std::move(epoch).error());
  return Position{Sequence(checkpoint->size), *epoch, note, std::move(*checkpoint)};
}

Result<Position> Client::position() {
  auto document = query_at(Sequence(), "checkpoint");
  if (!document) return std::unexpected(std::move(document).error());
  auto position = open_position(context_.connection, text_at(*document, "note"));
  if (!position) return fail_in("the controller's checkpoint", position.error());
  return position;
}

Result<Reply> Client::submit(std::vector<Command> commands, const RequestNotes& notes,
                             std::vector<Bytes> attachments) {
  auto position = this->position();
  if (!position) return std::unexpected(std::move(position).error());
  Request request;
  request.log = context_.connection.log;
  request.epoch = position->epoch;
  request.principal = Principal::human(context_.name);
  environment_.random(request.id.bytes);
  request.based_on = position->sequence;
  request.expect_sequence = notes.expect_sequence;
  request.commands = std::move(commands);
  request.message = notes.message;
  request.reference = notes.reference;
  request.origin = "cli";
  SignedRequest signed_request;
  signed_request.bytes = encode_request(request);
  if (signed_request.bytes.size() > kRequestBytesMax)
    return fail(Errc::exhausted,
                fmt::format("the request has {} bytes, at most {}", signed_request.bytes.size(),
                            kRequestBytesMax),
                "split it");
  signed_request.signature = context_.sign.sign(kRequestDomain, signed_request.bytes);
  auto reply = ask<Reply>(transport_, Submit{std::move(signed_request), notes.dry_run, std::move(attachments)},
                          kSubmitMs, "a request");
  if (!reply && reply.error().code == Errc::unavailable && reply.error().fix.empty())
    reply.error().fix = "it may have been made: see `meshcli log --limit 5` before you repeat it";
  return reply;
}

Result<Bytes> Client::fetch(const Digest& digest) {
  Bytes bytes;
  for (uint64_t total = 1; bytes.size() < total;) {
    auto piece = ask<BlobChunk>(transport_, Fetch{digest, bytes.size(), kPieceBytes}, kQueryMs, "a fetch");
    if (!piece) return std::unexpected(std::move(piece).error());
    total = piece->total;
    const bool fits = piece->digest == digest && piece->offset == bytes.size() && total <= kBlobBytesMax;
    if (!fits || (piece->bytes.empty() && bytes.size() < total))
      return fail(Errc::corrupt, "the controller sent another piece of a blob than was asked for");
    bytes.insert(bytes.end(), piece->bytes.begin(), piece->bytes.end());
  }
  if (sha256(bytes) == digest) return bytes;
  return fail(Errc::corrupt, "what the controller sent has another digest");
}

Result<Prepared> Client::prepare(const Prepare& question) {
  return ask<Prepared>(transport_, question, kPrepareMs, "a prepare");
}

}  // namespace mesh::cli
