// Queries about what is: nodes' reports, the controller, history and proofs.
#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <fstream>

#include "broker/queries_internal.h"
#include "eventstore/model/canonical.h"
#include "eventstore/model/checkpoint.h"
#include "schemas/codec.h"
#include "schemas/json.h"

namespace mesh::answering {

namespace {

constexpr std::string_view kOutcomeWords[] = {"", "applied", "failed", "reverted", "refused"};
constexpr size_t kLogPageBytes = 256 * 1024;

const NodeReport* report_of(const MeshState& state, NodeId id) {
  auto it = state.reports.find(id);
  return it == state.reports.end() ? nullptr : &it->second;
}

Result<uint64_t> number_argument(const QueryFacts& facts, const std::string& name,
                                 uint64_t fallback) {
  auto text = argument(facts, name);
  if (!text) return fallback;
  uint64_t value = 0;
  auto [end, error] = std::from_chars(text->data(), text->data() + text->size(), value);
  if (error != std::errc() || end != text->data() + text->size())
    return fail(Errc::usage, fmt::format("{} has to be a number, not \"{}\"", name, *text));
  return value;
}

uint64_t resident_bytes() {
  std::ifstream statm("/proc/self/statm");
  uint64_t total = 0, resident = 0;
  statm >> total >> resident;
  return resident * 4096;
}

}  // namespace

Version active_version(const QueryFacts& facts, const Node& node) {
  if (auto seen = facts.board.find(node.id); seen != facts.board.end())
    return seen->second.status.active;
  const NodeReport* report = report_of(facts.state, node.id);
  return report ? report->version : Version();
}

json node_state(const QueryFacts& facts, const Node& node) {
  if (node.enrolment == Enrolment::revoked) return "revoked";
  if (node.enrolment == Enrolment::none) return "not enrolled";
  if (!is_now(facts)) return nullptr;
  auto seen = facts.board.find(node.id);
  if (seen == facts.board.end()) return "unknown";
  if (!is_connected(facts.board, node.id, facts.now.mono_ms)) return "unreachable";
  if (!seen->second.status.problem.empty()) return "problem";
  if (seen->second.status.head < facts.state.sequence) return "behind";
  if (seen->second.status.active != node.active) {
    const NodeReport* report = report_of(facts.state, node.id);
    bool settled =
        report && report->activation == node.activation && report->kind != OutcomeKind::applied;
    return settled ? "diverged" : "applying";
  }
  return seen->second.status.state.empty() ? "ok" : seen->second.status.state;
}

json connected(const QueryFacts& facts, const Node& node) {
  if (!is_now(facts)) return nullptr;
  return is_connected(facts.board, node.id, facts.now.mono_ms);
}

json reported_head(const QueryFacts& facts, const Node& node) {
  if (!is_now(facts)) return nullptr;
  auto seen = facts.board.find(node.id);
  return seen == facts.board.end() ? 0 : seen->second.status.head.value();
}

Answer pending(const QueryFacts& facts) {
  json items = json::array();
  for (const auto& [print, waiting] : facts.waiting)
    items.push_back({{"fingerprint", print},
                     {"node", waiting.statement.node},
                     {"hostname", waiting.statement.hostname},
                     {"machine", waiting.statement.machine},
                     {"token", waiting.statement.token == TokenId()
                                   ? json()
                                   : json(std::to_string(waiting.statement.token.value()))},
                     {"since", time_text(waiting.since)},
                     {"join", to_base64(waiting.join.statement) + "." +
                                  to_base64(waiting.join.node_signature.view()) + "." +
                                  to_base64(waiting.join.token_signature.view())}});
  return list_document(facts, "PendingList", std::move(items));
}

namespace {

json controller_json(const QueryFacts& facts) {
  size_t enrolled = 0, connected = 0;
  for (const auto& [id, node] : facts.state.nodes) {
    enrolled += node->enrolment == Enrolment::enrolled;
    connected += is_connected(facts.board, id, facts.now.mono_ms);
  }
  return {{"sequence", facts.state.sequence.value()},
          {"root", to_hex(facts.log->frontier().root().view())},
          {"epoch", facts.state.epoch},
          {"sessions", facts.sessions},
          {"nodes",
           {{"total", facts.state.nodes.size()}, {"enrolled", enrolled}, {"connected", connected}}},
          {"log_bytes", facts.log_bytes},
          {"rss_bytes", resident_bytes()},
          {"uptime_s", (facts.now.mono_ms - facts.started_ms) / 1000},
          {"version", facts.program},
          {"read_only", !facts.broken.empty()},
          {"problem", facts.broken},
          {"log", to_hex(facts.state.log.view())}};
}

json node_status_json(const QueryFacts& facts, const Node& node) {
  json item = {{"id", node.id.value()},
               {"fullname", node.fullname()},
               {"state", node_state(facts, node)},
               {"connected", connected(facts, node)},
               {"age_s", json()},
               {"head", is_now(facts) ? json(0) : json()},
               {"lag", is_now(facts) ? json(facts.state.sequence.value()) : json()},
               {"version_active", active_version(facts, node).value()},
               {"version_latest", node.latest().value()},
               {"version_wanted", node.active.value()},
               {"overlay", json()},
               {"problem", ""},
               {"program", json()},
               {"links_up", json()},
               {"links", json()},
               {"last_outcome", json()}};
  if (const NodeReport* report = report_of(facts.state, node.id))
    item["last_outcome"] = {{"kind", kOutcomeWords[static_cast<size_t>(report->kind)]},
                            {"version", report->version.value()},
                            {"message", report->message},
                            {"time", time_text(report->time)},
                            {"sequence", report->sequence.value()}};
  auto seen = facts.board.find(node.id);
  if (seen == facts.board.end()) return item;
  const NodeStatus& said = seen->second.status;
  item["age_s"] = (facts.now.mono_ms - seen->second.mono_ms) / 1000;
  item["head"] = said.head.value();
  item["lag"] =
      facts.state.sequence.value() - std::min(said.head.value(), facts.state.sequence.value());
  item["overlay"] = said.overlay.value();
  item["problem"] = said.problem;
  item["program"] = said.program;
  item["links"] = said.links.size();
  item["links_up"] = std::count_if(said.links.begin(), said.links.end(),
                                   [](const LinkHealth& link) { return link.bgp_up; });
  return item;
}

}  // namespace

Answer status(const QueryFacts& facts) {
  json out = document(facts, "Status");
  out["controller"] = is_now(facts) ? controller_json(facts) : json();
  out["uncommitted"] = facts.state.changes.size();
  out["activation"] = facts.state.next_activation.value() - 1;
  out["items"] = json::array();
  if (auto name = argument(facts, "node")) {
    auto node = resolve_node(facts.state, *name);
    if (!node) return std::unexpected(node.error());
    out["items"].push_back(node_status_json(facts, **node));
  } else {
    for (const auto& [id, node] : facts.state.nodes)
      out["items"].push_back(node_status_json(facts, *node));
  }
  return out;
}

Answer activation(const QueryFacts& facts) {
  auto id = number_argument(facts, "id", facts.state.next_activation.value() - 1);
  if (!id) return std::unexpected(id.error());
  json items = json::array();
  size_t applied = 0, failed = 0, waiting = 0, offline = 0;
  for (const auto& [node_id, node] : facts.state.nodes) {
    if (node->activation.value() != *id || *id == 0) continue;
    const NodeReport* report = report_of(facts.state, node_id);
    std::string state = "waiting", message;
    if (report && report->activation.value() == *id) {
      state = kOutcomeWords[static_cast<size_t>(report->kind)];
      message = report->message;
      ++(report->kind == OutcomeKind::applied ? applied : failed);
    } else if (is_now(facts) && !is_connected(facts.board, node_id, facts.now.mono_ms)) {
      state = "offline";
      ++offline;
    } else {
      ++waiting;
    }
    items.push_back({{"node", node_id.value()},
                     {"fullname", node->fullname()},
                     {"to", node->active.value()},
                     {"state", state},
                     {"message", message}});
  }
  json out = list_document(facts, "Activation", items);
  out["id"] = *id;
  out["total"] = items.size();
  out["applied"] = applied;
  out["failed"] = failed;
  out["waiting"] = waiting;
  out["offline"] = offline;
  return out;
}

Answer controller(const QueryFacts& facts) {
  json out = controller_json(facts);
  out["kind"] = "ControllerStatus";
  return out;
}

Answer checkpoint(const QueryFacts& facts) {
  json out = document(facts, "Checkpoint");
  auto frontier = facts.log->frontier();
  out["note"] = facts.log->checkpoint();
  out["size"] = frontier.size();
  out["root"] = to_hex(frontier.root().view());
  out["origin"] = checkpoint_origin(facts.state.log, facts.state.epoch);
  out["log_key"] = to_hex(facts.state.genesis.log_key.view());
  return out;
}

namespace {

/// The newest entry that an answer speaks of.
Sequence end_of_log(const QueryFacts& facts) {
  return is_now(facts) ? facts.log->head() : facts.state.sequence;
}

Result<std::pair<EncodedEntry, Entry>> read_entry(const QueryFacts& facts) {
  auto number = number_argument(facts, "sequence", 0);
  if (!number) return std::unexpected(number.error());
  const uint64_t last = end_of_log(facts).value();
  if (*number == 0 || *number > last)
    return fail(Errc::not_found,
                fmt::format("there is no entry {}, the log {} at {}", *number,
                            is_now(facts) ? "ends" : "is read", last));
  auto entries = facts.log->read(Sequence(*number), 1, 1);
  if (!entries) return std::unexpected(entries.error());
  auto decoded = decode_entry(entries->at(0));
  if (!decoded) return fail_in(fmt::format("entry {}", *number), decoded.error());
  return std::pair(std::move(entries->at(0)), std::move(*decoded));
}

}  // namespace

Answer prove(const QueryFacts& facts) {
  auto entry = read_entry(facts);
  if (!entry) return std::unexpected(entry.error());
  auto frontier = facts.log->frontier();
  uint64_t number = entry->second.header.sequence.value();
  auto proof = inclusion_proof(number - 1, frontier.size(), facts.log->hash_reader());
  if (!proof) return std::unexpected(proof.error());
  json out = document(facts, "Proof");
  out["entry"] = number;
  out["leaf"] = to_hex(entry->second.leaf.view());
  out["header"] = to_base64(entry->first.header);
  out["size"] = frontier.size();
  out["root"] = to_hex(frontier.root().view());
  out["proof"] = json::array();
  for (const Digest& hash : *proof) out["proof"].push_back(to_hex(hash.view()));
  out["checkpoint"] = facts.log->checkpoint();
  return out;
}

Answer state(const QueryFacts& facts) {
  auto root = root_at(facts.state.sequence.value(), facts.log->hash_reader());
  if (!root) return std::unexpected(root.error());
  json out = document(facts, "StateDigest");
  out["digest"] = to_hex(state_digest(facts.state).view());
  out["root"] = to_hex(root->view());
  return out;
}

Answer nodes_roots(const QueryFacts& facts) {
  json items = json::array();
  for (const auto& [id, seen] : facts.board) {
    const Node* node = facts.state.find_node(id);
    if (!node) continue;
    items.push_back({{"node", id.value()},
                     {"fullname", node->fullname()},
                     {"head", seen.status.head.value()},
                     {"root", to_hex(seen.status.root.view())},
                     {"cosignature", seen.status.cosignature},
                     {"sign_key", to_hex(node->sign_key.view())},
                     {"age_s", (facts.now.mono_ms - seen.mono_ms) / 1000}});
  }
  return list_document(facts, "CosignatureList", std::move(items));
}

Answer entry(const QueryFacts& facts) {
  auto found = read_entry(facts);
  if (!found) return std::unexpected(found.error());
  json out = document(facts, "Entry");
  out["item"] = json::parse(entry_json(found->second));
  out["item"]["leaf"] = to_hex(found->second.leaf.view());
  out["item"]["header"] = to_base64(found->first.header);
  return out;
}

namespace {

struct LogFilter {
  std::string actor, type, grep, since, until;
  std::optional<NodeId> node;
  std::optional<std::string> site;

