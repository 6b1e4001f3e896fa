// The order of the commands: removals make names free, sites get their names, then nodes get theirs,
// then what was removed comes back under its final name, then what is new, then attributes. So only
// circles of renames need a temporary name.
#include "eventstore/model/difference.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "eventstore/model/evolve.h"
#include "eventstore/model/limits.h"

namespace mesh {

namespace {

using Values = std::map<std::string, AttributeValue>;

Values values_of(const Attributes& attributes) {
  Values out;
  for (const auto& [name, attribute] : attributes) out.emplace(name, attribute.value);
  return out;
}

std::pair<std::string, std::string> split(const std::string& fullname) {
  const auto dot = fullname.find('.');
  if (dot == std::string::npos) return {fullname, {}};
  return {fullname.substr(0, dot), fullname.substr(dot + 1)};
}

/// A name that nothing has: "tmp-1", "tmp-2", ...
template <class Taken>
std::string free_name(const Taken& taken) {
  for (int i = 1;; ++i)
    if (std::string name = fmt::format("tmp-{}", i); !taken(name)) return name;
}

struct WantedSite {
  const DesiredSite* desired = nullptr;
  std::string base;   // its name now; empty = it does not exist
  Values attributes;  // that it has, or will have once it is back
};

struct WantedNode {
  const DesiredNode* desired = nullptr;
  std::string name, site;
  const Node* now = nullptr;  // live or removed; nothing = new
  bool live = false;
};

class Planner {
  using Names = std::map<std::string, const Node*>;

 public:
  Planner(const MeshState& now, const DesiredIntent& desired, const Target& target, bool prune)
      : now_(now), without_(now), desired_(desired), target_(target), prune_(prune) {}

  Result<std::vector<Command>> run() {
    for (const auto& [id, node] : now_.nodes) live_[node->site].emplace(node->name, &*node);
    MESH_TRY(read_sites());
    MESH_TRY(read_nodes());
    MESH_TRY(match_sites());
    MESH_TRY(match_nodes());
    if (prune_) remove();
    place_sites();
    add_numbered();
    for (auto& [site, nodes] : by_site_) MESH_TRY(place_nodes(site, nodes));
    write_attributes();
    if (commands_.size() >= kCommandsPerRequestMax)
      return fail(Errc::exhausted,
                  fmt::format("{} commands are needed, one request holds {}", commands_.size() + 1,
                              kCommandsPerRequestMax),
                  "take one site after the other");
    return std::move(commands_);
  }

 private:
  bool whole() const { return target_.level == Level::global; }

  Status read_sites() {
    for (const DesiredSite& site : desired_.sites) {
      if (!whole() && site.name != target_.name)
        return fail(Errc::invalid, fmt::format("site {} is outside {}", site.name, target_.name));
      if (!sites_.emplace(site.name, WantedSite{&site, {}, {}}).second)
        return fail(Errc::invalid, fmt::format("site {} is named twice", site.name));
    }
    return {};
  }

  Status read_nodes() {
    std::set<NodeId> ids;
    std::set<std::string> names;
    for (const DesiredNode& node : desired_.nodes) {
      WantedNode wanted{&node, {}, {}, nullptr, false};
      std::tie(wanted.name, wanted.site) = split(node.fullname);
      if (wanted.site.empty())
        return fail(Errc::invalid, fmt::format("node \"{}\" names no site", node.fullname),
                    "write it as node.site");
      if (!names.insert(node.fullname).second)
        return fail(Errc::invalid, fmt::format("node {} is named twice", node.fullname));
      if (node.id != NodeId() && !ids.insert(node.id).second)
        return fail(Errc::invalid, fmt::format("two nodes have the number {}", node.id.value()),
                    "leave the number of the new one out: it gets one");
      if (target_.level != Level::node && !sites_.contains(wanted.site))
        return fail(Errc::invalid, fmt::format("node {} is in a site that is not named",
                                               node.fullname));
      MESH_TRY(find_by_number(wanted));
      nodes_.push_back(std::move(wanted));
    }
    return {};
  }

  Status find_by_number(WantedNode& wanted) {
    const NodeId id = wanted.desired->id;
    if (id == NodeId()) return {};
    wanted.now = now_.find_node(id);
    wanted.live = wanted.now != nullptr;
    if (auto it = now_.removed_nodes.find(id); !wanted.live && it != now_.removed_nodes.end())
      wanted.now = &*it->second;
    if (wanted.now || without_nodes()) return {};
    return fail(Errc::not_found,
                fmt::format("no node ever had the number {} that {} shall have", id.value(),
                            wanted.desired->fullname),
                "leave the number out: a new node gets the next one");
  }

