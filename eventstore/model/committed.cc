#include "eventstore/model/committed.h"

#include <algorithm>
#include <map>

namespace mesh {

namespace {

void undo_attribute(MeshState& state, const Change& change) {
  Attributes* attributes = nullptr;
  if (change.scope.level == Level::global) attributes = &state.global;
  if (change.scope.level == Level::site)
    if (Cow<Site>* site = state.sites.edit(change.scope.site))
      attributes = &site->edit().attributes;
  if (change.scope.level == Level::node)
    if (Cow<Node>* node = state.nodes.edit(change.scope.node))
      attributes = &node->edit().attributes;
  if (attributes == nullptr) return;
  if (change.before) {
    (*attributes)[change.name].value = *change.before;
  } else {
    attributes->erase(change.name);
  }
}

/// All at once, because two sites may have changed names with each other.
void rename_sites_back(MeshState& state, const std::map<std::string, std::string>& renames) {
  std::vector<std::pair<std::string, Cow<Site>>> taken;
  for (const auto& [now, before] : renames)
    if (auto site = state.sites.extract(now)) taken.push_back(std::move(*site));
  std::map<std::string, std::string> done;
  for (auto& [now, site] : taken) {
    const std::string& before = renames.at(now);
    const std::string& name = state.sites.contains(before) ? now : before;
    site.edit().name = name;
    state.sites.insert_or_assign(name, std::move(site));
    done[now] = name;
  }
  std::vector<NodeId> moved;
  for (const auto& [id, node] : state.nodes)
    if (done.contains(node->site)) moved.push_back(id);
  for (NodeId id : moved) {
    Node& node = state.nodes.edit(id)->edit();
    node.site = done.at(node.site);
  }
}

}  // namespace

MeshState committed_state(const MeshState& state) {
  using Kind = Change::Kind;
  MeshState out = state;
  for (const Change& change : state.changes)
    if (change.kind == Kind::node_added) out.nodes.erase(change.scope.node);
  for (const Change& change : state.changes)
    if (change.kind == Kind::site_added && out.nodes_of(change.scope.site).empty())
      out.sites.erase(change.scope.site);
  // First what comes back: it may have been renamed before it was removed.
  for (const Change& change : state.changes) {
    if (change.kind == Kind::site_removed && !out.sites.contains(change.scope.site))
      out.sites.insert(out.removed_sites.extract(change.scope.site));
    if (change.kind == Kind::node_removed)
      out.nodes.insert(out.removed_nodes.extract(change.scope.node));
  }
  std::map<std::string, std::string> site_names;
  for (const Change& change : state.changes) {
    switch (change.kind) {
      case Kind::attribute:
        undo_attribute(out, change);
        break;
      case Kind::node_renamed:
        if (Cow<Node>* node = out.nodes.edit(change.scope.node)) node->edit().name = change.name;
        break;
      case Kind::site_renamed:
        site_names[change.scope.site] = change.name;
        break;
      case Kind::site_added:
      case Kind::site_removed:
      case Kind::node_added:
      case Kind::node_removed:
        break;
    }
  }
  rename_sites_back(out, site_names);
  out.changes.clear();
  return out;
}

}  // namespace mesh
