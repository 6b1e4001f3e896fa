// export, apply, rollback, undo: intent as a whole. What is signed is computed here from two states and
// shown before it is signed.
#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <set>

#include "cli/handlers.h"
#include "cli/intent_source.h"
#include "cli/intent_text.h"
#include "cli/moment.h"
#include "cli/mutate.h"
#include "cli/propose.h"
#include "cli/scope.h"
#include "eventstore/model/attribute_table.h"
#include "eventstore/model/canonical.h"
#include "schemas/codec.h"

namespace mesh::cli {

namespace {

void warn_unknown(Session& session, const std::vector<Command>& commands) {
  std::set<std::string> names;
  for (const Command& command : commands)
    if (const auto* set = std::get_if<SetAttribute>(&command))
      if (!find_attribute(set->name)) names.insert(set->name);
  for (const std::string& name : names) {
    const auto near = suggest_attribute(name);
    session.warn(fmt::format("unknown attribute {}: only templates can use it{}", name,
                             near ? fmt::format("; did you mean {}?", *near) : ""));
  }
}

bool has_event(const Json& entry, std::string_view type) {
  for (const Json& event : value_at(entry, "events"))
    if (text_at(event, "type") == type) return true;
  return false;
}

/// The operator's own newest entry that is neither an undo nor undone.
Result<Sequence> newest_own(Client& client) {
  constexpr int kPagesMax = 100;
  std::set<int64_t> undone;
  std::string cursor;
  for (int page = 0; page < kPagesMax && (page == 0 || !cursor.empty()); ++page) {
    auto document = client.query_page(
        "log", {{"actor", client.context().name}, {"newest", "1"}, {"limit", "100"}}, cursor);
    if (!document) return std::unexpected(std::move(document).error());
    for (const Json& entry : value_at(*document, "items")) {
      const int64_t sequence = number_at(entry, "sequence");
      if (text_at(entry, "principal") != client.context().name) continue;
      for (const Json& event : value_at(entry, "events"))
        if (text_at(event, "type") == "EntryUndone") undone.insert(number_at(event, "sequence"));
      if (!has_event(entry, "EntryUndone") && !undone.contains(sequence))
        return Sequence(static_cast<uint64_t>(sequence));
    }
  }
  return fail(Errc::not_found, fmt::format("{} has no entry to undo", client.context().name),
              "name one: meshcli log, then meshcli undo SEQUENCE");
}

/// From its own bytes, so that its events are those that its hashes name.
Result<Entry> fetch_entry(Client& client, Sequence sequence) {
  auto document =
      client.query("entry", {{"sequence", fmt::format("{}", sequence.value())}});
  if (!document) return std::unexpected(std::move(document).error());
  auto header = from_base64(text_at(value_at(*document, "item"), "header"));
  auto body = from_base64(text_at(*document, "body"));
  if (!header || !body || body->empty())
    return fail(Errc::unsupported, fmt::format("entry #{} holds no body here", sequence.value()),
                "change what you want by hand");
  auto entry = decode_entry({std::move(*header), std::move(*body)});
  if (!entry) return std::unexpected(std::move(entry).error());
  if (entry->header.sequence != sequence || entry->header.log != client.context().connection.log)
    return fail(Errc::corrupt, "the controller answered with another entry");
  return entry;
}

}  // namespace

Result<int> export_intent(Session& session) {
  auto client = session.client();
  if (!client) return std::unexpected(std::move(client).error());
  auto state = fetch_state(**client, (*client)->at());
  if (!state) return std::unexpected(std::move(state).error());
  Target target = target_of(session);
  auto scope = resolve(*state, target);
  if (!scope) return std::unexpected(std::move(scope).error());
  if (target.level == Level::node) target.name = state->find_node(scope->node)->fullname();
  const DesiredIntent intent = desired_intent(*state, *scope);
  if (session.format() == Format::json || session.format() == Format::jsonl)
    session.print_document(intent_json(intent, target, state->sequence));
  else
    session.print(intent_yaml(intent, target, state->sequence));
  return int{kSuccess};
}

Result<int> apply_intent(Session& session) {
  const std::string where = session.option("file");
  if (where.empty())
    return fail(Errc::usage, "-f says what to apply", "a file, a directory, or - for standard input");
  auto files = read_files(session, where);
  if (!files) return std::unexpected(std::move(files).error());
  auto wanted = read_intent(*files);
  if (!wanted) return std::unexpected(std::move(wanted).error());
  auto client = session.client();
  if (!client) return std::unexpected(std::move(client).error());
  auto now = fetch_state(**client, Sequence());
  if (!now) return std::unexpected(std::move(now).error());
  auto commands = difference(*now, wanted->intent, wanted->scope, {.prune = session.has("prune")});
  if (!commands) return std::unexpected(std::move(commands).error());
  warn_unknown(session, *commands);
  const std::string scope = fleet_text(wanted->scope);
  return propose(session, **client, *now,
                 {std::move(*commands), {}, fmt::format("{}: applied {}", scope, where),
                  wanted->scope.level == Level::global ? "all" : wanted->scope.name});
}

Result<int> roll_back_intent(Session& session) {
  Target target;
  const std::string site = session.argument("S"), node = session.argument("N");
  if (!site.empty() && !node.empty())
    return fail(Errc::usage, "a rollback is of a site or of a node, not of both", "name one of them");
  if (!site.empty()) target = {Level::site, site};
  if (!node.empty()) target = {Level::node, node};
  auto client = session.client();
  if (!client) return std::unexpected(std::move(client).error());
  auto now = fetch_state(**client, Sequence());
  if (!now) return std::unexpected(std::move(now).error());
  auto moment = resolve_moment(**client, session.argument("INSTANT"), node,
                               session.environment().now());
  if (!moment) return std::unexpected(std::move(moment).error());
  auto then = fetch_state(**client, moment->at);
  if (!then) return std::unexpected(std::move(then).error());
  session.note(to_text(*moment));
  auto back = roll_back(*now, *then, target);
  if (!back) return std::unexpected(std::move(back).error());
  return propose(session, **client, *now,
                 {std::move(back->commands), std::move(back->warnings),
                  fmt::format("{}: rolled back to #{}", fleet_text(target), moment->at.value()),
                  target.level == Level::global ? "all" : target.name});
}

Result<int> undo_entry(Session& session) {
  auto client = session.client();
  if (!client) return std::unexpected(std::move(client).error());
  Sequence sequence;
  if (std::string text = session.argument("SEQUENCE"); text.empty()) {
    auto newest = newest_own(**client);
    if (!newest) return std::unexpected(std::move(newest).error());
    sequence = *newest;
  } else {
    if (text.starts_with('#')) text.erase(0, 1);
    auto number = parse_number("SEQUENCE", text);
    if (!number) return std::unexpected(std::move(number).error());
    sequence = Sequence(*number);
  }
  if (sequence <= Sequence(1))
    return fail(Errc::unsupported, "the log's creation cannot be undone", "");
  auto entry = fetch_entry(**client, sequence);
  if (!entry) return std::unexpected(std::move(entry).error());
  auto now = fetch_state(**client, Sequence());
  if (!now) return std::unexpected(std::move(now).error());
  auto before = fetch_state(**client, Sequence(sequence.value() - 1));
  if (!before) return std::unexpected(std::move(before).error());
  auto back = undo(*now, *before, *entry);
  if (!back) return std::unexpected(std::move(back).error());
  return propose(session, **client, *now,
                 {std::move(back->commands), std::move(back->warnings),
                  fmt::format("entry #{}: undone", sequence.value()), "undo"});
}

Result<int> controller_rules(Session& session) {
  const std::string wanted = session.argument("RULES");
  if (wanted.empty()) MESH_TRY(refuse_change_options(session, "RULES"));
  auto client = session.client();
  if (!client) return std::unexpected(std::move(client).error());
  auto status = (*client)->query("status");
  if (!status) return std::unexpected(std::move(status).error());
  auto controller = (*client)->query("controller");
  if (!controller) return std::unexpected(std::move(controller).error());
  const std::string mine = text_at(*controller, "version");
  for (const Json& node : value_at(*status, "items"))
    if (const std::string program = text_at(node, "program");
        flag_at(node, "connected") && !program.empty() && program != mine)
      session.warn(fmt::format("node {} runs {}, the controller {}: upgrade it before rules are "
                               "raised, or it stops following",
                               text_at(node, "fullname"), program, mine));
  const int64_t rules = number_at(*controller, "rules");
  if (wanted.empty()) {
    if (session.for_people())
      session.print(fmt::format("rules {}, this program knows {}\n", rules, kRulesNewest));
    else
      session.print_document({{"kind", "Rules"},
                              {"sequence", number_at(*controller, "sequence")},
                              {"rules", rules},
                              {"newest", kRulesNewest}});
    return int{kSuccess};
  }
  auto number = parse_number("RULES", wanted);
  if (!number || *number > UINT32_MAX)
    return fail(Errc::usage, fmt::format("\"{}\" is no version of the rules", wanted), "a number");
  if (!session.has("dry-run") && static_cast<int64_t>(*number) > rules)
    MESH_TRY(session.confirm(
        {fmt::format("rules {} -> {}: for ever, and nodes with an older program stop following", rules,
                     *number)},
        fmt::format("{}", *number)));
  Mutation mutation;
  mutation.changes.push_back({RaiseRules{static_cast<uint32_t>(*number)},
                              fmt::format("rules: {}", *number)});
  return mutate(session, std::move(mutation));
}

}  // namespace mesh::cli
