// What nodes found edited on their routers.
#include <algorithm>

#include "broker/queries/queries_internal.h"

namespace mesh::answering {

namespace {

constexpr size_t kTextBytesMax = 4 * 1024 * 1024;  // of all items: an answer has to fit a frame
constexpr size_t kItemBytes = 128;                 // what JSON adds to an item

size_t size_of(const NodeStatus& said) {
  size_t bytes = 0;
  for (const DriftItem& item : said.drift)
    bytes += kItemBytes + item.aspect.size() + item.name.size() + item.expected.size() + item.found.size();
  return bytes;
}

json item_json(const DriftItem& item, uint64_t age_s) {
  return {{"aspect", item.aspect},
          {"name", item.name},
          {"expected", item.expected},
          {"found", item.found},
          {"since_s", item.since_s + age_s},
          {"over_s", item.over_s < 0 ? json() : json(item.over_s + static_cast<int64_t>(age_s))},
          {"healed", item.healed}};
}

/// Without its items where they would be too many beside those before; `left` is what may come yet.
json node_json(const QueryFacts& facts, const Node& node, size_t& left, size_t& shortened) {
  json out = {{"id", node.id.value()},        {"fullname", node.fullname()},
              {"connected", connected(facts, node)}, {"age_s", json()},
              {"version", 0},                 {"policy", json()},
              {"count", json()},              {"observed", json()},
              {"drift", json::array()}};
  const auto seen = facts.board.find(node.id);
  if (seen == facts.board.end()) return out;
  const NodeStatus& said = seen->second.status;
  const int64_t age_s = (facts.now.mono_ms - seen->second.mono_ms) / 1000;
  out["age_s"] = age_s;
  out["version"] = said.active.value();
  // A program that does not look says nothing of it.
  if (said.drift_policy.empty()) return out;
  out["policy"] = said.drift_policy;
  out["count"] = said.drift_count;
  if (said.observed != Digest()) out["observed"] = to_hex(said.observed.view());
  const size_t bytes = size_of(said);
  if (bytes > left) {
    ++shortened;
    return out;
  }
  left -= bytes;
  for (const DriftItem& item : said.drift)
    out["drift"].push_back(item_json(item, static_cast<uint64_t>(std::max<int64_t>(0, age_s))));
  return out;
}

}  // namespace

Answer drift(const QueryFacts& facts) {
  json items = json::array();
  size_t left = kTextBytesMax, shortened = 0;
  if (auto name = argument(facts, "node")) {
    auto node = resolve_node(facts.state, *name);
    if (!node) return std::unexpected(node.error());
    items.push_back(node_json(facts, **node, left, shortened));
  } else {
    for (const auto& [id, node] : facts.state.nodes)
      if (node->enrolment == Enrolment::enrolled) items.push_back(node_json(facts, *node, left, shortened));
  }
  json out = list_document(facts, "Drift", std::move(items));
  out["shortened"] = shortened;
  return out;
}

}  // namespace mesh::answering
