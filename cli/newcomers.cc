#include "cli/newcomers.h"

#include <fmt/format.h>

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

}  // namespace mesh::cli