  bool keeps(const MeshState& state, const Entry& entry, const json& shown) const {
    if (!actor.empty() && to_text(entry.header.principal) != actor) return false;
    if (!since.empty() && shown["time"].get_ref<const std::string&>() < since) return false;
    if (!until.empty() && shown["time"].get_ref<const std::string&>() > until) return false;
    if (!type.empty() && !names_type(shown)) return false;
    if (!grep.empty() && shown.dump().find(grep) == std::string::npos) return false;
    if (!node && !site) return true;
    if (!entry.body) return false;
    return std::any_of(entry.body->events.begin(), entry.body->events.end(),
                       [&](const Event& event) { return concerns(state, event); });
  }

  bool names_type(const json& shown) const {
    for (const char* list : {"events", "commands"})
      for (const json& item : shown.value(list, json::array()))
        if (item.value("type", "") == type) return true;
    return false;
  }

  bool is_node(const MeshState& state, NodeId id) const {
    if (node) return id == *node;
    const Node* found = state.find_node(id);
    if (!found)
      if (auto it = state.removed_nodes.find(id); it != state.removed_nodes.end())
        found = &*it->second;
    return found && found->site == *site;
  }

  bool concerns(const MeshState& state, const Event& event) const {
    auto in_rows = [&](const auto& rows) {
      return std::any_of(rows.begin(), rows.end(),
                         [&](const auto& row) { return is_node(state, row.node); });
    };
    return std::visit(
        [&](const auto& e) {
          if constexpr (requires { e.node; })
            return is_node(state, e.node);
          else if constexpr (requires { e.rows; })
            return in_rows(e.rows);
          else if constexpr (requires { e.outcome; })
            return is_node(state, e.outcome.node);
          else if constexpr (requires { e.scope; })
            return e.scope.level == Level::node
                       ? is_node(state, e.scope.node)
                       : site && e.scope.level == Level::site && e.scope.site == *site;
          else if constexpr (requires {
                               e.from;
                               e.to;
                             })
            return site && (e.from == *site || e.to == *site);
          else if constexpr (requires { e.name; })
            return site && e.name == *site;
          else
            return false;
        },
        event);
  }
};

Result<LogFilter> make_filter(const QueryFacts& facts) {
  LogFilter filter;
  filter.actor = argument(facts, "actor").value_or("");
  filter.type = argument(facts, "type").value_or("");
  filter.grep = argument(facts, "grep").value_or("");
  filter.since = argument(facts, "since").value_or("");
  filter.until = argument(facts, "until").value_or("");
  if (auto name = argument(facts, "node")) {
    auto node = resolve_node(facts.state, *name);
    if (!node) return std::unexpected(node.error());
    filter.node = (*node)->id;
  }
  if (auto name = argument(facts, "site")) {
    if (auto site = resolve(facts.state, {Level::site, *name}); !site)
      return std::unexpected(site.error());
    filter.site = *name;
  }
  return filter;
}

}  // namespace

Result<QueryResult> log(const QueryFacts& facts) {
  auto filter = make_filter(facts);
  auto after = number_argument(facts, argument(facts, "cursor") ? "cursor" : "after", 0);
  auto limit = number_argument(facts, "limit", 1'000);
  if (!filter) return std::unexpected(filter.error());
  if (!after) return std::unexpected(after.error());
  if (!limit) return std::unexpected(limit.error());
  json items = json::array();
  size_t bytes = 0;
  Sequence at(*after);
  const Sequence end = end_of_log(facts);
  // One page reads a bounded stretch of the log, also when the filter keeps nothing of it.
  for (size_t scanned = 0; at < end && items.size() < *limit &&
                           bytes < kLogPageBytes && scanned < 20'000;) {
    auto entries = facts.log->read(next(at), kLogPageBytes, 256);
    if (!entries || entries->empty()) {
      // One damaged record does not end the history: it is named in its place.
      items.push_back({{"sequence", at.value() + 1},
                       {"damaged", entries ? "it cannot be read" : entries.error().message}});
      at = next(at);
      continue;
    }
    for (const EncodedEntry& encoded : *entries) {
      if (items.size() >= *limit || bytes >= kLogPageBytes || at >= end) break;
      at = next(at);
      ++scanned;
      auto decoded = decode_entry(encoded);
      if (!decoded) {
        items.push_back({{"sequence", at.value()}, {"damaged", decoded.error().message}});
        continue;
      }
      std::string text = entry_json(*decoded);
      json shown = json::parse(text);
      if (!filter->keeps(facts.state, *decoded, shown)) continue;
      bytes += text.size();
      items.push_back(std::move(shown));
    }
  }
  json out = list_document(facts, "Log", std::move(items));
  return QueryResult{out.dump(), at < end, std::to_string(at.value())};
}

}  // namespace mesh::answering
