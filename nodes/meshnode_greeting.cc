// `meshnode join --controller`: a newcomer without a token learns whom it joins. Everything follows from the request
// that created the log: the log's id is its digest, and it names the log key and the controller's CURVE key. So one
// pin, of the id (a fingerprint) or of the CURVE key, is enough, and who is in between can change nothing.
#include <fmt/core.h>
#include <netdb.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <fstream>
#include <iostream>
#include <nlohmann/json.hpp>
#include <optional>
#include <thread>
#include <utility>

#include "broker/bus/client.h"
#include "eventstore/model/address.h"
#include "eventstore/model/crypto.h"
#include "eventstore/model/decide.h"
#include "nodes/meshnode.h"
#include "nodes/meshnode_greeting.h"
#include "schemas/codec.h"

namespace mesh {

namespace {

using Clock = std::chrono::steady_clock;

constexpr uint16_t kEnrolPort = 7401;
constexpr size_t kHelloBytesMax = 8 * 1024;
constexpr size_t kPinBytesMax = 16 * 1024;
constexpr auto kAskAgain = std::chrono::seconds(3);
constexpr int kHelloMs = 5'000;

/// What the person at the box knows of the controller beforehand; each member may be missing.
struct Pin {
  std::optional<BoxKey> controller_key;
  std::optional<LogId> log;
  std::optional<SignKey> log_key;
  std::string fingerprint;
};

int left_ms(Clock::time_point until) {
  return static_cast<int>(
      std::max<int64_t>(0, std::chrono::duration_cast<std::chrono::milliseconds>(until - Clock::now()).count()));
}

/// The value of `name = "value"` in what `meshcli controller connection` prints.
std::string setting(const std::string& text, std::string_view name) {
  for (size_t at = 0; at < text.size();) {
    const size_t end = std::min(text.find('\n', at), text.size());
    const std::string_view line = std::string_view(text).substr(at, end - at);
    at = end + 1;
    if (!line.starts_with(name) || line.find_first_not_of(" =", name.size()) != line.find('"')) continue;
    const size_t first = line.find('"'), last = line.rfind('"');
    if (first < last) return std::string(line.substr(first + 1, last - first - 1));
  }
  return {};
}

/// A key in hex or base64, or a file with what `meshcli controller connection` prints.
Status read_pin(const std::string& given, Pin& pin) {
  pin.controller_key = array_from_hex<BoxKey>(given);
  if (!pin.controller_key) pin.controller_key = array_from_base64<BoxKey>(given);
  if (pin.controller_key) return {};
  std::ifstream file(given, std::ios::binary);
  if (!file)
    return fail(Errc::invalid, fmt::format("\"{}\" is neither a key nor a file", given),
                "give 64 hex digits, 44 characters of base64, or a file of `meshcli controller connection`");
  std::string text(kPinBytesMax, '\0');
  file.read(text.data(), static_cast<std::streamsize>(text.size()));
  text.resize(static_cast<size_t>(file.gcount()));
  pin.controller_key = array_from_base64<BoxKey>(setting(text, "controller_key"));
  pin.log = array_from_hex<LogId>(setting(text, "log_id"));
  pin.log_key = array_from_base64<SignKey>(setting(text, "log_key"));
  if (pin.controller_key) return {};
  return fail(Errc::invalid, fmt::format("{} has no controller_key in it", given),
              "write what `meshcli controller connection` prints into it");
}

/// Takes a greeting apart. Errors: corrupt.
Result<TokenText> read_greeting(std::string_view text) {
  const auto json = nlohmann::json::parse(text, nullptr, false);
  const auto member = json.is_object() ? json.find("genesis") : json.end();
  const auto bytes = json.is_object() && member != json.end() && member->is_string()
                         ? from_base64(member->get<std::string>())
                         : std::nullopt;
  if (!bytes) return fail(Errc::corrupt, "that is no greeting of a controller", "is it a controller's port?");
  auto request = decode_request(*bytes);
  if (!request) return fail_in("the controller's greeting", request.error());
  const auto* genesis = request->commands.size() == 1 ? std::get_if<CreateLog>(&request->commands[0]) : nullptr;
  if (!genesis) return fail(Errc::corrupt, "the controller's greeting does not create a log");
  TokenText out;
  out.log = derive_log_id(*genesis);
  out.log_key = genesis->log_key;
  out.controller_key = genesis->controller_key;
  return out;
}

/// Errors: unauthenticated, when it is not whom the pin names.
Status check_pin(const Pin& pin, const TokenText& who) {
  const std::string print = fingerprint(who.log.view());
  const auto other = [&](std::string_view what) {
    return fail(Errc::unauthenticated,
                fmt::format("the controller that answers has another {}; its fingerprint is {}", what, print),
                "ask whoever runs the controller for `meshcli controller connection`; somebody may be in between");
  };
  if (!pin.fingerprint.empty() && pin.fingerprint != print) return other("fingerprint");
  if (pin.controller_key && *pin.controller_key != who.controller_key) return other("key");
  if (pin.log && *pin.log != who.log) return other("log");
  if (pin.log_key && *pin.log_key != who.log_key) return other("log key");
  return {};
}

struct Descriptor {
  int fd = -1;
  ~Descriptor() {
    if (fd >= 0) ::close(fd);
  }
};

/// All that the port says until it closes; empty when it cannot be reached.
std::string hear_hello(const std::string& host, uint16_t port) {
  addrinfo wanted{}, *found = nullptr;
  wanted.ai_socktype = SOCK_STREAM;
  if (::getaddrinfo(host.c_str(), std::to_string(port).c_str(), &wanted, &found) != 0) return {};
  std::string text;
  for (const addrinfo* at = found; at && text.empty(); at = at->ai_next) {
    Descriptor socket{::socket(at->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0)};
    if (socket.fd < 0) continue;
    if (::connect(socket.fd, at->ai_addr, at->ai_addrlen) != 0 && errno != EINPROGRESS) continue;
    pollfd watched{socket.fd, POLLIN, 0};
    const auto until = Clock::now() + std::chrono::milliseconds(kHelloMs);
    char piece[2048];
    while (text.size() <= kHelloBytesMax && ::poll(&watched, 1, left_ms(until)) > 0) {
      const ssize_t got = ::read(socket.fd, piece, sizeof piece);
      if (got <= 0) break;
      text.append(piece, static_cast<size_t>(got));
    }
  }
  ::freeaddrinfo(found);
  return text.size() <= kHelloBytesMax ? text : std::string();
}

Status wait_a_little(Clock::time_point until, const std::string& what) {
  if (Clock::now() >= until)
    return fail(Errc::unavailable, what, "an operator opens the door: meshcli attach node NODE");
  std::this_thread::sleep_for(std::min<Clock::duration>(kAskAgain, until - Clock::now()));
  return {};
}

/// A person says yes to a fingerprint, in front of it.
Status ask_person(const std::string& print) {
  if (::isatty(STDIN_FILENO) == 0)
    return fail(Errc::unauthenticated, fmt::format("nobody confirmed the controller with fingerprint {}", print),
                "compare it with `meshcli controller connection`, then give it with --fingerprint");
  fmt::print(stderr, "`meshcli controller connection` shows the same on the controller's side.\n"
                     "Is this the controller to obey? Type yes: ");
  std::string typed;
  std::getline(std::cin, typed);
  if (typed == "yes") return {};
  return fail(Errc::not_permitted, "not confirmed; nothing was sent");
}

Result<TokenText> learn_by_hello(const HostPort& where, uint16_t hello_port, const Pin& pin, Clock::time_point until) {
  for (bool said = false;;) {
    const std::string text = hear_hello(where.host, hello_port);
    if (!text.empty()) {
      auto who = read_greeting(text);
      if (!who) return std::unexpected(who.error());
      const std::string print = fingerprint(who->log.view());
      fmt::print(stderr, "the controller at {} has the fingerprint {}\n", where.host, print);
      MESH_TRY(check_pin(pin, *who));
      if (pin.fingerprint.empty()) MESH_TRY(ask_person(print));
      return who;
    }
    if (!std::exchange(said, true))
      fmt::print(stderr, "nobody answers at {} yet; waiting for an operator: meshcli attach node NODE\n",
                 host_port_text(where.host, hello_port));
    MESH_TRY(wait_a_little(until, fmt::format("nobody answered at {}", host_port_text(where.host, hello_port))));
  }
}

/// Asks over a connection that only the holder of the pinned key can have opened.
Result<TokenText> learn_by_key(const std::string& endpoint, const BoxSecret& own, const Pin& pin,
                               Clock::time_point until) {
  ClientOptions options;
  options.endpoints = {{endpoint, *pin.controller_key}};
  options.jitter_seed = random_array<Digest>().bytes[0];
  options.backoff_max_ms = 1'000;
  auto bus = BusClient::open(own, std::move(options));
  if (!bus) return std::unexpected(bus.error());
  const auto question = encode_message({1, Query{"greeting", {}, {}}});
  std::string trouble;
  int refusals = 0;
  while (Clock::now() < until) {
    for (const auto& event : (*bus)->poll(std::min(200, left_ms(until)))) {
      if (event.kind == ClientEvent::Kind::connected) (void)(*bus)->send(question);
      // The door may just be closing, or crowded; for ever it is only with another key.
      if (event.kind == ClientEvent::Kind::refused && ++refusals >= 5)
        return fail(Errc::unauthenticated, event.detail, "is that the key of this controller, and the enrolment port?");
      if (event.kind == ClientEvent::Kind::unreachable && std::exchange(trouble, event.detail).empty())
        fmt::print(stderr, "{}; waiting for an operator: meshcli attach node NODE\n", trouble);
      if (event.kind != ClientEvent::Kind::frame) continue;
      auto message = decode_message(event.frame);
      if (!message) return fail_in("the controller's answer", message.error());
      if (const auto* error = std::get_if<ErrorReply>(&message->body)) return std::unexpected(error->error);
      const auto* answer = std::get_if<QueryResult>(&message->body);
      if (!answer) continue;
      auto who = read_greeting(answer->json);
      if (!who) return std::unexpected(who.error());
      MESH_TRY(check_pin(pin, *who));
      fmt::print(stderr, "the controller at {} has the fingerprint {}\n", endpoint, fingerprint(who->log.view()));
      return who;
    }
  }
  return fail(Errc::unavailable, trouble.empty() ? "the controller did not answer" : trouble,
              "an operator opens the door: meshcli attach node NODE");
}

}  // namespace

Result<TokenText> meet_controller(const MeshnodeOptions& options, const BoxSecret& own) {
  auto where = parse_host_port(options.controller);
  if (!where) return fail_in("--controller", where.error());
  const uint16_t port = where->port.value_or(kEnrolPort);
  const uint16_t hello = options.hello_port != 0 ? options.hello_port : static_cast<uint16_t>(port + 1);
  const std::string endpoint = "tcp://" + host_port_text(where->host, port);
  const auto until = Clock::now() + std::chrono::seconds(options.timeout_s);
  Pin pin;
  pin.fingerprint = options.fingerprint;
  if (!options.controller_key.empty()) MESH_TRY(read_pin(options.controller_key, pin));
  // Whom it asked before it asks again: that was confirmed already.
  auto known = load_identity(options.data);
  if (!known && known.error().code != Errc::not_found) return std::unexpected(known.error());
  Result<TokenText> who = TokenText{};
  if (known) {
    who->log = known->log;
    who->log_key = known->log_key;
    who->controller_key = known->controller_key;
    if (auto same = check_pin(pin, *who); !same)
      return fail(Errc::conflict, fmt::format("{} asked another controller before", options.data.string()),
                  "to give that up first, run: meshnode leave");
  } else if (pin.controller_key) {
    who = learn_by_key(endpoint, own, pin, until);
  } else {
    who = learn_by_hello(*where, hello, pin, until);
  }
  if (who) who->enrol_endpoints = {endpoint};
  return who;
}

}  // namespace mesh
