#include "nodes/meshnode_asking.h"

#include <fmt/core.h>
#include <sodium.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>

#include "eventstore/model/crypto.h"
#include "eventstore/model/limits.h"

namespace mesh {

namespace {

constexpr auto kAskAgain = std::chrono::seconds(3);  // while an operator decides

constexpr size_t kTokenFileMax = 16 * 1024;

}  // namespace

Result<std::string> read_token_text(const std::string& path) {
  std::string text(kTokenFileMax + 1, '\0');
  std::FILE* file = path == "-" ? stdin : std::fopen(path.c_str(), "re");
  if (!file) {
    const auto code = errno == ENOENT ? Errc::not_found : errno == EACCES ? Errc::not_permitted : Errc::io;
    return fail(code, fmt::format("cannot read the token file {}: {}", path, std::strerror(errno)));
  }
  const auto size = std::fread(text.data(), 1, text.size(), file);
  if (file != stdin) std::fclose(file);
  if (size > kTokenFileMax) return fail(Errc::invalid, fmt::format("{} is too long to be a token", path));
  text.resize(size);
  const auto blank = " \t\r\n";
  text.erase(0, std::min(text.find_first_not_of(blank), text.size()));
  text.erase(text.find_last_not_of(blank) + 1);
  if (text.empty()) return fail(Errc::invalid, fmt::format("{} has no token in it", path));
  return text;
}

Result<TokenText> open_token(std::string_view text, std::optional<SignSecret>& key) {
  auto token = decode_token(text);
  if (!token) return token;
  auto secret = SignSecret::from_seed(token->seed);
  sodium_memzero(token->seed.data(), token->seed.size());
  if (!secret) return std::unexpected(secret.error());
  key = std::move(*secret);
  return token;
}

std::vector<Endpoint> controllers(const std::vector<std::string>& endpoints, const BoxKey& key) {
  std::vector<Endpoint> out;
  for (const auto& endpoint : endpoints) out.push_back({endpoint, key});
  return out;
}

MadeJoin make_join(const LogId& log, const std::string& node, TokenId token, const SignSecret& sign,
                   const BoxSecret& box, const WireGuardKey& wireguard, const SignSecret* token_key) {
  JoinStatement statement;
  statement.log = log;
  statement.node = node;
  statement.token = token;
  statement.sign_key = sign.public_key();
  statement.box_key = box.public_key();
  statement.wireguard_key = wireguard;
  char hostname[kHostNameBytesMax + 1] = {};
  if (::gethostname(hostname, sizeof hostname - 1) == 0) statement.hostname = hostname;
  statement.machine = machine_facts();
  statement.nonce = random_array<Digest>();
  MadeJoin out{{}, statement.nonce};
  out.join.statement = encode_join(statement);
  out.join.node_signature = sign.sign(kJoinDomain, out.join.statement);
  if (token_key) out.join.token_signature = token_key->sign(kJoinDomain, out.join.statement);
  return out;
}

Result<Asking> Asking::open(const BoxSecret& box, Bytes question, Options options) {
  ClientOptions client;
  client.endpoints = options.endpoints;
  client.jitter_seed = random_array<Digest>().bytes[0];
  client.backoff_max_ms = 1'000;
  auto bus = BusClient::open(box, std::move(client));
  if (!bus) return std::unexpected(bus.error());
  return Asking(std::move(*bus), std::move(question), std::move(options));
}

Result<std::optional<Admitted>> Asking::turn(int wait_ms) {
  for (const auto& event : bus_->poll(wait_ms)) {
    if (auto refusal = take(event); !refusal) return std::unexpected(refusal.error());
    if (admitted_) return admitted_;
  }
  if (bus_->connected() && ask_at_ <= Clock::now() && bus_->send(question_)) ask_at_ = Clock::now() + kAskAgain;
  return std::optional<Admitted>();
}

Result<Admitted> Asking::run(int timeout_s) {
  const auto until = Clock::now() + std::chrono::seconds(timeout_s);
  while (Clock::now() < until) {
    auto answered = turn(200);
    if (!answered) return std::unexpected(answered.error());
    if (*answered) return std::move(**answered);
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

Status Asking::take(const ClientEvent& event) {
  switch (event.kind) {
    case ClientEvent::Kind::connected:
      ask_at_ = {};
      refusals_ = 0;
      return {};
    case ClientEvent::Kind::refused:
      unreachable_ = event.detail;
      if (++refusals_ < options_.refusals_max) return {};
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

Status Asking::answer(ByteView frame) {
  auto message = decode_message(frame);
  if (!message) return fail_in("the controller's answer", message.error());
  if (const auto* refused = std::get_if<Refused>(&message->body)) {
    const Errc code = refused->error.code;
    if (options_.patient && (code == Errc::exhausted || code == Errc::unavailable)) {
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
               options_.approve_with, waiting_);
  }
  return {};
}

}  // namespace mesh
