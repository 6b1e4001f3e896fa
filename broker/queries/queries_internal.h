// Shared between the files that answer queries. Not for use outside broker/queries*.cc.
#pragma once

#include <nlohmann/json.hpp>

#include "broker/queries/queries.h"

namespace mesh::answering {

using nlohmann::json;
using Answer = Result<json>;

/// Whether the head is asked about; if not, `state` is a past one and nothing is known of sessions
/// and of what nodes said.
inline bool is_now(const QueryFacts& facts) { return facts.query.at == Sequence(); }
/// The activation whose confirmation the node waits for; nullptr when there is none.
const PendingActivation* pending_of(const QueryFacts& facts, NodeId node);
/// A document of `kind` at the facts' sequence, which a query of an instant finds as `at` too.
json document(const QueryFacts& facts, std::string_view kind);
/// With these items.
json list_document(const QueryFacts& facts, std::string_view kind, json items);
/// An argument of the query, or nothing.
std::optional<std::string> argument(const QueryFacts& facts, const std::string& name);
/// Errors: usage when it is missing.
Result<std::string> required(const QueryFacts& facts, const std::string& name);
/// A decimal number. Errors: usage.
Result<uint64_t> number_argument(const QueryFacts& facts, const std::string& name,
                                 uint64_t fallback);
/// The entry that the argument `sequence` names. Errors: usage, not_found, corrupt.
Result<std::pair<EncodedEntry, Entry>> read_entry(const QueryFacts& facts);
/// "global", "site S" or "node N" as a scope. Errors: usage, not_found.
Result<Scope> scope_argument(const QueryFacts& facts);
json to_json(const AttributeValue& value);

// queries_intent.cc: what the log wants.
Answer sites(const QueryFacts&);
Answer nodes(const QueryFacts&);
Answer changes(const QueryFacts&);
Answer links(const QueryFacts&);
Answer versions(const QueryFacts&);
Answer tokens(const QueryFacts&);
Answer operators(const QueryFacts&);
Answer show(const QueryFacts&);
Answer show_all(const QueryFacts&);
Answer changed(const QueryFacts&);
Answer diff(const QueryFacts&);
Answer files(const QueryFacts&);
Answer variables(const QueryFacts&);
Answer enrolment(const QueryFacts&);
Answer whoami(const QueryFacts&);

// queries_inventory.cc
Answer inventory(const QueryFacts&);

// queries_export.cc
Answer export_intent(const QueryFacts&);

// queries_fleet.cc: what nodes and the controller report, and proofs.
Answer pending(const QueryFacts&);
Answer status(const QueryFacts&);
Answer controller(const QueryFacts&);
Answer checkpoint(const QueryFacts&);
Answer prove(const QueryFacts&);
Answer consistency(const QueryFacts&);
Answer orphans(const QueryFacts&);
Answer state(const QueryFacts&);
Answer nodes_roots(const QueryFacts&);

// queries_drift.cc
Answer drift(const QueryFacts&);

// queries_activations.cc
Answer activation(const QueryFacts&);
Answer activations(const QueryFacts&);
/// Those that wait for a confirmation, as `activation` tells them.
json pending_activations_json(const QueryFacts& facts);
/// "applied", "failed", ...
std::string_view outcome_word(OutcomeKind kind);

// queries_log.cc: history.
Result<QueryResult> log(const QueryFacts&);
/// {"11": "r1.ams"}: the full names of those of `nodes` that are known, also of removed ones.
json names_json(const MeshState& state, std::vector<NodeId> nodes);
/// Also a removed one; nullptr when it was never there, or never committed.
const Node* node_ever(const MeshState& state, NodeId id);

// queries_entry.cc: one entry, with what it rests on and what came of it.
Answer entry(const QueryFacts&);
/// {sequence, time, by, message, reference} of an entry; times and names are null when it cannot be
/// read.
json credit_json(const QueryFacts& facts, Sequence sequence);

// queries_compare.cc: two instants or versions.
Answer compare(const QueryFacts&);

// queries_blame.cc, queries_bisect.cc: which entry made it so.
Result<QueryResult> blame(const QueryFacts&);
Result<QueryResult> bisect(const QueryFacts&);

// queries_files.cc: what was put at the levels.
Result<QueryResult> level_files(const QueryFacts&);

// queries_simulate.cc: the network with something failed.
Answer simulate(const QueryFacts&);

// queries_history.cc: instants.
Answer moment(const QueryFacts&);
Answer tags(const QueryFacts&);

/// An instant: the state after entry `at`.
struct Moment {
  Sequence at;
  std::string means;  // for people: "tag x", "v3 of r1.ams"
};
/// What a text means: "17", "#17", RFC 3339 UTC, a tag, "head", or "vN" of `node` (its commit).
/// Errors: usage, not_found.
Result<Moment> find_moment(const QueryFacts& facts, const std::string& text,
                           const std::optional<std::string>& node);
/// "v" and digits.
bool is_version_text(std::string_view text);
/// Errors: not_found.
Result<const VersionRecord*> version_named(const Node& node, std::string_view text);

/// "ok", "not enrolled", "revoked", "unreachable", "unknown" (never seen), "applying", "behind",
/// ... of a node; null at a past instant for what only a report tells.
json node_state(const QueryFacts& facts, const Node& node);
/// Null at a past instant.
json connected(const QueryFacts& facts, const Node& node);
/// What a node measured of a link: rtt_us, rtt_age_s, mtu, path_mtu, path_mtu_age_s.
void put_measured(json& item, const LinkHealth& link);
/// The newest entry that the node says it has; null at a past instant.
json reported_head(const QueryFacts& facts, const Node& node);
/// The version that the node says it runs, else the one it last reported.
Version active_version(const QueryFacts& facts, const Node& node);

}  // namespace mesh::answering
