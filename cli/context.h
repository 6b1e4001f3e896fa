// Where the controller is and who the operator is: one TOML file.
//
//   endpoints      = ["tcp://192.0.2.1:7400"]   in order of preference
//   controller_key = "<base64, X25519>"         CURVE key of the controller: the only one that may answer
//   log_id         = "<hex, 16 bytes>"
//   log_key        = "<base64, Ed25519>"        signs checkpoints
//   operator       = "alice"
//   sign_seed      = "<base64, 32 bytes>"       SECRET: Ed25519, signs requests
//   box_secret     = "<base64, 32 bytes>"       SECRET: X25519, CURVE
//   git_tree       = "/srv/net"                 optional: the working tree of `meshcli git`
//
// The first four are public and the same for every operator; the identity never leaves the machine.
#pragma once

#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "broker/bus/keys.h"
#include "eventstore/model/ids.h"
#include "eventstore/model/result.h"

namespace mesh::cli {

struct Connection {
  std::vector<std::string> endpoints;
  BoxKey controller_key;
  LogId log;
  SignKey log_key;
};

struct OperatorContext {
  std::filesystem::path path;
  Connection connection;
  std::string name;  // the operator's
  SignSecret sign;
  BoxSecret box;
  std::filesystem::path git_tree = {};  // of `meshcli git`; empty = the default
};

using Variable = std::function<std::optional<std::string>(std::string_view name)>;

/// --context, MESHCLI_CONTEXT, ~/.config/meshlog/context.toml, /etc/meshlog/context.toml: the first
/// that is named or exists. Errors: not_found with what to do.
Result<std::filesystem::path> find_context(const std::string& option, const Variable& variable);

/// Errors: not_found, not_permitted (others may read it), invalid (what is missing or malformed),
/// io.
Result<OperatorContext> load_context(const std::filesystem::path& path);
/// The same from text; for tests.
Result<OperatorContext> parse_context(std::string_view text, const std::filesystem::path& path);

/// The public lines, ready to be appended to another operator's draft.
std::string connection_text(const Connection& connection);
/// A complete file, when `connection` is known, or a newcomer's draft. Holds secrets: the caller
/// zeroes it.
std::string context_text(const Connection* connection, std::string_view name,
                         const SignSecret& sign, const BoxSecret& box);

/// What a newcomer hands to an administrator: one line of text.
struct PublicKeys {
  std::string name;
  SignKey sign_key;
  BoxKey box_key;
  bool operator==(const PublicKeys&) const = default;
};
/// "meshlog-operator NAME SIGN_KEY BOX_KEY" (base64).
std::string public_keys_text(const PublicKeys& keys);
/// Errors: invalid.
Result<PublicKeys> parse_public_keys(std::string_view text);

}  // namespace mesh::cli
