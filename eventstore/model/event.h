// Events: facts, past tense, with resolved values. A closed set; the order in Event is a wire
// value, only ever appended to. An event cannot be refused.
#pragma once

#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "eventstore/model/command.h"

namespace mesh {

struct LogCreated {
  LogId log;
  CreateLog genesis;
  bool operator==(const LogCreated&) const = default;
};

struct SiteAdded {
  std::string name;
  bool operator==(const SiteAdded&) const = default;
};
struct SiteRemoved {
  std::string name;
  bool operator==(const SiteRemoved&) const = default;
};
/// A removed site came back as it was (by a discard or a rollback).
struct SiteRestored {
  std::string name;
  bool operator==(const SiteRestored&) const = default;
};
struct SiteRenamed {
  std::string from, to;
  bool operator==(const SiteRenamed&) const = default;
};

struct NodeAdded {
  NodeId node;
  std::string name, site;
  bool operator==(const NodeAdded&) const = default;
};
struct NodeRemoved {
  NodeId node;
  bool operator==(const NodeRemoved&) const = default;
};
/// site: where it came back, when that is not where it was.
struct NodeRestored {
  NodeId node;
  std::string site{};
  bool operator==(const NodeRestored&) const = default;
};
struct NodeRenamed {
  NodeId node;
  std::string from, to;
  bool operator==(const NodeRenamed&) const = default;
};

struct AttributeSet {
  Scope scope;
  std::string name;
  std::optional<AttributeValue> before;
  AttributeValue value;
  bool operator==(const AttributeSet&) const = default;
};
struct AttributeUnset {
  Scope scope;
  std::string name;
  AttributeValue before;
  bool operator==(const AttributeUnset&) const = default;
};

/// One node's new version: the digest of its compiled configuration (config_digest).
struct VersionRow {
  NodeId node;
  Version version;
  Digest digest;
  auto operator<=>(const VersionRow&) const = default;
};
/// `rows` ascending by node; `root` = Merkle root over them (version_rows_root).
struct VersionsCommitted {
  Scope scope;
  Sequence prepared_at;
  Digest root;
  std::vector<VersionRow> rows;
  bool operator==(const VersionsCommitted&) const = default;
};
/// The compensating events of a discard stand before it in the same entry.
struct ChangesDiscarded {
  Scope scope;
  uint32_t changes = 0;
  bool operator==(const ChangesDiscarded&) const = default;
};

struct ActivationRow {
  NodeId node;
  Version from, to;
  auto operator<=>(const ActivationRow&) const = default;
};
/// confirm_s 0: acts at once. Else it waits (MeshState::pending), on the controller until `deadline`.
struct ActivationStarted {
  ActivationId activation;
  std::vector<ActivationRow> rows;  // ascending by node
  uint32_t confirm_s = 0;
  Timestamp deadline{};
  std::vector<std::string> health{};
  uint32_t for_s = 0;
  bool operator==(const ActivationStarted&) const = default;
};

struct TokenCreated {
  TokenId token;
  SignKey key;
  Scope scope;
  uint32_t uses = 0;
  Timestamp expires;
  bool approve = false;
  bool operator==(const TokenCreated&) const = default;
};
struct TokenUsed {
  TokenId token;
  NodeId node;
  bool operator==(const TokenUsed&) const = default;
};
struct TokenRevoked {
  TokenId token;
  bool operator==(const TokenRevoked&) const = default;
};
struct TokenExpired {
  TokenId token;
  bool operator==(const TokenExpired&) const = default;
};

/// The node's keys are these from now on; earlier ones are dead.
struct NodeEnrolled {
  NodeId node;
  SignKey sign_key;
  BoxKey box_key;
  std::string hostname, machine;
  bool operator==(const NodeEnrolled&) const = default;
};
/// Generation 1 comes with the enrolment; a rotation adds the next one beside it.
struct KeyRegistered {
  NodeId node;
  uint32_t generation = 0;
  WireGuardKey key;
  bool operator==(const KeyRegistered&) const = default;
};
struct KeyDropped {
  NodeId node;
  uint32_t generation = 0;
  bool operator==(const KeyDropped&) const = default;
};
struct NodeRejected {
  std::string fingerprint;
  bool operator==(const NodeRejected&) const = default;
};
/// All keys of the node are dead at once; its place in the configuration stays.
struct NodeRevoked {
  NodeId node;
  bool operator==(const NodeRevoked&) const = default;
};

struct OperatorAdded {
  std::string name;
  Role role{};
  std::vector<std::string> sites;
  SignKey sign_key;
  BoxKey box_key;
  bool operator==(const OperatorAdded&) const = default;
};
struct RoleSet {
  std::string name;
  Role role{};
  std::vector<std::string> sites;
  bool operator==(const RoleSet&) const = default;
};
struct OperatorBanned {
  std::string name;
  bool operator==(const OperatorBanned&) const = default;
};
struct RulesRaised {
  uint32_t rules = 0;
  bool operator==(const RulesRaised&) const = default;
};
struct AnchorSigned {
  Sequence sequence;
  Digest state_digest;
  Digest root;
  std::string by;
  bool operator==(const AnchorSigned&) const = default;
};
/// The only report event; it changes nothing that the state digest covers.
struct OutcomeReported {
  Outcome outcome;
  bool operator==(const OutcomeReported&) const = default;
};

struct TagAdded {
  std::string name;
  Sequence sequence;
  bool operator==(const TagAdded&) const = default;
};
struct TagRemoved {
  std::string name;
  bool operator==(const TagRemoved&) const = default;
};
/// The compensating events stand before it in the same entry.
struct RolledBack {
  Scope scope;
  Sequence to;
  Digest digest;
  bool operator==(const RolledBack&) const = default;
};
/// The events that take it back stand before it in the same entry.
struct EntryUndone {
  Sequence sequence;
  bool operator==(const EntryUndone&) const = default;
};
struct EpochStarted {
  uint32_t epoch = 0;
  Sequence base;
  Digest base_root;
  NodeId node_floor;
  Version version_floor;
  bool operator==(const EpochStarted&) const = default;
};

/// `nodes` (ascending) run its version from now on; other targets stay where they were before it.
struct ActivationConfirmed {
  ActivationId activation;
  std::vector<NodeId> nodes;
  bool operator==(const ActivationConfirmed&) const = default;
};
/// Wire values. In ActivationEnded never `confirmed`.
enum class ActivationEnd : uint8_t { confirmed = 1, cancelled = 2, expired = 3, failed = 4 };
/// All targets stay where they were before it.
struct ActivationEnded {
  ActivationId activation;
  ActivationEnd how{};
  bool operator==(const ActivationEnded&) const = default;
};
struct ActivationExtended {
  ActivationId activation;
  Timestamp deadline;
  uint32_t seconds = 0;
  bool operator==(const ActivationExtended&) const = default;
};
struct EndpointsSet {
  std::vector<std::string> endpoints, enrol_endpoints;
  bool operator==(const EndpointsSet&) const = default;
};
struct RecoverySet {
  NodeId node;
  SignKey sign_key;
  BoxKey box_key;
  bool operator==(const RecoverySet&) const = default;
};

using Event = std::variant<LogCreated, SiteAdded, SiteRemoved, SiteRestored, SiteRenamed, NodeAdded,
                           NodeRemoved, NodeRestored, NodeRenamed, AttributeSet, AttributeUnset,
                           VersionsCommitted, ChangesDiscarded, ActivationStarted, TokenCreated,
                           TokenUsed, TokenRevoked, TokenExpired, NodeEnrolled, KeyRegistered,
                           KeyDropped, NodeRejected, NodeRevoked, OperatorAdded, RoleSet,
                           OperatorBanned, RulesRaised, AnchorSigned, OutcomeReported, TagAdded,
                           TagRemoved, RolledBack, EntryUndone, EpochStarted, ActivationConfirmed,
                           ActivationEnded, ActivationExtended, EndpointsSet, RecoverySet>;

std::string_view event_name(const Event& event);
/// "confirmed", "cancelled", "expired", "failed".
std::string_view end_name(ActivationEnd how);

}  // namespace mesh
