// MeshState: what the log implies. Only evolve() changes it.
//
// Invariants (check_invariants): every node's site exists; names are unique within their site; ids
// are below next_node; a removed id is in no live map; versions ascend; active
// <= latest; a live sign key or box key belongs to exactly one principal.
#pragma once

#include <cstring>
#include <deque>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <unordered_map>
#include <vector>

#include "eventstore/model/attribute_value.h"
#include "eventstore/model/change_list.h"
#include "eventstore/model/cow.h"
#include "eventstore/model/event.h"
#include "eventstore/model/ids.h"
#include "eventstore/model/principal.h"
#include "eventstore/model/result.h"
#include "eventstore/model/shared_map.h"

namespace mesh {

/// The behaviour of decide, evolve and compile that this program has. Raised only by an entry
/// (RaiseRules).
inline constexpr uint32_t kRulesNewest = 4;

struct Site {
  std::string name;
  Attributes attributes;
  Sequence added;
  bool operator==(const Site&) const = default;
};

enum class Enrolment : uint8_t { none = 0, enrolled = 1, revoked = 2 };

/// One WireGuard key of a node; during a rotation there are two (domain: make-before-break).
struct KeyGeneration {
  uint32_t generation = 0;
  WireGuardKey key;
  bool operator==(const KeyGeneration&) const = default;
};

struct VersionRecord {
  Version version;
  Digest digest;
  Sequence sequence;  // the commit
  bool operator==(const VersionRecord&) const = default;
};

struct Node {
  NodeId id;
  std::string name, site;
  Attributes attributes;
  Sequence added;
  Enrolment enrolment{};
  Sequence enrolled_at;  // or revoked at
  SignKey sign_key;
  BoxKey box_key;
  std::vector<KeyGeneration> keys;      // ascending; empty unless enrolled
  std::string hostname, machine;        // as told at enrolment
  std::vector<VersionRecord> versions;  // ascending, all of them
  Version active;                       // what the log wants the node to run; 0 = nothing yet
  ActivationId activation;              // that made it so
  SignKey recovery_sign;                // who may adopt it elsewhere; zero = nobody (SetRecovery)
  BoxKey recovery_box;
  bool operator==(const Node&) const = default;

  std::string fullname() const { return name + "." + site; }
  Version latest() const { return versions.empty() ? Version() : versions.back().version; }
  const VersionRecord* find_version(Version version) const;
};

struct Operator {
  std::string name;
  Role role{};
  std::vector<std::string> sites;  // empty = all
  SignKey sign_key;
  BoxKey box_key;
  bool banned = false;
  Sequence added;
  bool operator==(const Operator&) const = default;
};

enum class TokenState : uint8_t { open = 1, used = 2, revoked = 3, expired = 4 };
struct Token {
  TokenId id;
  SignKey key;
  Scope scope;
  uint32_t uses_left = 0;
  Timestamp expires;
  bool approve = false;
  TokenState state{};
  std::string by;
  Sequence created;
  bool operator==(const Token&) const = default;
};

struct Anchor {
  Sequence sequence;
  Digest state_digest, root;
  std::string by;
  bool operator==(const Anchor&) const = default;
};

/// A name for the state after entry `sequence`.
struct Tag {
  Sequence sequence;
  std::string by;
  Sequence added;
  bool operator==(const Tag&) const = default;
};

/// An activation that waits for its confirmation. `active` of its targets has not moved.
struct PendingActivation {
  ActivationId id;
  std::vector<ActivationRow> rows;  // ascending by node, at least one; no node is in two that wait
  Sequence started;
  Timestamp deadline;      // on the controller's clock, of the newest extension
  uint32_t seconds = 0;    // each node's own time from when it hears of the start, or of the newest extension
  uint32_t extensions = 0;
  std::vector<std::string> health;
  uint32_t for_s = 0;
  std::string by;
  bool operator==(const PendingActivation&) const = default;

