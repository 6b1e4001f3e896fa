// Recovery: a secret with which routers that lost their controller are adopted, and the listener that adopts them.
#include <fmt/format.h>
#include <sodium.h>

#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>
#include <ostream>

#include "broker/bus/server.h"
#include "cli/handlers.h"
#include "cli/mutate.h"
#include "cli/newcomers.h"
#include "cli/recovery/recovery_desk.h"
#include "cli/recovery/recovery_file.h"
#include "cli/scope.h"
#include "schemas/codec.h"

namespace mesh::cli {

namespace {

constexpr int kPollMs = 250;
constexpr int64_t kLookMs = 2'000;
constexpr int64_t kTokenS = 24 * 3'600;
constexpr size_t kCallBytesMax = 16 * 1024;
constexpr size_t kConnectionsMax = 4'096;
constexpr uint32_t kFramesPerCaller = 10'000;  // a router calls four times a minute
constexpr size_t kCountedMax = 100'000;  // keys that are easily made anew
constexpr size_t kToldMax = 1'000;       // strangers that are told; the list at the end has more
constexpr size_t kFingerprintSize = 39;

const ListView kCallersView{{{"NODE", "node"},
                             {"STATE", "state"},
                             {"FINGERPRINT", "fingerprint"},
                             {"HOSTNAME", "hostname"},
                             {"DETAIL", "detail"}},
                            "node",
                            "Nobody called."};

/// A token of this log for one node, with which exactly one router joins.
Result<std::string> token_for(Client& client, const std::string& name) {
  auto row = node_status(client, name);
  if (!row && row.error().code == Errc::not_found)
    return fail(Errc::not_found, fmt::format("this log has no node {}", name),
                "bring the intent here first: meshcli apply -f with an export, or meshcli add node");
  if (!row) return std::unexpected(std::move(row).error());
  const std::string state = text_at(*row, "state");
  if (state != "not enrolled" && state != "revoked")
    return fail(Errc::conflict, fmt::format("node {} is enrolled in this log already", name),
                fmt::format("when that is not this router: meshcli node revoke {}", name));
  auto text = token_text(client);
  if (!text) return std::unexpected(std::move(text).error());
  const SignSecret secret = SignSecret::generate();
  const Timestamp expires(client.now().value() + kTokenS * 1'000'000);
  CreateToken command{secret.public_key(), {Level::node, name}, 1, expires, false};
  RequestNotes notes;
  notes.message = "recovery of " + name;
  auto reply = client.submit({command}, notes);
  if (!reply) return std::unexpected(std::move(reply).error());
  const TokenCreated* created = created_by(*reply);
  if (!created) return fail(Errc::corrupt, "the controller answered without a token");
  return finish_token(std::move(*text), created->token, name, secret);
}

/// One run of `recover`.
class Recovering {
 public:
  Recovering(Session& session, Client& client, BusServer& server, RecoveryFile file)
      : session_(session),
        environment_(session.environment()),
        client_(client),
        server_(server),
        desk_(std::move(file), fingerprints(session),
              [this](const std::string& name) { return token_for(client_, name); }) {}

  Result<int> run(int64_t patience_s) {
    environment_.catch_interrupts();
    const int64_t begin = environment_.monotonic_ms();
    int64_t look_ms = 0, fresh_ms = begin;
    for (;;) {
      for (const Incoming& in : server_.poll(kPollMs)) take(in);
      tell();
      const int64_t now = environment_.monotonic_ms();
      if (now - fresh_ms > kTokenS * 500) {  // half of a token's life
        desk_.forget_tokens();
        fresh_ms = now;
      }
      if (now >= look_ms) {
        look();
        tell();
        look_ms = now + kLookMs;
      }
      if (done()) return end(kSuccess);
      if (environment_.interrupted()) return end(kInterrupted);
      if (patience_s > 0 && now - begin >= patience_s * 1000) return end(session_.has("once") ? kTimedOut : kSuccess);
    }
  }

 private:
  static std::vector<std::string> fingerprints(const Session& session) {
    const auto& options = session.invocation().options;
    const auto found = options.find("fingerprint");
    return found == options.end() ? std::vector<std::string>() : found->second;
  }

  void take(const Incoming& in) {
    if (frames_.size() > kCountedMax) frames_.clear();
    if (++frames_[in.session.user] > kFramesPerCaller) return server_.mute(in.session.user);
    auto answer = desk_.answer(in.session.user, in.frame);
    if (!answer) return;
    // One that has gone calls again.
    (void)server_.send(in.session, encode_message(*answer));
  }

  /// Those that were answered are looked for in the new log.
  void look() {
    for (const RecoveryCaller& each : desk_.callers()) {
      if (each.stage != RecoveryCaller::Stage::answered) continue;
      auto row = node_status(client_, each.name);
      if (!row) continue;  // asked again
      const std::string state = text_at(*row, "state");
      if (state == "not enrolled" || state == "revoked") continue;
      desk_.adopted(std::string(each.fingerprint));
    }
  }

