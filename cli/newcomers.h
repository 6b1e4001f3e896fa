// Who waits to be admitted, and why the controller need not be believed about it.
#pragma once

#include <string>

#include "broker/bus/keys.h"
#include "cli/client.h"
#include "cli/json.h"
#include "eventstore/model/command.h"
#include "schemas/codec.h"

namespace mesh::cli {

/// The one waiting join whose fingerprint begins with `text`, or that asks to be that node. Errors: not_found, usage
/// (several).
Result<Json> find_pending(Client& client, const std::string& text);

struct PendingJoin {
  SignedJoin join;
  JoinStatement statement;
};

/// Takes a waiting join apart and checks that it is the one whose fingerprint was compared: the controller
/// passed it on, and need not be believed. Errors: corrupt.
Result<PendingJoin> open_join(const Json& item);

/// What a newcomer needs, beside the seed. Errors: corrupt, when the controller names another log or other keys than
/// the context pins: a newcomer would believe it; invalid (it has no enrolment endpoint).
Result<TokenText> token_text(Client& client);
/// The token in an answer; nullptr when there is none.
const TokenCreated* created_by(const Reply& reply);
/// The text of a token, secret: `node` is a number or name, empty for a site's.
std::string finish_token(TokenText text, TokenId token, const std::string& node, const SignSecret& secret);

}  // namespace mesh::cli
