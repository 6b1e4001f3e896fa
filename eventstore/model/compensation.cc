// Rolling back and undoing: both are the difference to an intent that was, and both tell what of that
// past does not come back. An undo merges three ways: what the entry changed, and nobody since, gets
// the value from before it.
#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "eventstore/model/difference.h"
#include "eventstore/model/evolve.h"
#include "eventstore/model/intent_digest.h"

namespace mesh {

namespace {

std::unexpected<Error> was_not(const Target& target, const MeshState& then) {
  const std::string_view kind = target.level == Level::site ? "site" : "node";
  return fail(Errc::not_found,
              fmt::format("{} {} did not exist at #{}", kind, target.name, then.sequence.value()),
              fmt::format("to be rid of it: meshcli del {} {}", kind, target.name));
}

/// The site's name then. It was renamed together with its nodes, and their numbers never change.
Result<Scope> site_then(const MeshState& now, const MeshState& then, const Target& target) {
  if (now.find_site(target.name))
    for (const auto* nodes : {&now.nodes, &now.removed_nodes})
      for (const auto& [id, node] : *nodes)
        if (node->site == target.name)
          if (const Node* same = then.find_node(id)) return Scope{Level::site, same->site, {}};
  if (!then.find_site(target.name)) return was_not(target, then);
  return Scope{Level::site, target.name, {}};
}

Result<Scope> node_then(const MeshState& now, const MeshState& then, const Target& target) {
  const Node* node = now.find_node(target.name);
  node = node ? then.find_node(node->id) : then.find_node(target.name);
  if (!node) return was_not(target, then);
  return Scope{Level::node, {}, node->id};
}

/// The site in which the node is now, or into which it can come back.
std::string site_now(const MeshState& now, const Node& then) {
  if (const Node* node = now.find_node(then.id)) return node->site;
  auto removed = now.removed_nodes.find(then.id);
  const bool stands = removed != now.removed_nodes.end() && now.find_site(removed->second->site);
  return stands ? removed->second->site : then.site;
}

std::string enrol_again(std::string_view fullname) {
  return fmt::format("it enrols again: meshcli token create --node {}", fullname);
}

/// Keys are not intent: what was revoked stays dead.
void warn_of_restored(const MeshState& then, const std::vector<Command>& commands,
                      std::vector<std::string>& out) {
  for (const Command& command : commands)
    if (const auto* restored = std::get_if<RestoreNode>(&command)) {
      const Node* node = then.find_node(restored->node);
      if (node && node->enrolment != Enrolment::none)
        out.push_back(fmt::format("node {} comes back without keys, which were revoked when it was "
                                  "removed: {}",
                                  node->fullname(), enrol_again(node->fullname())));
    }
}

void warn_of_revoked(const MeshState& now, const MeshState& then, const Scope& scope,
                     std::vector<std::string>& out) {
  for (const Node* node : then.nodes_in(scope)) {
    const Node* live = now.find_node(node->id);
    if (node->enrolment == Enrolment::enrolled && live && live->enrolment == Enrolment::revoked)
      out.push_back(fmt::format("the keys of node {} were revoked since and stay dead: {}",
                                node->fullname(), enrol_again(node->fullname())));
  }
}

}  // namespace

Result<Compensation> roll_back(const MeshState& now, const MeshState& then, const Target& target) {
  Result<Scope> scope = Scope{};
  if (target.level == Level::site) scope = site_then(now, then, target);
  if (target.level == Level::node) scope = node_then(now, then, target);
  if (!scope) return std::unexpected(scope.error());

  Compensation out;
  DesiredIntent desired = desired_intent(then, *scope);
  Digest digest = intent_digest(then, *scope);
  Target named{scope->level, scope->site};
  if (scope->level == Level::node) {
    const Node& node = *then.find_node(scope->node);
    const std::string site = site_now(now, node);
    named.name = desired.nodes[0].fullname = node.name + "." + site;
    if (site != node.site) {
      out.warnings.push_back(fmt::format("node {} was in site {}, which is called {} now and stays so",
                                         named.name, node.site, site));
      Node moved = node;
      moved.site = site;
      MeshState alone;
      alone.nodes.emplace(node.id, Cow(std::move(moved)));
      digest = intent_digest(alone, *scope);
    }
  }
  auto commands = difference(now, desired, named, {.prune = true});
  if (!commands) return std::unexpected(commands.error());
  if (commands->empty()) return Compensation{};
  out.commands = std::move(*commands);
  warn_of_restored(then, out.commands, out.warnings);
  warn_of_revoked(now, then, *scope, out.warnings);
  out.commands.push_back(RollBack{named, then.sequence, digest});
  return out;
}

namespace {

std::unexpected<Error> changed_since(const std::string& what, Sequence sequence) {
  return fail(Errc::conflict,
              fmt::format("{} was changed since by #{}", what, sequence.value()),
              fmt::format("look at it with meshcli show entry {}; undo that one first, or set what "
                          "you want",
                          sequence.value()));
}

std::unexpected<Error> rests_on(const std::string& what, const std::string& why) {
  return fail(Errc::conflict, fmt::format("{} cannot be undone: {}", what, why),
              "undo that first, or change what you want by hand");
}

std::unexpected<Error> stays(std::string what, std::string fix) {
  return fail(Errc::unsupported, std::move(what) + " cannot be undone", std::move(fix));
}

/// Refuses facts that no later entry can take back.
struct Permanent {
  const MeshState& after;
  Sequence entry;
  const std::set<NodeId>& removed;  // by this entry
  bool site_removed;