  /// A log in which no node ever was takes the numbers of another one: its intent was exported there. Elsewhere a new
  /// number is rather a mistyped one.
  bool without_nodes() const { return now_.nodes.empty() && now_.removed_nodes.empty(); }

  /// Numbers only grow.
  void add_numbered() {
    std::map<NodeId, const DesiredNode*> numbered;
    for (const WantedNode& node : nodes_)
      if (!node.now && node.desired->id != NodeId()) numbered.emplace(node.desired->id, node.desired);
    for (const auto& [id, node] : numbered) commands_.push_back(AddNode{node->fullname, id});
  }

  /// A live node never changes its site, so its number finds the site under any name.
  Status match_sites() {
    if (target_.level == Level::node) return match_site_of_node();
    std::map<std::pair<std::string, std::string>, size_t> together;  // (site now, wanted) -> nodes
    for (const WantedNode& node : nodes_)
      if (node.live) ++together[{node.now->site, node.site}];
    // Nodes of one site can be wanted in two when a removed one came back elsewhere: most of them
    // decide.
    std::vector<std::tuple<size_t, bool, std::string, std::string>> votes;
    for (const auto& [pair, count] : together)
      votes.emplace_back(count, pair.first == pair.second, pair.first, pair.second);
    std::sort(votes.rbegin(), votes.rend());
    for (const auto& [count, same, base, wanted] : votes)
      if (sites_.at(wanted).base.empty()) claim(sites_.at(wanted), base);
    for (auto& [name, site] : sites_)
      if (site.base.empty() && now_.find_site(name)) claim(site, name);
    for (const WantedNode& node : nodes_)
      if (!node.live && node.now) claim_what_is_left(node);
    for (auto& [name, site] : sites_) MESH_TRY(check_name_is_free(name, site));
    return take_out_moved();
  }

  Status match_site_of_node() {
    for (const WantedNode& node : nodes_) {
      if (!now_.find_site(node.site))
        return fail(Errc::not_found, fmt::format("node {} was in site {}, which does not exist",
                                                 node.desired->fullname, node.site),
                    "bring the site back first");
      if (node.live && node.now->site != node.site) return moved(node);
    }
    return {};
  }

  void claim(WantedSite& site, const std::string& base) {
    if (owner_.emplace(base, site.desired->name).second) site.base = base;
  }

  /// A site that was renamed after its nodes were removed: those know its name.
  void claim_what_is_left(const WantedNode& node) {
    WantedSite& site = sites_.at(node.site);
    const std::string& base = node.now->site;
    if (site.base.empty() && now_.find_site(base) && !sites_.contains(base)) claim(site, base);
  }

  /// Who shall be in another site has to leave and to come back, which only a whole network with
  /// pruning may ask for.
  Status take_out_moved() {
    for (WantedNode& node : nodes_) {
      if (!node.live || sites_.at(node.site).base == node.now->site) continue;
      if (!whole() || !prune_) return moved(node);
      commands_.push_back(RemoveNode{fmt::format("{}", node.now->id.value()), true});
      live_[node.now->site].erase(node.now->name);
      evolve(without_, NodeRemoved{node.now->id}, Applied{now_.sequence, now_.time, {}});
      node.live = false;
    }
    for (WantedNode& node : nodes_)
      if (node.now && !node.live) node.now = &*without_.removed_nodes.find(node.desired->id)->second;
    return {};
  }

  static std::unexpected<Error> moved(const WantedNode& node) {
    return fail(Errc::unsupported,
                fmt::format("node {} (number {}) is in site {}, and a node never changes its site",
                            node.desired->fullname, node.now->id.value(), node.now->site),
                "leave the number out: then a new node is added there");
  }

  /// Another site of that name has to go or to be renamed, or stands in the way.
  Status check_name_is_free(const std::string& name, const WantedSite& site) {
    if (site.base == name || !now_.find_site(name)) return {};
    if (owner_.contains(name) || (whole() && prune_)) return {};
    return fail(Errc::conflict,
                fmt::format("site {} shall be called {}, but another site has that name",
                            site.base, name),
                fmt::format("meshcli rename site {} to something else first", name));
  }

