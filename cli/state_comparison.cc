#include "cli/state_comparison.h"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>

#include "cli/files/file_contents.h"
#include "eventstore/model/compile.h"
#include "eventstore/model/overlay.h"
#include "eventstore/model/plan.h"
#include "eventstore/model/reach.h"
#include "eventstore/model/text_diff.h"
#include "eventstore/model/topology.h"

namespace mesh::cli {

namespace {

constexpr size_t kPairsMax = 1'000;

class StateComparison {
 public:
  StateComparison(const ComparedState& a, const ComparedState& b, std::optional<NodeId> only)
      : a_(a.state), b_(b.state), a_text_(a.text), b_text_(b.text), only_(only) {
    document_ = {{"kind", "Comparison"},
                 {"sequence", b_.sequence.value()},
                 {"a", side_json(a)},
                 {"b", side_json(b)},
                 {"notes", Json::array()}};
  }

  Json run() {
    Json out = std::move(document_);
    attributes("global", &a_.global, &b_.global);
    sites();
    nodes();
    Json added = links_only_in(b_, a_), removed = links_only_in(a_, b_);
    // Nothing is cut here: all of it is on this machine.
    out["totals"] = {{"attributes", attributes_.size()},
                     {"structure", structure_.size()},
                     {"links_added", added.size()},
                     {"links_removed", removed.size()},
                     {"items", items_.size()}};
    out["attributes"] = std::move(attributes_);
    out["structure"] = std::move(structure_);
    out["links"] = {{"added", std::move(added)}, {"removed", std::move(removed)}};
    add_reach(out);
    out["items"] = std::move(items_);
    return out;
  }

 private:
  static Json side_json(const ComparedState& side) {
    Json out{{"text", side.text}, {"means", side.means}};
    if (side.at) out["at"] = side.at->value();
    return out;
  }

  void attributes(const std::string& scope, const Attributes* before, const Attributes* now) {
    std::set<std::string> names;
    for (const Attributes* side : {before, now})
      if (side)
        for (const auto& [name, attribute] : *side) names.insert(name);
    const auto value = [](const Attributes* side, const std::string& name) {
      if (!side) return Json();
      const auto found = side->find(name);
      return found == side->end() ? Json() : attribute_json(found->second.value);
    };
    for (const std::string& name : names) {
      Json old = value(before, name), fresh = value(now, name);
      if (old != fresh)
        attributes_.push_back({{"scope", scope},
                               {"name", name},
                               {"before", std::move(old)},
                               {"now", std::move(fresh)}});
    }
  }

  /// A site has no number: it is the same under another name when a node of it moved there.
  void sites() {
    std::map<std::string, std::string> renamed;
    for (const auto& [id, node] : a_.nodes)
      if (const Node* now = b_.find_node(id); now && now->site != node->site)
        if (!b_.find_site(node->site) && !a_.find_site(now->site)) renamed[now->site] = node->site;
    std::set<std::string> gone;
    for (const auto& [name, site] : a_.sites)
      if (!b_.find_site(name)) gone.insert(name);
    for (const auto& [name, site] : b_.sites) {
      const auto old_name = renamed.find(name);
      const Site* before = a_.find_site(old_name == renamed.end() ? name : old_name->second);
      if (!concerns(name)) continue;
      if (!before) structure_.push_back(fmt::format("site {} added", name));
      if (before && before->name != name) {
        structure_.push_back(fmt::format("site {} renamed to {}", before->name, name));
        gone.erase(before->name);
      }
      attributes("site " + name, before ? &before->attributes : nullptr, &site->attributes);
    }
    for (const std::string& name : gone) {
      if (!concerns(name)) continue;
      structure_.push_back(fmt::format("site {} removed", name));
      attributes("site " + name, &a_.find_site(name)->attributes, nullptr);
    }
  }
  bool concerns(const std::string& site) const {
    if (!only_) return true;
    const Node *before = a_.find_node(*only_), *now = b_.find_node(*only_);
    return (before && before->site == site) || (now && now->site == site);
  }

