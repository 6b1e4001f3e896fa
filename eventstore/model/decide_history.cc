// Deciding about history itself: tags, what comes back, rollbacks and epochs.
#include <fmt/format.h>

#include <algorithm>

#include "eventstore/model/decide_internal.h"
#include "eventstore/model/intent_digest.h"
#include "eventstore/model/limits.h"

namespace mesh::deciding {

namespace {

bool is_letter(char c) { return c >= 'a' && c <= 'z'; }
bool is_digit(char c) { return c >= '0' && c <= '9'; }

/// A tag stands where a number, a time, a version or one of these words may stand, too.
Status check_tag_name(std::string_view name) {
  MESH_TRY(check_name("tag", name));
  const bool version = name.front() == 'v' && name.size() > 1 &&
                       std::all_of(name.begin() + 1, name.end(), is_digit);
  const bool taken = name == "working" || name == "committed" || name == "active" ||
                     name == "head" || name == "now" || name == "latest" || name == "current";
  if (is_letter(name.front()) && !version && !taken) return {};
  return fail(Errc::invalid, fmt::format("tag \"{}\" could mean something else", name),
              "start with a letter; v1, v2, ... and words such as working or active are taken");
}

Status check_past(const MeshState& state, Sequence sequence) {
  if (sequence != Sequence() && sequence <= state.sequence) return {};
  return fail(Errc::not_found, fmt::format("entry #{} does not exist: the log ends at #{}",
                                           sequence.value(), state.sequence.value()));
}

}  // namespace

Events decide(const Case& on, const AddTag& c) {
  MESH_TRY(check_tag_name(c.name));
  const Sequence sequence = c.sequence == Sequence() ? on.state.sequence : c.sequence;
  MESH_TRY(check_past(on.state, sequence));
  if (auto it = on.state.tags.find(c.name); it != on.state.tags.end()) {
    if (it->second.sequence == sequence) return std::vector<Event>{};
    return fail(Errc::conflict,
                fmt::format("tag {} stands at #{} already", c.name, it->second.sequence.value()),
                "remove it first with meshcli del tag, or take another name");
  }
  if (on.state.tags.size() >= kTagsMax)
    return fail(Errc::exhausted, fmt::format("a log has at most {} tags", kTagsMax));
  return std::vector<Event>{TagAdded{c.name, sequence}};
}

Events decide(const Case& on, const RemoveTag& c) {
  if (!on.state.tags.contains(c.name))
    return fail(Errc::not_found, fmt::format("tag \"{}\" does not exist", c.name),
                "meshcli list tags");
  return std::vector<Event>{TagRemoved{c.name}};
}

Events decide(const Case& on, const RestoreSite& c) {
  if (on.state.find_site(c.name))
    return fail(Errc::conflict, fmt::format("site {} exists already", c.name));
  if (!on.state.removed_sites.contains(c.name))
    return fail(Errc::not_found, fmt::format("no site \"{}\" was removed", c.name),
                "meshcli log --type SiteRemoved");
  if (on.state.sites.size() >= kSitesMax)
    return fail(Errc::exhausted, fmt::format("a network has at most {} sites", kSitesMax));
  return std::vector<Event>{SiteRestored{c.name}};
}

Events decide(const Case& on, const RestoreNode& c) {
  auto removed = on.state.removed_nodes.find(c.node);
  if (removed == on.state.removed_nodes.end())
    return fail(Errc::not_found, fmt::format("no node {} was removed", c.node.value()),
                "meshcli log --type NodeRemoved");
  const Node& node = *removed->second;
  const auto dot = c.name.find('.');
  const std::string site = dot == std::string::npos ? node.site : c.name.substr(dot + 1);
  if (!on.state.find_site(site))
    return fail(Errc::invalid,
                fmt::format("node {} cannot come back to site {}, which does not exist",
                            node.fullname(), site),
                "restore the site first");
  const std::string name = c.name.empty() ? node.name : c.name.substr(0, dot);
  MESH_TRY(check_name("node", name));
  const std::string fullname = name + "." + site;
  if (on.state.find_node(fullname))
    return fail(Errc::conflict, fmt::format("node {} exists already", fullname));
  if (on.state.nodes.size() >= kNodesMax)
    return fail(Errc::exhausted, fmt::format("a network has at most {} nodes", kNodesMax));
  std::vector<Event> events{NodeRestored{c.node, site == node.site ? "" : site}};
  if (name != node.name) events.push_back(NodeRenamed{c.node, node.name, name});
  return events;
}

Events decide(const Case& on, const RollBack& c) {
  auto scope = resolve(on.state, c.target);
  if (!scope) return std::unexpected(scope.error());
  MESH_TRY(check_past(on.state, c.to));
  if (intent_digest(on.state, *scope) != c.digest)
    return fail(Errc::conflict,
                fmt::format("this would not bring {} back to what it was at #{}",
                            to_text(on.state, *scope), c.to.value()),
                "somebody changed it meanwhile: prepare the rollback again");
  return std::vector<Event>{RolledBack{*scope, c.to, c.digest}};
}

Events decide(const Case& on, const Undo& c) {
  MESH_TRY(check_past(on.state, c.sequence));
  return std::vector<Event>{EntryUndone{c.sequence}};
}

Events decide(const Case& on, const StartEpoch& c) {
  if (c.epoch != on.state.epoch + 1)
    return fail(Errc::conflict, fmt::format("the log is in epoch {}, so the next one is {}",
                                            on.state.epoch, on.state.epoch + 1));
  if (c.base != on.state.sequence)
    return fail(Errc::conflict, fmt::format("the log ends at #{}, not at #{}",
                                            on.state.sequence.value(), c.base.value()));
  if (c.node_floor < on.state.next_node)
    return fail(Errc::invalid, fmt::format("the next node would be {} already: a floor of {} is below",
                                           on.state.next_node.value(), c.node_floor.value()));
  if (c.node_floor.value() > on.state.next_node.value() + kFloorStepMax ||
      c.version_floor.value() > on.state.version_floor.value() + kFloorStepMax)
    return fail(Errc::invalid, fmt::format("a floor rises by at most {}", kFloorStepMax));
  return std::vector<Event>{
      EpochStarted{c.epoch, c.base, c.base_root, c.node_floor, c.version_floor}};
}

}  // namespace mesh::deciding
