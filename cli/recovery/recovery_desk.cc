#include "cli/recovery/recovery_desk.h"

#include <fmt/format.h>
#include <sodium.h>

#include <algorithm>

#include "cli/render.h"
#include "eventstore/model/crypto.h"
#include "eventstore/model/limits.h"
#include "schemas/codec.h"

namespace mesh::cli {

using Stage = RecoveryCaller::Stage;

std::string_view stage_name(Stage stage) {
  switch (stage) {
    case Stage::unknown: return "unknown";
    case Stage::refused: return "refused";
    case Stage::answered: return "answered";
    case Stage::adopted: return "adopted";
  }
  return "unknown";
}

RecoveryDesk::RecoveryDesk(RecoveryFile file, const std::vector<std::string>& more, MakeToken make_token)
    : file_(std::move(file)),
      sign_(file_.secret.sign()),
      make_token_(std::move(make_token)) {
  for (const KnownRouter& router : file_.routers) known_[router.fingerprint] = router.name;
  for (const std::string& print : more) known_[print].clear();
}

/// nullptr: there is no room for one more stranger.
RecoveryCaller* RecoveryDesk::caller(const JoinStatement& call, bool known) {
  const std::string print = fingerprint(call.sign_key.view());
  auto found = std::ranges::find(callers_, print, &RecoveryCaller::fingerprint);
  if (found == callers_.end() && callers_.size() >= kCallersMax) {
    if (!known) return nullptr;
    const auto stranger = std::ranges::find(callers_, Stage::unknown, &RecoveryCaller::stage);
    if (stranger == callers_.end()) return nullptr;
    callers_.erase(stranger);
    found = callers_.end();
  }
  if (found == callers_.end()) found = callers_.insert(callers_.end(), RecoveryCaller{});
  found->name = printable(call.node);
  found->fingerprint = print;
  found->hostname = printable(call.hostname);
  found->machine = printable(call.machine);
  return &*found;
}

std::optional<Message> RecoveryDesk::answer(const BoxKey& user, ByteView frame) {
  auto message = decode_message(frame);
  const auto* join = message ? std::get_if<Join>(&message->body) : nullptr;
  if (!join) return std::nullopt;
  auto call = decode_join(join->join.statement);
  const bool proved = call && call->box_key == user && call->token == TokenId() && !call->nonce.is_zero() &&
                      verify_signature(call->sign_key, kJoinDomain, join->join.statement, join->join.node_signature);
  if (!proved)
    return Message{message->correlation,
                   Refused{{Errc::unauthenticated, "the call is not signed by the key that it names", {}}}};
  return Message{message->correlation, answer_call(*call)};
}

Result<std::string> RecoveryDesk::token_of(const JoinStatement& call, const std::string& print) {
  if (const auto made = tokens_.find(print); made != tokens_.end()) return made->second;
  const std::string& name = known_.at(print);
  if (!name.empty() && name != call.node)
    return fail(Errc::not_permitted, fmt::format("the file knows this key as {}", name),
                "if it was renamed since, give its fingerprint: --fingerprint");
  auto token = make_token_(call.node);
  if (token) tokens_[print] = *token;
  return token;
}

Body RecoveryDesk::answer_call(const JoinStatement& call) {
  const std::string print = fingerprint(call.sign_key.view());
  const bool known = known_.contains(print);
  RecoveryCaller* from = caller(call, known);
  if (!from || !known) return Waiting{print};
  auto token = token_of(call, print);
  if (!token) {
    from->stage = Stage::refused;
    from->detail = token.error().message;
    return Refused{token.error()};
  }
  Adoption adoption{call.log, call.sign_key, call.nonce, kAnswerSeconds, std::move(*token)};
  QueryResult out{adoption_document(adoption, [this](auto domain, auto text) { return sign_.sign(domain, text); }),
                  false,
                  {}};
  sodium_memzero(adoption.token.data(), adoption.token.size());
  if (from->stage != Stage::adopted) from->stage = Stage::answered;
  from->detail.clear();
  return out;
}

void RecoveryDesk::adopted(const std::string& print) {
  const auto found = std::ranges::find(callers_, print, &RecoveryCaller::fingerprint);
  if (found != callers_.end()) found->stage = Stage::adopted;
}

}  // namespace mesh::cli
