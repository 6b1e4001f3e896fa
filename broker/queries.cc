#include "broker/queries.h"

#include <fmt/format.h>

#include <algorithm>

#include "broker/queries_internal.h"

namespace mesh {

namespace answering {

json document(const QueryFacts& facts, std::string_view kind) {
  return {{"kind", kind}, {"sequence", facts.state.sequence.value()}};
}

json list_document(const QueryFacts& facts, std::string_view kind, json items) {
  json out = document(facts, kind);
  out["items"] = std::move(items);
  return out;
}

std::optional<std::string> argument(const QueryFacts& facts, const std::string& name) {
  auto it = facts.query.arguments.find(name);
  return it == facts.query.arguments.end() ? std::nullopt : std::optional(it->second);
}

Result<std::string> required(const QueryFacts& facts, const std::string& name) {
  if (auto value = argument(facts, name)) return *value;
  return fail(Errc::usage, fmt::format("query {} needs the argument {}", facts.query.kind, name));
}

Result<Scope> scope_argument(const QueryFacts& facts) {
  std::string text = argument(facts, "scope").value_or("global");
  if (text == "global" || text == "all") return Scope{};
  auto space = text.find(' ');
  std::string level = text.substr(0, space),
              name = space == std::string::npos ? "" : text.substr(space + 1);
  if (level == "site") return resolve(facts.state, {Level::site, name});
  if (level == "node") return resolve(facts.state, {Level::node, name});
  return fail(Errc::usage, fmt::format("\"{}\" is no scope", text), "global, site S or node N.S");
}

json to_json(const AttributeValue& value) {
  auto scalar = [](const auto& v) -> json { return v; };
  if (const auto* list = value.list()) {
    json out = json::array();
    for (const Scalar& member : *list) out.push_back(std::visit(scalar, member));
    return out;
  }
  return std::visit(
      [](const auto& v) -> json {
        if constexpr (std::is_same_v<std::decay_t<decltype(v)>, std::vector<Scalar>>)
          return json::array();
        else
          return v;
      },
      value.data);
}

namespace {

struct Kind {
  std::string_view name;
  Answer (*answer)(const QueryFacts&);
  bool heavy = false;
};

constexpr Kind kKinds[] = {{"sites", sites},
                           {"nodes", nodes},
                           {"changes", changes},
                           {"links", links, true},
                           {"versions", versions},
                           {"tokens", tokens},
                           {"operators", operators},
                           {"show", show},
                           {"show_all", show_all, true},
                           {"changed", changed, true},
                           {"diff", diff, true},
                           {"files", files, true},
                           {"enrolment", enrolment},
                           {"whoami", whoami},
                           {"pending", pending},
                           {"status", status},
                           {"activation", activation},
                           {"controller", controller},
                           {"checkpoint", checkpoint},
                           {"prove", prove},
                           {"state", state},
                           {"nodes_roots", nodes_roots},
                           {"entry", entry}};

const Kind* find_kind(std::string_view name) {
  auto it = std::find_if(std::begin(kKinds), std::end(kKinds),
                         [&](const Kind& kind) { return kind.name == name; });
  return it == std::end(kKinds) ? nullptr : &*it;
}

}  // namespace

}  // namespace answering

bool is_heavy(std::string_view kind) {
  const auto* known = answering::find_kind(kind);
  return (known && known->heavy) || kind == "log";
}

Result<QueryResult> answer_query(const QueryFacts& facts) {
  if (facts.query.kind == "log") return answering::log(facts);
  const auto* kind = answering::find_kind(facts.query.kind);
  if (!kind)
    return fail(Errc::usage,
                fmt::format("query \"{}\" is unknown to this controller", facts.query.kind),
                "upgrade the controller");
  auto answer = kind->answer(facts);
  if (!answer) return std::unexpected(answer.error());
  return QueryResult{answer->dump(), false, {}};
}

}  // namespace mesh
