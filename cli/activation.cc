#include "cli/activation.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "cli/mutate.h"
#include "cli/scope.h"
#include "cli/views.h"
#include "eventstore/model/event.h"

namespace mesh::cli {

namespace {

constexpr int64_t kWaitDefaultS = 60;
constexpr int kPollFirstMs = 20;
constexpr int kPollMaxMs = 500;

std::string counts_text(const Json& activation) {
  return fmt::format("ok {}  waiting {}  failed {}", number_at(activation, "applied"),
                     number_at(activation, "waiting"), number_at(activation, "failed"));
}

/// Nodes in one of `states`, with what they said.
std::vector<std::string> nodes_in_state(const Json& activation,
                                        std::initializer_list<std::string_view> states) {
  std::vector<std::string> out;
  for (const Json& item : value_at(activation, "items")) {
    const std::string state = text_at(item, "state");
    if (std::ranges::find(states, state) == states.end()) continue;
    const std::string message = text_at(item, "message");
    out.push_back(text_at(item, "fullname") + (message.empty() ? "" : ": " + message));
  }
  return out;
}

class ActivationWait {
 public:
  ActivationWait(Session& session, Client& client, ActivationId id)
      : session_(session), client_(client), id_(id), progress_(session) {}

  /// The document is the newest that was seen.
  Result<int> run(int64_t timeout_s, Json& activation) {
    Environment& environment = session_.environment();
    environment.catch_interrupts();
    const int64_t deadline = environment.monotonic_ms() + timeout_s * 1000;
    for (int pause = kPollFirstMs;; pause = std::min(pause * 2, kPollMaxMs)) {
      auto now = client_.query("activation", {{"id", std::to_string(id_.value())}});
      if (!now) return std::unexpected(std::move(now).error());
      activation = std::move(*now);
      const auto total = static_cast<uint64_t>(number_at(activation, "total"));
      const auto waiting = static_cast<uint64_t>(number_at(activation, "waiting"));
      progress_.show("activate", total - std::min(waiting, total), total, counts_text(activation));
      if (waiting == 0) return activation_exit(activation);
      if (environment.interrupted()) return int{kInterrupted};
      const int64_t left = deadline - environment.monotonic_ms();
      if (left <= 0) return int{kTimedOut};
      environment.sleep(static_cast<int>(std::min<int64_t>(pause, left)));
    }
  }

 private:
  Session& session_;
  Client& client_;
  ActivationId id_;
  Progress progress_;
};

void say_outcome(Session& session, ActivationId id, int exit, int64_t timeout_s,
                 const Json& activation) {
  const std::string resume =
      fmt::format("activation {} continues: see `meshcli status`", id.value());
  for (const std::string& line : nodes_in_state(activation, {"failed", "refused"}))
    session.note("failed   " + printable(line));
  for (const std::string& line : nodes_in_state(activation, {"reverted"}))
    session.note("reverted " + printable(line));
  for (const std::string& line : nodes_in_state(activation, {"offline"}))
    session.note(fmt::format("offline  {}; it takes the version when it is back", printable(line)));
  if (exit == kTimedOut) {
    for (const std::string& line : nodes_in_state(activation, {"waiting"}))
      session.note("waiting  " + printable(line));
    session.note(
        fmt::format("no answer from everybody in {}; {}", duration_text(timeout_s), resume));
  }
  if (exit == kInterrupted) session.note("detached; " + resume);
  if (!session.for_people()) return;
  std::string line = fmt::format("activation {}: {} of {} applied", id.value(),
                                 number_at(activation, "applied"), number_at(activation, "total"));
  for (const char* key : {"failed", "waiting", "offline"})
    if (const int64_t count = number_at(activation, key); count > 0)
      line += fmt::format(", {} {}", count, key);
  session.note(line);
}

const ActivationStarted* started_by(const Reply& reply) {
  for (const Event& event : reply.events)
    if (const auto* started = std::get_if<ActivationStarted>(&event)) return started;
  return nullptr;
}

}  // namespace

int activation_exit(const Json& activation) {
  if (number_at(activation, "failed") == 0) return kSuccess;
  // Who could not apply and went back is one thing; who hangs in between is worse.
  return nodes_in_state(activation, {"failed", "refused"}).empty() ? kRolledBack : kPartlyFailed;
}

Result<int> run_activation(Session& session, const Target& target, Version version,
                           Json& document) {
  auto notes = session.notes();
  if (!notes) return std::unexpected(std::move(notes).error());
  auto timeout_s = session.has("timeout") ? parse_duration_s(session.option("timeout"))
                                          : Result<int64_t>(kWaitDefaultS);
  if (!timeout_s) return std::unexpected(std::move(timeout_s).error());
  auto client = session.client();
  if (!client) return std::unexpected(std::move(client).error());
  auto reply = (*client)->submit({Activate{target, version}}, *notes);
  if (!reply) return std::unexpected(std::move(reply).error());
  for (const std::string& warning : reply->warnings) session.warn(warning);
  document["activate"] = reply_json(*reply, notes->dry_run);
  const ActivationStarted* started = started_by(*reply);
  if (session.for_people()) {
    const std::string what = version == Version() ? "latest" : fmt::format("v{}", version.value());
    const std::string nodes =
        started ? " on " + count_text(started->rows.size(), "node") : std::string();
    const std::string suffix = !started || notes->dry_run
                                   ? reply_suffix(*reply, notes->dry_run, false)
                                   : fmt::format("(#{}, activation {})", reply->sequence.value(),
                                                 started->activation.value());
    session.print(fmt::format("{}: {} activated{}  {}\n", fleet_text(target), what, nodes, suffix));
  }
  if (!started || notes->dry_run) return unchanged_exit(session, *reply);
  if (session.has("no-wait")) {
    session.hint("next: meshcli status");
    return int{kSuccess};
  }
  Json activation;
  auto exit = ActivationWait(session, **client, started->activation).run(*timeout_s, activation);
  if (!exit)
    return fail_in(
        fmt::format("waiting for activation {}, which continues", started->activation.value()),
        exit.error());
  say_outcome(session, started->activation, *exit, *timeout_s, activation);
  document["activation"] = std::move(activation);
  return exit;
}

}  // namespace mesh::cli
