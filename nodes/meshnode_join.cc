// `meshnode join`.
#include <fmt/core.h>
#include <sodium.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <nlohmann/json.hpp>
#include <optional>

#include "broker/bus/client.h"
#include "eventstore/model/crypto.h"
#include "eventstore/model/limits.h"
#include "nodes/meshnode.h"
#include "nodes/meshnode_greeting.h"
#include "schemas/codec.h"

namespace mesh {

namespace fs = std::filesystem;

namespace {

using Clock = std::chrono::steady_clock;

constexpr size_t kTokenBytesMax = 16 * 1024;
constexpr auto kAskAgain = std::chrono::seconds(3);  // while an operator decides
constexpr int kRefusalsMax = 20;  // in a row: a crowd goes away, a wrong key does not

/// From a file or standard input only: arguments and environment are readable by others.
Result<std::string> read_token(const std::string& path) {
  std::string text(kTokenBytesMax + 1, '\0');
  std::FILE* file = path == "-" ? stdin : std::fopen(path.c_str(), "re");
  if (!file) {
    const auto code = errno == ENOENT ? Errc::not_found : errno == EACCES ? Errc::not_permitted : Errc::io;
    return fail(code, fmt::format("cannot read the token file {}: {}", path, std::strerror(errno)));
  }
  const auto size = std::fread(text.data(), 1, text.size(), file);
  if (file != stdin) std::fclose(file);
  if (size > kTokenBytesMax) return fail(Errc::invalid, fmt::format("{} is too long to be a token", path));
  text.resize(size);
  const auto blank = " \t\r\n";
  text.erase(0, std::min(text.find_first_not_of(blank), text.size()));
  text.erase(text.find_last_not_of(blank) + 1);
  if (text.empty()) return fail(Errc::invalid, fmt::format("{} has no token in it", path));
  return text;
}

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

/// `token_key`: nothing without a token.
SignedJoin make_join(const TokenText& token, const NodeKeys& keys, const SignSecret* token_key,
                     const std::string& node) {
  JoinStatement statement;
  statement.log = token.log;
  statement.node = node.empty() ? token.node : node;
  statement.token = token.token;
  statement.sign_key = keys.sign.public_key();
  statement.box_key = keys.box.public_key();
  statement.wireguard_key = keys.tunnels.public_keys().at(1);
  char hostname[kHostNameBytesMax + 1] = {};
  if (::gethostname(hostname, sizeof hostname - 1) == 0) statement.hostname = hostname;
  statement.machine = machine_facts();
  statement.nonce = random_array<Digest>();
  SignedJoin join;
  join.statement = encode_join(statement);
  join.node_signature = keys.sign.sign(kJoinDomain, join.statement);
  if (token_key) join.token_signature = token_key->sign(kJoinDomain, join.statement);
  return join;
}

/// Asks until there is an answer that is final.
class Asking {
 public:
  /// `patient`: without a token the door may be closed, or the room full, until an operator comes.
  Asking(BusClient& bus, Bytes question, int timeout_s, bool patient)
      : bus_(bus),
        question_(std::move(question)),
        until_(Clock::now() + std::chrono::seconds(timeout_s)),
        patient_(patient) {}

  Result<Admitted> run() {
    while (Clock::now() < until_) {
      for (auto& event : bus_.poll(200)) {
        if (auto refusal = take(event); !refusal) return std::unexpected(refusal.error());
        if (admitted_) return *admitted_;
      }
      if (bus_.connected() && ask_at_ <= Clock::now() && bus_.send(question_)) ask_at_ = Clock::now() + kAskAgain;
    }
    if (!waiting_.empty()) {
      return fail(Errc::timeout, fmt::format("nobody approved {} yet", waiting_),
                  "run the same command again: it goes on waiting with the same keys");
    }
    if (!unreachable_.empty()) {
      return fail(Errc::unavailable, unreachable_,
                  "is the controller running, the token still open, and the port reachable from here?");
    }
    return fail(Errc::timeout, "the controller did not answer");
  }

 private:
  Status take(const ClientEvent& event) {
    switch (event.kind) {
      case ClientEvent::Kind::connected:
        ask_at_ = {};
        refusals_ = 0;
        return {};
      case ClientEvent::Kind::refused:
        unreachable_ = event.detail;
        if (patient_ && ++refusals_ < kRefusalsMax) return {};
        return fail(Errc::unauthenticated, event.detail, "is the token of this controller?");
      case ClientEvent::Kind::unreachable:
        unreachable_ = event.detail;
        return {};
      case ClientEvent::Kind::disconnected:
        return {};
      case ClientEvent::Kind::frame:
        return answer(event.frame);
    }
    return {};
  }

  Status answer(ByteView frame) {
    auto message = decode_message(frame);
    if (!message) return fail_in("the controller's answer", message.error());
    if (const auto* refused = std::get_if<Refused>(&message->body)) {
      const Errc code = refused->error.code;
      if (patient_ && (code == Errc::exhausted || code == Errc::unavailable)) {
        unreachable_ = refused->error.message;
        return {};
      }
      return std::unexpected(refused->error);
    }
    if (const auto* error = std::get_if<ErrorReply>(&message->body)) return std::unexpected(error->error);
    if (auto* admitted = std::get_if<Admitted>(&message->body)) admitted_ = std::move(*admitted);
    const auto* waiting = std::get_if<Waiting>(&message->body);
    if (waiting && waiting_ != waiting->fingerprint) {
      waiting_ = waiting->fingerprint;
      fmt::print(stderr, "waiting for approval; fingerprint {}\nan operator runs: meshcli {} {}\n", waiting_,
                 patient_ ? "attach node NODE --fingerprint" : "node approve", waiting_);
    }
    return {};
  }

  BusClient& bus_;
  Bytes question_;
  Clock::time_point until_, ask_at_{};
  std::optional<Admitted> admitted_;
  std::string waiting_, unreachable_;
  bool patient_;
  int refusals_ = 0;
};

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

/// What the token says; its key goes to `key`.
Result<TokenText> open_token(const std::string& file, std::optional<SignSecret>& key) {
  auto text = read_token(file);
  if (!text) return std::unexpected(text.error());
  auto token = decode_token(*text);
  sodium_memzero(text->data(), text->size());
  if (!token) return token;
  auto secret = SignSecret::from_seed(token->seed);
  sodium_memzero(token->seed.data(), token->seed.size());
  if (!secret) return std::unexpected(secret.error());
  key = std::move(*secret);
  return token;
}

}  // namespace

Status run_join(const MeshnodeOptions& options) {
  (void)harden_process();  // best effort: a container may forbid it
  const bool tokenless = !options.controller.empty();
  std::optional<SignSecret> token_key;
  Result<TokenText> token = TokenText{};
  if (!tokenless) token = open_token(options.token_file, token_key);
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

  ClientOptions client;
  for (const auto& endpoint : token->enrol_endpoints) client.endpoints.push_back({endpoint, token->controller_key});
  client.jitter_seed = random_array<Digest>().bytes[0];
  client.backoff_max_ms = 1'000;
  auto bus = BusClient::open(keys->box, std::move(client));
  if (!bus) return std::unexpected(bus.error());
  const auto join = make_join(*token, *keys, token_key ? &*token_key : nullptr, options.node);
  auto admitted = Asking(**bus, encode_message({1, Join{join}}), options.timeout_s, tokenless).run();
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
