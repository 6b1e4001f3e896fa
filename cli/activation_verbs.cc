// confirm, cancel, extend, list activations: what waits for a confirmation, and what became of it.
#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "cli/activation.h"
#include "cli/handlers.h"
#include "cli/mutate.h"
#include "cli/views.h"
#include "eventstore/model/event.h"

namespace mesh::cli {

namespace {

std::string waiting_line(const Json& activation) {
  return fmt::format("activation {}: {} on {}, {} left to confirm", number_at(activation, "id"),
                     printable(text_at(value_at(activation, "started"), "by")),
                     count_text(static_cast<uint64_t>(number_at(activation, "total")), "node"),
                     duration_text(number_at(activation, "confirm_left_s")));
}

/// The id that was given, else that of the only one that waits. Errors: usage, conflict (several
/// wait), not_found; with `late` and the exit code kRolledBack when the newest of all is over.
Result<ActivationId> activation_meant(Session& session, Client& client, bool late) {
  if (const std::string text = session.argument("ID"); !text.empty()) {
    auto number = parse_number("ID", text);
    if (!number) return std::unexpected(std::move(number).error());
    return ActivationId(*number);
  }
  auto document = client.query("activations", {{"limit", "1"}});
  if (!document) return std::unexpected(std::move(document).error());
  std::vector<ActivationId> waiting;
  std::string lines, over;
  for (const Json& item : value_at(*document, "items")) {
    if (text_at(item, "state") == "pending") {
      waiting.emplace_back(static_cast<uint64_t>(number_at(item, "id")));
      lines += (lines.empty() ? "" : "; ") + waiting_line(item);
    } else if (number_at(item, "id") == number_at(*document, "newest")) {
      over = end_text(item);
    }
  }
  if (waiting.size() == 1) return waiting.front();
  if (waiting.size() > 1)
    return fail(Errc::conflict,
                fmt::format("{} activations wait for a confirmation", waiting.size()),
                "name one: " + lines);
  const Error none{Errc::not_found, "no activation waits for a confirmation",
                   "see `meshcli list activations`"};
  if (!late || over.empty()) return std::unexpected(none);
  return session.fail_with(kRolledBack, {Errc::conflict, over, "activate again"});
}

/// What was refused because the activation is over is no conflict: it was rolled back.
std::unexpected<Error> refused(Session& session, Client& client, ActivationId id, Error error) {
  if (error.code == Errc::conflict)
    if (auto now = client.query("activation", {{"id", std::to_string(id.value())}});
        now && !end_text(*now).empty())
      return session.fail_with(kRolledBack, {Errc::conflict, end_text(*now), "activate again"});
  return std::unexpected(std::move(error));
}

/// Submits and prints one line; `line` is told what came of it.
template <class Line>
Result<int> settle(Session& session, Client& client, ActivationId id, Command command,
                   const Line& line) {
  auto notes = session.notes();
  if (!notes) return std::unexpected(std::move(notes).error());
  auto reply = client.submit({std::move(command)}, *notes);
  if (!reply) return refused(session, client, id, reply.error());
  for (const std::string& warning : reply->warnings) session.warn(warning);
  if (session.for_people())
    session.print(fmt::format("activation {}: {}  {}\n", id.value(), line(*reply),
                              reply_suffix(*reply, notes->dry_run, false)));
  else if (session.format() == Format::name)
    session.print(fmt::format("{}\n", id.value()));
  else
    session.print_document(reply_json(*reply, notes->dry_run));
  return unchanged_exit(session, *reply);
}

template <class E>
const E* event_of(const Reply& reply) {
  for (const Event& event : reply.events)
    if (const E* found = std::get_if<E>(&event)) return found;
  return nullptr;
}

/// An activation as a row: who started and ended it stands in objects.
Json row_of(const Json& activation) {
  Json row = activation;
  const Json &started = value_at(activation, "started"), &ended = value_at(activation, "ended");
  row["by"] = value_at(started, "by");
  row["time"] = value_at(started, "time");
  row["message"] = value_at(started, "message");
  row["ended_by"] = value_at(ended, "by");
  row["ended_time"] = value_at(ended, "time");
  return row;
}

}  // namespace

Result<int> confirm_activation(Session& session) {
  auto client = session.client();
  if (!client) return std::unexpected(std::move(client).error());
  auto id = activation_meant(session, **client, true);
  if (!id) return std::unexpected(std::move(id).error());
  const bool partial = session.has("partial");
  std::optional<size_t> confirmed;
  auto exit =
      settle(session, **client, *id, ConfirmActivation{*id, partial, {}}, [&](const Reply& reply) {
        const auto* event = event_of<ActivationConfirmed>(reply);
        if (event) confirmed = event->nodes.size();
        return event ? fmt::format("confirmed on {}", count_text(event->nodes.size(), "node"))
                     : std::string("confirmed");
      });
  if (!exit || !partial || !confirmed || session.has("dry-run")) return exit;
  auto now = (*client)->query("activation", {{"id", std::to_string(id->value())}});
  if (!now) return exit;
  for (const Json& item : value_at(*now, "items"))
    if (!flag_at(item, "confirmed"))
      session.note(fmt::format("left as it was: {}, v{}", printable(text_at(item, "fullname")),
                               number_at(item, "from")));
  return exit;
}

Result<int> cancel_activation(Session& session) {
  auto client = session.client();
  if (!client) return std::unexpected(std::move(client).error());
  auto id = activation_meant(session, **client, false);
  if (!id) return std::unexpected(std::move(id).error());
  auto exit = settle(session, **client, *id, CancelActivation{*id, {}},
                     [](const Reply&) { return std::string("cancelled, its nodes go back"); });
  if (exit && !session.has("dry-run")) session.hint(fmt::format("next: meshcli list activations"));
  return exit;
}

Result<int> extend_activation(Session& session) {
  auto seconds = confirm_seconds("DURATION", session.argument("DURATION"));
  if (!seconds) return std::unexpected(std::move(seconds).error());
  auto client = session.client();
  if (!client) return std::unexpected(std::move(client).error());
  auto id = activation_meant(session, **client, true);
  if (!id) return std::unexpected(std::move(id).error());
  auto exit = settle(session, **client, *id, ExtendActivation{*id, *seconds},
                     [&](const Reply&) {
                       return fmt::format("goes back in {} from now unless confirmed",
                                          duration_text(*seconds));
                     });
  if (exit && !session.has("dry-run"))
    session.hint(fmt::format("next: meshcli confirm {}", id->value()));
  return exit;
}

Result<int> list_activations(Session& session) {
  QueryArguments arguments;
  if (session.has("limit")) {
    auto limit = parse_number("--limit", session.option("limit"));
    if (!limit) return std::unexpected(std::move(limit).error());
    arguments["limit"] = std::to_string(*limit);
  }
  auto client = session.client();
  if (!client) return std::unexpected(std::move(client).error());
  auto document = (*client)->query("activations", arguments);
  if (!document) return std::unexpected(std::move(document).error());
  if (!session.for_people()) {
    session.print_list(*document, kActivationsView);
    return int{kSuccess};
  }
  Json rows = Json::array();
  for (const Json& item : value_at(*document, "items")) rows.push_back(row_of(item));
  session.print_list({{"items", rows}}, kActivationsView);
  for (const Json& item : value_at(*document, "items"))
    if (text_at(item, "state") == "pending")
      session.print("\n" + pending_text(item, session.colour_out()));
  return int{kSuccess};
}

}  // namespace mesh::cli