  std::string name(NodeId id) const { return to_text(after, Scope{Level::node, {}, id}); }

  Status operator()(const LogCreated&) const { return stays("the log's creation", ""); }
  Status operator()(const VersionsCommitted&) const {
    return stays("a commit",
                 fmt::format("its versions stay; meshcli rollback {} brings the intent back, "
                             "meshcli activate an earlier version",
                             entry.value() - 1));
  }
  Status operator()(const TokenUsed& e) const { return enrolled(e.node); }
  Status operator()(const NodeEnrolled& e) const { return enrolled(e.node); }
  Status operator()(const KeyRegistered& e) const { return enrolled(e.node); }
  Status operator()(const KeyDropped& e) const {
    return stays("dropping a key of " + name(e.node), "rotate the key again");
  }
  Status enrolled(NodeId id) const {
    return stays("the enrolment of " + name(id),
                 fmt::format("revoke its keys: meshcli node revoke {}", id.value()));
  }
  Status operator()(const TokenRevoked& e) const {
    if (!removed.empty() || site_removed) return {};
    return token(e.token);
  }
  Status operator()(const TokenExpired& e) const { return token(e.token); }
  Status token(TokenId id) const {
    return stays(fmt::format("the end of token {}", id.value()),
                 "make a new one: meshcli token create");
  }
  Status operator()(const NodeRevoked& e) const {
    if (removed.contains(e.node)) return {};
    return stays("the revocation of " + name(e.node),
                 fmt::format("it enrols again: meshcli token create --node {}", e.node.value()));
  }
  Status operator()(const NodeRejected& e) const {
    return stays("the rejection of " + e.fingerprint, "the node joins with new keys");
  }
  Status operator()(const OperatorAdded& e) const {
    return stays("adding operator " + e.name, fmt::format("meshcli operator ban {}", e.name));
  }
  Status operator()(const OperatorBanned& e) const {
    return stays("the ban of " + e.name, "add the person under a new name, with new keys");
  }
  Status operator()(const RulesRaised&) const { return stays("raising the rules", ""); }
  Status operator()(const AnchorSigned&) const {
    return stays("a signed checkpoint", "sign a later one: meshcli checkpoint sign");
  }
  Status operator()(const ActivationEnded& e) const {
    return stays(fmt::format("the end of activation {}", e.activation.value()), "activate again");
  }
  Status operator()(const ActivationExtended& e) const {
    return stays(fmt::format("the extension of activation {}", e.activation.value()),
                 fmt::format("end it at once: meshcli cancel {}", e.activation.value()));
  }
  Status operator()(const EndpointsSet&) const {
    return stays("a change of the controller's endpoints", "set them again: meshcli controller endpoints set");
  }
  Status operator()(const RecoverySet& e) const {
    return stays("the recovery secret of " + name(e.node), "set another one, or none");
  }
  Status operator()(const OutcomeReported&) const { return stays("what a node reported", ""); }
  Status operator()(const EpochStarted&) const { return stays("the start of an epoch", ""); }
  Status operator()(const auto&) const { return {}; }
};

class Undoer {
 public:
  Undoer(const MeshState& now, const MeshState& before, const Entry& entry)
      : now_(now), before_(before), after_(before), entry_(entry) {
    evolve(after_, entry.header, *entry.body);
  }

