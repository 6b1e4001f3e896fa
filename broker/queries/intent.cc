// Queries about intent: sites, nodes, attributes, links, versions, people.
#include <fmt/format.h>

#include <algorithm>

#include "broker/config_items.h"
#include "broker/node_files.h"
#include "broker/prepare.h"
#include "broker/queries/queries_internal.h"
#include "eventstore/model/compile.h"
#include "eventstore/model/template_variables.h"
#include "eventstore/model/topology.h"
#include "schemas/codec.h"
#include "schemas/json.h"

namespace mesh::answering {

namespace {

constexpr std::string_view kEnrolmentWords[] = {"none", "enrolled", "revoked"};
constexpr std::string_view kTokenWords[] = {"", "open", "used", "revoked", "expired"};
constexpr std::string_view kChangeWords[] = {
    "",           "site added",   "site removed", "site renamed",
    "node added", "node removed", "node renamed", "attribute"};

json attributes_json(const Attributes& attributes) {
  json out = json::object();
  for (const auto& [name, attribute] : attributes)
    out[name] = {{"value", to_json(attribute.value)}, {"sequence", attribute.sequence.value()}};
  return out;
}

const Attributes& attributes_at(const MeshState& state, const Scope& scope) {
  if (scope.level == Level::site) return state.find_site(scope.site)->attributes;
  if (scope.level == Level::node) return state.find_node(scope.node)->attributes;
  return state.global;
}

/// A removed node or site is still named where its removal is uncommitted.
std::string scope_name(const MeshState& state, const Scope& scope) {
  if (scope.level == Level::node && !state.find_node(scope.node))
    if (auto it = state.removed_nodes.find(scope.node); it != state.removed_nodes.end())
      return "node " + it->second->fullname();
  return to_text(state, scope);
}

}  // namespace

Answer sites(const QueryFacts& facts) {
  std::map<std::string, size_t, std::less<>> counts;
  for (const auto& [id, node] : facts.state.nodes) ++counts[node->site];
  json items = json::array();
  for (const auto& [name, site] : facts.state.sites) {
    bool uncommitted = std::any_of(
        facts.state.changes.begin(), facts.state.changes.end(),
        [&](const Change& c) { return c.scope.level == Level::site && c.scope.site == name; });
    items.push_back({{"name", name},
                     {"nodes", counts[name]},
                     {"attributes", site->attributes.size()},
                     {"uncommitted", uncommitted}});
  }
  return list_document(facts, "SiteList", std::move(items));
}

Answer nodes(const QueryFacts& facts) {
  auto site = argument(facts, "site");
  if (site && *site != "all") {
    if (auto known = resolve(facts.state, {Level::site, *site}); !known)
      return std::unexpected(known.error());
  }
  std::vector<const Node*> chosen;
  for (const auto& [id, node] : facts.state.nodes)
    if (!site || *site == "all" || node->site == *site) chosen.push_back(&*node);
  std::sort(chosen.begin(), chosen.end(), [](const Node* a, const Node* b) {
    return std::tie(a->site, a->name) < std::tie(b->site, b->name);
  });
  json items = json::array();
  for (const Node* node : chosen) {
    const PendingActivation* pending = pending_of(facts, node->id);
    items.push_back({{"id", node->id.value()},
                     {"name", node->name},
                     {"site", node->site},
                     {"fullname", node->fullname()},
                     {"enrolled", node->enrolment == Enrolment::enrolled},
                     {"enrolment", kEnrolmentWords[static_cast<size_t>(node->enrolment)]},
                     {"version_latest", node->latest().value()},
                     {"version_active", active_version(facts, *node).value()},
                     {"version_wanted", node->active.value()},
                     {"pending", pending ? json(pending->find(node->id)->to.value()) : json()},
                     {"pending_activation", pending ? json(pending->id.value()) : json()},
                     {"sequence", reported_head(facts, *node)},
                     {"state", node_state(facts, *node)},
                     {"connected", connected(facts, *node)}});
  }
  return list_document(facts, "NodeList", std::move(items));
}

Answer changes(const QueryFacts& facts) {
  auto scope = scope_argument(facts);
  if (!scope) return std::unexpected(scope.error());
  auto covered = facts.state.nodes_in(*scope);
  json items = json::array();
  for (const Change& change : facts.state.changes) {
    bool inside = scope->level == Level::global || change.scope == *scope ||
                  std::any_of(covered.begin(), covered.end(), [&](const Node* node) {
                    return change.scope.level == Level::node && change.scope.node == node->id;
                  });
    if (!inside) continue;
    json item = {{"scope", scope_name(facts.state, change.scope)},
                 {"what", kChangeWords[static_cast<size_t>(change.kind)]},
                 {"name", change.name},
                 {"before", change.before ? to_json(*change.before) : json()},
                 {"now", json()},
                 {"by", change.by},
                 {"sequence", change.sequence.value()}};
    if (change.kind == Change::Kind::attribute) {
      const Attributes& now = attributes_at(facts.state, change.scope);
      if (auto it = now.find(change.name); it != now.end()) item["now"] = to_json(it->second.value);
    }
    items.push_back(std::move(item));
  }
  return list_document(facts, "ChangeList", std::move(items));
}

Answer links(const QueryFacts& facts) {
  const Node* only = nullptr;
  if (auto name = argument(facts, "node")) {
    auto node = resolve_node(facts.state, *name);
    if (!node) return std::unexpected(node.error());
    only = *node;
  }
  auto health = [&](NodeId node, NodeId peer) -> const LinkHealth* {
    auto it = facts.board.find(node);
    if (it == facts.board.end()) return nullptr;
    for (const LinkHealth& link : it->second.status.links)
      if (link.peer == peer) return &link;
    return nullptr;
  };
  json items = json::array();
  for (const Link& link : mesh::links(facts.state)) {
    if (only && only->id != link.low && only->id != link.high) continue;
    const LinkHealth* seen = health(link.low, link.high);
    const LinkHealth* other = health(link.high, link.low);
    json item = {
        {"a", link.low.value()},
        {"b", link.high.value()},
        {"a_name", facts.state.find_node(link.low)->fullname()},
        {"b_name", facts.state.find_node(link.high)->fullname()},
        {"a_interface", seen ? seen->interface : fmt::format("tlwg_{}", link.high.value())},
        {"b_interface", other ? other->interface : fmt::format("tlwg_{}", link.low.value())},
        {"bgp_up", json()},
        {"bfd_up", json()},
        {"handshake_age_s", json()},
        {"age_s", json()}};
    put_measured(item, LinkHealth{});
    for (const auto& [side, end] : {std::pair("a_", seen), std::pair("b_", other)}) {
      const std::string prefix = side;
      item[prefix + "endpoint"] = end ? json(end->endpoint) : json();
      item[prefix + "rx_bytes"] = end ? json(end->rx_bytes) : json();
      item[prefix + "tx_bytes"] = end ? json(end->tx_bytes) : json();
    }
    if (const LinkHealth* known = seen ? seen : other) {
      item["bgp_up"] = known->bgp_up;
      item["bfd_up"] = known->bfd_up;
      // What either end found too large does not get through.
      LinkHealth measured = *known;
      if (seen && other && other->path_mtu != 0 && (seen->path_mtu == 0 || other->path_mtu < seen->path_mtu)) {
        measured.path_mtu = other->path_mtu;
        measured.path_mtu_age_s = other->path_mtu_age_s;
      }
      put_measured(item, measured);
      if (known->handshake_age_s >= 0) item["handshake_age_s"] = known->handshake_age_s;
      item["age_s"] =
          (facts.now.mono_ms - facts.board.at(seen ? link.low : link.high).mono_ms) / 1000;
    }
    items.push_back(std::move(item));
  }
  return list_document(facts, "LinkList", std::move(items));
}

Answer versions(const QueryFacts& facts) {
  auto name = required(facts, "node");
  if (!name) return std::unexpected(name.error());
  auto node = resolve_node(facts.state, *name);
  if (!node) return std::unexpected(node.error());
  Version active = active_version(facts, **node);
  json items = json::array();
  for (const VersionRecord& record : (*node)->versions) {
    json item = {{"version", record.version.value()},
                 {"digest", to_hex(record.digest.view())},
                 {"sequence", record.sequence.value()},
                 {"time", json()},
                 {"by", json()},
                 {"message", json()},
                 {"active", record.version == active},
                 {"wanted", record.version == (*node)->active}};
    auto entries = facts.log->read(record.sequence, 1, 1);
    auto entry =
        entries && !entries->empty() ? decode_entry(entries->front()) : fail(Errc::not_found, "");
    if (entry && entry->body) {
      item["time"] = time_text(entry->header.time);
      item["by"] = to_text(entry->header.principal);
      item["message"] = entry->body->request.message;
    }
    items.push_back(std::move(item));
  }
  return list_document(facts, "VersionList", std::move(items));
}

Answer tokens(const QueryFacts& facts) {
  json items = json::array();
  for (const auto& [id, token] : facts.state.tokens)
    items.push_back(
        {{"id", std::to_string(id.value())},
         {"scope", scope_name(facts.state, token.scope)},
         {"uses_left", token.uses_left},
         {"expires", token.expires == Timestamp() ? json() : json(time_text(token.expires))},
         {"approve", token.approve},
         {"state", kTokenWords[static_cast<size_t>(token.state)]},
         {"by", token.by},
         {"sequence", token.created.value()}});
  return list_document(facts, "TokenList", std::move(items));
}

Answer operators(const QueryFacts& facts) {
  json items = json::array();
  for (const auto& [name, person] : facts.state.operators)
    items.push_back({{"name", name},
                     {"role", role_name(person.role)},
                     {"sites", person.sites},
                     {"banned", person.banned},
                     {"sign_key", to_hex(person.sign_key.view())},
                     {"sequence", person.added.value()}});
  return list_document(facts, "OperatorList", std::move(items));
}

Answer show(const QueryFacts& facts) {
  auto scope = scope_argument(facts);
  if (!scope) return std::unexpected(scope.error());
  json out = document(facts, "Attributes");
  out["scope"] = to_text(facts.state, *scope);
  out["attributes"] = attributes_json(attributes_at(facts.state, *scope));
  return out;
}

Answer show_all(const QueryFacts& facts) {
  auto scope = scope_argument(facts);
  if (!scope) return std::unexpected(scope.error());
  json out = document(facts, "EffectiveAttributes");
  out["scope"] = to_text(facts.state, *scope);
  out["attributes"] = json::object();
  for (const auto& [name, attribute] : effective_attributes(facts.state, *scope))
    out["attributes"][name] = {
        {"value", to_json(attribute.value)},
        {"scope", attribute.scope ? to_text(facts.state, *attribute.scope) : "default"},
        {"sequence", attribute.sequence.value()}};
  out["effective"] = json::object();
  if (scope->level == Level::node) {
    auto config = compile(facts.state, scope->node);
    if (!config) return std::unexpected(config.error());
    // A template with a mistake hides no attribute: they are what is looked at then.
    auto complete = NodeFiles(facts.renderer.get(), facts.state, *facts.log).complete(*config);
    if (!complete) out["problem"] = complete.error().message;
    out["effective"] = json::parse(config_text(complete ? *complete : *config));
  }
  return out;
}

Answer changed(const QueryFacts& facts) {
  NodeFiles files(facts.renderer.get(), facts.state, *facts.log);
  auto candidates = files.candidates(Scope{}, false);
  if (!candidates) return std::unexpected(candidates.error());
  json out = list_document(facts, "ChangedList",
                           json::parse(changed_items(facts.state, *facts.log, *candidates)));
  if (argument(facts, "scope")) {
    auto scope = scope_argument(facts);
    if (!scope) return std::unexpected(scope.error());
    out["reachability"] = json::parse(commit_reach_text(facts.state, *scope, false));
  }
  return out;
}

namespace {

/// "working", "committed", "active" or "vN" of a node, as a configuration. Nothing when there is
/// none yet.
Result<std::optional<NodeConfig>> config_named(const QueryFacts& facts, const Node& node,
                                               const std::string& name,
                                               const Compilation& working, NodeFiles& files) {
  if (name == "working") {
    auto config = working.node(node.id);
    if (config) config = files.complete(std::move(*config));
    if (!config) return std::unexpected(config.error());
    return std::optional(std::move(*config));
  }
  Version version;
  if (name == "committed" || name == "latest") {
    version = node.latest();
  } else if (name == "active" || name == "current") {
    version = active_version(facts, node);
  } else {
    const std::string text = name.starts_with('v') ? name : "v" + name;
    if (!is_version_text(text))
      return fail(Errc::usage, fmt::format("\"{}\" is no version", name),
                  "working, committed, active or vN");
    auto record = version_named(node, text);
    if (!record) return std::unexpected(record.error());
    version = (*record)->version;
  }
  if (version == Version()) return std::optional<NodeConfig>();
  auto config = load_config(*facts.log, node, version);
  if (!config) return std::unexpected(config.error());
  return std::optional(std::move(*config));
}

}  // namespace

Answer diff(const QueryFacts& facts) {
  const std::string a = argument(facts, "a").value_or("active"),
                    b = argument(facts, "b").value_or("working");
  std::vector<const Node*> chosen;
  if (auto name = argument(facts, "node")) {
    auto node = resolve_node(facts.state, *name);
    if (!node) return std::unexpected(node.error());
    chosen.push_back(*node);
  } else {
    chosen = facts.state.nodes_in(Scope{});
  }
  const Compilation working(facts.state);
  NodeFiles files(facts.renderer.get(), facts.state, *facts.log);
  const auto texts = [&](const NodeConfig& config) { return files.texts(config); };
  ConfigItems items(a, b, texts, texts);
  for (const Node* node : chosen) {
    auto before = config_named(facts, *node, a, working, files),
         after = config_named(facts, *node, b, working, files);
    if (!before) return std::unexpected(before.error());
    if (!after) return std::unexpected(after.error());
    if (*before != *after)
      items.add(node->id, node->fullname(), *before ? &**before : nullptr,
                *after ? &**after : nullptr);
  }
  return list_document(facts, "Diff", items.items().list);
}

Answer files(const QueryFacts& facts) {
  auto name = required(facts, "node");
  if (!name) return std::unexpected(name.error());
  auto node = resolve_node(facts.state, *name);
  if (!node) return std::unexpected(node.error());
  NodeFiles rendered(facts.renderer.get(), facts.state, *facts.log);
  auto config = config_named(facts, **node, argument(facts, "version").value_or("working"),
                             Compilation(facts.state), rendered);
  if (!config) return std::unexpected(config.error());
  json items = json::array();
  if (*config)
    for (const auto& [file, text] : rendered.texts(**config))
      items.push_back({{"name", file}, {"text", text}});
  return list_document(facts, "Files", std::move(items));
}

namespace {

/// For people and programs: an integer key is its text, as JSON has no other keys.
json plain_json(const TemplateValue& value) {
  if (const auto* list = std::get_if<TemplateList>(&value.data)) {
    json out = json::array();
    for (const TemplateValue& each : *list) out.push_back(plain_json(each));
    return out;
  }
  if (const auto* table = std::get_if<TemplateTable>(&value.data)) {
    json out = json::object();
    for (const auto& [key, each] : *table) {
      const int64_t* number = std::get_if<int64_t>(&key);
      out[number ? std::to_string(*number) : std::get<std::string>(key)] = plain_json(each);
    }
    return out;
  }
  if (const bool* flag = std::get_if<bool>(&value.data)) return *flag;
  if (const int64_t* number = std::get_if<int64_t>(&value.data)) return *number;
  return std::get<std::string>(value.data);
}

}  // namespace

Answer variables(const QueryFacts& facts) {
  auto name = required(facts, "node");
  if (!name) return std::unexpected(name.error());
  auto node = resolve_node(facts.state, *name);
  if (!node) return std::unexpected(node.error());
  auto config = compile(facts.state, (*node)->id);
  if (!config) return std::unexpected(config.error());
  auto table = template_variables(facts.state, *config);
  if (!table) return std::unexpected(table.error());
  json out = document(facts, "Variables");
  out["node"] = (*node)->id.value();
  out["fullname"] = (*node)->fullname();
  out["variables"] = plain_json({*table});
  out["yaml"] = variables_yaml(*table);
  return out;
}

Answer enrolment(const QueryFacts& facts) {
  const MeshState& s = facts.state;
  json out = document(facts, "Enrolment");
  out["log"] = to_hex(s.log.view());
  out["log_key"] = to_hex(s.genesis.log_key.view());
  out["controller_key"] = to_hex(s.genesis.controller_key.view());
  out["endpoints"] = controller_endpoints(s);
  out["enrol_endpoints"] = controller_enrol_endpoints(s);
  out["anchor"] = json();
  if (s.anchor)
    out["anchor"] = {{"sequence", s.anchor->sequence.value()},
                     {"state_digest", to_hex(s.anchor->state_digest.view())},
                     {"root", to_hex(s.anchor->root.view())},
                     {"by", s.anchor->by}};
  return out;
}

Answer whoami(const QueryFacts& facts) {
  json out = document(facts, "Principal");
  const Operator* person = facts.state.find_operator(facts.asker.name);
  out["name"] = facts.asker.name;
  out["role"] = person ? role_name(person->role) : "unknown";
  out["sites"] = person ? json(person->sites) : json::array();
  return out;
}

}  // namespace mesh::answering
