#include "eventstore/model/evolve.h"

#include <algorithm>
#include <charconv>

#include "eventstore/model/limits.h"

namespace mesh {

namespace {

/// Records that (kind, scope, name) was changed; what it was before is kept from the first time.
void touch(MeshState& state, Change::Kind kind, const Scope& scope, std::string name,
           std::optional<AttributeValue> before, const Applied& at) {
  if (Change* known = state.changes.edit(kind, scope, name)) {
    known->by = to_text(at.principal);
    known->sequence = at.sequence;
    return;
  }
  state.changes.push_back(
      {kind, scope, std::move(name), std::move(before), to_text(at.principal), at.sequence});
}

Attributes* attributes_of(MeshState& state, const Scope& scope) {
  switch (scope.level) {
    case Level::global:
      return &state.global;
    case Level::site: {
      Cow<Site>* site = state.sites.edit(scope.site);
      return site ? &site->edit().attributes : nullptr;
    }
    case Level::node: {
      Cow<Node>* node = state.nodes.edit(scope.node);
      return node ? &node->edit().attributes : nullptr;
    }
  }
  return nullptr;
}

void touch_attribute(MeshState& state, const Scope& scope, const std::string& name,
                     const std::optional<AttributeValue>& before,
                     const std::optional<AttributeValue>& now, const Applied& at) {
  constexpr auto kKind = Change::Kind::attribute;
  Change* known = state.changes.edit(kKind, scope, name);
  // Back at the committed value: there is nothing to commit or to discard any more.
  if ((known ? known->before : before) == now) {
    if (known) state.changes.erase(kKind, scope, name);
  } else if (known) {
    known->by = to_text(at.principal);
    known->sequence = at.sequence;
  } else {
    state.changes.push_back({kKind, scope, name, before, to_text(at.principal), at.sequence});
  }
}

/// What is removed keeps its committed attributes, so that a discard brings it back as it was.
void revert_attributes(MeshState& state, const Scope& scope, Attributes& attributes,
                       const Applied& at) {
  for (const Change& change : state.changes) {
    if (change.kind != Change::Kind::attribute || change.scope != scope) continue;
    if (change.before)
      attributes.insert_or_assign(change.name, Attribute{*change.before, at.sequence});
    else
      attributes.erase(change.name);
  }
  state.changes.erase_if(
      [&](const Change& c) { return c.kind == Change::Kind::attribute && c.scope == scope; });
}

/// Something added and removed without a commit between: nothing is left of it. False when it was
/// committed.
bool forget_uncommitted(MeshState& state, Change::Kind added, const Scope& scope) {
  auto is_addition = [&](const Change& c) { return c.kind == added && c.scope == scope; };
  if (std::none_of(state.changes.begin(), state.changes.end(), is_addition)) return false;
  state.changes.erase_if([&](const Change& c) { return c.scope == scope; });
  return true;
}

void erase_change(MeshState& state, Change::Kind kind, const Scope& scope) {
  state.changes.erase_if([&](const Change& c) { return c.kind == kind && c.scope == scope; });
}

Node* edit_node(MeshState& state, NodeId id) {
  Cow<Node>* node = state.nodes.edit(id);
  return node ? &node->edit() : nullptr;
}

void kill_keys(Node& node) {
  node.keys.clear();
  node.sign_key = {};
  node.box_key = {};
}

struct Evolver {
  MeshState& state;
  const Applied& at;

  void configured() { state.configuration_sequence = at.sequence; }

  void operator()(const LogCreated& e) {
    state.log = e.log;
    state.genesis = e.genesis;
    state.epoch = 1;
    state.rules = e.genesis.rules;
    Operator admin{e.genesis.admin,         Role::admin, {},         e.genesis.admin_sign_key,
                   e.genesis.admin_box_key, false,       at.sequence};
    state.operators.emplace(admin.name, admin);
  }

  void operator()(const SiteAdded& e) {
    state.sites.emplace(e.name, Cow(Site{e.name, {}, at.sequence}));
    touch(state, Change::Kind::site_added, Scope{Level::site, e.name, {}}, {}, {}, at);
    configured();
  }

  void operator()(const SiteRemoved& e) {
    auto node = state.sites.extract(e.name);
    if (!node) return;
    Scope scope{Level::site, e.name, {}};
    if (!forget_uncommitted(state, Change::Kind::site_added, scope)) {
      revert_attributes(state, scope, node->second.edit().attributes, at);
      touch(state, Change::Kind::site_removed, scope, {}, {}, at);
      state.removed_sites.insert_or_assign(e.name, node->second);
    }
    configured();
  }

