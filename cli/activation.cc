#include "cli/activation.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "cli/mutate.h"
#include "cli/scope.h"
#include "cli/views.h"
#include "eventstore/model/event.h"
#include "eventstore/model/limits.h"
#include "schemas/json.h"

namespace mesh::cli {

namespace {

constexpr int64_t kWaitDefaultS = 60;
constexpr int64_t kLateS = 30;  // after the deadline: reports and the log follow it
constexpr int kPollFirstMs = 20;
constexpr int kPollMaxMs = 500;

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

bool is_pending(const Json& activation) { return text_at(activation, "state") == "pending"; }

class ActivationWait {
 public:
  ActivationWait(Session& session, Client& client, const ActivationStarted& started)
      : session_(session), client_(client), started_(started), progress_(session) {}

  /// The document is the newest that was seen.
  Result<int> run(std::optional<int64_t> timeout_s, Json& activation) {
    Environment& environment = session_.environment();
    environment.catch_interrupts();
    const int64_t begin = environment.monotonic_ms();
    const int64_t deadline = begin + 1000 * timeout_s.value_or(patience_s());
    for (int pause = kPollFirstMs;; pause = std::min(pause * 2, kPollMaxMs)) {
      auto now = client_.query("activation", {{"id", std::to_string(started_.activation.value())}});
      if (now) {
        activation = std::move(*now);
        show(activation);
        if (is_done(activation)) return activation_exit(activation);
      } else {
        const bool over = environment.monotonic_ms() >= deadline;
        if (started_.confirm_s == 0 || now.error().code != Errc::unavailable || over)
          return std::unexpected(std::move(now).error());
        if (!std::exchange(silent_, true))
          session_.note(
              "no answer from the controller; without a confirmation all nodes go back by "
              "themselves");
      }
      if (environment.interrupted()) return int{kInterrupted};
      const int64_t left = deadline - environment.monotonic_ms();
      if (left <= 0) return int{kTimedOut};
      environment.sleep(static_cast<int>(std::min<int64_t>(pause, left)));
    }
  }

  /// How long is waited unless --timeout says otherwise. Until every target has applied it, it
  /// cannot be confirmed: there is nothing else to wait for than its end.
  int64_t patience_s() const {
    return started_.confirm_s == 0 ? kWaitDefaultS : int64_t{started_.confirm_s} + kLateS;
  }

 private:
  bool is_done(const Json& activation) {
    if (!is_pending(activation))
      return started_.confirm_s > 0 || number_at(activation, "waiting") == 0;
    // Who was there at first and cannot be heard any more was cut off by what it applied.
    if (offline_ < 0) offline_ = number_at(activation, "offline");
    return started_.health.empty() && number_at(activation, "waiting") == 0 &&
           number_at(activation, "offline") <= offline_;
  }

  void show(const Json& activation) {
    const auto total = static_cast<uint64_t>(number_at(activation, "total"));
    const auto waiting = static_cast<uint64_t>(number_at(activation, "waiting"));
    std::string counts =
        fmt::format("ok {}  waiting {}  failed {}", number_at(activation, "applied"),
                    number_at(activation, "waiting"), number_at(activation, "failed"));
    if (!started_.health.empty())
      counts += fmt::format("  healthy {}", number_at(activation, "healthy"));
    // Elsewhere than on a terminal every second would be a line.
    if (is_pending(activation) && session_.environment().err_terminal)
      counts += fmt::format("  {} left to confirm",
                            duration_text(number_at(activation, "confirm_left_s")));
    progress_.show("activate", total - std::min(waiting, total), total, counts);
  }