  Result<Compensation> run() {
    MESH_TRY(refuse_permanent());
    trace_sites();
    wanted_.global = desired_intent(now_, Scope{}).global;
    for (const auto& [name, site] : now_.sites)
      sites_[name] = desired_intent(now_, Scope{Level::site, name, {}}).sites[0];
    for (const DesiredNode& node : desired_intent(now_, Scope{}).nodes) nodes_[node.id] = node;

    MESH_TRY(merge("global", before_.global, after_.global, now_.global, wanted_.global));
    MESH_TRY(undo_sites());
    MESH_TRY(undo_nodes());
    for (const Event& event : entry_.body->events) MESH_TRY(undo_other(event));
    return finish();
  }

 private:
  Sequence sequence() const { return entry_.header.sequence; }

  Status refuse_permanent() {
    std::set<NodeId> removed;
    bool site_removed = false;
    for (const Event& event : entry_.body->events) {
      if (const auto* e = std::get_if<NodeRemoved>(&event)) removed.insert(e->node);
      site_removed = site_removed || std::holds_alternative<SiteRemoved>(event);
    }
    for (const Event& event : entry_.body->events)
      MESH_TRY(std::visit(Permanent{after_, sequence(), removed, site_removed}, event));
    return {};
  }

  /// Which site each name after the entry meant before it; nothing for what it added.
  void trace_sites() {
    std::map<std::string, std::optional<std::string>> left;
    for (const Event& event : entry_.body->events) {
      if (const auto* added = std::get_if<SiteAdded>(&event)) origin_[added->name] = std::nullopt;
      if (const auto* removed = std::get_if<SiteRemoved>(&event))
        left[removed->name] = origin_of(removed->name);
      if (const auto* restored = std::get_if<SiteRestored>(&event))
        origin_[restored->name] =
            left.contains(restored->name) ? left[restored->name] : std::nullopt;
      if (const auto* renamed = std::get_if<SiteRenamed>(&event))
        origin_[renamed->to] = origin_of(renamed->from);
    }
  }
  std::optional<std::string> origin_of(const std::string& name) const {
    auto it = origin_.find(name);
    return it == origin_.end() ? std::optional(name) : it->second;
  }

  /// Gives `wanted` the values from before where the entry changed them and nobody has since.
  Status merge(const std::string& what, const Attributes& before, const Attributes& after,
               const Attributes& now, std::map<std::string, AttributeValue>& wanted) const {
    std::set<std::string> names;
    for (const auto* attributes : {&before, &after})
      for (const auto& [name, attribute] : *attributes) names.insert(name);
    auto value = [](const Attributes& attributes, const std::string& name) {
      auto it = attributes.find(name);
      return it == attributes.end() ? std::nullopt : std::optional(it->second.value);
    };
    for (const std::string& name : names) {
      const auto was = value(before, name), made = value(after, name), is = value(now, name);
      if (was == made || is == was) continue;
      if (is != made) return changed(fmt::format("{} of {}", name, what), now, name);
      if (was)
        wanted.insert_or_assign(name, *was);
      else
        wanted.erase(name);
    }
    return {};
  }

  std::unexpected<Error> changed(const std::string& what, const Attributes& now,
                                 const std::string& name) const {
    auto it = now.find(name);
    if (it == now.end()) return rests_on(what, "it was removed since");
    return changed_since(what, it->second.sequence);
  }

  /// What was added must be as the entry left it.
  Status check_untouched(const std::string& what, const Attributes& after,
                         const Attributes& now) const {
    for (const auto& [name, attribute] : now)
      if (auto it = after.find(name); it == after.end() || it->second.value != attribute.value)
        return changed_since(fmt::format("{} of {}", name, what), attribute.sequence);
    return {};
  }

