// History: which entries there are, filtered, from either end.
#include <fmt/format.h>

#include <algorithm>

#include "broker/log_scan.h"
#include "broker/queries/queries_internal.h"
#include "schemas/json.h"

namespace mesh::answering {

namespace {

constexpr size_t kLogPageBytes = 256 * 1024;
// What one page reads at most, so that a search that finds nothing does not keep the worker busy.
constexpr size_t kLogPageEntries = 20'000;

/// A node by its number or name, also a removed one: history is about them too.
Result<NodeId> node_ever(const MeshState& state, const std::string& reference) {
  auto node = resolve_node(state, reference);
  if (node) return (*node)->id;
  for (const auto& [id, removed] : state.removed_nodes)
    if (removed->fullname() == reference || std::to_string(id.value()) == reference) return id;
  return std::unexpected(node.error());
}

struct LogFilter {
  std::string actor, type, grep;
  std::optional<NodeId> node;
  std::optional<std::string> site;
  std::vector<NodeId> of_site;  // ascending, also removed ones

  /// All but grep, which wants the text.
  bool keeps(const Entry& entry) const {
    if (!actor.empty() && to_text(entry.header.principal) != actor) return false;
    if (type.empty() && !node && !site) return true;
    if (!entry.body) return false;
    if (!type.empty() && !names_type(*entry.body)) return false;
    if (node && !mentioned(*entry.body, [&](const Mentions& about) { return is_node(about); }))
      return false;
    return !site || mentioned(*entry.body, [&](const Mentions& about) { return is_of_site(about); });
  }

  static bool mentioned(const EntryBody& body, const auto& matches) {
    return std::any_of(body.events.begin(), body.events.end(),
                       [&](const Event& event) { return matches(mentions(event)); });
  }

  bool names_type(const EntryBody& body) const {
    return std::any_of(body.events.begin(), body.events.end(),
                       [&](const Event& event) { return event_name(event) == type; }) ||
           std::any_of(body.request.commands.begin(), body.request.commands.end(),
                       [&](const Command& command) { return command_name(command) == type; });
  }

  bool is_node(const Mentions& about) const {
    return std::find(about.nodes.begin(), about.nodes.end(), *node) != about.nodes.end();
  }

  bool is_of_site(const Mentions& about) const {
    return std::find(about.sites.begin(), about.sites.end(), *site) != about.sites.end() ||
           std::any_of(about.nodes.begin(), about.nodes.end(), [&](NodeId id) {
             return std::binary_search(of_site.begin(), of_site.end(), id);
           });
  }

  ScanKeys keys() const {
    ScanKeys out;
    if (!actor.empty()) out.push_back({actor_key(actor)});
    if (!type.empty()) out.push_back({type_key(type)});
    if (node) out.push_back({node_key(*node)});
    if (site) {
      out.push_back({site_key(*site)});
      for (const NodeId id : of_site) out.back().push_back(node_key(id));
    }
    return out;
  }
};

Result<LogFilter> make_filter(const QueryFacts& facts) {
  LogFilter filter;
  filter.actor = argument(facts, "actor").value_or("");
  filter.type = argument(facts, "type").value_or("");
  filter.grep = argument(facts, "grep").value_or("");
  if (auto name = argument(facts, "node")) {
    auto node = node_ever(facts.state, *name);
    if (!node) return std::unexpected(node.error());
    filter.node = *node;
  }
  if (auto name = argument(facts, "site")) {
    auto site = resolve(facts.state, {Level::site, *name});
    if (!site && !facts.state.removed_sites.contains(*name)) return std::unexpected(site.error());
    filter.site = *name;
    for (const auto* nodes : {&facts.state.nodes, &facts.state.removed_nodes})
      for (const auto& [id, node] : *nodes)
        if (node->site == *name) filter.of_site.push_back(id);
    std::sort(filter.of_site.begin(), filter.of_site.end());
  }
  return filter;
}

/// From where to where the query reads.
Result<ScanRange> range_of(const QueryFacts& facts) {
  const uint64_t head = std::min(facts.state.sequence, facts.log->head()).value();
  const bool newest_first = argument(facts, "newest") == "1";
  ScanRange range{1, head, newest_first};
  auto after = number_argument(facts, "after", 0);
  if (!after) return std::unexpected(after.error());
  range.first = *after + 1;
  if (auto since = argument(facts, "since")) {
    auto time = parse_time_text(*since);
    if (!time) return fail_in("since", time.error());
    range.first = std::max(range.first, first_at_or_after(*facts.log, head, *time));
  }
  if (auto until = argument(facts, "until")) {
    auto time = parse_time_text(*until);
    if (!time) return fail_in("until", time.error());
    range.last = first_at_or_after(*facts.log, head, Timestamp(time->value() + 1)) - 1;
  }
  // A cursor is the next entry to be read.
  auto cursor = number_argument(facts, "cursor", newest_first ? range.last : range.first);
  if (!cursor) return std::unexpected(cursor.error());
  if (newest_first)
    range.last = std::min(range.last, *cursor);
  else
    range.first = std::max(range.first, *cursor);
  return range;
}

/// Entries as JSON text: parsing what was just written would cost more than reading it.
class LogPage {
 public:
  explicit LogPage(const QueryFacts& facts) : facts_(facts) {}