  void operator()(const SiteRestored& e) {
    auto node = state.removed_sites.extract(e.name);
    if (!node) return;
    state.sites.insert(std::move(node));
    came_back(Change::Kind::site_removed, Change::Kind::site_added,
              Scope{Level::site, e.name, {}});
    configured();
  }

  void operator()(const SiteRenamed& e) {
    auto entry = state.sites.extract(e.from);
    if (!entry) return;
    entry->first = e.to;
    entry->second.edit().name = e.to;
    state.sites.insert(std::move(entry));
    for (auto* nodes : {&state.nodes, &state.removed_nodes})
      for (const auto& [id, node] : *nodes)
        if (node->site == e.from) nodes->edit(id)->edit().site = e.to;
    for (const auto& [id, token] : state.tokens)
      if (token.scope.level == Level::site && token.scope.site == e.from)
        state.tokens.edit(id)->scope.site = e.to;
    for (auto& [name, person] : state.operators)
      std::replace(person.sites.begin(), person.sites.end(), e.from, e.to);
    if (state.rules >= 4)
      for (auto& [id, pending] : state.pending)
        std::replace(pending.health.begin(), pending.health.end(), "reach:" + e.from, "reach:" + e.to);
    renamed(Change::Kind::site_renamed, Scope{Level::site, e.from, {}},
            Scope{Level::site, e.to, {}}, e.from, e.to);
    configured();
  }

  void operator()(const NodeAdded& e) {
    Node node;
    node.id = e.node;
    node.name = e.name;
    node.site = e.site;
    node.added = at.sequence;
    state.nodes.emplace(e.node, Cow(std::move(node)));
    state.next_node = std::max(state.next_node, NodeId(e.node.value() + 1));
    touch(state, Change::Kind::node_added, Scope{Level::node, {}, e.node}, {}, {}, at);
    configured();
  }

  void operator()(const NodeRemoved& e) {
    auto entry = state.nodes.extract(e.node);
    if (!entry) return;
    Scope scope{Level::node, {}, e.node};
    Node& node = entry->second.edit();
    if (node.enrolment == Enrolment::enrolled) {
      node.enrolment = Enrolment::revoked;
      node.enrolled_at = at.sequence;
    }
    kill_keys(node);
    if (!forget_uncommitted(state, Change::Kind::node_added, scope)) {
      revert_attributes(state, scope, node.attributes, at);
      touch(state, Change::Kind::node_removed, scope, node.fullname(), {}, at);
    }
    // Also a node that was never committed leaves a tombstone: its number does not come back.
    state.removed_nodes.insert_or_assign(e.node, entry->second);
    state.reports.erase(e.node);
    forget_pending(e.node);
    configured();
  }

  void operator()(const NodeRestored& e) {
    auto entry = state.removed_nodes.extract(e.node);
    if (!entry) return;
    const Scope scope{Level::node, {}, e.node};
    if (!e.site.empty()) {
      // In another site it is not what was committed, even if its removal was not.
      entry->second.edit().site = e.site;
      erase_change(state, Change::Kind::node_removed, scope);
    }
    state.nodes.insert(std::move(entry));
    came_back(Change::Kind::node_removed, Change::Kind::node_added, scope);
    configured();
  }

  /// What comes back after its removal was committed is as good as new.
  void came_back(Change::Kind removed, Change::Kind added, const Scope& scope) {
    auto is_removal = [&](const Change& c) { return c.kind == removed && c.scope == scope; };
    if (std::any_of(state.changes.begin(), state.changes.end(), is_removal))
      erase_change(state, removed, scope);
    else
      touch(state, added, scope, {}, {}, at);
  }

  void operator()(const NodeRenamed& e) {
    Node* node = edit_node(state, e.node);
    if (!node) return;
    node->name = e.to;
    Scope scope{Level::node, {}, e.node};
    renamed(Change::Kind::node_renamed, scope, scope, e.from, e.to);
    configured();
  }

  /// A rename keeps the committed name, moves the other changes along, and vanishes when undone.
  void renamed(Change::Kind kind, const Scope& from_scope, const Scope& to_scope,
               const std::string& from, const std::string& to) {
    std::string committed = from;
    for (const Change& c : state.changes)
      if (c.kind == kind && c.scope == from_scope) committed = c.name;
    state.changes.erase_if(
        [&](const Change& c) { return c.kind == kind && c.scope == from_scope; });
    bool fresh = false;
    for (const Change& c : state.changes)
      if (c.scope == from_scope)
        fresh = fresh || c.kind == Change::Kind::site_added || c.kind == Change::Kind::node_added;
    state.changes.move_scope(from_scope, to_scope);
    if (!fresh && committed != to) touch(state, kind, to_scope, committed, {}, at);
  }