  /// The site of that name may be another one by now. One that is still there has its nodes.
  bool is_same_site(const Site& after) const {
    const Site* now = now_.find_site(after.name);
    if (!now) return false;
    const auto nodes = after_.nodes_of(after.name);
    return now->added == after.added || nodes.empty() ||
           std::any_of(nodes.begin(), nodes.end(), [&](const Node* node) {
             const Node* is = now_.find_node(node->id);
             return is && is->site == after.name;
           });
  }

  Status undo_sites() {
    std::set<std::string> survivors;
    for (const auto& [name, site] : after_.sites) {
      const auto origin = origin_of(name);
      if (origin) survivors.insert(*origin);
      MESH_TRY(origin ? undo_site(name, *origin, *site) : undo_added_site(name, *site));
    }
    for (const auto& [name, site] : before_.sites)
      if (!survivors.contains(name))
        back_.push_back(desired_intent(before_, Scope{Level::site, name, {}}).sites[0]);
    return {};
  }

  Status undo_added_site(const std::string& name, const Site& site) {
    const Site* now = now_.find_site(name);
    if (!now) return {};
    MESH_TRY(check_untouched("site " + name, site.attributes, now->attributes));
    for (const Node* node : now_.nodes_of(name))
      if (before_.find_node(node->id) || !after_.find_node(node->id))
        return rests_on("adding site " + name,
                        fmt::format("node {} was added to it by #{}", node->fullname(),
                                    node->added.value()));
    sites_.erase(name);
    return {};
  }

  Status undo_site(const std::string& name, const std::string& origin, const Site& after) {
    const Site& before = *before_.find_site(origin);
    const bool renamed = name != origin;
    if (!renamed && before == after) return {};
    if (!is_same_site(after)) {
      if (renamed && now_.find_site(origin)) return {};  // it has its name back already
      return rests_on("what was done to site " + name, "the site was renamed or removed since");
    }
    MESH_TRY(merge("site " + name, before.attributes, after.attributes,
                   now_.find_site(name)->attributes, sites_.at(name).attributes));
    if (renamed) sites_.at(name).name = origin;
    return {};
  }

  Status undo_nodes() {
    for (auto& [id, node] : nodes_) {
      const Node& now = *now_.find_node(id);
      if (auto site = sites_.find(now.site); site != sites_.end())
        node.fullname = now.name + "." + site->second.name;
    }
    for (const auto& [id, after] : after_.nodes) {
      const Node* before = before_.find_node(id);
      MESH_TRY(before ? undo_node(*before, *after) : undo_added_node(*after));
    }
    for (const auto& [id, before] : before_.nodes)
      if (!after_.find_node(id) && !now_.find_node(id)) bring_back(*before);
    return {};
  }

  Status undo_node(const Node& before, const Node& after) {
    const bool moved = origin_of(after.site) != before.site;  // removed and back within the entry
    if (!moved && before.name == after.name && before.attributes == after.attributes) return {};
    const Node* now = now_.find_node(after.id);
    if (!now)
      return rests_on("what was done to node " + after.fullname(), "the node was removed since");
    DesiredNode& wanted = nodes_.at(after.id);
    MESH_TRY(merge("node " + now->fullname(), before.attributes, after.attributes, now->attributes,
                   wanted.attributes));
    const bool renamed = before.name != after.name && now->name != before.name;
    if ((renamed && now->name != after.name) || (moved && now->site != after.site))
      return rests_on("renaming node " + after.fullname(),
                      fmt::format("it is called {} since", now->fullname()));
    const auto dot = wanted.fullname.find('.');
    wanted.fullname = (renamed ? before.name : now->name) + "." +
                      (moved ? wanted_name(before.site) : wanted.fullname.substr(dot + 1));
    return {};
  }

  /// What the site of that name before the entry shall be called.
  std::string wanted_name(const std::string& origin) const {
    for (const auto& [name, site] : sites_)
      if (after_.find_site(name) && origin_of(name) == origin) return site.name;
    return origin;
  }

  Status undo_added_node(const Node& after) {
    const Node* now = now_.find_node(after.id);
    if (!now) return {};
    const std::string what = "adding node " + after.fullname();
    if (now->name != after.name)
      return rests_on(what, fmt::format("it was renamed to {} since", now->fullname()));
    MESH_TRY(check_untouched("node " + now->fullname(), after.attributes, now->attributes));
    if (now->enrolled_at > sequence())
      return rests_on(what, fmt::format("it was enrolled or revoked by #{}",
                                        now->enrolled_at.value()));
    if (!now->versions.empty() && now->versions.back().sequence > sequence())
      return rests_on(what, fmt::format("it was committed by #{}",
                                        now->versions.back().sequence.value()));
    nodes_.erase(after.id);
    return {};
  }

