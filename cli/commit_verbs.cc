// plan, commit, activate: from the working state to versions to routers.
#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "cli/activation.h"
#include "cli/changes_text.h"
#include "cli/handlers.h"
#include "cli/mutate.h"
#include "cli/scope.h"

namespace mesh::cli {

namespace {

/// How often a commit is prepared anew because somebody changed something in between.
constexpr int kPrepareRetries = 4;

struct Plan {
  Prepared prepared;
  Json document;  // nodes, warnings, others
};

Result<Plan> prepare_plan(Client& client, const Prepare& question) {
  auto prepared = client.prepare(question);
  if (!prepared) return std::unexpected(std::move(prepared).error());
  Json document = Json::parse(prepared->plan, nullptr, false);
  if (!document.is_object())
    return fail(Errc::corrupt, "the controller's plan is not a JSON document");
  return Plan{std::move(*prepared), std::move(document)};
}

std::string plan_text(const Json& plan, bool colour) {
  std::string out;
  for (const Json& node : value_at(plan, "nodes")) {
    const std::string effect = text_at(node, "effect");
    out += fmt::format("{} -> v{}  {}\n", printable(text_at(node, "fullname")),
                       number_at(node, "version"), effect_text(effect, colour));
    out += change_lines(value_at(node, "changes"), value_at(node, "classes"), colour);
    for (const Json& line : value_at(node, "interrupts"))
      out += "  " + paint(printable(line.is_string() ? line.get<std::string>() : json_text(line)), Tone::warn, colour) +
             "\n";
  }
  for (const Json& line : value_at(plan, "interrupted"))
    out += paint(printable(line.is_string() ? line.get<std::string>() : json_text(line)), Tone::bad, colour) + "\n";
  return out;
}

/// A fleet has millions of pairs; -o json has a thousand.
constexpr size_t kPairsShown = 20;

uint64_t pairs_in(const Json& plan, std::string_view what) {
  return static_cast<uint64_t>(
      number_at(value_at(value_at(plan, "reachability"), "totals"), what));
}

/// What a commit takes away comes first and is never left out for length alone.
std::string reach_text(const Json& plan, bool colour) {
  std::string out;
  for (const auto& [what, mark] : {std::pair("lost", '-'), std::pair("gained", '+')}) {
    const Json& pairs = value_at(value_at(plan, "reachability"), what);
    if (pairs.empty()) continue;
    out += paint(fmt::format("LANs {}", mark == '-' ? "that no longer reach each other"
                                                    : "that newly reach each other"),
                 Tone::bold, colour) + "\n";
    size_t shown = 0;
    for (const Json& pair : pairs) {
      if (shown++ == kPairsShown) break;
      const std::string line =
          fmt::format("{} {} and {}", mark, text_at(pair, "from"), text_at(pair, "to"));
      out += "  " + change_line(line, colour) + "\n";
    }
    const size_t listed = std::min(kPairsShown, pairs.size());
    if (const uint64_t all = pairs_in(plan, what); listed < all)
      out += fmt::format("  and {} more\n", all - listed);
  }
  return out;
}

void warn_about(Session& session, const Json& plan) {
  for (const Json& warning : value_at(plan, "warnings"))
    session.warn(warning.is_string() ? warning.get<std::string>() : json_text(warning));
}

/// Before the refusal, or where it is not refused.
void warn_about_loss(Session& session, const Json& plan) {
  const uint64_t lost = pairs_in(plan, "lost");
  if (lost == 0) return;
  const bool refused =
      flag_at(value_at(plan, "reachability"), "refused") && !session.has("allow-loss");
  session.warn(fmt::format("{} of LANs will no longer reach each other{}", count_text(lost, "pair"),
                           refused ? ": the commit is refused without --allow-loss" : ""));
}

std::string other_text(const Json& other) {
  if (other.is_string()) return other.get<std::string>();
  std::string out = text_at(other, "scope");
  if (const std::string name = text_at(other, "name"); !name.empty()) out += ": " + name;
  return fmt::format("{} by {}", out, text_at(other, "by"));
}

std::string changed_text(const Json& plan) {
  const size_t count = value_at(plan, "nodes").size();
  std::string out = count == 0
                        ? "no node's configuration changes"
                        : fmt::format("{} change{}", count_text(count, "node"), count == 1 ? "s" : "");
  for (const char* what : {"lost", "gained"})
    if (const uint64_t pairs = pairs_in(plan, what); pairs > 0)
      out += fmt::format(", {} of LANs {}", count_text(pairs, "pair"), what);
  return out;
}

/// The document that commit prints: what was planned and what came of it.
Json commit_document(const Plan& plan, const Reply& reply, bool dry_run) {
  Json document = reply_json(reply, dry_run);
  document["kind"] = "CommitResult";
  document["prepared_at"] = plan.prepared.sequence.value();
  document["root"] = to_hex(plan.prepared.root.view());
  document["plan"] = plan.document;
  return document;
}

struct Committed {
  Plan plan;
  Reply reply;
};

/// Prepare, show, sign what was shown. Somebody else's change in between: again, and what is new is
/// shown.
Result<Committed> prepare_and_commit(Session& session, Client& client, const Target& target,
                                     const RequestNotes& notes) {
  const Prepare question{target, session.has("include-others"), session.has("with-neighbours")};
  for (int attempt = 1;; ++attempt) {
    auto plan = prepare_plan(client, question);
    if (!plan) return std::unexpected(std::move(plan).error());
    warn_about(session, plan->document);
    if (session.for_people())
      session.note(plan_text(plan->document, session.colour_err()) +
                   reach_text(plan->document, session.colour_err()) + changed_text(plan->document));
    // Signed only where it is needed, so that the log says when a loss was meant.
    const bool allow_loss = session.has("allow-loss") &&
                            flag_at(value_at(plan->document, "reachability"), "refused");
    warn_about_loss(session, plan->document);
    const Commit commit{.target = target,
                        .prepared_at = plan->prepared.sequence,
                        .root = plan->prepared.root,
                        .include_others = question.include_others,
                        .with_neighbours = question.with_neighbours,
                        .allow_loss = allow_loss};
    auto reply = client.submit({commit}, notes);
    if (reply) return Committed{std::move(*plan), std::move(*reply)};
    const bool again = reply.error().code == Errc::conflict &&
                       notes.expect_sequence == Sequence() && attempt < kPrepareRetries;
    if (!again) return std::unexpected(std::move(reply).error());
    session.note(fmt::format("{}; preparing again", reply.error().message));
  }
}

/// Others' changes are part of what would change; whether they may be committed is the commit's
/// question.
Result<Json> plan_now(Session& session, Client& client) {
  auto plan =
      prepare_plan(client, Prepare{target_of(session), true, session.has("with-neighbours")});
  if (!plan) return std::unexpected(std::move(plan).error());
  Json document{{"kind", "Plan"},
                {"sequence", plan->prepared.sequence.value()},
                {"root", to_hex(plan->prepared.root.view())}};
  document.update(plan->document);
  return document;
}

bool inside(const Target& target, const std::string& fullname) {
  if (target.level == Level::node) return fullname == target.name;
  return target.level == Level::global || fullname.ends_with("." + target.name);
}

/// What a commit would have changed then. Nothing is prepared: the past cannot be committed.
Result<Json> past_plan(Session& session, Client& client) {
  if (session.has("with-neighbours"))
    return fail(Errc::usage,
                "--with-neighbours prepares a commit, and the past cannot be committed",
                "plan all --at shows every node");
  const Target target = target_of(session);
  // The scope must have existed, and an unknown name gets the controller's suggestion.
  if (auto known = client.query("show", {{"scope", to_text(target)}}); !known)
    return std::unexpected(std::move(known).error());
  auto changed = client.query("changed", {{"scope", to_text(target)}});
  if (!changed) return changed;
  Json nodes = Json::array();
  for (Json& item : (*changed)["items"])
    if (inside(target, text_at(item, "fullname"))) nodes.push_back(std::move(item));
  return Json{{"kind", "Plan"},
              {"sequence", value_at(*changed, "sequence")},
              {"at", value_at(*changed, "sequence")},
              {"root", nullptr},
              {"nodes", std::move(nodes)},
              {"reachability", value_at(*changed, "reachability")},
              {"warnings", Json::array()},
              {"others", Json::array()}};
}

}  // namespace

Result<int> plan_commit(Session& session) {
  auto client = session.client();
  if (!client) return std::unexpected(std::move(client).error());
  auto document = session.has("at") ? past_plan(session, **client) : plan_now(session, **client);
  if (!document) return std::unexpected(std::move(document).error());
  const Json& nodes = value_at(*document, "nodes");
  warn_about(session, *document);
  if (session.for_people()) {
    session.print(plan_text(*document, session.colour_out()) +
                  reach_text(*document, session.colour_out()));
    for (const Json& other : value_at(*document, "others"))
      session.note(fmt::format("changed by somebody else: {}", printable(other_text(other))));
    session.note(changed_text(*document));
    warn_about_loss(session, *document);
    if (!nodes.empty() && !session.has("at"))
      session.hint("next: meshcli commit, then meshcli activate");
  } else if (session.format() == Format::name) {
    for (const Json& node : nodes) session.print(text_at(node, "fullname") + "\n");
  } else {
    session.print_document(*document);
  }
  return int{session.has("detailed-exitcode") && !nodes.empty() ? kChanges : kSuccess};
}

Result<int> commit(Session& session) {
  auto notes = session.notes();
  if (!notes) return std::unexpected(std::move(notes).error());
  auto client = session.client();
  if (!client) return std::unexpected(std::move(client).error());
  const Target target = target_of(session);
  for (const char* option : {"confirmed", "unconfirmed", "health", "for"})
    if (session.has(option) && !session.has("activate"))
      return fail(Errc::usage, fmt::format("--{} is about an activation", option), "add --activate");
  auto activation = activate_command(session, target, Version());
  if (!activation) return std::unexpected(std::move(activation).error());
  auto done = prepare_and_commit(session, **client, target, *notes);
  if (!done) return std::unexpected(std::move(done).error());
  const bool some = !value_at(done->plan.document, "nodes").empty();
  for (const std::string& warning : done->reply.warnings) session.warn(warning);
  Json document = commit_document(done->plan, done->reply, notes->dry_run);
  int exit = session.has("detailed-exitcode") && some ? kChanges : kSuccess;
  if (!notes->dry_run && exit == kSuccess) exit = unchanged_exit(session, done->reply);
  if (session.for_people()) {
    const std::string suffix = reply_suffix(done->reply, notes->dry_run, false);
    const size_t count = value_at(done->plan.document, "nodes").size();
    session.print(fmt::format("{}: {} committed  {}\n", fleet_text(target),
                              count_text(count, "version"), suffix));
  } else if (session.format() == Format::name) {
    if (done->reply.sequence != Sequence())
      session.print(fmt::format("{}\n", done->reply.sequence.value()));
  }
  if (session.has("activate") && !notes->dry_run) {
    auto activated = run_activation(session, *activation, document);
    if (!activated) return activated;
    if (*activated != kSuccess && *activated != kUnchanged) exit = *activated;
  } else if (some && !notes->dry_run) {
    session.hint(fmt::format("next: meshcli activate {}", fleet_text(target)));
  }
  if (!session.for_people() && session.format() != Format::name) session.print_document(document);
  return exit;
}

Result<int> activate(Session& session) {
  auto version = parse_version(session.argument("VERSION"));
  if (!version && session.has("confirmed") && parse_duration_s(session.argument("VERSION")))
    version.error().fix = "--confirmed=" + session.argument("VERSION");
  if (!version) return std::unexpected(std::move(version).error());
  auto command = activate_command(session, target_of(session), *version);
  if (!command) return std::unexpected(std::move(command).error());
  Json document{{"kind", "ActivateResult"}, {"sequence", 0}};
  auto exit = run_activation(session, *command, document);
  if (!exit) return exit;
  document["sequence"] = number_at(value_at(document, "activate"), "sequence");
  if (session.format() == Format::name) {
    session.print(fmt::format("{}\n", number_at(document, "sequence")));
  } else if (!session.for_people()) {
    session.print_document(document);
  }
  return exit;
}

}  // namespace mesh::cli
