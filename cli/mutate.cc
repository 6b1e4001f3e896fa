#include "cli/mutate.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "schemas/json.h"

namespace mesh::cli {

Status refuse_change_options(const Session& session, std::string_view missing,
                             std::initializer_list<std::string_view> more) {
  std::vector<std::string_view> options{"message", "ref", "dry-run", "expect-sequence", "error-unchanged"};
  options.insert(options.end(), more);
  const std::string words = fmt::format("{} {}", session.verb().verb, session.verb().noun);
  for (const std::string_view option : options)
    if (session.has(option))
      return fail(Errc::usage, fmt::format("option --{} means nothing to `{}` without {}", option, words, missing),
                  fmt::format("see `meshcli help {}`", words));
  return {};
}

Json reply_json(const Reply& reply, bool dry_run) {
  Json events = Json::array();
  for (const Event& event : reply.events)
    events.push_back(Json::parse(event_json(event), nullptr, false));
  return {{"kind", "Reply"},
          {"sequence", reply.sequence.value()},
          {"changed", !reply.events.empty()},
          {"dry_run", dry_run},
          {"events", std::move(events)},
          {"warnings", reply.warnings}};
}

std::string reply_suffix(const Reply& reply, bool dry_run, bool uncommitted) {
  if (reply.events.empty()) return "(nothing changed)";
  if (dry_run) return "(dry run)";
  return fmt::format("(#{}{})", reply.sequence.value(), uncommitted ? ", uncommitted" : "");
}

int unchanged_exit(const Session& session, const Reply& reply) {
  return session.has("error-unchanged") && reply.events.empty() ? kUnchanged : kSuccess;
}

Result<int> mutate(Session& session, Mutation mutation, Reply* out) {
  auto notes = session.notes();
  if (!notes) return std::unexpected(std::move(notes).error());
  if (notes->expect_sequence == Sequence()) notes->expect_sequence = mutation.computed_on;
  auto client = session.client();
  if (!client) return std::unexpected(std::move(client).error());
  std::vector<Command> commands;
  for (Change& change : mutation.changes) commands.push_back(std::move(change.command));
  auto reply = (*client)->submit(std::move(commands), *notes, std::move(mutation.attachments));
  if (!reply) return std::unexpected(std::move(reply).error());
  for (const std::string& warning : reply->warnings) session.warn(warning);
  if (session.for_people()) {
    const std::string suffix = reply_suffix(*reply, notes->dry_run, mutation.uncommitted);
    for (const Change& change : mutation.changes)
      session.print(fmt::format("{}  {}\n", printable(change.line), suffix));
    if (!notes->dry_run && !reply->events.empty()) session.hint(mutation.next);
  } else if (session.format() == Format::name) {
    if (reply->sequence != Sequence()) session.print(fmt::format("{}\n", reply->sequence.value()));
  } else {
    session.print_document(reply_json(*reply, notes->dry_run));
  }
  const int exit = unchanged_exit(session, *reply);
  if (out) *out = std::move(*reply);
  return exit;
}

}  // namespace mesh::cli