  void bring_back(const Node& before) {
    DesiredNode node = desired_intent(before_, Scope{Level::node, {}, before.id}).nodes[0];
    node.fullname = before.name + "." + wanted_name(before.site);
    nodes_[before.id] = std::move(node);
  }

  Status undo_other(const Event& event) {
    if (const auto* e = std::get_if<TagAdded>(&event)) return undo_tag(e->name);
    if (const auto* e = std::get_if<TagRemoved>(&event)) return undo_tag(e->name);
    if (const auto* e = std::get_if<RoleSet>(&event)) return undo_role(e->name);
    if (const auto* e = std::get_if<ActivationStarted>(&event)) return undo_start(*e);
    if (const auto* e = std::get_if<ActivationConfirmed>(&event)) return undo_confirmation(*e);
    if (const auto* e = std::get_if<TokenCreated>(&event)) return undo_token(*e);
    if (const auto* e = std::get_if<TokenRevoked>(&event))
      warnings_.push_back(fmt::format(
          "token {} was revoked with it and stays so: meshcli token create", e->token.value()));
    return {};
  }

  Status undo_tag(const std::string& name) {
    auto at = [&](const MeshState& state) {
      auto it = state.tags.find(name);
      return it == state.tags.end() ? Tag{} : it->second;
    };
    const Tag was = at(before_), made = at(after_), is = at(now_);
    if (was.sequence == is.sequence) return {};
    if (is.added > sequence()) return changed_since("tag " + name, is.added);
    if (is.sequence != made.sequence) return rests_on("tag " + name, "it was removed since");
    if (is.sequence != Sequence()) later_.push_back(RemoveTag{name});
    if (was.sequence != Sequence()) later_.push_back(AddTag{name, was.sequence});
    return {};
  }

  Status undo_role(const std::string& name) {
    const Operator *was = before_.find_operator(name), *made = after_.find_operator(name),
                   *is = now_.find_operator(name);
    if (!was || !made || !is) return {};
    if (was->role == is->role && was->sites == is->sites) return {};
    if (made->role != is->role || made->sites != is->sites)
      return rests_on("the role of " + name, "it was changed again since");
    later_.push_back(SetRole{name, was->role, was->sites});
    return {};
  }

  Status undo_start(const ActivationStarted& e) {
    if (e.confirm_s == 0) return undo_activation(e);
    if (now_.pending.contains(e.activation)) later_.push_back(CancelActivation{e.activation});
    const auto closed = std::ranges::find(now_.closed, e.activation, &ClosedActivation::id);
    const bool remembered = closed != now_.closed.end();
    if (remembered && closed->how != ActivationEnd::confirmed) return {};
    const bool runs = std::ranges::any_of(e.rows, [&](const ActivationRow& row) {
      const Node* node = now_.find_node(row.node);
      return node && node->activation == e.activation;
    });
    if (!remembered && !runs) return {};
    return rests_on(fmt::format("activation {}", e.activation.value()),
                    remembered ? fmt::format("it was confirmed by #{}", closed->sequence.value())
                               : std::string("it was confirmed since"));
  }

  Status undo_confirmation(const ActivationConfirmed& e) {
    auto pending = before_.pending.find(e.activation);
    if (pending == before_.pending.end()) return {};
    ActivationStarted confirmed{e.activation, {}};
    for (const ActivationRow& row : pending->second.rows)
      if (std::ranges::binary_search(e.nodes, row.node)) confirmed.rows.push_back(row);
    return undo_activation(confirmed);
  }

  Status undo_activation(const ActivationStarted& e) {
    std::map<Version, std::set<NodeId>> back;
    for (const ActivationRow& row : e.rows) {
      const Node* node = now_.find_node(row.node);
      if (!node || node->active == row.from) continue;
      if (node->active != row.to || node->activation != e.activation)
        return rests_on(fmt::format("activation {}", e.activation.value()),
                        fmt::format("node {} runs v{} since activation {}", node->fullname(),
                                    node->active.value(), node->activation.value()));
      if (row.from == Version())
        return stays("the first activation of node " + node->fullname(),
                     fmt::format("change what it shall be, then commit and activate; or meshcli "
                                 "del node {}",
                                 node->fullname()));
      back[row.from].insert(row.node);
    }
    for (const auto& [version, nodes] : back) activate(version, nodes);
    return {};
  }

