// attach: a newcomer without a token becomes a node, or takes the place of one, after an operator has compared its
// fingerprint.
#include <fmt/format.h>

#include <algorithm>
#include <iostream>
#include <nlohmann/json.hpp>
#include <utility>

#include "cli/handlers.h"
#include "cli/mutate.h"
#include "cli/newcomers.h"
#include "cli/recovery/recovery_file.h"
#include "cli/scope.h"
#include "cli/views.h"
#include "eventstore/model/crypto.h"

namespace mesh::cli {

namespace {

constexpr int64_t kGatherS = 20;
constexpr int64_t kPatienceS = 120;
constexpr int kPollMs = 500;
constexpr size_t kFingerprintSize = 39;

const ListView kNewcomersView{{{"NO", "number"},
                               {"ADDRESS", "address"},
                               {"HOSTNAME", "hostname"},
                               {"FINGERPRINT", "fingerprint"},
                               {"ASKS TO BE", "node"},
                               {"SINCE", "since", Cell::time},
                               {"MACHINE", "machine"}},
                              "fingerprint",
                              "Nobody waits."};

/// One run of `attach node N`.
class Attaching {
 public:
  Attaching(Session& session, Client& client, int64_t patience_s)
      : session_(session), environment_(session.environment()), client_(client), patience_s_(patience_s) {}

  Result<int> run() {
    auto place = node_status(client_, session_.argument("NODE"));
    if (!place) return std::unexpected(std::move(place).error());
    name_ = text_at(*place, "fullname");
    MESH_TRY(check_place(*place));
    environment_.catch_interrupts();
    auto chosen = session_.has("fingerprint") ? await(session_.option("fingerprint"))
                  : asks()                    ? choose()
                                              : refuse_to_guess();
    if (!chosen) return std::unexpected(std::move(chosen).error());
    if (chosen->is_null()) return int{environment_.interrupted() ? kInterrupted : kSuccess};
    return admit(*place, *chosen);
  }

 private:
  bool asks() const {
    return session_.for_people() && environment_.in_terminal && environment_.err_terminal && !session_.has("no-input");
  }

  Status check_place(const Json& place) const {
    const std::string state = text_at(place, "state");
    const bool taken = state != "not enrolled" && state != "revoked";
    if (taken && !session_.has("replace"))
      return fail(Errc::conflict, fmt::format("node {} is enrolled", name_),
                  fmt::format("`attach node {} --replace` gives its place to other hardware", name_));
    if (session_.has("replace") && !session_.has("yes") && !session_.has("dry-run") && !asks())
      return fail(Errc::usage, "--replace makes the keys of the hardware in place worthless", "give --yes to go on");
    if (session_.has("fingerprint") && session_.option("fingerprint").size() != kFingerprintSize)
      return fail(Errc::usage, fmt::format("\"{}\" is not a whole fingerprint", session_.option("fingerprint")),
                  "as `meshnode join` shows it: eight groups of four, with colons");
    return {};
  }

  /// Who waits. That it is asked keeps the controller's door open for newcomers.
  Result<Json> look() { return client_.query("pending", {{"gather", "1"}}); }

  Result<Json> gather() {
    Progress progress(session_);
    if (!environment_.err_terminal) session_.note(fmt::format("gathering for {}", duration_text(kGatherS)));
    const int64_t begin = environment_.monotonic_ms();
    for (;;) {
      auto document = look();
      const int64_t gone_s = (environment_.monotonic_ms() - begin) / 1000;
      if (!document || gone_s >= kGatherS || environment_.interrupted()) return document;
      if (environment_.err_terminal)
        progress.show("gathering", static_cast<uint64_t>(gone_s), kGatherS,
                      fmt::format("waiting {}", value_at(*document, "items").size()));
      environment_.sleep(kPollMs);
    }
  }

  void print_newcomers(Json& document) {
    int64_t number = 0;
    for (Json& item : document["items"]) item["number"] = ++number;
    session_.print_list(document, kNewcomersView);
    session_.hint(fmt::format("A newcomer asks with: meshnode join --controller HOST --fingerprint {}",
                              fingerprint(client_.context().connection.log.view())));
  }

  /// Errors: timeout.
  Result<Json> await(const std::string& print) {
    const int64_t deadline = environment_.monotonic_ms() + patience_s_ * 1000;
    for (bool said = false;;) {
      auto document = look();
      if (!document) return document;
      for (const Json& item : value_at(*document, "items"))
        if (text_at(item, "fingerprint") == print) return Json(item);
      if (environment_.interrupted()) return Json();
      if (environment_.monotonic_ms() >= deadline)
        return fail(Errc::timeout,
                    fmt::format("nobody with fingerprint {} came in {}", print, duration_text(patience_s_)),
                    "is `meshnode join` running there, with this controller? See `meshcli node pending`");
      if (!std::exchange(said, true)) session_.note(fmt::format("waiting for {}", print));
      environment_.sleep(kPollMs);
    }
  }

  /// null when the operator leaves.
  Result<Json> choose() {
    for (;;) {
      auto document = gather();
      if (!document) return document;
      if (environment_.interrupted()) return Json();
      print_newcomers(*document);
      const Json& items = value_at(*document, "items");
      *environment_.err << fmt::format("Which one is {}? Its number, r to wait again, q to leave: ", name_)
                        << std::flush;
      std::string typed;
      if (!std::getline(*environment_.in, typed) || typed == "q") {
        session_.note("nothing was changed");
        return Json();
      }
      if (typed == "r" || typed.empty()) continue;
      auto number = parse_number("the choice", typed);
      if (number && *number >= 1 && *number <= items.size()) return Json(items[*number - 1]);
      session_.warn(fmt::format("\"{}\" is none of 1 to {}, r and q", typed, items.size()));
    }
  }