  Session& session_;
  Client& client_;
  const ActivationStarted& started_;
  Progress progress_;
  bool silent_ = false;
  int64_t offline_ = -1;  // at the first look
};

/// What can be done about one that waits, for whoever looks away from it.
std::string next_step(const Json& activation) {
  const int64_t id = number_at(activation, "id");
  if (!is_pending(activation)) return "see `meshcli status`";
  return fmt::format(
      "`meshcli confirm {0}` within {1} keeps it, `meshcli cancel {0}` ends it, "
      "`meshcli status --watch` shows it",
      id, duration_text(number_at(activation, "confirm_left_s")));
}

void say_nodes(Session& session, const Json& activation) {
  const bool waits = number_at(activation, "confirm_s") > 0;
  for (const std::string& line : nodes_in_state(activation, {"failed", "refused"}))
    session.note("failed   " + printable(line));
  for (const std::string& line : nodes_in_state(activation, {"reverted"}))
    session.note("reverted " + printable(line));
  for (const std::string& line : nodes_in_state(activation, {"offline"}))
    session.note(
        fmt::format("offline  {}; {}", printable(line),
                    waits ? "it has not heard of it" : "it takes the version when it is back"));
}

void say_outcome(Session& session, const ActivationStarted& started, int exit, int64_t timeout_s,
                 const Json& activation) {
  const uint64_t id = started.activation.value();
  say_nodes(session, activation);
  if (exit == kTimedOut) {
    for (const std::string& line : nodes_in_state(activation, {"waiting"}))
      session.note("waiting  " + printable(line));
    session.note(fmt::format("no answer from everybody in {}; activation {} continues: {}",
                             duration_text(timeout_s), id, next_step(activation)));
  }
  if (exit == kInterrupted)
    session.note(fmt::format("detached; activation {} continues: {}", id, next_step(activation)));
  if (!session.for_people()) return;
  std::string line = fmt::format("activation {}: {} of {} applied", id,
                                 number_at(activation, "applied"), number_at(activation, "total"));
  for (const char* key : {"failed", "waiting", "offline"})
    if (const int64_t count = number_at(activation, key); count > 0)
      line += fmt::format(", {} {}", count, key);
  if (text_at(activation, "state") == "confirmed")
    line += started.health.empty() ? ", confirmed" : ", healthy and confirmed";
  if (const std::string end = end_text(activation); !end.empty()) line = end;
  session.note(line);
  if (!is_pending(activation) || exit == kTimedOut || exit == kInterrupted) return;
  session.note(fmt::format("all nodes go back in {} unless it is confirmed",
                           duration_text(number_at(activation, "left_s"))));
  session.hint(fmt::format("next: meshcli confirm {0}, within {1}; or meshcli cancel {0}", id,
                           duration_text(number_at(activation, "confirm_left_s"))));
}

const ActivationStarted* started_by(const Reply& reply) {
  for (const Event& event : reply.events)
    if (const auto* started = std::get_if<ActivationStarted>(&event)) return started;
  return nullptr;
}

void say_started(Session& session, const Activate& command, const Reply& reply, bool dry_run) {
  const ActivationStarted* started = started_by(reply);
  if (started && started->confirm_s > 0 && command.confirm_s == 0 && command.health.empty())
    session.note(
        fmt::format("the attribute activation_confirm wants a confirmation within {}; "
                    "--unconfirmed goes without",
                    duration_text(started->confirm_s)));
  if (!session.for_people()) return;
  const std::string what =
      command.version == Version() ? "latest" : fmt::format("v{}", command.version.value());
  const std::string nodes =
      started ? " on " + count_text(started->rows.size(), "node") : std::string();
  std::string suffix = reply_suffix(reply, dry_run, false);
  if (started && !dry_run) {
    suffix =
        fmt::format("(#{}, activation {}", reply.sequence.value(), started->activation.value());
    if (started->confirm_s > 0)
      suffix +=
          fmt::format(", goes back in {} unless confirmed", duration_text(started->confirm_s));
    suffix += ")";
  }
  session.print(
      fmt::format("{}: {} activated{}  {}\n", fleet_text(command.target), what, nodes, suffix));
}

/// Of a site or of all, who lacks the version keeps what it has; that nobody has it is a mistake. A fleet that cannot
/// be listed is the controller's to judge.
Status say_who_lacks_it(Session& session, Client& client, const Activate& command) {
  constexpr size_t kShown = 10;
  if (command.target.level == Level::node) return {};
  QueryArguments arguments;
  if (command.target.level == Level::site) arguments["site"] = command.target.name;
  auto nodes = client.query("nodes", arguments);
  if (!nodes) return {};
  const auto wanted = std::max<int64_t>(1, command.version.value());
  std::vector<std::string> without;
  for (const Json& node : value_at(*nodes, "items"))
    if (const int64_t latest = number_at(node, "version_latest"); latest < wanted)
      without.push_back(latest == 0 ? fmt::format("node {} has no committed version", text_at(node, "fullname"))
                                    : fmt::format("node {} has no version v{}, its latest is v{}",
                                                  text_at(node, "fullname"), wanted, latest));
  if (!without.empty() && without.size() == value_at(*nodes, "items").size() && command.version != Version())
    return fail(Errc::not_found,
                fmt::format("no node{} has a version v{}",
                            command.target.level == Level::site ? " of " + to_text(command.target) : "", wanted),
                "meshcli list nodes all");
  for (size_t i = 0; i < std::min(without.size(), kShown); ++i) session.warn(without[i] + ": it stays as it is");
  if (without.size() > kShown) session.warn(fmt::format("and {} more", without.size() - kShown));
  return {};
}

}  // namespace

Result<uint32_t> confirm_seconds(std::string_view name, const std::string& text) {
  auto seconds = parse_duration_s(text);
  if (!seconds) return std::unexpected(std::move(seconds).error());
  if (*seconds < 1 || *seconds > int64_t{kConfirmSecondsMax})
    return fail(Errc::usage, fmt::format("{} {} is out of range", name, text),
                fmt::format("from {} to {}", duration_text(1), duration_text(kConfirmSecondsMax)));
  return static_cast<uint32_t>(*seconds);
}

Result<Activate> activate_command(const Session& session, const Target& target, Version version) {
  Activate out{target, version};
  out.unconfirmed = session.has("unconfirmed");
  if (out.unconfirmed && (session.has("confirmed") || session.has("health")))
    return fail(Errc::usage, "--unconfirmed contradicts --confirmed and --health", "leave one out");
  if (session.has("for") && !session.has("health"))
    return fail(Errc::usage, "--for says how long --health has to hold",
                "for example --health bgp,bfd --for 30s");
  if (session.has("confirmed")) {
    const std::string text = session.option("confirmed");
    auto seconds =
        text.empty() ? Result<uint32_t>(kConfirmSecondsDefault) : confirm_seconds("--confirmed", text);
    if (!seconds) return std::unexpected(std::move(seconds).error());
    out.confirm_s = *seconds;
  }
  for (const std::string& list : session.invocation().options.contains("health")
                                     ? session.invocation().options.at("health")
                                     : std::vector<std::string>())
    for (std::string& gate : split(list, ',')) out.health.push_back(std::move(gate));
  if (session.has("health") && out.health.empty())
    return fail(Errc::usage, "--health needs a gate", "controller, bgp, bfd, reach:SITE");
  if (session.has("for")) {
    auto seconds = confirm_seconds("--for", session.option("for"));
    if (!seconds) return std::unexpected(std::move(seconds).error());
    out.for_s = *seconds;
  }
  return out;
}

int activation_exit(const Json& activation) {
  if (!end_text(activation).empty()) return kRolledBack;
  if (number_at(activation, "failed") == 0 || text_at(activation, "state") == "confirmed")
    return kSuccess;
  // Who goes back from one that waits is where it was. Of another, who could not apply it and went
  // back is one thing; who hangs in between is worse.
  if (number_at(activation, "confirm_s") > 0) return kRolledBack;
  return nodes_in_state(activation, {"failed", "refused"}).empty() ? kRolledBack : kPartlyFailed;
}

std::string end_text(const Json& activation) {
  const std::string state = text_at(activation, "state");
  const int64_t id = number_at(activation, "id");
  const Json& ended = value_at(activation, "ended");
  const std::string where = fmt::format("  (#{})", number_at(ended, "sequence"));
  if (state == "expired")
    return fmt::format("activation {} expired: nobody confirmed it in time, all nodes go back{}",
                       id, where);
  if (state == "cancelled")
    return fmt::format("activation {} was cancelled by {}: all nodes go back{}", id,
                       printable(text_at(ended, "by")), where);
  if (state == "failed")
    return fmt::format("activation {} failed: a node could not hold it, all nodes go back{}", id,
                       where);
  return {};
}

std::string pending_text(const Json& activation, bool colour) {
  const Json& started = value_at(activation, "started");
  std::string out = fmt::format(
      "activation {} by {} waits for a confirmation: {} left to confirm, all nodes go back in {}\n",
      number_at(activation, "id"), printable(text_at(started, "by")),
      duration_text(number_at(activation, "confirm_left_s")),
      duration_text(number_at(activation, "left_s")));
  if (const Json& gates = value_at(activation, "health"); !gates.empty())
    out += fmt::format("confirmed by itself when every node has seen {} hold for {}\n",
                       cell_text(gates, Cell::text, true),
                       duration_text(number_at(activation, "for_s")));
  Json rows = value_at(activation, "items");
  for (Json& row : rows) {
    const std::string state = text_at(row, "state");
    if (state == "offline") row["state"] = "unreachable";
    if (state == "reverted" || state == "failed" || state == "refused") row["state"] = "went back";
  }
  out += table_text(rows, kActivationView, false, colour);
  const auto shown = static_cast<int64_t>(rows.size()), total = number_at(activation, "total");
  if (total > shown)
    out += fmt::format("and {} more\n", count_text(static_cast<uint64_t>(total - shown), "node"));
  return out;
}

Result<int> run_activation(Session& session, const Activate& command, Json& document) {
  auto notes = session.notes();
  if (!notes) return std::unexpected(std::move(notes).error());
  std::optional<int64_t> timeout_s;
  if (session.has("timeout")) {
    auto given = parse_duration_s(session.option("timeout"));
    if (!given) return std::unexpected(std::move(given).error());
    timeout_s = *given;
  }
  auto client = session.client();
  if (!client) return std::unexpected(std::move(client).error());
  MESH_TRY(say_who_lacks_it(session, **client, command));
  auto reply = (*client)->submit({command}, *notes);
  if (!reply) return std::unexpected(std::move(reply).error());
  for (const std::string& warning : reply->warnings) session.warn(warning);
  document["activate"] = reply_json(*reply, notes->dry_run);
  say_started(session, command, *reply, notes->dry_run);
  const ActivationStarted* started = started_by(*reply);
  if (!started || notes->dry_run) return unchanged_exit(session, *reply);
  if (session.has("no-wait")) {
    session.hint(started->confirm_s > 0
                     ? fmt::format("next: meshcli confirm {}", started->activation.value())
                     : "next: meshcli status");
    return int{kSuccess};
  }
  Json activation;
  ActivationWait wait(session, **client, *started);
  auto exit = wait.run(timeout_s, activation);
  if (!exit)
    return fail_in(
        fmt::format("waiting for activation {}, which continues", started->activation.value()),
        exit.error());
  say_outcome(session, *started, *exit, timeout_s.value_or(wait.patience_s()), activation);
  document["activation"] = std::move(activation);
  return exit;
}

}  // namespace mesh::cli
