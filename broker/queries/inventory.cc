// inventory: the enrolled nodes as Ansible wants to know them.
#include <set>

#include "broker/queries/queries_internal.h"
#include "eventstore/model/attribute_table.h"
#include "eventstore/model/intent.h"

namespace mesh::answering {

namespace {

/// What a play may use of a node: its attributes as they are in force. Files are blobs, and no variables.
json attributes_json(const MeshState& state, const Node& node) {
  json out = json::object();
  for (const auto& [name, attribute] : effective_attributes(state, {Level::node, {}, node.id}))
    if (!attribute.value.file()) out[name] = to_json(attribute.value);
  return out;
}

}  // namespace

Answer inventory(const QueryFacts& facts) {
  const Intent intent(facts.state);
  json items = json::array();
  for (const NodeIntent& each : intent.nodes()) {
    const Node& node = *each.node;
    json item = {{"id", node.id.value()}, {"fullname", node.fullname()}, {"site", node.site},
                 {"enrolled", node.enrolment == Enrolment::enrolled}};
    if (node.enrolment == Enrolment::enrolled) {
      const auto& management = intent.management();
      item["address"] =
          to_text(management ? management->network.address.plus(node.id.value()) : each.loopback4);
      item["attributes"] = attributes_json(facts.state, node);
      item["version_active"] = active_version(facts, node).value();
      item["version_latest"] = node.latest().value();
    }
    items.push_back(std::move(item));
  }
  json out = list_document(facts, "Inventory", std::move(items));
  out["management"] = intent.management().has_value();
  return out;
}

}  // namespace mesh::answering
