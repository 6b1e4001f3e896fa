#include "cli/event_text.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <nlohmann/json.hpp>

#include "cli/files/file_contents.h"
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
    Phrase{"AttributeSet", "{@scope}: {name} {@change}"},
    Phrase{"AttributeUnset", "{@scope}: {name} removed, was {before}"},
    Phrase{"VersionsCommitted", "{@fleet} committed: {@rows}"},
    Phrase{"ChangesDiscarded", "{@fleet}: {@changes} dropped"},
    Phrase{"ActivationStarted", "activation {activation}: {@rows}{@waits}"},
    Phrase{"ActivationConfirmed", "activation {activation} confirmed on {@nodes}"},
    Phrase{"ActivationEnded", "activation {activation} {@end}: its nodes go back"},
    Phrase{"ActivationExtended", "activation {activation} extended, goes back in {@seconds} unless confirmed"},
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
    Phrase{"OutcomeReported", "node {@node}: {@outcome}"},
    Phrase{"TagAdded", "tag {name} at #{sequence}"},
    Phrase{"TagRemoved", "tag {name} removed"},
    Phrase{"RolledBack", "{@fleet} rolled back to #{to}"},
    Phrase{"EntryUndone", "entry #{sequence} undone"},
    Phrase{"EndpointsSet", "the controller is at {endpoints}, newcomers join at {enrol_endpoints}"},
    Phrase{"RecoverySet", "node {@node}: recovery key set"},
    Phrase{"EpochStarted", "epoch {epoch} started after #{base}"},
};

constexpr std::array<std::string_view, 3> kPurposes{"RolledBack", "EntryUndone",
                                                    "ChangesDiscarded"};

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

std::string nodes_text(const Json& nodes, const NodeNames& names) {
  std::string out;
  for (size_t i = 0; i < nodes.size() && i < kRowsShown; ++i)
    out += fmt::format("{}{}", i ? ", " : "", node_name(nodes[i].is_number() ? nodes[i].get<int64_t>() : 0, names));
  if (nodes.size() > kRowsShown) out += fmt::format(" and {} more", nodes.size() - kRowsShown);
  return out;
}

/// What an activation waits for; nothing for one that acts at once.
std::string waits_text(const Json& started) {
  const int64_t seconds = number_at(started, "confirm_s");
  if (seconds == 0) return {};
  std::string out = fmt::format(", goes back in {} unless confirmed", duration_text(seconds));
  const Json& gates = value_at(started, "health");
  for (size_t i = 0; i < gates.size(); ++i)
    out += fmt::format("{}{}", i ? ", " : " by ", gates[i].is_string() ? gates[i].get<std::string>() : std::string());
  if (!gates.empty()) out += fmt::format(" for {}", duration_text(number_at(started, "for_s")));
  return out;
}

std::string end_text(const Json& event) {
  const std::string how = text_at(event, "how");
  if (how == "expired") return "expired, nobody confirmed it in time";
  return how == "failed" ? "failed, a node could not hold it" : how;
}

std::string outcome_text(const Json& event) {
  const std::string outcome = text_at(event, "outcome"), message = text_at(event, "message");
  const std::string version = fmt::format("v{}", number_at(event, "version"));
  const std::string why = message.empty() ? "" : ": " + message;
  if (outcome == "reverted") return "went back to " + version + why;
  if (outcome == "failed") return "failed, runs " + version + why;
  if (outcome == "refused") return "refused, runs " + version + why;
  return outcome + " " + version + why;
}

std::string value_text(const Json& value) {
  return attribute_text(value);
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
  if (field == "@nodes") return nodes_text(value_at(event, "nodes"), names);
  if (field == "@waits") return waits_text(event);
  if (field == "@end") return end_text(event);
  if (field == "@seconds") return duration_text(number_at(event, "seconds"));
  if (field == "@outcome") return outcome_text(event);
  if (field == "@rows") return rows_text(value_at(event, "rows"), names);
  if (field == "@change") {
    const Json& before = value_at(event, "before");
    const std::string now = value_text(value_at(event, "value"));
    return before.is_null() ? "= " + now : value_text(before) + " -> " + now;
  }
  return value_text(value_at(event, field));
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

void learn_names(NodeNames& names, const Json& document) {
  for (const auto& [id, name] : value_at(document, "names").items()) {
    int64_t number = 0;
    std::from_chars(id.data(), id.data() + id.size(), number);
    if (name.is_string()) names.insert_or_assign(number, name.get<std::string>());
  }
  for (const Json& item : value_at(document, "items"))
    for (const Json& event : value_at(item, "events"))
      if (text_at(event, "type") == "NodeAdded")
        names.try_emplace(number_at(event, "node"),
                          text_at(event, "name") + "." + text_at(event, "site"));
}

std::string event_text(const Json& event, const NodeNames& names) {
  const std::string type = text_at(event, "type");
  for (const Phrase& phrase : kPhrases)
    if (phrase.type == type) return filled(phrase.text, event, names);
  std::string out = type;
  for (const auto& [key, value] : event.items())
    if (key != "type" && !value.is_structured() && !value.is_null())
      out += fmt::format(" {}={}", key, value_text(value));
  return out;
}

std::string events_text(const Json& events, const NodeNames& names, size_t most) {
  std::string out;
  size_t count = events.size(), shown = 0;
  // What an entry was for stands last in it, behind everything that it took.
  const std::string last = count > 1 ? text_at(events[count - 1], "type") : std::string();
  if (std::find(kPurposes.begin(), kPurposes.end(), last) != kPurposes.end())
    out = event_text(events[--count], names) + ": ";
  for (; shown < count && shown < most; ++shown)
    out += (shown ? "; " : "") + event_text(events[shown], names);
  if (shown == count) return out;
  std::map<std::string, size_t> kinds;
  for (size_t i = shown; i < count; ++i) ++kinds[text_at(events[i], "type")];
  out += fmt::format("; and {} more (", count - shown);
  for (bool first = true; const auto& [kind, number] : kinds) {
    out += fmt::format("{}{} {}", first ? "" : ", ", number, kind);
    first = false;
  }
  return out + ")";
}

}  // namespace mesh::cli
