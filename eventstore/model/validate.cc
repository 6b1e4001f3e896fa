// What a commit refuses, each problem with its fix. Linear in the nodes but for the choice of uplinks:
// every node of the fleet decides every commit again.
#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "eventstore/model/decide.h"
#include "eventstore/model/intent.h"
#include "eventstore/model/topology.h"

namespace mesh {

namespace {

struct OwnedLan {
  IpPrefix prefix;
  const Node* node;
};

std::vector<OwnedLan> all_lans(const Intent& intent) {
  std::vector<OwnedLan> lans;
  for (const NodeIntent& node : intent.nodes())
    for (const IpPrefix& prefix : node.lans) lans.push_back({prefix, node.node});
  std::sort(lans.begin(), lans.end(), [](const OwnedLan& a, const OwnedLan& b) {
    return std::tie(a.prefix, a.node->id) < std::tie(b.prefix, b.node->id);
  });
  return lans;
}

/// In address order an overlap is with the nearest enclosing prefix before it: a stack holds those
/// still open.
void check_overlaps(const std::vector<OwnedLan>& lans, std::vector<Error>& out) {
  std::vector<const OwnedLan*> open;
  std::set<std::pair<std::string, std::string>> named;
  for (const OwnedLan& lan : lans) {
    while (!open.empty() && !open.back()->prefix.overlaps(lan.prefix)) open.pop_back();
    for (const OwnedLan* other : open) {
      if (other->node->site == lan.node->site) continue;
      if (!named.emplace(other->node->site, lan.node->site).second) continue;
      bool same = other->prefix == lan.prefix;
      out.push_back({Errc::invalid,
                     same ? fmt::format("{} is announced by two sites ({}, {})",
                                        to_text(lan.prefix), other->node->site, lan.node->site)
                          : fmt::format("{} of site {} overlaps {} of site {}", to_text(lan.prefix),
                                        lan.node->site, to_text(other->prefix), other->node->site),
                     fmt::format("give one of them other addresses: meshcli set site {} lans ...",
                                 lan.node->site)});
    }
    open.push_back(&lan);
  }
}

void check_reserved(const Intent& intent, const std::vector<OwnedLan>& lans,
                    std::vector<Error>& out) {
  const Networks& networks = intent.networks();
  struct Reserved {
    const IpPrefix& prefix;
    std::string_view what, attribute;
  };
  const Reserved reserved[] = {
      {networks.loopback4, "loopback network", "loopbacknet_ipv4"},
      {networks.loopback6, "loopback network", "loopbacknet_ipv6"},
      {networks.transfer4, "transfer network", "internode_transfernet_ipv4"},
      {networks.transfer6, "transfer network", "internode_transfernet_ipv6"}};
  std::set<std::string> named;
  for (const OwnedLan& lan : lans)
    for (const Reserved& other : reserved)
      if (lan.prefix.overlaps(other.prefix) &&
          named.insert(lan.node->site + to_text(lan.prefix)).second)
        out.push_back(
            {Errc::invalid,
             fmt::format("{} of site {} overlaps the {} {}", to_text(lan.prefix), lan.node->site,
                         other.what, to_text(other.prefix)),
             fmt::format("use other addresses for the LAN, or move {}", other.attribute)});
}

void check_isolation(const Intent& intent, const Scope& scope, std::vector<Error>& out) {
  const size_t size = intent.nodes().size();
  if (size < 2) return;
  const Topology topology(intent);
  auto linked = [&](size_t node) {
    for (size_t other = 0; other < size; ++other)
      if (topology.linked(node, other)) return true;
    return false;
  };
  auto is_hub = [&](NodeId node) { return intent.management() && intent.management()->hub == node; };
  for (const Node* node : intent.state().nodes_in(scope))
    if (!is_hub(node->id) && !linked(*intent.find(node->id)))
      out.push_back(
          {Errc::invalid, fmt::format("node {} has no link to any other node", node->fullname()),
           fmt::format(
               "give it a group that others have (meshcli show_all node {0}), and an address to "
               "it or to them: meshcli set node {0} endpoint HOST",
               node->fullname())});
}

}  // namespace

std::vector<Error> validate(const MeshState& state, const Scope& scope) {
  Intent intent(state);
  std::vector<Error> problems = intent.errors();
  for (const Node* node : state.nodes_in(scope))
    if (auto index = intent.find(node->id)) {
      const auto& errors = intent.nodes()[*index].errors;
      problems.insert(problems.end(), errors.begin(), errors.end());
    }
  auto lans = all_lans(intent);
  check_overlaps(lans, problems);
  check_reserved(intent, lans, problems);
  check_isolation(intent, scope, problems);
  return problems;
}

}  // namespace mesh