  void tell() {
    for (const RecoveryCaller& each : desk_.callers()) {
      const bool stranger = each.stage == RecoveryCaller::Stage::unknown;
      if (stranger && told_.size() >= kToldMax && !told_.contains(each.fingerprint)) continue;
      const std::string state = fmt::format("{} {}", stage_name(each.stage), each.detail);
      if (std::exchange(told_[each.fingerprint], state) == state) continue;
      const std::string who = fmt::format("{} ({}, {})", each.name, each.fingerprint, each.hostname);
      switch (each.stage) {
        case RecoveryCaller::Stage::unknown:
          session_.warn(fmt::format("{} calls and is not known: compare its fingerprint with `meshnode status` there, "
                                    "then give it by --fingerprint",
                                    who));
          break;
        case RecoveryCaller::Stage::refused:
          session_.warn(fmt::format("{} calls and cannot be adopted: {}", who, each.detail));
          break;
        case RecoveryCaller::Stage::answered:
          session_.note(fmt::format("{} calls: told to join this log", who));
          break;
        case RecoveryCaller::Stage::adopted:
          session_.note(fmt::format("{}: adopted", each.name));
          break;
      }
    }
  }

  bool done() const {
    return session_.has("once") && std::ranges::any_of(desk_.callers(), [&](const RecoveryCaller& each) {
             return each.stage == RecoveryCaller::Stage::adopted && each.name == session_.option("once");
           });
  }

  Result<int> end(int exit) {
    Json document{{"kind", "RecoveryList"}, {"items", Json::array()}};
    for (const RecoveryCaller& each : desk_.callers())
      document["items"].push_back({{"node", each.name},
                                   {"state", stage_name(each.stage)},
                                   {"fingerprint", each.fingerprint},
                                   {"hostname", each.hostname},
                                   {"machine", each.machine},
                                   {"detail", each.detail}});
    session_.print_list(document, kCallersView);
    return int{exit};
  }

  Session& session_;
  Environment& environment_;
  Client& client_;
  BusServer& server_;
  RecoveryDesk desk_;
  std::map<BoxKey, uint32_t> frames_;
  std::map<std::string, std::string> told_;  // by fingerprint
};

}  // namespace

Result<int> node_recovery(Session& session) {
  auto client = session.client();
  if (!client) return std::unexpected(std::move(client).error());
  auto row = node_status(**client, session.argument("NODE"));
  if (!row) return std::unexpected(std::move(row).error());
  const std::string name = text_at(*row, "fullname"), print = text_at(*row, "fingerprint");
  const bool none = session.has("none");
  if (none && (session.has("recovery") || session.has("recovery-out")))
    return fail(Errc::usage, "--none takes the right away, and goes with no secret");
  auto choice = RecoveryChoice::of(session);
  if (!choice) return std::unexpected(std::move(choice).error());
  if (!none && !*choice) {
    Json document{{"kind", "NodeRecovery"}, {"node", name}, {"fingerprint", print},
                  {"recovery", flag_at(*row, "recovery")}};
    if (!session.for_people()) {
      session.print_document(document);
    } else {
      session.print(fmt::format("node {}: {}\n", name,
                                flag_at(*row, "recovery") ? "may be adopted with a recovery secret"
                                                          : "nobody has a recovery secret of it"));
    }
    return int{kSuccess};
  }
  const SetRecovery command = none ? SetRecovery{name, {}, {}} : (*choice)->command(name);
  Mutation mutation;
  const auto* line = none ? "nobody may adopt it" : "may be adopted with the recovery secret";
  mutation.changes.push_back({command, fmt::format("node {}: {}", name, line)});
  Reply reply;
  auto exit = mutate(session, std::move(mutation), &reply);
  if (none) return exit;
  if (!exit) {
    (*choice)->withdraw(exit.error());
    return exit;
  }
  std::optional<KnownRouter> router;
  if (print.empty())
    session.warn(fmt::format("{} has no key yet; run this again when it has joined", name));
  else
    router = KnownRouter{(*client)->context().connection.log, name, print};
  MESH_TRY((*choice)->keep(session, router));
  return exit;
}

Result<int> recover(Session& session) {
  for (const std::string_view needed : {"recovery", "listen"})
    if (!session.has(needed))
      return fail(Errc::usage, fmt::format("recover needs --{}", needed),
                  "meshcli recover --recovery FILE --listen tcp://ADDRESS:PORT, where the lost controller was");
  const auto& options = session.invocation().options;
  if (const auto prints = options.find("fingerprint"); prints != options.end())
    for (const std::string& print : prints->second)
      if (print.size() != kFingerprintSize)
        return fail(Errc::usage, fmt::format("\"{}\" is not a whole fingerprint", print),
                    "as `meshnode status` shows it: eight groups of four, with colons");
  auto patience_s = session.has("timeout") ? parse_duration_s(session.option("timeout")) : Result<int64_t>(0);
  if (!patience_s) return std::unexpected(std::move(patience_s).error());
  auto file = load_recovery_file(session.option("recovery"));
  if (!file) return std::unexpected(std::move(file).error());
  auto client = session.client();
  if (!client) return std::unexpected(std::move(client).error());
  ServerOptions server;
  server.endpoint = session.option("listen");
  server.admits = [](const BoxKey&) { return true; };  // who may be adopted is the desk's to judge
  server.frame_max = kCallBytesMax;
  server.connections_max = kConnectionsMax;
  server.handshake_ms = 10'000;
  auto bus = BusServer::open(file->secret.box(), std::move(server));
  if (!bus) return std::unexpected(std::move(bus).error());
  session.note(fmt::format("listening at {} for routers that call for recovery; {} known by the file",
                           (*bus)->bound_endpoint(), count_text(file->routers.size(), "router")));
  return Recovering(session, **client, **bus, std::move(*file)).run(*patience_s);
}

}  // namespace mesh::cli