  /// A fingerprint that nobody compared admits nobody.
  Result<Json> refuse_to_guess() {
    auto document = gather();
    if (!document) return document;
    print_newcomers(*document);
    return fail(Errc::usage, "nobody can be asked who it shall be", "give --fingerprint, after comparing it");
  }

  Result<int> admit(const Json& place, const Json& item) {
    auto pending = open_join(item);
    if (!pending) return std::unexpected(std::move(pending).error());
    const std::string print = text_at(item, "fingerprint");
    const std::string host = printable(pending->statement.hostname);
    std::vector<Command> commands;
    std::string line = fmt::format("node {}: admitted {} ({})", name_, print, host);
    if (session_.has("replace")) {
      commands.push_back(RevokeNode{name_});
      if (!session_.has("dry-run")) MESH_TRY(confirm_replacement(place, print, host));
    }
    commands.push_back(ApproveNode{name_, std::move(pending->join), std::move(pending->statement)});
    auto notes = session_.notes();
    if (!notes) return std::unexpected(std::move(notes).error());
    auto recovery = RecoveryChoice::of(session_);
    if (!recovery) return std::unexpected(std::move(recovery).error());
    if (*recovery) commands.push_back((*recovery)->command(name_));
    auto reply = client_.submit(std::move(commands), *notes);
    if (!reply) {
      if (*recovery) (*recovery)->withdraw(reply.error());
      return std::unexpected(std::move(reply).error());
    }
    if (*recovery)
      MESH_TRY((*recovery)->keep(session_, KnownRouter{client_.context().connection.log, name_, print}));
    for (const std::string& warning : reply->warnings) session_.warn(warning);
    if (session_.for_people())
      session_.print(fmt::format("{}  {}\n", line, reply_suffix(*reply, notes->dry_run, false)));
    Json document{{"kind", "Attach"},
                  {"node", name_},
                  {"fingerprint", print},
                  {"admitted", reply_json(*reply, notes->dry_run)},
                  {"stage", notes->dry_run ? "dry run" : "admitted"},
                  {"version", 0}};
    Result<int> exit = int{unchanged_exit(session_, *reply)};
    if (!notes->dry_run && !session_.has("no-wait")) exit = follow(reply->sequence, document);
    if (!exit) return exit;
    if (session_.format() == Format::name)
      session_.print(name_ + "\n");
    else if (!session_.for_people())
      session_.print_document(document);
    return exit;
  }

  Status confirm_replacement(const Json& place, const std::string& print, const std::string& host) {
    auto links = client_.query("links", {{"node", name_}});
    if (!links) return std::unexpected(std::move(links).error());
    return session_.confirm(
        {fmt::format("node {}: the hardware that is it now ({}) loses all its keys at once, for ever", name_,
                     printable(text_at(place, "state"))),
         fmt::format("its id {}, its addresses and {} go to {}, {}", number_at(place, "id"),
                     count_text(value_at(*links, "items").size(), "link"), host, print)},
        name_);
  }

  void reached(std::string_view stage, Json& document) {
    if (text_at(document, "stage") == stage) return;
    document["stage"] = stage;
    session_.note(fmt::format("{}: {}", name_, stage));
  }

  /// Until its first version runs, or there is none to wait for.
  Result<int> follow(Sequence admitted, Json& document) {
    const int64_t deadline = environment_.monotonic_ms() + patience_s_ * 1000;
    std::string problem;
    for (;;) {
      auto row = node_status(client_, name_);
      if (!row) return std::unexpected(std::move(row).error());
      const int64_t latest = number_at(*row, "version_latest"), wanted = number_at(*row, "version_wanted");
      const bool synced = flag_at(*row, "connected") &&
                          number_at(*row, "head") >= static_cast<int64_t>(admitted.value());
      if (synced) {
        reached("synced", document);
        document["version"] = number_at(*row, "version_active");
        if (wanted == 0) return say_next(latest);
        const std::string state = text_at(*row, "state");
        const bool settled = state != "applying" && state != "behind" && state != "problem";
        if (settled && number_at(*row, "version_active") == wanted) {
          document["stage"] = "applied";
          session_.note(fmt::format("{}: runs v{}", name_, wanted));
          return int{kSuccess};
        }
        if (state == "problem" && std::exchange(problem, text_at(*row, "problem")) != text_at(*row, "problem"))
          session_.warn(fmt::format("{}: {}", name_, problem));
      }
      if (environment_.interrupted()) return int{kInterrupted};
      if (environment_.monotonic_ms() >= deadline) {
        session_.note(fmt::format("{} is admitted and goes on by itself; after {} it is {}", name_,
                                  duration_text(patience_s_), synced ? "synced" : "not connected"));
        session_.hint(fmt::format("next: is `meshnode run` started there? meshcli status node {} --watch", name_));
        return int{kTimedOut};
      }
      environment_.sleep(kPollMs);
    }
  }

  Result<int> say_next(int64_t latest) {
    if (latest == 0)
      session_.hint("nothing is committed for it yet; next: meshcli commit all, then meshcli activate all");
    else
      session_.hint(fmt::format("v{} is committed and not active; next: meshcli activate node {}", latest, name_));
    return int{kSuccess};
  }

  Session& session_;
  Environment& environment_;
  Client& client_;
  int64_t patience_s_;
  std::string name_;
};

}  // namespace

Result<int> attach_node(Session& session) {
  auto patience_s = session.has("timeout") ? parse_duration_s(session.option("timeout")) : Result<int64_t>(kPatienceS);
  if (!patience_s) return std::unexpected(std::move(patience_s).error());
  auto client = session.client();
  if (!client) return std::unexpected(std::move(client).error());
  return Attaching(session, **client, *patience_s).run();
}

}  // namespace mesh::cli
