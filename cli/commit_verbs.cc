// plan, diff, commit, activate: from the working state to versions to routers.
#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "cli/activation.h"
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

std::string effect_text(const std::string& effect) {
  if (effect == "session_reset") return "resets sessions";
  if (effect == "restart") return "restarts";
  if (effect == "hot") return "without interruption";
  return effect.empty() || effect == "none" ? "no effect on traffic" : effect;
}

Tone effect_tone(const std::string& effect) {
  if (effect == "restart") return Tone::bad;
  return effect == "session_reset" ? Tone::warn : Tone::good;
}

std::string change_lines(const Json& changes, bool colour) {
  std::string out;
  for (const Json& change : changes) {
    const std::string line =
        printable(change.is_string() ? change.get<std::string>() : json_text(change));
    const Tone tone = line.starts_with('+')   ? Tone::good
                      : line.starts_with('-') ? Tone::bad
                                              : Tone::plain;
    out += "  " + paint(line, tone, colour) + "\n";
  }
  return out;
}

std::string plan_text(const Json& plan, bool colour) {
  std::string out;
  for (const Json& node : value_at(plan, "nodes")) {
    const std::string effect = text_at(node, "effect");
    out += fmt::format("{} -> v{}  {}\n", printable(text_at(node, "fullname")),
                       number_at(node, "version"),
                       paint(effect_text(effect), effect_tone(effect), colour));
    out += change_lines(value_at(node, "changes"), colour);
  }
  return out;
}

void warn_about(Session& session, const Json& plan) {
  for (const Json& warning : value_at(plan, "warnings"))
    session.warn(warning.is_string() ? warning.get<std::string>() : json_text(warning));
}

std::string other_text(const Json& other) {
  if (other.is_string()) return other.get<std::string>();
  std::string out = text_at(other, "scope");
  if (const std::string name = text_at(other, "name"); !name.empty()) out += ": " + name;
  return fmt::format("{} by {}", out, text_at(other, "by"));
}

std::string changed_text(const Json& plan) {
  const size_t count = value_at(plan, "nodes").size();
  return count == 0 ? "no node's configuration changes"
                    : fmt::format("{} change{}", count_text(count, "node"), count == 1 ? "s" : "");
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
      session.note(plan_text(plan->document, session.colour_err()) + changed_text(plan->document));
    const Commit commit{target, plan->prepared.sequence, plan->prepared.root,
                        question.include_others, question.with_neighbours};
    auto reply = client.submit({commit}, notes);
    if (reply) return Committed{std::move(*plan), std::move(*reply)};
    const bool again = reply.error().code == Errc::conflict &&
                       notes.expect_sequence == Sequence() && attempt < kPrepareRetries;
    if (!again) return std::unexpected(std::move(reply).error());
    session.note(fmt::format("{}; preparing again", reply.error().message));
  }
}

}  // namespace

Result<int> plan_commit(Session& session) {
  auto client = session.client();
  if (!client) return std::unexpected(std::move(client).error());
  // Others' changes are part of what would change; whether they may be committed is the commit's
  // question.
  auto plan =
      prepare_plan(**client, Prepare{target_of(session), true, session.has("with-neighbours")});
  if (!plan) return std::unexpected(std::move(plan).error());
  const Json& nodes = value_at(plan->document, "nodes");
  warn_about(session, plan->document);
  if (session.for_people()) {
    session.print(plan_text(plan->document, session.colour_out()));
    for (const Json& other : value_at(plan->document, "others"))
      session.note(fmt::format("changed by somebody else: {}", printable(other_text(other))));
    session.note(changed_text(plan->document));
    if (!nodes.empty()) session.hint("next: meshcli commit, then meshcli activate");
  } else if (session.format() == Format::name) {
    for (const Json& node : nodes) session.print(text_at(node, "fullname") + "\n");
  } else {
    Json document{{"kind", "Plan"},
                  {"sequence", plan->prepared.sequence.value()},
                  {"root", to_hex(plan->prepared.root.view())}};
    document.update(plan->document);
    session.print_document(document);
  }
  return int{session.has("detailed-exitcode") && !nodes.empty() ? kChanges : kSuccess};
}

Result<int> show_diff(Session& session) {
  auto client = session.client();
  if (!client) return std::unexpected(std::move(client).error());
  std::string a = session.argument("A"), b = session.argument("B");
  QueryArguments arguments{{"a", a.empty() ? "active" : a}, {"b", b.empty() ? "working" : b}};
  if (const std::string node = session.argument("N"); !node.empty()) arguments["node"] = node;
  auto document = (*client)->query("diff", arguments);
  if (!document) return std::unexpected(std::move(document).error());
  const Json& items = value_at(*document, "items");
  if (session.format() == Format::name || session.format() == Format::jsonl) {
    session.print(list_text(*document, ListView{{}, "fullname", ""}, session.format(), false));
  } else if (session.for_people()) {
    const bool colour = session.colour_out();
    for (const Json& item : items) {
      const std::string effect = text_at(item, "effect");
      session.print(fmt::format("{}  {} -> {}  {}\n",
                                paint(printable(text_at(item, "fullname")), Tone::bold, colour),
                                cell_text(value_at(item, "a"), Cell::version, false),
                                cell_text(value_at(item, "b"), Cell::version, false),
                                paint(effect_text(effect), effect_tone(effect), colour)));
      session.print(change_lines(value_at(item, "changes"), colour));
      for (const std::string& line : split(text_at(item, "text"), '\n')) {
        const Tone tone = line.starts_with('+')   ? Tone::good
                          : line.starts_with('-') ? Tone::bad
                                                  : Tone::plain;
        session.print(paint(printable(line), tone, colour) + "\n");
      }
    }
    if (items.empty()) session.note("No difference.");
  } else {
    session.print_document(*document);
  }
  return int{session.has("detailed-exitcode") && !items.empty() ? kChanges : kSuccess};
}

Result<int> commit(Session& session) {
  auto notes = session.notes();
  if (!notes) return std::unexpected(std::move(notes).error());
  auto client = session.client();
  if (!client) return std::unexpected(std::move(client).error());
  const Target target = target_of(session);
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
    auto activated = run_activation(session, target, Version(), document);
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
  if (!version) return std::unexpected(std::move(version).error());
  Json document{{"kind", "ActivateResult"}, {"sequence", 0}};
  auto exit = run_activation(session, target_of(session), *version, document);
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
