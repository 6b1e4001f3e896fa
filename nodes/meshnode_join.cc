// `meshnode join`.
#include <fmt/core.h>
#include <sodium.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <nlohmann/json.hpp>
#include <optional>

#include "eventstore/model/crypto.h"
#include "nodes/meshnode.h"
#include "nodes/meshnode_asking.h"
#include "nodes/meshnode_greeting.h"
#include "schemas/codec.h"

namespace mesh {

namespace fs = std::filesystem;

namespace {

Status make_directories(const fs::path& data) {
  std::error_code error;
  fs::create_directories(data.parent_path(), error);  // what is wrong, the next call says
  for (const auto& each : {data, data / "identity"}) {
    if (::mkdir(each.c_str(), 0700) != 0 && errno != EEXIST) {
      const auto code = errno == ENOSPC ? Errc::exhausted : errno == EACCES ? Errc::not_permitted : Errc::io;
      return fail(code, fmt::format("cannot make {}: {}", each.string(), std::strerror(errno)));
    }
  }
  return {};
}

Result<TokenText> read_token(const std::string& path, std::optional<SignSecret>& key) {
  auto text = read_token_text(path);
  if (!text) return std::unexpected(text.error());
  auto token = open_token(*text, key);
  sodium_memzero(text->data(), text->size());
  return token;
}

/// `token_key`: nothing without a token.
SignedJoin join_of(const TokenText& token, const NodeKeys& keys, const SignSecret* token_key, const std::string& node) {
  return make_join(token.log, node.empty() ? token.node : node, token.token, keys.sign, keys.box,
                   keys.tunnels.public_keys().at(1), token_key)
      .join;
}

/// The keys of an attempt that was not admitted are used again: its answer may have been lost on the way.
Status check_not_joined(const fs::path& data, const TokenText& token) {
  auto identity = load_identity(data);
  if (!identity && identity.error().code == Errc::not_found) return {};
  if (!identity) return std::unexpected(identity.error());
  if (identity->node != NodeId()) {
    return fail(Errc::conflict,
                fmt::format("{} is already node {} ({})", data.string(), identity->node.value(), identity->fullname),
                "to give it up first, run: meshnode leave");
  }
  if (identity->log != token.log) {
    return fail(Errc::conflict, fmt::format("{} asked to join another log before", data.string()),
                "to give that up first, run: meshnode leave");
  }
  return {};
}

}  // namespace

Status run_join(const MeshnodeOptions& options) {
  (void)harden_process();  // best effort: a container may forbid it
  const bool tokenless = !options.controller.empty();
  std::optional<SignSecret> token_key;
  Result<TokenText> token = TokenText{};
  if (!tokenless) token = read_token(options.token_file, token_key);
  if (!token) return std::unexpected(token.error());

  MESH_TRY(make_directories(options.data));
  auto lock = DataLock::take(options.data);
  if (!lock) return std::unexpected(lock.error());
  auto before = load_identity(options.data);
  if (before && before->node != NodeId()) MESH_TRY(check_not_joined(options.data, *token));
  auto keys = make_keys(options.data);
  if (!keys) return std::unexpected(keys.error());
  if (tokenless) {
    fmt::print(stderr, "this node's fingerprint is {}\n", fingerprint(keys->sign.public_key().view()));
    token = meet_controller(options, keys->box);
    if (!token) return std::unexpected(token.error());
  }
  MESH_TRY(check_not_joined(options.data, *token));
  NodeIdentity identity{token->log, token->log_key, token->controller_key, {}, {}, {}, token->enrol_endpoints,
                        token->anchor};
  MESH_TRY(save_identity(options.data, identity));

  const auto join = join_of(*token, *keys, token_key ? &*token_key : nullptr, options.node);
  auto asking = Asking::open(keys->box, encode_message({1, Join{join}}),
                             {controllers(token->enrol_endpoints, token->controller_key), tokenless,
                              tokenless ? kRefusalsOfACrowd : 1,
                              tokenless ? "attach node NODE --fingerprint" : "node approve"});
  if (!asking) return std::unexpected(asking.error());
  auto admitted = asking->run(options.timeout_s);
  if (!admitted) return std::unexpected(admitted.error());

  identity.node = admitted->node;
  identity.fullname = admitted->fullname;
  identity.endpoints = admitted->endpoints;
  MESH_TRY(save_identity(options.data, identity));
  if (options.output == "json") {
    const nlohmann::json json = {{"node", identity.node.value()}, {"fullname", identity.fullname},
                                 {"log", to_hex(identity.log.view())}, {"endpoints", identity.endpoints}};
    fmt::print("{}\n", json.dump());
  } else {
    fmt::print("joined as node {} ({})\n", identity.node.value(), identity.fullname);
  }
  return {};
}

}  // namespace mesh