  void operator()(const AttributeSet& e) {
    Attributes* attributes = attributes_of(state, e.scope);
    if (!attributes) return;
    attributes->insert_or_assign(e.name, Attribute{e.value, at.sequence});
    touch_attribute(state, e.scope, e.name, e.before, e.value, at);
    configured();
  }

  void operator()(const AttributeUnset& e) {
    Attributes* attributes = attributes_of(state, e.scope);
    if (!attributes) return;
    if (auto it = attributes->find(e.name); it != attributes->end()) attributes->erase(it);
    touch_attribute(state, e.scope, e.name, e.before, {}, at);
    configured();
  }

  void operator()(const VersionsCommitted& e) {
    for (const VersionRow& row : e.rows)
      if (Node* node = edit_node(state, row.node);
          node && row.version == next_version(state, *node))
        node->versions.push_back({row.version, row.digest, at.sequence});
    state.changes.erase_if([&](const Change& c) {
      switch (e.scope.level) {
        case Level::global:
          return true;
        case Level::site: {
          if (c.scope.level == Level::site) return c.scope.site == e.scope.site;
          const Node* node = c.scope.level == Level::node ? any_node(c.scope.node) : nullptr;
          return node && node->site == e.scope.site;
        }
        case Level::node:
          return c.scope == e.scope;
      }
      return false;
    });
  }

  const Node* any_node(NodeId id) const {
    if (const Node* node = state.find_node(id)) return node;
    auto it = state.removed_nodes.find(id);
    return it == state.removed_nodes.end() ? nullptr : &*it->second;
  }

  void operator()(const ChangesDiscarded&) {}  // the compensating events before it did the work

  void operator()(const ActivationStarted& e) {
    state.next_activation = std::max(state.next_activation, ActivationId(e.activation.value() + 1));
    if (e.confirm_s > 0) {
      state.pending.insert_or_assign(
          e.activation, PendingActivation{e.activation, e.rows, at.sequence, e.deadline, e.confirm_s, 0, e.health,
                                          e.for_s, to_text(at.principal)});
      return;
    }
    for (const ActivationRow& row : e.rows)
      if (Node* node = edit_node(state, row.node); node && row.to <= node->latest()) {
        node->active = row.to;
        node->activation = e.activation;
      }
  }
  void operator()(const ActivationConfirmed& e) {
    auto it = state.pending.find(e.activation);
    if (it == state.pending.end()) return;
    for (NodeId id : e.nodes) {
      const ActivationRow* row = it->second.find(id);
      Node* node = row ? edit_node(state, id) : nullptr;
      if (!node || row->to > node->latest()) continue;
      node->active = row->to;
      node->activation = e.activation;
    }
    close_activation(e.activation, ActivationEnd::confirmed);
  }
  void operator()(const ActivationEnded& e) { close_activation(e.activation, e.how); }
  void operator()(const ActivationExtended& e) {
    auto it = state.pending.find(e.activation);
    if (it == state.pending.end()) return;
    it->second.deadline = e.deadline;
    it->second.seconds = e.seconds;
    ++it->second.extensions;
  }
  void close_activation(ActivationId id, ActivationEnd how) {
    if (state.pending.erase(id) == 0) return;
    state.closed.push_back({id, how, at.sequence});
    if (state.closed.size() > kClosedActivationsMax) state.closed.pop_front();
  }
  void forget_pending(NodeId node) {
    for (auto& [id, pending] : state.pending) {
      if (!pending.find(node)) continue;
      std::erase_if(pending.rows, [&](const ActivationRow& row) { return row.node == node; });
      if (pending.rows.empty()) close_activation(id, ActivationEnd::cancelled);
      return;  // a node waits for one at most
    }
  }
  void operator()(const RecoverySet& e) {
    Node* node = edit_node(state, e.node);
    if (!node) return;
    node->recovery_sign = e.sign_key;
    node->recovery_box = e.box_key;
  }
  void operator()(const EndpointsSet& e) {
    state.endpoints = e.endpoints;
    state.enrol_endpoints = e.enrol_endpoints;
  }

  void operator()(const TokenCreated& e) {
    state.tokens.insert_or_assign(
        e.token, Token{e.token, e.key, e.scope, e.uses, e.expires, e.approve, TokenState::open,
                       to_text(at.principal), at.sequence});
    state.next_token = std::max(state.next_token, TokenId(e.token.value() + 1));
  }
  void operator()(const TokenUsed& e) {
    Token* token = state.tokens.edit(e.token);
    if (!token) return;
    if (token->uses_left > 0) --token->uses_left;
    if (token->uses_left == 0) token->state = TokenState::used;
  }
  void operator()(const TokenRevoked& e) { close_token(e.token, TokenState::revoked); }
  void operator()(const TokenExpired& e) { close_token(e.token, TokenState::expired); }
  void close_token(TokenId id, TokenState to) {
    if (Token* token = state.tokens.edit(id)) token->state = to;
  }