  void nodes() {
    std::set<NodeId> ids;
    for (const MeshState* side : {&a_, &b_})
      for (const auto& [id, node] : side->nodes)
        if (!only_ || *only_ == id) ids.insert(id);
    const Compilation before(a_), now(b_);
    for (const NodeId id : ids) {
      const Node *old = a_.find_node(id), *fresh = b_.find_node(id);
      const std::string name = (fresh ? fresh : old)->fullname();
      if (!old) structure_.push_back(fmt::format("node {} ({}) added", name, id.value()));
      if (!fresh) structure_.push_back(fmt::format("node {} ({}) removed", name, id.value()));
      if (old && fresh && old->fullname() != name)
        structure_.push_back(
            fmt::format("node {} ({}) renamed to {}", old->fullname(), id.value(), name));
      attributes("node " + name, old ? &old->attributes : nullptr,
                 fresh ? &fresh->attributes : nullptr);
      configurations(id, name, old ? before.node(id) : Result<NodeConfig>(nothing()),
                     fresh ? now.node(id) : Result<NodeConfig>(nothing()));
    }
  }
  static std::unexpected<Error> nothing() { return fail(Errc::not_found, ""); }

  void configurations(NodeId id, const std::string& name, const Result<NodeConfig>& before,
                      const Result<NodeConfig>& now) {
    if (before && now && *before == *now) return;
    if (!before && !now && before.error().message == now.error().message) return;
    Json changes = Json::array();
    std::string effect = "unknown";
    for (const auto& [side, config] : {std::pair(&a_text_, &before), std::pair(&b_text_, &now)})
      if (!*config && !config->error().message.empty())
        changes.push_back(
            fmt::format("{} makes no configuration: {}", *side, config->error().message));
    if (changes.empty() && now) {
      const ConfigChange change = compare_configs(before ? &*before : nullptr, *now);
      effect = effect_name(change.effect);
      changes = change.lines;
    } else if (changes.empty()) {
      effect = effect_name(Effect::hot);
      changes.push_back("- no configuration any more");
    }
    items_.push_back({{"node", id.value()},
                      {"fullname", name},
                      {"a", a_text_},
                      {"b", b_text_},
                      {"effect", effect},
                      {"changes", std::move(changes)},
                      {"text", file_texts(name, before, now)}});
  }

  std::string file_texts(const std::string& node, const Result<NodeConfig>& before,
                         const Result<NodeConfig>& now) const {
    std::map<std::string, std::pair<std::string, std::string>> files;
    if (before)
      for (auto& [name, text] : rendered_files(*before)) files[name].first = text;
    if (now)
      for (auto& [name, text] : rendered_files(*now)) files[name].second = text;
    std::string out;
    for (const auto& [name, texts] : files)
      out += unified_diff(fmt::format("{}/{}/{}", a_text_, node, name), texts.first,
                          fmt::format("{}/{}/{}", b_text_, node, name), texts.second);
    return out;
  }

  Json links_only_in(const MeshState& here, const MeshState& there) const {
    const auto mine = links(here), others = links(there);
    std::vector<Link> differing;
    std::ranges::set_difference(mine, others, std::back_inserter(differing));
    Json out = Json::array();
    for (const Link& link : differing)
      if (!only_ || link.low == *only_ || link.high == *only_)
        out.push_back({{"a", here.find_node(link.low)->fullname()},
                       {"b", here.find_node(link.high)->fullname()}});
    return out;
  }

  void add_reach(Json& out) const {
    const Reach before(a_), after(b_);
    std::set<IpPrefix> about;
    for (const Reach* side : {&before, &after})
      for (const ReachedLan& lan : side->lans())
        if (!only_ || std::ranges::binary_search(lan.nodes, *only_)) about.insert(lan.prefix);
    const ReachDifference difference = compare_reach(before, after, kPairsMax, &about);
    const auto list = [](const std::vector<LanPair>& pairs) {
      Json items = Json::array();
      for (const LanPair& pair : pairs)
        items.push_back({{"from", to_text(pair.from)},
                         {"to", to_text(pair.to)},
                         {"family", pair.from.v6() ? "ipv6" : "ipv4"}});
      return items;
    };
    out["reachability"] = {{"lost", list(difference.lost)}, {"gained", list(difference.gained)}};
    out["totals"]["reachability_lost"] = difference.lost_total;
    out["totals"]["reachability_gained"] = difference.gained_total;
  }

  const MeshState &a_, &b_;
  const std::string &a_text_, &b_text_;
  std::optional<NodeId> only_;
  Json document_;  // what is known before it is compared
  Json attributes_ = Json::array(), structure_ = Json::array(), items_ = Json::array();
};

}  // namespace

Result<Json> compare_states(const ComparedState& a, const ComparedState& b,
                            const std::string& node) {
  std::optional<NodeId> only;
  if (!node.empty()) {
    auto found = resolve_node(b.state, node);
    if (!found) found = resolve_node(a.state, node);
    if (!found) return std::unexpected(std::move(found).error());
    only = (*found)->id;
  }
  return StateComparison(a, b, only).run();
}

}  // namespace mesh::cli
