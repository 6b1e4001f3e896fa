#include "cli/newcomers.h"

#include <fmt/format.h>
#include <sodium.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "cli/grammar.h"
#include "eventstore/model/crypto.h"
#include "schemas/codec.h"

namespace mesh::cli {

Result<Json> find_pending(Client& client, const std::string& text) {
  auto document = client.query("pending");
  if (!document) return document;
  std::vector<Json> found;
  for (const Json& item : value_at(*document, "items"))
    if (text_at(item, "fingerprint").starts_with(text) || text_at(item, "node") == text)
      found.push_back(item);
  if (found.empty())
    return fail(Errc::not_found, fmt::format("nobody waits with fingerprint \"{}\"", text),
                "see `meshcli node pending`");
  if (found.size() > 1)
    return fail(Errc::usage, fmt::format("{} who wait fit \"{}\"", found.size(), text),
                "give more of the fingerprint");
  return std::move(found[0]);
}

Result<PendingJoin> open_join(const Json& item) {
  const auto bad = [](std::string_view what) {
    return fail(Errc::corrupt, fmt::format("the waiting join is wrong: {}", what));
  };
  const auto parts = split(text_at(item, "join"), '.');
  if (parts.size() < 2) return bad("it has not three parts");
  auto bytes = from_base64(parts[0]);
  auto node_signature = array_from_base64<Signature>(parts[1]);
  std::optional<Signature> token_signature = Signature{};
  if (parts.size() > 2 && !parts[2].empty())
    token_signature = array_from_base64<Signature>(parts[2]);
  if (!bytes || !node_signature || !token_signature) return bad("it is not base64");
  auto statement = decode_join(*bytes);
  if (!statement) return fail_in("the waiting join", statement.error());
  if (fingerprint(statement->sign_key.view()) != text_at(item, "fingerprint"))
    return bad("its key has another fingerprint");
  if (!verify_signature(statement->sign_key, kJoinDomain, *bytes, *node_signature))
    return bad("its signature is not by its key");
  return PendingJoin{SignedJoin{std::move(*bytes), *node_signature, *token_signature},
                     std::move(*statement)};
}

Result<TokenText> token_text(Client& client) {
  auto document = client.query("enrolment");
  if (!document) return std::unexpected(std::move(document).error());
  const Connection& pinned = client.context().connection;
  if (text_at(*document, "log") != to_hex(pinned.log.view()) ||
      text_at(*document, "log_key") != to_hex(pinned.log_key.view()) ||
      text_at(*document, "controller_key") != to_hex(pinned.controller_key.view()))
    return fail(Errc::corrupt,
                "the controller names another log or other keys than the context pins");
  TokenText out;
  out.log = pinned.log;
  out.log_key = pinned.log_key;
  out.controller_key = pinned.controller_key;
  for (const Json& endpoint : value_at(*document, "enrol_endpoints"))
    if (endpoint.is_string()) out.enrol_endpoints.push_back(endpoint.get<std::string>());
  if (out.enrol_endpoints.empty())
    return fail(Errc::invalid, "the controller has no enrolment endpoint", "start it with --enrol");
  const Json& anchor = value_at(*document, "anchor");
  if (anchor.is_object() && !anchor.empty()) {
    const auto digest = array_from_hex<Digest>(text_at(anchor, "state_digest"));
    const auto root = array_from_hex<Digest>(text_at(anchor, "root"));
    if (digest && root)
      out.anchor = Anchor{Sequence(static_cast<uint64_t>(number_at(anchor, "sequence"))), *digest,
                          *root, text_at(anchor, "by")};
  }
  return out;
}

const TokenCreated* created_by(const Reply& reply) {
  for (const Event& event : reply.events)
    if (const auto* created = std::get_if<TokenCreated>(&event)) return created;
  return nullptr;
}

std::string finish_token(TokenText text, TokenId token, const std::string& node, const SignSecret& secret) {
  text.token = token;
  text.node = node;
  std::ranges::copy(secret.reveal_seed(), text.seed.begin());
  std::string out = encode_token(text);
  sodium_memzero(text.seed.data(), text.seed.size());
  return out;
}

}  // namespace mesh::cli
