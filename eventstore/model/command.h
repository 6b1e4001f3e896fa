// Commands: intents, imperative. A closed set; the order in Command is a wire value, only appended
// to.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "eventstore/model/attribute_value.h"
#include "eventstore/model/ids.h"
#include "eventstore/model/principal.h"

namespace mesh {

/// The first command of every log, signed by the log key. The log id is derived from it
/// (derive_log_id).
struct CreateLog {
  SignKey log_key;
  BoxKey controller_key;  // CURVE server key
  SignKey recovery_key;
  std::string admin;  // name of the first administrator
  SignKey admin_sign_key;
  BoxKey admin_box_key;
  std::vector<std::string> endpoints;        // published main endpoints, "tcp://host:port"
  std::vector<std::string> enrol_endpoints;  // the same of the enrolment socket
  std::string profile;                       // "default" or "towalink"
  std::string loopbacknet_ipv4, loopbacknet_ipv6;
  std::string transfernet_ipv4, transfernet_ipv6;
  int64_t bgp_as_base = 0;
  Digest nonce;
  uint32_t rules = 1;  // in force from the beginning
  bool operator==(const CreateLog&) const = default;
};

struct AddSite {
  std::string name;
  bool operator==(const AddSite&) const = default;
};
struct RemoveSite {
  std::string name;
  bool force = false;
  bool operator==(const RemoveSite&) const = default;
};
struct RenameSite {
  std::string from, to;
  bool operator==(const RenameSite&) const = default;
};
/// number: since rules 4; not below the next one, so that none is ever used again. 0 = the next one.
struct AddNode {
  std::string fullname;  // "node.site"
  NodeId number{};
  bool operator==(const AddNode&) const = default;
};
struct RemoveNode {
  std::string node;
  bool force = false;
  bool operator==(const RemoveNode&) const = default;
};
/// `to` is a node name ("r2") or a full name ("r2.othersite") in the same site.
struct RenameNode {
  std::string from, to;
  bool operator==(const RenameNode&) const = default;
};
struct SetAttribute {
  Target target;
  std::string name;
  AttributeValue value;
  bool operator==(const SetAttribute&) const = default;
};
struct UnsetAttribute {
  Target target;
  std::string name;
  bool operator==(const UnsetAttribute&) const = default;
};

/// Pins what was prepared: `root` over the candidates that the operator saw, compiled at
/// `prepared_at`.
struct Commit {
  Target target;
  Sequence prepared_at;
  Digest root;
  bool include_others = false;   // others' uncommitted changes in scope too
  bool with_neighbours = false;  // nodes at the other end of links in scope too
  bool allow_loss = false;       // since rules 3: although LANs lose each other
  bool operator==(const Commit&) const = default;
};
struct Discard {
  Target target;
  bool operator==(const Discard&) const = default;
};
/// Version 0 = each node's latest. again: also where the log already wants that version, because a
/// node that could not apply it went back by itself.
///
/// Since rules 3 an activation can wait for a confirmation: each node goes back by itself when none comes. Gates: what
/// each node must find in order for `for_s` seconds, then it is confirmed without anybody: "controller", "bgp", "bfd",
/// "reach:SITE".
struct Activate {
  Target target;
  Version version;
  bool again = false;
  uint32_t confirm_s = 0;    // kConfirmSecondsMin to Max; 0 = what the attribute activation_confirm says
  bool unconfirmed = false;  // at once, whatever that attribute says
  std::vector<std::string> health{};
  uint32_t for_s = 0;  // 0 = kHealthSecondsDefault, or a third of confirm_s when that is less
  bool operator==(const Activate&) const = default;
};

struct CreateToken {
  SignKey key;
  Target target;  // a node, or a site whose nodes may be named at joining
  uint32_t uses = 1;
  Timestamp expires;     // 0 = never
  bool approve = false;  // joins wait for ApproveNode
  bool operator==(const CreateToken&) const = default;
};
struct RevokeToken {
  TokenId token;
  bool operator==(const RevokeToken&) const = default;
};
/// Signed by the controller when expires has passed (checked against the context's time).
struct ExpireToken {
  TokenId token;
  bool operator==(const ExpireToken&) const = default;
};

/// What a newcomer signs with its new key (and with the token's key): the encoded JoinStatement.
struct SignedJoin {
  Bytes statement;  // the exact bytes that were signed (kJoinDomain)
  Signature node_signature;
  Signature token_signature;  // zero without a token
  bool operator==(const SignedJoin&) const = default;
};
struct JoinStatement {
  LogId log;
  std::string node;  // number or full name; may be empty when waiting for an approval
  TokenId token;     // 0 = without a token
  SignKey sign_key;
  BoxKey box_key;
  WireGuardKey wireguard_key;
  std::string hostname, machine;  // what the newcomer says of itself; shown, never trusted
  Digest nonce;
  bool operator==(const JoinStatement&) const = default;
};
/// Signed by the controller on the strength of the token's signature. `statement` is the decoded
/// `join.statement`: the codec fills it, so that the core needs no decoder.
struct AdmitNode {
  SignedJoin join;
  JoinStatement statement;
  bool operator==(const AdmitNode&) const = default;
};
/// Signed by an operator who compared the fingerprint.
struct ApproveNode {
  std::string node;
  SignedJoin join;
  JoinStatement statement;
  bool operator==(const ApproveNode&) const = default;
};
struct RejectNode {
  std::string fingerprint;
  bool operator==(const RejectNode&) const = default;
};
struct RevokeNode {
  std::string node;
  bool operator==(const RevokeNode&) const = default;
};

struct AddOperator {
  std::string name;
  Role role{};
  std::vector<std::string> sites;  // empty = all
  SignKey sign_key;
  BoxKey box_key;
  bool operator==(const AddOperator&) const = default;
};
struct SetRole {
  std::string name;
  Role role{};
  std::vector<std::string> sites;
  bool operator==(const SetRole&) const = default;
};
struct BanOperator {
  std::string name;
  bool operator==(const BanOperator&) const = default;
};
struct RaiseRules {
  uint32_t rules = 0;
  bool operator==(const RaiseRules&) const = default;
};
/// An administrator's countersignature under a state: newcomers may start from it.
struct SignAnchor {
  Sequence sequence;
  Digest state_digest;
  Digest root;
  bool operator==(const SignAnchor&) const = default;
};

/// healthy: the gates of an activation that waits held for as long as they have to (since rules 3).
enum class OutcomeKind : uint8_t { applied = 1, failed = 2, reverted = 3, refused = 4, healthy = 5 };
/// What a node says happened; signed by the node over the encoded bytes (kOutcomeDomain).
struct Outcome {
  NodeId node;
  uint64_t serial = 0;  // counts the node's outcomes; a repeat is recognised by it
  OutcomeKind kind{};
  ActivationId activation;
  Version version;  // what it now runs
  std::string message;
  bool operator==(const Outcome&) const = default;
};
struct SignedOutcome {
  Bytes bytes;
  Signature signature;
  Outcome outcome;  // decoded from bytes by the codec
  bool operator==(const SignedOutcome&) const = default;
};
/// Signed by the controller; the only report command. Nodes' signatures inside are what counts.
struct ReportOutcomes {
  std::vector<SignedOutcome> outcomes;
  bool operator==(const ReportOutcomes&) const = default;
};

// Since rules 2.

/// Names an instant of history. Names start with a letter, so that no number, time or version looks
/// like one.
struct AddTag {
  std::string name;
  Sequence sequence;  // 0 = the newest entry before this one
  bool operator==(const AddTag&) const = default;
};
struct RemoveTag {
  std::string name;
  bool operator==(const RemoveTag&) const = default;
};
/// Brings a removed site back with the attributes that it had.
struct RestoreSite {
  std::string name;
  bool operator==(const RestoreSite&) const = default;
};
/// Brings a removed node back: its number, hence its addresses, and its attributes. Its keys were
/// revoked when it was removed and stay dead: it enrols again.
struct RestoreNode {
  NodeId node;
  std::string name;  // within its site, or node.site; empty = the name it had
  bool operator==(const RestoreNode&) const = default;
};
/// The last command of a rollback: those before it bring `target` back to what it was after entry
/// `to`. Refused unless the intent then has this digest (intent_digest), so whoever decides again
/// has checked the result.
struct RollBack {
  Target target;
  Sequence to;
  Digest digest;
  bool operator==(const RollBack&) const = default;
};
/// The last command of an undo: those before it take entry `sequence` back.
struct Undo {
  Sequence sequence;
  bool operator==(const Undo&) const = default;
};
/// Makes a restored history the one that counts: entries after `base` of the former epoch are void,
/// and no number or version that they may have used is used again.
struct StartEpoch {
  uint32_t epoch = 0;  // the one before plus one
  Sequence base;       // the newest entry before this one
  Digest base_root;    // of the tree over the entries up to base
  NodeId node_floor;   // new nodes have at least this number
  Version version_floor;  // new versions have at least this one
  bool operator==(const StartEpoch&) const = default;
};

// Since rules 3.

/// What runs becomes what shall run. Accepted until kConfirmMarginSeconds before the deadline
/// (confirm_cutoff), and when all targets reported that they applied it (Context::applied);
/// `partial` leaves the others where they were. The controller signs it only with `evidence`: of
/// every target that is enrolled an outcome `healthy`, signed by it.
struct ConfirmActivation {
  ActivationId activation;
  bool partial = false;
  std::vector<SignedOutcome> evidence{};
  bool operator==(const ConfirmActivation&) const = default;
};
/// Every target goes back. The controller signs it only for an activation with gates, with `evidence`: the outcome of a
/// target that could not apply it or went back.
struct CancelActivation {
  ActivationId activation;
  std::vector<SignedOutcome> evidence{};
  bool operator==(const CancelActivation&) const = default;
};
/// `seconds` from now, and on every node from when it hears of it.
struct ExtendActivation {
  ActivationId activation;
  uint32_t seconds = 0;
  bool operator==(const ExtendActivation&) const = default;
};
/// Signed by the controller when the deadline has passed (checked against the context's time).
struct ExpireActivation {
  ActivationId activation;
  bool operator==(const ExpireActivation&) const = default;
};
/// Where the controller is from now on. At once, without commit.
struct SetEndpoints {
  std::vector<std::string> endpoints;        // at least one
  std::vector<std::string> enrol_endpoints;  // empty = as before
  bool operator==(const SetEndpoints&) const = default;
};

// Since rules 4.

/// Who holds the secret halves may adopt the node into another log when this controller is lost. At once. Zero keys
/// = nobody. Both are derived from one secret (nodes/README.md, "Recovery").
struct SetRecovery {
  std::string node;
  SignKey sign_key;
  BoxKey box_key;
  bool operator==(const SetRecovery&) const = default;
};

using Command =
    std::variant<CreateLog, AddSite, RemoveSite, RenameSite, AddNode, RemoveNode, RenameNode,
                 SetAttribute, UnsetAttribute, Commit, Discard, Activate, CreateToken, RevokeToken,
                 ExpireToken, AdmitNode, ApproveNode, RejectNode, RevokeNode, AddOperator, SetRole,
                 BanOperator, RaiseRules, SignAnchor, ReportOutcomes, AddTag, RemoveTag, RestoreSite,
                 RestoreNode, RollBack, Undo, StartEpoch, ConfirmActivation, CancelActivation,
                 ExtendActivation, ExpireActivation, SetEndpoints, SetRecovery>;

/// "SetAttribute", ...: the same word in code, log, CLI and metrics.
std::string_view command_name(const Command& command);
/// The rules under which a log may hold such a command.
uint32_t rules_of(const Command& command);

}  // namespace mesh