  /// One command for the network when it means exactly these nodes.
  void activate(Version version, const std::set<NodeId>& nodes) {
    const bool exact = std::all_of(now_.nodes.begin(), now_.nodes.end(), [&](const auto& entry) {
      const Node& node = *entry.second;
      return nodes.contains(node.id) || node.active == version || !node.find_version(version);
    });
    if (exact && nodes.size() > 1) {
      later_.push_back(Activate{Target{}, version, false});
      return;
    }
    for (NodeId id : nodes)
      later_.push_back(Activate{{Level::node, fmt::format("{}", id.value())}, version, false});
  }

  Status undo_token(const TokenCreated& e) {
    auto it = now_.tokens.find(e.token);
    if (it == now_.tokens.end() || it->second.state == TokenState::revoked ||
        it->second.state == TokenState::expired)
      return {};
    if (it->second.uses_left != e.uses)
      return rests_on(fmt::format("token {}", e.token.value()), "a node enrolled with it since");
    first_.push_back(RevokeToken{e.token});
    return {};
  }

  Result<Compensation> finish() {
    std::map<std::string, DesiredSite> named;
    for (auto* sites : {&back_, &kept()})
      for (DesiredSite& site : *sites) {
        const std::string name = site.name;
        if (!named.emplace(name, std::move(site)).second) {
          const Site* now = now_.find_site(name);
          return rests_on("the name " + name,
                          fmt::format("another site has it{}",
                                      now ? fmt::format(" since #{}", now->added.value()) : ""));
        }
      }
    for (auto& [name, site] : named) wanted_.sites.push_back(std::move(site));
    std::map<std::string, NodeId> names;
    for (auto& [id, node] : nodes_) {
      auto [holder, fresh] = names.emplace(node.fullname, id);
      if (!fresh)
        return rests_on("the name " + node.fullname,
                        fmt::format("both node {} and node {} would have it",
                                    holder->second.value(), id.value()));
      const std::string site = node.fullname.substr(node.fullname.find('.') + 1);
      if (!named.contains(site))
        return rests_on("removing node " + node.fullname, "its site does not exist any more");
      wanted_.nodes.push_back(std::move(node));
    }
    auto commands = difference(now_, wanted_, Target{}, {.prune = true});
    if (!commands) return std::unexpected(commands.error());

    Compensation out{std::move(first_), std::move(warnings_)};
    for (auto* more : {&*commands, &later_})
      std::move(more->begin(), more->end(), std::back_inserter(out.commands));
    if (out.commands.empty()) return Compensation{};
    warn_of_restored(before_, out.commands, out.warnings);
    out.commands.push_back(Undo{sequence()});
    return out;
  }

  std::vector<DesiredSite>& kept() {
    for (auto& [name, site] : sites_) kept_.push_back(std::move(site));
    return kept_;
  }

  const MeshState& now_;
  const MeshState& before_;
  MeshState after_;
  const Entry& entry_;
  std::map<std::string, std::optional<std::string>> origin_;
  std::map<std::string, DesiredSite> sites_;  // by the name now
  std::vector<DesiredSite> back_, kept_;
  std::map<NodeId, DesiredNode> nodes_;
  DesiredIntent wanted_;
  std::vector<Command> first_, later_;
  std::vector<std::string> warnings_;
};

}  // namespace

Result<Compensation> undo(const MeshState& now, const MeshState& before, const Entry& entry) {
  if (next(before.sequence) != entry.header.sequence)
    return fail(Errc::usage, fmt::format("entry #{} does not follow #{}",
                                         entry.header.sequence.value(), before.sequence.value()));
  if (!entry.body || entry.header.entry_class != EntryClass::intent)
    return fail(Errc::unsupported,
                fmt::format("entry #{} only reports what happened", entry.header.sequence.value()),
                "name one that changed something");
  return Undoer(now, before, entry).run();
}

}  // namespace mesh
