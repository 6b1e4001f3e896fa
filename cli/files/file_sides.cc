#include "cli/files/file_sides.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "cli/intent_source.h"
#include "cli/intent_text.h"
#include "cli/moment.h"
#include "cli/state_comparison.h"
#include "eventstore/model/committed.h"
#include "eventstore/model/decide.h"
#include "eventstore/model/difference.h"
#include "eventstore/model/evolve.h"

namespace mesh::cli {

namespace {

/// Whose right it is to change everything: the question is what the file says, not who asks.
Result<Principal> any_administrator(const MeshState& state) {
  for (const auto& [name, person] : state.operators)
    if (person.role == Role::admin && !person.banned) return Principal::human(name);
  return fail(Errc::unsupported, "this network has no administrator: nothing can be applied to it");
}

Result<MeshState> applied(const MeshState& base, const WantedIntent& wanted) {
  auto commands = difference(base, wanted.intent, wanted.scope, {.prune = true});
  if (!commands) return std::unexpected(std::move(commands).error());
  MeshState out = base;
  if (commands->empty()) return out;
  auto admin = any_administrator(base);
  if (!admin) return std::unexpected(std::move(admin).error());
  Request request;
  request.log = base.log;
  request.epoch = base.epoch;
  request.principal = *admin;
  request.based_on = base.sequence;
  request.commands = std::move(*commands);
  auto events = decide(base, request, Context{base.time, {}});
  if (!events) return std::unexpected(std::move(events).error());
  const Applied at{next(base.sequence), base.time, request.principal};
  for (const Event& event : *events) evolve(out, event, at);
  return out;
}

Result<MeshState> state_of_file(Session& session, const std::string& name, const MeshState& base) {
  auto files = read_files(session, name);
  if (!files) return std::unexpected(std::move(files).error());
  auto wanted = read_intent(*files);
  if (!wanted) return std::unexpected(std::move(wanted).error());
  auto state = applied(base, *wanted);
  if (!state) return fail_in(name, state.error());
  return state;
}

/// What stands opposite a file, and below it.
Result<ComparedState> state_named(Session& session, Client& client, const std::string& text) {
  if (text == "active" || text == "current" || text.starts_with('v'))
    if (text == "active" || text == "current" ||
        text.find_first_not_of("0123456789", 1) == std::string::npos)
      return fail(Errc::usage, fmt::format("{} pins configurations, a file holds intent", text),
                  "compare the file with working, committed or an instant");
  const bool working = text == "working", committed = text == "committed" || text == "latest";
  Moment moment{client.at(), {}, working ? "the working state" : "what was committed last"};
  if (!working && !committed) {
    auto found = resolve_moment(client, text, {}, session.environment().now());
    if (!found) return std::unexpected(std::move(found).error());
    moment = std::move(*found);
    if (moment.means.empty()) moment.means = "entry";
  }
  auto state = fetch_state(client, moment.at);
  if (!state) return std::unexpected(std::move(state).error());
  ComparedState out{text, std::move(moment.means), {}};
  if (!committed) out.at = state->sequence;
  out.state = committed ? committed_state(*state) : std::move(*state);
  return out;
}

}  // namespace

bool names_a_file(std::string_view text) {
  return text == "-" || text.find('/') != std::string_view::npos || text.ends_with(".yaml") ||
         text.ends_with(".yml") || text.ends_with(".json");
}

Result<Json> compare_with_file(Session& session, Client& client, const std::string& a,
                               const std::string& b, const std::string& node) {
  const bool a_is_file = names_a_file(a), b_is_file = names_a_file(b);
  if (a == "-" && b == "-")
    return fail(Errc::usage, "standard input can be read only once", "put one of the two into a file");
  auto base = state_named(session, client, a_is_file ? (b_is_file ? "working" : b) : a);
  if (!base) return std::unexpected(std::move(base).error());
  ComparedState sides[2] = {*base, *base};
  for (size_t i = 0; i < 2; ++i)
    if (i == 0 ? a_is_file : b_is_file) {
      const std::string& name = i == 0 ? a : b;
      auto state = state_of_file(session, name, base->state);
      if (!state) return std::unexpected(std::move(state).error());
      sides[i] = {name, "what applying it makes", std::move(*state)};
    }
  return compare_states(sides[0], sides[1], node);
}

}  // namespace mesh::cli
