#include "cli/event_text.h"

#include <fmt/format.h>

#include <array>
#include <charconv>
#include <nlohmann/json.hpp>

#include "cli/render.h"

namespace mesh::cli {

namespace {

constexpr size_t kRowsShown = 4;

/// An event's text with the fields in braces: {name} as it is, {@node} a node's name, {@scope} a
/// place.
struct Phrase {
  std::string_view type, text;
};

constexpr std::array kPhrases{
    Phrase{"LogCreated", "log created, first administrator {admin}"},
    Phrase{"SiteAdded", "site {name} added"},
    Phrase{"SiteRemoved", "site {name} removed"},
    Phrase{"SiteRestored", "site {name} restored"},
    Phrase{"SiteRenamed", "site {from} renamed to {to}"},
    Phrase{"NodeAdded", "node {name}.{site} added as {node}"},
    Phrase{"NodeRemoved", "node {@node} removed"},
    Phrase{"NodeRestored", "node {@node} restored"},
    Phrase{"NodeRenamed", "node {node} renamed from {from} to {to}"},
    Phrase{"AttributeSet", "{@scope}: {name} = {value}"},
    Phrase{"AttributeUnset", "{@scope}: {name} removed"},
    Phrase{"VersionsCommitted", "{@fleet} committed: {@rows}"},
    Phrase{"ChangesDiscarded", "{@fleet}: {@changes} dropped"},
    Phrase{"ActivationStarted", "activation {activation}: {@rows}"},
    Phrase{"TokenCreated", "token {token} for {@scope} created"},
    Phrase{"TokenUsed", "token {token} used by node {@node}"},
    Phrase{"TokenRevoked", "token {token} revoked"},
    Phrase{"TokenExpired", "token {token} expired"},
    Phrase{"NodeEnrolled", "node {@node} enrolled ({hostname})"},
    Phrase{"KeyRegistered", "node {@node}: WireGuard key {generation} registered"},
    Phrase{"KeyDropped", "node {@node}: WireGuard key {generation} dropped"},
    Phrase{"NodeRejected", "newcomer {fingerprint} rejected"},
    Phrase{"NodeRevoked", "node {@node} revoked"},
    Phrase{"OperatorAdded", "operator {name} added as {role}"},
    Phrase{"RoleSet", "operator {name} is {role}"},
    Phrase{"OperatorBanned", "operator {name} banned"},
    Phrase{"RulesRaised", "rules raised to {rules}"},
    Phrase{"AnchorSigned", "state at #{sequence} signed by {by}"},
    Phrase{"OutcomeReported", "node {@node}: {outcome} v{version} {message}"},
    Phrase{"TagAdded", "tag {name} at #{sequence}"},
    Phrase{"TagRemoved", "tag {name} removed"},
    Phrase{"RolledBack", "{@fleet} rolled back to #{to}"},
    Phrase{"EntryUndone", "entry #{sequence} undone"},
    Phrase{"EpochStarted", "epoch {epoch} started after #{base}"},
};

std::string node_name(int64_t id, const NodeNames& names) {
  const auto found = names.find(id);
  return found == names.end() ? std::to_string(id) : found->second;
}

/// "node 11" with the node's name; other places as they are.
std::string scope_text(const std::string& scope, const NodeNames& names) {
  constexpr std::string_view kNode = "node ";
  int64_t id = 0;
  if (!scope.starts_with(kNode)) return scope;
  const char* end = scope.data() + scope.size();
  if (std::from_chars(scope.data() + kNode.size(), end, id).ptr != end) return scope;
  return std::string(kNode) + node_name(id, names);
}

std::string rows_text(const Json& rows, const NodeNames& names) {
  if (!rows.is_array() || rows.empty()) return "no new version";
  std::string out;
  for (size_t i = 0; i < rows.size() && i < kRowsShown; ++i) {
    const Json& version =
        rows[i].contains("to") ? value_at(rows[i], "to") : value_at(rows[i], "version");
    out += fmt::format("{}{} v{}", i ? ", " : "", node_name(number_at(rows[i], "node"), names),
                       json_text(version));
  }
  if (rows.size() > kRowsShown) out += fmt::format(" and {} more", rows.size() - kRowsShown);
  return out;
}

std::string field_text(const Json& event, std::string_view field, const NodeNames& names) {
  if (field == "@node") return node_name(number_at(event, "node"), names);
  if (field == "@scope") return scope_text(text_at(event, "scope"), names);
  if (field == "@fleet") {
    const std::string scope = scope_text(text_at(event, "scope"), names);
    return scope == "global" ? "all" : scope;
  }
  if (field == "@changes")
    return count_text(static_cast<uint64_t>(number_at(event, "changes")), "change");
  if (field == "@rows") return rows_text(value_at(event, "rows"), names);
  const Json& value = value_at(event, field);
  return value.is_string() ? value.get<std::string>() : json_text(value);
}

std::string filled(std::string_view text, const Json& event, const NodeNames& names) {
  std::string out;
  while (!text.empty()) {
    const size_t open = text.find('{');
    out += text.substr(0, open);
    if (open == std::string_view::npos) break;
    const size_t close = text.find('}', open);
    out += field_text(event, text.substr(open + 1, close - open - 1), names);
    text.remove_prefix(close + 1);
  }
  while (out.ends_with(' ')) out.pop_back();
  return out;
}

}  // namespace

NodeNames node_names(Client& client) {
  NodeNames out;
  auto document = client.query("nodes");
  if (!document) return out;
  for (const Json& item : value_at(*document, "items"))
    out[number_at(item, "id")] = text_at(item, "fullname");
  return out;
}

std::string event_text(const Json& event, const NodeNames& names) {
  const std::string type = text_at(event, "type");
  for (const Phrase& phrase : kPhrases)
    if (phrase.type == type) return filled(phrase.text, event, names);
  std::string out = type;
  for (const auto& [key, value] : event.items())
    if (key != "type" && !value.is_structured() && !value.is_null())
      out += fmt::format(" {}={}", key,
                         value.is_string() ? value.get<std::string>() : json_text(value));
  return out;
}

}  // namespace mesh::cli