  Status match_nodes() {
    std::set<NodeId> claimed;
    for (const WantedNode& node : nodes_)
      if (node.now) claimed.insert(node.now->id);
    for (WantedNode& node : nodes_) {
      if (!node.now) {
        const std::string& base =
            target_.level == Level::node ? node.site : sites_.at(node.site).base;
        auto names = live_.find(base);
        auto it = names == live_.end() ? Names::iterator() : names->second.find(node.name);
        if (names != live_.end() && it != names->second.end() &&
            claimed.insert(it->second->id).second) {
          node.now = it->second;
          node.live = true;
        }
      }
      by_site_[node.site].push_back(&node);
    }
    return {};
  }

  void remove() {
    std::set<NodeId> wanted;
    for (const WantedNode& node : nodes_)
      if (node.live) wanted.insert(node.now->id);
    std::set<std::string> bases;
    for (const auto& [name, site] : sites_) bases.insert(site.base);
    for (const auto& [id, node] : without_.nodes)
      if (!wanted.contains(id) && in_target(*node, bases)) {
        commands_.push_back(RemoveNode{fmt::format("{}", id.value()), true});
        live_[node->site].erase(node->name);
      }
    for (const auto& [name, site] : now_.sites)
      if (!bases.contains(name) &&
          (whole() || (target_.level == Level::site && name == target_.name && sites_.empty()))) {
        commands_.push_back(RemoveSite{name, false});
        removed_sites_.insert(name);
      }
  }

  bool in_target(const Node& node, const std::set<std::string>& bases) const {
    switch (target_.level) {
      case Level::global:
        return true;
      case Level::site:
        return bases.contains(node.site) || (sites_.empty() && node.site == target_.name);
      case Level::node:
        return nodes_.empty() && now_.find_node(target_.name) == &node;
    }
    return false;
  }

  void place_sites() {
    std::set<std::string> taken;
    for (const auto& [name, site] : now_.sites)
      if (!removed_sites_.contains(name)) taken.insert(name);
    std::map<std::string, std::string> renames;  // base -> name
    for (auto& [name, site] : sites_) {
      if (site.base.empty()) continue;
      site.attributes = values_of(now_.find_site(site.base)->attributes);
      if (site.base != name) renames.emplace(site.base, name);
    }
    rename_sites(std::move(renames), taken);
    for (auto& [name, site] : sites_)
      if (site.base.empty()) bring_site(name, site);
  }

  /// With what was left of it if it was removed.
  void bring_site(const std::string& name, WantedSite& site) {
    auto left = now_.removed_sites.find(name);
    if (left != now_.removed_sites.end()) {
      site.attributes = values_of(left->second->attributes);
      commands_.push_back(RestoreSite{name});
    } else {
      commands_.push_back(AddSite{name});
    }
  }

  void rename_sites(std::map<std::string, std::string> renames, std::set<std::string>& taken) {
    while (!renames.empty()) {
      auto next = std::find_if(renames.begin(), renames.end(),
                               [&](const auto& each) { return !taken.contains(each.second); });
      // All the wanted names are taken by each other: one of them steps aside.
      const bool circle = next == renames.end();
      if (circle) next = renames.begin();
      const auto [from, wanted] = *next;
      const std::string to = circle ? free_site_name(taken) : wanted;
      commands_.push_back(RenameSite{from, to});
      renames.erase(next);
      taken.erase(from);
      taken.insert(to);
      if (circle) renames.emplace(to, wanted);
    }
  }

  /// Not a name of which removed nodes are left: they would come along.
  std::string free_site_name(const std::set<std::string>& taken) const {
    return free_name([&](const std::string& name) {
      if (taken.contains(name) || sites_.contains(name) || now_.sites.contains(name) ||
          now_.removed_sites.contains(name))
        return true;
      for (const auto& [id, node] : now_.removed_nodes)
        if (node->site == name) return true;
      return false;
    });
  }

  /// Renames, restores and adds the wanted nodes of one site, which has its final name by now.
  Status place_nodes(const std::string& site, const std::vector<WantedNode*>& nodes) {
    Names taken;
    const std::string& base = target_.level == Level::node ? site : sites_.at(site).base;
    if (auto it = live_.find(base); it != live_.end()) taken = it->second;
    MESH_TRY(rename_nodes(site, nodes, taken));
    for (const WantedNode* node : nodes) {
      if (node->live) continue;
      if (auto holder = taken.find(node->name); holder != taken.end())
        return name_taken(site, *node, *holder->second);
      if (node->now) commands_.push_back(RestoreNode{node->now->id, name_of_restored(*node)});
    }
    for (const WantedNode* node : nodes)
      if (!node->now && node->desired->id == NodeId()) commands_.push_back(AddNode{node->desired->fullname});
    return {};
  }