  void add(std::string text) {
    items_ += items_.empty() ? "" : ",";
    items_ += text;
    ++count_;
  }
  void add(const Entry& entry, std::string text) {
    add(std::move(text));
    if (!entry.body) return;
    for (const Event& event : entry.body->events)
      for (const NodeId node : mentions(event).nodes) names_.push_back(node);
  }
  size_t count() const { return count_; }
  bool full() const { return items_.size() >= kLogPageBytes; }

  std::string text() {
    json head = document(facts_, "Log");
    head["names"] = names_json(facts_.state, std::move(names_));
    std::string out = head.dump();
    out.pop_back();
    return out + ",\"items\":[" + items_ + "]}";
  }

 private:
  const QueryFacts& facts_;
  std::string items_;
  std::vector<NodeId> names_;
  size_t count_ = 0;
};

}  // namespace

const Node* node_ever(const MeshState& state, NodeId id) {
  if (const Node* node = state.find_node(id)) return node;
  auto removed = state.removed_nodes.find(id);
  return removed == state.removed_nodes.end() ? nullptr : &*removed->second;
}

json names_json(const MeshState& state, std::vector<NodeId> nodes) {
  std::sort(nodes.begin(), nodes.end());
  nodes.erase(std::unique(nodes.begin(), nodes.end()), nodes.end());
  json out = json::object();
  for (const NodeId id : nodes)
    if (const Node* node = node_ever(state, id)) out[std::to_string(id.value())] = node->fullname();
  return out;
}

Result<QueryResult> log(const QueryFacts& facts) {
  auto filter = make_filter(facts);
  if (!filter) return std::unexpected(filter.error());
  auto range = range_of(facts);
  if (!range) return std::unexpected(range.error());
  auto limit = number_argument(facts, "limit", 1'000);
  if (!limit) return std::unexpected(limit.error());
  LogPage page(facts);
  const ScanRange left = scan(
      *facts.log, facts.index, filter->keys(), *range, *limit ? kLogPageEntries : 0,
      [&](Sequence at, const Result<Entry>& entry) {
        if (!entry) {
          // One damaged record does not end the history: it is named in its place.
          page.add(json{{"sequence", at.value()}, {"damaged", entry.error().message}}.dump());
        } else if (filter->keeps(*entry)) {
          std::string text = entry_json(*entry);
          if (text.find(filter->grep) != std::string::npos) page.add(*entry, std::move(text));
        }
        return page.count() < *limit && !page.full();
      });
  const bool more = left.first <= left.last && *limit > 0;
  const uint64_t next = left.newest_first ? left.last : left.first;
  return QueryResult{page.text(), more, std::to_string(next)};
}

}  // namespace mesh::answering
