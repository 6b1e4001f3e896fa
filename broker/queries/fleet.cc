// Queries about what is: nodes' reports, the controller and proofs.
#include <fmt/format.h>

#include <algorithm>
#include <fstream>
#include <set>

#include "broker/queries/queries_internal.h"
#include "eventstore/model/canonical.h"
#include "eventstore/model/checkpoint.h"
#include "eventstore/model/crypto.h"
#include "schemas/codec.h"
#include "schemas/json.h"

namespace mesh::answering {

/// What was not measured is null.
void put_measured(json& item, const LinkHealth& link) {
  const auto known = [](int64_t value) { return value < 0 ? json() : json(value); };
  item["rtt_us"] = known(link.rtt_us);
  item["rtt_age_s"] = known(link.rtt_age_s);
  item["mtu"] = link.mtu == 0 ? json() : json(link.mtu);
  item["path_mtu"] = link.path_mtu == 0 ? json() : json(link.path_mtu);
  item["path_mtu_age_s"] = known(link.path_mtu_age_s);
}

namespace {

const NodeReport* report_of(const MeshState& state, NodeId id) {
  auto it = state.reports.find(id);
  return it == state.reports.end() ? nullptr : &it->second;
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
  if (!report) return {};
  const PendingActivation* pending = pending_of(facts, node.id);
  return pending && pending->id == report->activation ? node.active : report->version;
}

namespace {

/// It went back, on the box or because it heard too late of a confirmation: it says why in `problem` too.
bool stays_back(const QueryFacts& facts, const Node& node, const NodeStatus& said) {
  const NodeReport* report = report_of(facts.state, node.id);
  return said.active != node.active && report && report->kind == OutcomeKind::reverted &&
         report->activation == node.activation && report->version == said.active;
}

}  // namespace

json node_state(const QueryFacts& facts, const Node& node) {
  if (node.enrolment == Enrolment::revoked) return "revoked";
  if (node.enrolment == Enrolment::none) return "not enrolled";
  if (!is_now(facts)) return nullptr;
  auto seen = facts.board.find(node.id);
  if (seen == facts.board.end()) return "unknown";
  if (seen->second.status.state == "left") return "left";  // its last word
  if (!is_connected(facts.board, node.id, facts.now.mono_ms)) return "unreachable";
  const NodeStatus& said = seen->second.status;
  const NodeReport* report = report_of(facts.state, node.id);
  const auto went_back = [&](ActivationId activation) {
    return report && report->activation == activation && report->kind != OutcomeKind::applied &&
           report->kind != OutcomeKind::healthy;
  };
  const PendingActivation* pending = pending_of(facts, node.id);
  // Before its own words: they tell the same as a problem.
  if (pending && went_back(pending->id)) return "went back";
  if (stays_back(facts, node, said)) return "diverged";
  if (!said.problem.empty()) return "problem";
  if (said.head < facts.state.sequence) return "behind";
  if (said.active != node.active) return went_back(node.activation) ? "diverged" : "applying";
  if (pending && said.pending_activation != pending->id) return "applying";
  if (!said.state.empty() && said.state != "ok") return said.state;
  return pending ? "pending" : "ok";
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
  std::set<SignKey> admitted;  // they stay in the room until they ask again and hear of it
  for (const auto& [id, node] : facts.state.nodes)
    if (node->enrolment == Enrolment::enrolled) admitted.insert(node->sign_key);
  json items = json::array();
  for (const auto& [print, waiting] : facts.waiting) {
    if (admitted.contains(waiting.statement.sign_key)) continue;
    items.push_back({{"fingerprint", print},
                     {"node", waiting.statement.node},
                     {"address", waiting.address},
                     {"asked_s", (facts.now.mono_ms - waiting.mono_ms) / 1000},
                     {"hostname", waiting.statement.hostname},
                     {"machine", waiting.statement.machine},
                     {"token", waiting.statement.token == TokenId()
                                   ? json()
                                   : json(std::to_string(waiting.statement.token.value()))},
                     {"since", time_text(waiting.since)},
                     {"join", to_base64(waiting.join.statement) + "." +
                                  to_base64(waiting.join.node_signature.view()) + "." +
                                  to_base64(waiting.join.token_signature.view())}});
  }
  return list_document(facts, "PendingList", std::move(items));
}

namespace {

json controller_json(const QueryFacts& facts) {
  size_t enrolled = 0, connected = 0;
  Version newest;
  for (const auto& [id, node] : facts.state.removed_nodes) newest = std::max(newest, node->latest());
  for (const auto& [id, node] : facts.state.nodes) {
    newest = std::max(newest, node->latest());
    enrolled += node->enrolment == Enrolment::enrolled;
    connected += is_connected(facts.board, id, facts.now.mono_ms);
  }
  return {{"sequence", facts.state.sequence.value()},
          {"root", to_hex(facts.log->frontier().root().view())},
          {"epoch", facts.state.epoch},
          {"rules", facts.state.rules},
          {"sessions", facts.sessions},
          {"nodes",
           {{"total", facts.state.nodes.size()}, {"enrolled", enrolled}, {"connected", connected}}},
          {"log_bytes", facts.log_bytes},
          {"rss_bytes", resident_bytes()},
          {"uptime_s", (facts.now.mono_ms - facts.started_ms) / 1000},
          {"version", facts.program},
          {"read_only", !facts.broken.empty()},
          {"problem", facts.broken},
          {"next_node", facts.state.next_node.value()},
          {"newest_version", newest.value()},
          {"version_floor", facts.state.version_floor.value()},
          {"log", to_hex(facts.state.log.view())}};
}

json name_of(const QueryFacts& facts, NodeId id) {
  const Node* node = facts.state.find_node(id);
  return node ? json(node->fullname()) : json();
}

/// Links whose tunnels promise more than comes through.
json low_path_mtus(const QueryFacts& facts, const NodeStatus& said) {
  json out = json::array();
  for (const LinkHealth& link : said.links)
    if (link.path_mtu != 0 && link.path_mtu < link.mtu) {
      const auto peer = facts.board.find(link.peer);
      out.push_back({{"peer", link.peer.value()},
                     {"peer_name", name_of(facts, link.peer)},
                     {"peer_links", peer == facts.board.end() ? json() : json(peer->second.status.links.size())},
                     {"mtu", link.mtu},
                     {"path_mtu", link.path_mtu}});
    }
  return out;
}

json links_of(const QueryFacts& facts, const NodeStatus& said) {
  json out = json::array();
  for (const LinkHealth& link : said.links) {
    json item = {{"peer", link.peer.value()},
                 {"peer_name", name_of(facts, link.peer)},
                 {"interface", link.interface},
                 {"bgp_up", link.bgp_up},
                 {"bfd_up", link.bfd_up},
                 {"endpoint", link.endpoint},
                 {"rx_bytes", link.rx_bytes},
                 {"tx_bytes", link.tx_bytes}};
    put_measured(item, link);
    item["handshake_age_s"] = link.handshake_age_s < 0 ? json() : json(link.handshake_age_s);
    out.push_back(std::move(item));
  }
  return out;
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
               {"pending", nullptr},
               {"pending_activation", nullptr},
               {"pending_left_s", nullptr},
               {"overlay", json()},
               {"problem", ""},
               {"program", json()},
               {"links_up", json()},
               {"links", json()},
               {"drift", json()},
               {"machine", json()},
               {"path_mtu_low", json::array()},
               {"last_outcome", json()},
               {"fingerprint", ""},
               {"recovery", !node.recovery_sign.is_zero()}};
  if (node.enrolment == Enrolment::enrolled) item["fingerprint"] = fingerprint(node.sign_key.view());
  if (const NodeReport* report = report_of(facts.state, node.id))
    item["last_outcome"] = {{"kind", outcome_word(report->kind)},
                            {"version", report->version.value()},
                            {"message", report->message},
                            {"time", time_text(report->time)},
                            {"sequence", report->sequence.value()}};
  if (const PendingActivation* pending = pending_of(facts, node.id)) {
    item["pending"] = pending->find(node.id)->to.value();
    item["pending_activation"] = pending->id.value();
  }
  auto seen = facts.board.find(node.id);
  if (seen == facts.board.end()) return item;
  const NodeStatus& said = seen->second.status;
  item["age_s"] = (facts.now.mono_ms - seen->second.mono_ms) / 1000;
  item["head"] = said.head.value();
  item["lag"] =
      facts.state.sequence.value() - std::min(said.head.value(), facts.state.sequence.value());
  // It counts down by itself: since it said so, time went on.
  if (said.pending_activation != ActivationId())
    item["pending_left_s"] = std::max<int64_t>(0, said.pending_left_s - item["age_s"].get<int64_t>());
  item["overlay"] = said.overlay.value();
  item["problem"] = said.problem;
  item["program"] = said.program;
  item["links"] = said.links.size();
  // A node before 0.4 does not tell it.
  item["machine"] = said.machine == MachineStatus() ? json() : json::parse(machine_json(said.machine));
  item["path_mtu_low"] = low_path_mtus(facts, said);
  if (!said.drift_policy.empty()) item["drift"] = said.drift_count;
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
  out["pending"] = pending_activations_json(facts);
  out["items"] = json::array();
  if (auto name = argument(facts, "node")) {
    auto node = resolve_node(facts.state, *name);
    if (!node) return std::unexpected(node.error());
    json item = node_status_json(facts, **node);
    item["link_items"] = json::array();
    if (auto seen = facts.board.find((*node)->id); seen != facts.board.end())
      item["link_items"] = links_of(facts, seen->second.status);
    out["items"].push_back(std::move(item));
  } else {
    for (const auto& [id, node] : facts.state.nodes)
      out["items"].push_back(node_status_json(facts, *node));
  }
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

Answer orphans(const QueryFacts& facts) {
  auto only = number_argument(facts, "sequence", 0);
  if (!only) return std::unexpected(only.error());
  json items = json::array();
  if (facts.orphans)
    for (const Orphan& orphan : *facts.orphans) {
      if (*only != 0 && orphan.entry.header.sequence.value() != *only) continue;
      json item = json::parse(entry_json(orphan.entry));
      item["epoch"] = orphan.entry.header.epoch;
      item["signature"] = orphan.signer_known ? "good" : "signer unknown";
      items.push_back(std::move(item));
    }
  return list_document(facts, "OrphanList", std::move(items));
}

Answer consistency(const QueryFacts& facts) {
  const uint64_t size = facts.log->frontier().size();
  auto from = number_argument(facts, "from", 0);
  auto to = number_argument(facts, "to", size);
  if (!from) return std::unexpected(from.error());
  if (!to) return std::unexpected(to.error());
  if (*to == 0) *to = size;
  if (*from > *to || *to > size)
    return fail(
        Errc::not_found,
        fmt::format("there is no way from {} to {}: the log has {} entries", *from, *to, size));
  const HashReader read = facts.log->hash_reader();
  json out = document(facts, "Consistency");
  out["from"] = *from;
  out["to"] = *to;
  for (auto [name, at] : {std::pair("from_root", *from), std::pair("to_root", *to)}) {
    auto root = root_at(at, read);
    if (!root) return std::unexpected(root.error());
    out[name] = to_hex(root->view());
  }
  for (auto [name, begin, end] : {std::tuple("proof", *from, *to), std::tuple("head_proof", *to, size)}) {
    auto proof = consistency_proof(begin, end, read);
    if (!proof) return std::unexpected(proof.error());
    out[name] = json::array();
    for (const Digest& hash : *proof) out[name].push_back(to_hex(hash.view()));
  }
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
                     {"contradiction", seen.status.contradiction},
                     {"problem", seen.status.problem},
                     {"sign_key", to_hex(node->sign_key.view())},
                     {"age_s", (facts.now.mono_ms - seen.mono_ms) / 1000}});
  }
  return list_document(facts, "CosignatureList", std::move(items));
}

}  // namespace mesh::answering