  /// The shortest that says where it comes back.
  std::string name_of_restored(const WantedNode& node) const {
    auto left = owner_.find(node.now->site);
    const bool same = (left == owner_.end() ? node.now->site : left->second) == node.site;
    if (!same || target_.level == Level::node) return node.desired->fullname;
    return node.now->name == node.name ? "" : node.name;
  }

  Status rename_nodes(const std::string& site, const std::vector<WantedNode*>& nodes,
                      Names& taken) {
    std::map<std::string, const WantedNode*> renames;  // name now -> node
    std::set<std::string> wanted;
    for (const WantedNode* node : nodes) {
      wanted.insert(node->name);
      if (node->live && node->now->name != node->name) renames.emplace(node->now->name, node);
    }
    for (const auto& [from, node] : renames)
      if (auto holder = taken.find(node->name); holder != taken.end())
        if (!renames.contains(node->name)) return name_taken(site, *node, *holder->second);
    while (!renames.empty()) {
      auto next = std::find_if(renames.begin(), renames.end(), [&](const auto& each) {
        return !taken.contains(each.second->name);
      });
      const bool circle = next == renames.end();
      if (circle) next = renames.begin();
      const auto [from, node] = *next;
      const std::string to = !circle ? node->name : free_name([&](const std::string& name) {
        return taken.contains(name) || wanted.contains(name);
      });
      commands_.push_back(RenameNode{fmt::format("{}", node->now->id.value()), to});
      renames.erase(next);
      taken.erase(from);
      taken.emplace(to, node->now);
      if (circle) renames.emplace(to, node);
    }
    return {};
  }

  static std::unexpected<Error> name_taken(const std::string& site, const WantedNode& node,
                                           const Node& holder) {
    return fail(Errc::conflict,
                fmt::format("node {} (number {}) shall be called {}, but node {} has that name in "
                            "site {}",
                            node.now ? node.now->fullname() : node.desired->fullname,
                            node.now ? node.now->id.value() : 0, node.name, holder.id.value(),
                            site),
                fmt::format("rename or remove node {} first", holder.id.value()));
  }

  void write_attributes() {
    if (whole()) write(Target{}, values_of(now_.global), desired_.global);
    for (const auto& [name, site] : sites_)
      write(Target{Level::site, name}, site.attributes, site.desired->attributes);
    for (const WantedNode& node : nodes_)
      write(Target{Level::node, node.live ? fmt::format("{}", node.now->id.value())
                                          : node.desired->fullname},
            node.now ? values_of(node.now->attributes) : Values(), node.desired->attributes);
  }

  /// What goes makes room for what comes: the number of attributes is bounded.
  void write(const Target& target, const Values& now, const Values& wanted) {
    if (prune_)
      for (const auto& [name, value] : now)
        if (!wanted.contains(name)) commands_.push_back(UnsetAttribute{target, name});
    for (const auto& [name, value] : wanted)
      if (auto it = now.find(name); it == now.end() || it->second != value)
        commands_.push_back(SetAttribute{target, name, value});
  }

  const MeshState& now_;
  MeshState without_;  // now, less the nodes that leave one site for another
  const DesiredIntent& desired_;
  const Target& target_;
  const bool prune_;
  std::map<std::string, WantedSite> sites_;  // by wanted name
  std::vector<WantedNode> nodes_;
  std::map<std::string, std::vector<WantedNode*>> by_site_;  // by the site's wanted name
  std::map<std::string, Names> live_;  // the live nodes by the site's name now; less those removed
  std::map<std::string, std::string> owner_;  // site now -> wanted
  std::set<std::string> removed_sites_;
  std::vector<Command> commands_;
};

DesiredNode desired_node(const Node& node) {
  return {node.id, node.fullname(), values_of(node.attributes)};
}

}  // namespace

DesiredIntent desired_intent(const MeshState& state, const Scope& scope) {
  DesiredIntent out;
  if (scope.level == Level::global) {
    out.global = values_of(state.global);
    for (const auto& [name, site] : state.sites)
      out.sites.push_back({name, values_of(site->attributes)});
  } else if (scope.level == Level::site) {
    if (const Site* site = state.find_site(scope.site))
      out.sites.push_back({site->name, values_of(site->attributes)});
  }
  for (const Node* node : state.nodes_in(scope)) out.nodes.push_back(desired_node(*node));
  return out;
}

Result<std::vector<Command>> difference(const MeshState& now, const DesiredIntent& desired,
                                        const Target& target, const DifferenceOptions& options) {
  return Planner(now, desired, target, options.prune).run();
}

}  // namespace mesh
