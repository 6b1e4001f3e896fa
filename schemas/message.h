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
#include "eventstore/model/machine_status.h"

namespace mesh {

/// Bumped only when an older program could misunderstand a frame; new message kinds do not count.
inline constexpr uint32_t kProtocol = 1;

// --- from meshcli ---
/// attachments: blobs that the request's files name and the controller may not have (FileRef), each with its salt.
struct Submit {
  SignedRequest request; bool dry_run = false; std::vector<Bytes> attachments = {};
  bool operator==(const Submit&) const = default;
};
/// sequence 0 = nothing changed (already true), or a dry run.
struct Reply {
  Sequence sequence; Timestamp time; std::vector<Event> events; std::vector<std::string> warnings;
  bool operator==(const Reply&) const = default;
};
struct ErrorReply { Error error; bool operator==(const ErrorReply&) const = default; };
struct Prepare {
  Target target; bool include_others = false; bool with_neighbours = false;
  bool operator==(const Prepare&) const = default;
};
/// plan: JSON {"nodes":[{"node","fullname","version","effect","changes":[...]}],"warnings":[...],"others":[...]}.
struct Prepared {
  Sequence sequence; Digest root; std::vector<VersionRow> rows; std::string plan;
  bool operator==(const Prepared&) const = default;
};
/// kind and arguments: broker/queries/README.md. at: 0 = the head.
struct Query {
  std::string kind; std::map<std::string, std::string> arguments; Sequence at;
  bool operator==(const Query&) const = default;
};
/// json: one document; `more` = ask again with argument cursor = `cursor`.
struct QueryResult {
  std::string json; bool more = false; std::string cursor;
  bool operator==(const QueryResult&) const = default;
};

// --- subscription (nodes and meshcli) ---
/// Everything after `after`. credit: bytes of entries that may be under way.
struct Subscribe {
  Sequence after; uint64_t credit = 0; bool snapshots = false;
  bool operator==(const Subscribe&) const = default;
};
/// Part of a snapshot (encode_snapshot), when the subscriber is so far behind that it is cheaper.
struct SnapshotChunk {
  Sequence sequence; uint64_t offset = 0; uint64_t total = 0; Bytes bytes;
  bool operator==(const SnapshotChunk&) const = default;
};
/// Entries in order without gaps, and the newest checkpoint (a signed note) when they reach its size.
/// A body is empty in another node's report.
struct Entries {
  std::vector<EncodedEntry> entries; std::string checkpoint;
  bool operator==(const Entries&) const = default;
};
struct Credit { uint64_t bytes = 0; bool operator==(const Credit&) const = default; };
/// The controller's head, every few seconds.
struct Head { Sequence sequence; std::string checkpoint; bool operator==(const Head&) const = default; };

// --- nodes ---
/// A blob from `offset` on, at most `limit` bytes of it; 0 = all, in as many chunks as it takes. Nodes get their own
/// configurations, administrators everything.
struct Fetch { Digest digest; uint64_t offset = 0; uint64_t limit = 0; bool operator==(const Fetch&) const = default; };
struct BlobChunk {
  Digest digest; uint64_t offset = 0; uint64_t total = 0; Bytes bytes;
  bool operator==(const BlobChunk&) const = default;
};
struct LinkHealth {
  NodeId peer; std::string interface; bool bgp_up = false; bool bfd_up = false;
  int64_t handshake_age_s = -1;  // -1 = never
  uint64_t rx_bytes = 0, tx_bytes = 0; std::string endpoint;
  int64_t rtt_us = -1;           // of the newest echo that came back; -1 = none since this tunnel is there
  int64_t rtt_age_s = -1;        // since it came; far more than a minute: nothing comes back any more
  uint16_t mtu = 0;              // of the tunnel; 0 = unknown
  uint16_t path_mtu = 0;         // the largest packet, up to `mtu`, that came back; 0 = not measured
  int64_t path_mtu_age_s = -1;   // since that was found
  bool operator==(const LinkHealth&) const = default;
};
/// One thing on a router that is not as its configuration says, because somebody changed it there.
struct DriftItem {
  std::string aspect;           // "peer", "listen port", "route", "sysctl", "file", ...
  std::string name;             // of what: "tlwg_12", "10.2.0.0/24", "net.ipv4.ip_forward"
  std::string expected, found;  // empty = nothing is there
  uint64_t since_s = 0;         // seen first, ago
  int64_t over_s = -1;          // no longer so, since; -1 = it still is
  std::string healed;           // who ended it: "meshnode", "bird", or empty: undone by hand
  bool operator==(const DriftItem&) const = default;
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
  std::string contradiction;  // a signed checkpoint that contradicts what this node has verified; empty = none
  std::vector<DriftItem> drift;  // at most kDriftItemsMax, what still is so first
  uint32_t drift_count = 0;      // what still is so, also beyond that
  std::string drift_policy;      // "report" or "heal"; empty = this node does not look
  Digest observed;               // of what is in kernel, routing daemon and files; zero = not looked yet
  Version pending{};          // runs, and waits for its confirmation; 0 = none
  ActivationId pending_activation{};
  int64_t pending_left_s = 0;  // until this node goes back to `active` by itself
  MachineStatus machine{};
  bool operator==(const NodeStatus&) const = default;
};
struct OutcomeMessage { SignedOutcome outcome; bool operator==(const OutcomeMessage&) const = default; };
/// serial: outcomes up to here are in the log.
struct Ack { uint64_t serial = 0; bool operator==(const Ack&) const = default; };
/// Entries of epoch `epoch` that the log no longer has: an administrator started the next one on an older base. In
/// order; a node hands over what it has of them.
struct Orphans {
  uint32_t epoch = 0; std::vector<EncodedEntry> entries;
  bool operator==(const Orphans&) const = default;
};
/// The controller has looked at the orphans of `epoch` up to `last`: the node may forget them.
struct OrphansKept {
  uint32_t epoch = 0; Sequence last;
  bool operator==(const OrphansKept&) const = default;
};

// --- enrolment ---
struct Join { SignedJoin join; bool operator==(const Join&) const = default; };
struct Admitted {
  NodeId node; std::string fullname; std::vector<std::string> endpoints;
  bool operator==(const Admitted&) const = default;
};
struct Waiting { std::string fingerprint; bool operator==(const Waiting&) const = default; };
struct Refused { Error error; bool operator==(const Refused&) const = default; };

using Body = std::variant<Submit, Reply, ErrorReply, Prepare, Prepared, Query, QueryResult, Subscribe, SnapshotChunk,
                          Entries, Credit, Head, Fetch, BlobChunk, NodeStatus, OutcomeMessage, Ack, Join, Admitted,
                          Waiting, Refused, Orphans, OrphansKept>;

struct Message { uint64_t correlation = 0; Body body; bool operator==(const Message&) const = default; };

}  // namespace mesh
