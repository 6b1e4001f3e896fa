// What travels on the bus. Every frame is one Message: a correlation number and a body.
//
// An answer carries the correlation of its question; what the controller sends by itself carries 0.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "eventstore/model/encoded_entry.h"
#include "eventstore/model/entry.h"
#include "eventstore/model/result.h"

namespace mesh {

/// Bumped only when an older program could misunderstand a frame; new message kinds do not count.
inline constexpr uint32_t kProtocol = 1;

// --- from meshcli ---
struct Submit { SignedRequest request; bool dry_run = false; };
/// sequence 0 = nothing changed (already true), or a dry run.
struct Reply { Sequence sequence; Timestamp time; std::vector<Event> events; std::vector<std::string> warnings; };
struct ErrorReply { Error error; };
struct Prepare { Target target; bool include_others = false; bool with_neighbours = false; };
/// plan: JSON {"nodes":[{"node","fullname","version","effect","changes":[...]}],"warnings":[...],"others":[...]}.
struct Prepared { Sequence sequence; Digest root; std::vector<VersionRow> rows; std::string plan; };
/// kind and arguments: broker/README.md, "Queries". at: 0 = the head.
struct Query { std::string kind; std::map<std::string, std::string> arguments; Sequence at; };
/// json: one document; `more` = ask again with argument cursor = `cursor`.
struct QueryResult { std::string json; bool more = false; std::string cursor; };

// --- subscription (nodes and meshcli) ---
/// Everything after `after`. credit: bytes of entries that may be under way.
struct Subscribe { Sequence after; uint64_t credit = 0; bool snapshots = false; };
/// Part of a snapshot (encode_snapshot), when the subscriber is so far behind that it is cheaper.
struct SnapshotChunk { Sequence sequence; uint64_t offset = 0; uint64_t total = 0; Bytes bytes; };
/// Entries in order without gaps, and the newest checkpoint (a signed note) when they reach its size.
/// A body is empty in another node's report.
struct Entries { std::vector<EncodedEntry> entries; std::string checkpoint; };
struct Credit { uint64_t bytes = 0; };
/// The controller's head, every few seconds.
struct Head { Sequence sequence; std::string checkpoint; };

// --- nodes ---
struct Fetch { Digest digest; };
struct BlobChunk { Digest digest; uint64_t offset = 0; uint64_t total = 0; Bytes bytes; };
struct LinkHealth {
  NodeId peer; std::string interface; bool bgp_up = false; bool bfd_up = false;
  int64_t handshake_age_s = -1;  // -1 = never
  uint64_t rx_bytes = 0, tx_bytes = 0; std::string endpoint;
};
/// An observation, never in the log.
struct NodeStatus {
  Sequence head; Digest root;
  std::string cosignature;  // the newest checkpoint with this node's signature added
  Version active, previous; Sequence overlay;
  std::string state;        // "ok", "applying", "degraded: ...", "upgrade required"
  std::string problem;      // empty when there is none
  std::string program;      // version of meshnode
  std::vector<LinkHealth> links;
};
struct OutcomeMessage { SignedOutcome outcome; };
/// serial: outcomes up to here are in the log.
struct Ack { uint64_t serial = 0; };

// --- enrolment ---
struct Join { SignedJoin join; };
struct Admitted { NodeId node; std::string fullname; std::vector<std::string> endpoints; };
struct Waiting { std::string fingerprint; };
struct Refused { Error error; };

using Body = std::variant<Submit, Reply, ErrorReply, Prepare, Prepared, Query, QueryResult, Subscribe, SnapshotChunk,
                          Entries, Credit, Head, Fetch, BlobChunk, NodeStatus, OutcomeMessage, Ack, Join, Admitted,
                          Waiting, Refused>;

struct Message { uint64_t correlation = 0; Body body; };

}  // namespace mesh
