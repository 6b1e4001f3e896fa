// Deciding about sites, nodes and attributes.
#include <fmt/format.h>

#include <algorithm>

#include "eventstore/model/attribute_table.h"
#include "eventstore/model/decide_internal.h"
#include "eventstore/model/limits.h"
#include "eventstore/model/topology.h"

namespace mesh::deciding {

namespace {

bool is_label_character(char c) {
  return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-';
}

std::string link_count(const MeshState& state, const Node& node) {
  size_t count = peers_of(state, node).size();
  return fmt::format("{} link{}", count, count == 1 ? "" : "s");
}

void remove_node(const MeshState& state, const Node& node, std::vector<Event>& out) {
  revoke_tokens_of(state, Scope{Level::node, {}, node.id}, out);
  if (node.enrolment == Enrolment::enrolled) out.push_back(NodeRevoked{node.id});
  out.push_back(NodeRemoved{node.id});
}

Result<std::pair<std::string, std::string>> split_fullname(std::string_view fullname) {
  auto dot = fullname.find('.');
  if (dot == std::string_view::npos)
    return fail(Errc::usage, fmt::format("node \"{}\" names no site", fullname),
                "write it as node.site");
  return std::pair(std::string(fullname.substr(0, dot)), std::string(fullname.substr(dot + 1)));
}

}  // namespace

Status check_name(std::string_view what, std::string_view name) {
  auto refuse = [&](std::string_view why) {
    std::string shown(name.substr(0, kNameBytesMax));
    // What is not plain ASCII is not repeated: it could be anything.
    bool printable =
        std::all_of(shown.begin(), shown.end(), [](char c) { return c > 0x20 && c < 0x7f; });
    return fail(Errc::invalid,
                fmt::format("{} name {}{}", what, printable ? "\"" + shown + "\" " : "", why),
                "use a-z, 0-9 and -, not at the ends, at most 63 characters, not only digits");
  };
  if (name.empty()) return refuse("is empty");
  if (name.size() > kNameBytesMax) return refuse(fmt::format("has {} characters", name.size()));
  if (!std::all_of(name.begin(), name.end(), is_label_character))
    return refuse("has characters that are not allowed");
  if (name.front() == '-' || name.back() == '-') return refuse("starts or ends with -");
  if (std::all_of(name.begin(), name.end(), [](char c) { return c >= '0' && c <= '9'; }))
    return refuse("is a number, and numbers name nodes by their id");
  return {};
}

Events decide(const Case& on, const AddSite& c) {
  MESH_TRY(check_name("site", c.name));
  if (on.state.find_site(c.name))
    return fail(Errc::conflict, fmt::format("site {} exists already", c.name));
  if (on.state.sites.size() >= kSitesMax)
    return fail(Errc::exhausted, fmt::format("a network has at most {} sites", kSitesMax));
  return std::vector<Event>{SiteAdded{c.name}};
}

Events decide(const Case& on, const RemoveSite& c) {
  auto scope = resolve(on.state, {Level::site, c.name});
  if (!scope) return std::unexpected(scope.error());
  auto nodes = on.state.nodes_of(c.name);
  if (!nodes.empty() && !c.force) {
    size_t enrolled =
        static_cast<size_t>(std::count_if(nodes.begin(), nodes.end(), [](const Node* n) {
          return n->enrolment == Enrolment::enrolled;
        }));
    return fail(
        Errc::invalid,
        fmt::format("site {} has {} node{}, {} of them enrolled: their links would go down at once",
                    c.name, nodes.size(), nodes.size() == 1 ? "" : "s", enrolled),
        "remove the nodes first, or use --force");
  }
  std::vector<Event> events;
  for (const Node* node : nodes) remove_node(on.state, *node, events);
  revoke_tokens_of(on.state, *scope, events);
  events.push_back(SiteRemoved{c.name});
  return events;
}

Events decide(const Case& on, const RenameSite& c) {
  MESH_TRY(resolve(on.state, {Level::site, c.from}));
  if (c.from == c.to) return std::vector<Event>{};
  MESH_TRY(check_name("site", c.to));
  if (on.state.find_site(c.to))
    return fail(Errc::conflict, fmt::format("site {} exists already", c.to));
  return std::vector<Event>{SiteRenamed{c.from, c.to}};
}

Events decide(const Case& on, const AddNode& c) {
  auto parts = split_fullname(c.fullname);
  if (!parts) return std::unexpected(parts.error());
  const auto& [name, site] = *parts;
  MESH_TRY(check_name("node", name));
  MESH_TRY(resolve(on.state, {Level::site, site}));
  if (on.state.find_node(c.fullname))
    return fail(Errc::conflict, fmt::format("node {} exists already", c.fullname));
  if (on.state.nodes.size() >= kNodesMax)
    return fail(Errc::exhausted, fmt::format("a network has at most {} nodes", kNodesMax));
  if (c.number == NodeId()) return std::vector<Event>{NodeAdded{on.state.next_node, name, site}};
  if (c.number < on.state.next_node || c.number.value() > kNodeNumberMax)
    return fail(Errc::invalid,
                fmt::format("node number {} is not one of {} to {}: numbers are never used again", c.number.value(),
                            on.state.next_node.value(), kNodeNumberMax),
                "leave the number out, or choose a higher one");
  return std::vector<Event>{NodeAdded{c.number, name, site}};
}

Events decide(const Case& on, const RemoveNode& c) {
  auto node = resolve_node(on.state, c.node);
  if (!node) return std::unexpected(node.error());
  if ((*node)->enrolment == Enrolment::enrolled && !c.force)
    return fail(Errc::invalid,
                fmt::format("node {} is enrolled: its {} would go down at once",
                            (*node)->fullname(), link_count(on.state, **node)),
                "use --force");
  std::vector<Event> events;
  remove_node(on.state, **node, events);
  return events;
}

Events decide(const Case& on, const RenameNode& c) {
  auto node = resolve_node(on.state, c.from);
  if (!node) return std::unexpected(node.error());
  std::string to = c.to;
  if (to.find('.') != std::string::npos) {
    auto parts = split_fullname(to);
    if (parts->second != (*node)->site)
      return fail(Errc::invalid,
                  fmt::format("node {} cannot move to site {} by a rename", (*node)->fullname(),
                              parts->second),
                  "add a node there and remove this one");
    to = parts->first;
  }
  if (to == (*node)->name) return std::vector<Event>{};
  MESH_TRY(check_name("node", to));
  std::string fullname = to + "." + (*node)->site;
  if (on.state.find_node(fullname))
    return fail(Errc::conflict, fmt::format("node {} exists already", fullname));
  return std::vector<Event>{NodeRenamed{(*node)->id, (*node)->name, to}};
}

namespace {

const Attributes& attributes_at(const MeshState& state, const Scope& scope) {
  switch (scope.level) {
    case Level::site:
      return state.find_site(scope.site)->attributes;
    case Level::node:
      return state.find_node(scope.node)->attributes;
    case Level::global:
      break;
  }
  return state.global;
}

ScopeMask mask_of(Level level) {
  return level == Level::global ? kAtGlobal : level == Level::site ? kAtSite : kAtNode;
}

/// Somebody else's newer value is never overwritten unseen.
Status check_unseen(const Case& on, const Scope& scope, std::string_view name,
                    const Attribute& now) {
  if (now.sequence <= on.request.based_on || now.sequence > on.state.sequence) return {};
  return fail(
      Errc::conflict,
      fmt::format("{} of {} was changed to {} by #{}, after #{} on which this request is based",
                  name, to_text(on.state, scope), to_text(now.value), now.sequence.value(),
                  on.request.based_on.value()),
      "look at the new value, then set it again");
}

}  // namespace

Events decide(const Case& on, const SetAttribute& c) {
  auto scope = resolve(on.state, c.target);
  if (!scope) return std::unexpected(scope.error());
  MESH_TRY(check_attribute_name(c.name));
  MESH_TRY(check_attribute(c.name, c.value, mask_of(scope->level), on.state.rules));
  const size_t most = attribute_bytes_max(c.name, on.state.rules);
  if (to_text(c.value).size() > most)
    return fail(Errc::exhausted, fmt::format("the value of {} has more than {} bytes", c.name, most));
  const Attributes& attributes = attributes_at(on.state, *scope);
  auto it = attributes.find(c.name);
  if (it == attributes.end()) {
    if (attributes.size() >= kAttributesPerScopeMax)
      return fail(Errc::exhausted, fmt::format("{} has {} attributes already",
                                               to_text(on.state, *scope), attributes.size()));
    return std::vector<Event>{AttributeSet{*scope, c.name, {}, c.value}};
  }
  if (it->second.value == c.value) return std::vector<Event>{};
  MESH_TRY(check_unseen(on, *scope, c.name, it->second));
  return std::vector<Event>{AttributeSet{*scope, c.name, it->second.value, c.value}};
}

Events decide(const Case& on, const UnsetAttribute& c) {
  auto scope = resolve(on.state, c.target);
  if (!scope) return std::unexpected(scope.error());
  MESH_TRY(check_attribute_name(c.name));
  const Attributes& attributes = attributes_at(on.state, *scope);
  auto it = attributes.find(c.name);
  if (it == attributes.end()) return std::vector<Event>{};
  MESH_TRY(check_unseen(on, *scope, c.name, it->second));
  return std::vector<Event>{AttributeUnset{*scope, c.name, it->second.value}};
}

}  // namespace mesh::deciding
