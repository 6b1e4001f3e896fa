// The intent of an instant: what `export` writes, and what apply, rollback and undo compute on.
#include "broker/queries/queries_internal.h"
#include "eventstore/model/canonical.h"
#include "eventstore/model/difference.h"
#include "eventstore/model/limits.h"

#include <fmt/format.h>

namespace mesh::answering {

namespace {

constexpr size_t kAnswerBytes = kFrameBytesMax / 2;  // the rest is the JSON around it

json values_json(const std::map<std::string, AttributeValue>& values) {
  json out = json::object();
  for (const auto& [name, value] : values) out[name] = to_json(value);
  return out;
}

/// The whole state, less what only the log's writer needs. It is checked by whoever decides with it.
Result<std::string> state_text(MeshState state) {
  state.window = {};
  state.rejected.clear();
  const Bytes bytes = encode_state(state, false);
  if (bytes.size() > kAnswerBytes)
    return fail(Errc::exhausted,
                fmt::format("the state has {} bytes, an answer holds {}", bytes.size(), kAnswerBytes),
                "this network is too large to be changed as a whole: use set, add and del");
  return to_base64(bytes);
}

}  // namespace

Answer export_intent(const QueryFacts& facts) {
  auto scope = scope_argument(facts);
  if (!scope) return std::unexpected(scope.error());
  json out = document(facts, "Export");
  out["rules"] = facts.state.rules;
  const std::string form = argument(facts, "form").value_or("intent");
  if (form == "state") {
    auto text = state_text(facts.state);
    if (!text) return std::unexpected(text.error());
    out["state"] = std::move(*text);
    return out;
  }
  if (form != "intent")
    return fail(Errc::usage, fmt::format("\"{}\" is no form of an export", form), "intent or state");
  const DesiredIntent intent = desired_intent(facts.state, *scope);
  out["global"] = values_json(intent.global);
  out["sites"] = out["nodes"] = json::array();
  for (const DesiredSite& site : intent.sites)
    out["sites"].push_back({{"name", site.name}, {"attributes", values_json(site.attributes)}});
  for (const DesiredNode& node : intent.nodes)
    out["nodes"].push_back({{"id", node.id.value()},
                            {"name", node.fullname},
                            {"attributes", values_json(node.attributes)}});
  return out;
}

}  // namespace mesh::answering