  void operator()(const NodeEnrolled& e) {
    Node* node = edit_node(state, e.node);
    if (!node) return;
    node->enrolment = Enrolment::enrolled;
    node->enrolled_at = at.sequence;
    node->sign_key = e.sign_key;
    node->box_key = e.box_key;
    node->keys.clear();
    node->hostname = e.hostname;
    node->machine = e.machine;
    state.reports.erase(e.node);  // a new identity counts its outcomes anew
  }
  void operator()(const KeyRegistered& e) {
    Node* node = edit_node(state, e.node);
    if (!node || node->enrolment != Enrolment::enrolled) return;
    std::erase_if(node->keys, [&](const KeyGeneration& k) { return k.generation == e.generation; });
    node->keys.push_back({e.generation, e.key});
    std::sort(
        node->keys.begin(), node->keys.end(),
        [](const KeyGeneration& a, const KeyGeneration& b) { return a.generation < b.generation; });
  }
  void operator()(const KeyDropped& e) {
    if (Node* node = edit_node(state, e.node); node && node->keys.size() > 1)
      std::erase_if(node->keys,
                    [&](const KeyGeneration& k) { return k.generation == e.generation; });
  }
  void operator()(const NodeRejected& e) {
    state.rejected.push_back(e.fingerprint);
    if (state.rejected.size() > kRejectedMax) state.rejected.pop_front();
  }
  void operator()(const NodeRevoked& e) {
    Node* node = edit_node(state, e.node);
    if (!node) return;
    node->enrolment = Enrolment::revoked;
    node->enrolled_at = at.sequence;
    kill_keys(*node);
  }

  void operator()(const OperatorAdded& e) {
    state.operators.insert_or_assign(
        e.name, Operator{e.name, e.role, e.sites, e.sign_key, e.box_key, false, at.sequence});
  }
  void operator()(const RoleSet& e) {
    auto it = state.operators.find(e.name);
    if (it == state.operators.end()) return;
    it->second.role = e.role;
    it->second.sites = e.sites;
  }
  void operator()(const OperatorBanned& e) {
    if (auto it = state.operators.find(e.name); it != state.operators.end())
      it->second.banned = true;
  }
  void operator()(const RulesRaised& e) {
    state.rules = e.rules;
    configured();
  }
  void operator()(const AnchorSigned& e) {
    state.anchor = Anchor{e.sequence, e.state_digest, e.root, e.by};
  }
  void operator()(const TagAdded& e) {
    state.tags.insert_or_assign(e.name, Tag{e.sequence, to_text(at.principal), at.sequence});
  }
  void operator()(const TagRemoved& e) { state.tags.erase(e.name); }
  void operator()(const RolledBack&) {}   // as with a discard, the events before it did the work
  void operator()(const EntryUndone&) {}
  void operator()(const EpochStarted& e) {
    state.epoch = e.epoch;
    state.next_node = std::max(state.next_node, e.node_floor);
    state.version_floor = std::max(state.version_floor, e.version_floor);
    // A router's word about an activation that the lost entries started must not be taken for one of a newer.
    if (state.rules >= 4) state.next_activation = ActivationId(state.next_activation.value() + kFloorStepMax);
  }
  void operator()(const OutcomeReported& e) {
    if (!state.find_node(e.outcome.node)) return;
    NodeReport& report = state.reports[e.outcome.node];
    report = {e.outcome.serial,  e.outcome.kind, e.outcome.activation, e.outcome.version,
              e.outcome.message, at.time,        at.sequence};
  }
};

}  // namespace

void evolve(MeshState& state, const Event& event, const Applied& at) {
  std::visit(Evolver{state, at}, event);
}

void evolve_header(MeshState& state, const EntryHeader& header) {
  state.sequence = header.sequence;
  state.time = header.time;
}

void evolve(MeshState& state, const EntryHeader& header, const EntryBody& body) {
  Applied at{header.sequence, header.time, header.principal};
  for (const Event& event : body.events) evolve(state, event, at);
  evolve_header(state, header);
  if (header.entry_class != EntryClass::intent) return;
  state.intent_sequence = header.sequence;
  RecentRequests& window = state.window.edit();
  window.entries.emplace(body.request.id, header.sequence);
  window.order.push_back(body.request.id);
  while (window.order.size() > kRequestWindow) {
    window.entries.erase(window.order.front());
    window.order.pop_front();
  }
}

}  // namespace mesh
