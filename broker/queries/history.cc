// Queries about instants of history: which entry a text means, and the names that instants have.
#include <fmt/format.h>

#include <algorithm>
#include <charconv>

#include "broker/queries/queries_internal.h"
#include "eventstore/model/attribute_table.h"
#include "schemas/json.h"

namespace mesh::answering {

namespace {

bool is_digit(char c) { return c >= '0' && c <= '9'; }

Result<Sequence> existing_entry(const QueryFacts& facts, std::string_view digits) {
  uint64_t number = 0;
  auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), number);
  const bool good = error == std::errc() && end == digits.data() + digits.size();
  if (!good || number == 0 || Sequence(number) > facts.log->head())
    return fail(Errc::not_found, fmt::format("there is no entry {}, the log ends at {}", digits,
                                             facts.log->head().value()));
  return Sequence(number);
}

Result<Moment> version_moment(const MeshState& state, std::string_view text,
                              const std::optional<std::string>& node_name) {
  if (!node_name)
    return fail(Errc::usage, fmt::format("{} is a version of a node, and no node is named", text),
                "name the node, or give a sequence, a time or a tag");
  auto node = resolve_node(state, *node_name);
  if (!node) return std::unexpected(node.error());
  auto version = version_named(**node, text);
  if (!version) return std::unexpected(version.error());
  return Moment{(*version)->sequence, fmt::format("{} of {}", text, (*node)->fullname())};
}

Result<Moment> tag_moment(const MeshState& state, const std::string& name) {
  if (auto tag = state.tags.find(name); tag != state.tags.end())
    return Moment{tag->second.sequence, "tag " + name};
  std::string best;
  size_t best_distance = std::max<size_t>(2, name.size() / 3) + 1;
  for (const auto& [other, tag] : state.tags)
    if (size_t distance = edit_distance(name, other); distance < best_distance) {
      best = other;
      best_distance = distance;
    }
  return fail(Errc::not_found, fmt::format("there is no tag \"{}\"", name),
              best.empty() ? "give a sequence, a time, a tag (list tags) or a node's version"
                           : fmt::format("did you mean \"{}\"?", best));
}

}  // namespace

bool is_version_text(std::string_view text) {
  return text.size() > 1 && text.front() == 'v' &&
         std::all_of(text.begin() + 1, text.end(), is_digit);
}

Result<const VersionRecord*> version_named(const Node& node, std::string_view text) {
  uint32_t number = 0;
  auto [end, error] = std::from_chars(text.data() + 1, text.data() + text.size(), number);
  const VersionRecord* record =
      error == std::errc() ? node.find_version(Version(number)) : nullptr;
  if (!record)
    return fail(Errc::not_found, fmt::format("node {} has no version {}", node.fullname(), text),
                "meshcli list versions " + node.fullname());
  return record;
}

Result<Moment> find_moment(const QueryFacts& facts, const std::string& text,
                           const std::optional<std::string>& node) {
  if (text == "head" || text == "now") return Moment{facts.log->head(), "the newest entry"};
  std::string_view digits = text;
  if (digits.starts_with('#')) digits.remove_prefix(1);
  if (!digits.empty() && std::ranges::all_of(digits, is_digit)) {
    auto entry = existing_entry(facts, digits);
    if (!entry) return std::unexpected(entry.error());
    return Moment{*entry, fmt::format("entry {}", entry->value())};
  }
  if (is_version_text(text)) return version_moment(facts.state, text, node);
  if (!text.empty() && is_digit(text.front())) {
    auto time = parse_time_text(text);
    if (!time) return std::unexpected(time.error());
    auto entry = facts.past->at_time(*time);
    if (!entry) return fail_in(text, entry.error());
    return Moment{*entry, "the newest entry at " + time_text(*time)};
  }
  return tag_moment(facts.state, text);
}

Answer moment(const QueryFacts& facts) {
  auto text = required(facts, "text");
  if (!text) return std::unexpected(text.error());
  auto found = find_moment(facts, *text, argument(facts, "node"));
  if (!found) return std::unexpected(found.error());
  auto time = facts.past->time_of(found->at);
  json out = document(facts, "Moment");
  out["at"] = found->at.value();
  out["time"] = time ? json(time_text(*time)) : json();
  out["means"] = found->means;
  return out;
}

Answer tags(const QueryFacts& facts) {
  json items = json::array();
  for (const auto& [name, tag] : facts.state.tags) {
    auto time = facts.past->time_of(tag.sequence);
    items.push_back({{"name", name},
                     {"at", tag.sequence.value()},
                     {"time", time ? json(time_text(*time)) : json()},
                     {"by", tag.by},
                     {"sequence", tag.added.value()}});
  }
  return list_document(facts, "TagList", std::move(items));
}

}  // namespace mesh::answering