  const ActivationRow* find(NodeId node) const;
};

/// What became of an activation that waited.
struct ClosedActivation {
  ActivationId id;
  ActivationEnd how{};
  Sequence sequence;
  bool operator==(const ClosedActivation&) const = default;
};

/// What a node reported last. Not intent: outside the state digest.
struct NodeReport {
  uint64_t serial = 0;
  OutcomeKind kind{};
  ActivationId activation;
  Version version;
  std::string message;
  Timestamp time;
  Sequence sequence;
  bool operator==(const NodeReport&) const = default;
};

/// Which requests the newest intent entries answered, so that a retry is recognised.
struct RecentRequests {
  struct Hash {
    // Ids are random already; who crafts colliding ones slows down a chain of at most kRequestWindow.
    size_t operator()(const RequestId& id) const {
      size_t out;
      std::memcpy(&out, id.bytes.data(), sizeof out);
      return out;
    }
  };
  std::unordered_map<RequestId, Sequence, Hash> entries;
  std::deque<RequestId> order;  // oldest first; at most kRequestWindow
  bool operator==(const RecentRequests&) const = default;
};

/// A copy shares with the original whatever neither changes: it costs microseconds at any size.
struct MeshState {
  // Identity.
  LogId log;
  uint32_t epoch = 0;
  uint32_t rules = 0;
  CreateLog genesis;
  // Position. `sequence` counts every entry, `intent_sequence` only intent,
  // `configuration_sequence` only what can change a compiled configuration.
  Sequence sequence;
  Sequence intent_sequence;
  Sequence configuration_sequence;
  Timestamp time;
  // Counters: ids are never reused.
  NodeId next_node{11};
  ActivationId next_activation{1};
  TokenId next_token{1};
  Version version_floor;  // of every node's next version; above 1 after a restore
  // Intent.
  Attributes global;
  SharedMap<std::string, Cow<Site>> sites;
  SharedMap<NodeId, Cow<Node>> nodes;
  SharedMap<NodeId, Cow<Node>> removed_nodes;  // tombstones
  SharedMap<std::string, Cow<Site>> removed_sites;
  std::map<std::string, Operator, std::less<>> operators;
  SharedMap<TokenId, Token> tokens;
  std::deque<std::string> rejected;  // fingerprints, oldest first, bounded
  ChangeList changes;                // uncommitted, in order of first touch
  std::optional<Anchor> anchor;
  std::map<std::string, Tag, std::less<>> tags;
  Cow<RecentRequests> window;
  std::map<ActivationId, PendingActivation> pending;  // confirmed activations that are not over
  std::deque<ClosedActivation> closed;  // the newest kClosedActivationsMax of those that waited, oldest first
  std::vector<std::string> endpoints, enrol_endpoints;  // empty = the genesis' (controller_endpoints)
  // Reports.
  SharedMap<NodeId, NodeReport> reports;

  bool operator==(const MeshState&) const = default;

  const Site* find_site(std::string_view name) const;
  const Node* find_node(NodeId id) const;
  /// By number ("15") or full name ("primary.mysite1").
  const Node* find_node(std::string_view reference) const;
  const Operator* find_operator(std::string_view name) const;
  std::vector<const Node*> nodes_of(std::string_view site) const;
  /// Nodes that a scope covers, ascending.
  std::vector<const Node*> nodes_in(const Scope& scope) const;
};

/// The activation whose confirmation the node waits for; nullptr when there is none.
const PendingActivation* pending_of(const MeshState& state, NodeId node);
/// Until then a confirmation or an extension reaches the nodes before they go back:
/// kConfirmMarginSeconds, or half of its seconds when that is less, before the deadline.
Timestamp confirm_cutoff(const PendingActivation& pending);
/// Where the controller is, by the newest entry.
const std::vector<std::string>& controller_endpoints(const MeshState& state);
const std::vector<std::string>& controller_enrol_endpoints(const MeshState& state);

/// The version that the node's next commit makes.
Version next_version(const MeshState& state, const Node& node);

/// Errors: not_found, with the nearest name as the fix.
Result<Scope> resolve(const MeshState& state, const Target& target);
Result<const Node*> resolve_node(const MeshState& state, std::string_view reference);
/// "global", "site ams", "node r1.ams"
std::string to_text(const MeshState& state, const Scope& scope);

/// An attribute's value for a node, a site or global, with the level it came from: node over site
/// over global over the attribute table's default.
struct EffectiveAttribute {
  AttributeValue value;
  std::optional<Scope> scope;  // nothing = default
  Sequence sequence;
  bool operator==(const EffectiveAttribute&) const = default;
};
std::map<std::string, EffectiveAttribute> effective_attributes(const MeshState& state,
                                                               const Scope& scope);
/// One of them. Nothing when neither set nor with a default.
std::optional<AttributeValue> effective(const MeshState& state, const Node& node,
                                        std::string_view name);

/// Empty when all invariants hold, else the first that does not.
std::string check_invariants(const MeshState& state);

}  // namespace mesh
