// Entries: one request decided = one line of history = one sequence.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "eventstore/model/command.h"
#include "eventstore/model/event.h"
#include "eventstore/model/ids.h"

namespace mesh {

/// What a principal signs: 1 to kCommandsPerRequestMax commands, atomic.
struct Request {
  LogId log;
  uint32_t epoch = 0;
  Principal principal;
  RequestId id;
  Sequence based_on;  // the signer's newest sequence; bounds how long the bytes can be appended
  Sequence expect_sequence;  // not 0: refused when intent changed after it
  std::vector<Command> commands;
  std::string message;    // why
  std::string reference;  // a ticket
  std::string origin;     // "cli", "controller", "node"
  bool operator==(const Request&) const = default;
};

/// The request as signed. `bytes` are kept exactly: an encoding need not be canonical.
struct SignedRequest {
  Bytes bytes;
  Signature signature;  // over kRequestDomain || bytes
  bool operator==(const SignedRequest&) const = default;
};

/// Everything that decide may not invent. Stored, so that deciding again is possible for ever.
struct Context {
  Timestamp time;                      // the entry's time
  std::vector<VersionRow> candidates;  // for Commit: compiled at Commit::prepared_at, ascending
  std::vector<NodeId> applied{};  // for ConfirmActivation: targets that reported that they applied it, ascending
  bool operator==(const Context&) const = default;
};

/// Intent changes what the fleet shall do; a report says what happened. Wire values.
enum class EntryClass : uint8_t { intent = 1, report = 2 };

/// The Merkle leaf is the encoded header. The hashes bind the body's parts.
struct EntryHeader {
  LogId log;
  uint32_t epoch = 0;
  uint64_t term = 0;
  Sequence sequence;
  Timestamp time;
  Principal principal;
  EntryClass entry_class{};
  uint32_t rules = 0;
  Digest request_hash;  // SHA-256(signature || request bytes)
  Digest context_hash;  // SHA-256(encoded context)
  Digest events_hash;   // SHA-256(encoded events)
  bool operator==(const EntryHeader&) const = default;
};

struct EntryBody {
  SignedRequest signed_request;
  Request request;  // decoded from signed_request.bytes
  Context context;
  std::vector<Event> events;
  bool operator==(const EntryBody&) const = default;
};

/// A decoded entry whose hashes were checked against its header by the codec.
struct Entry {
  EntryHeader header;
  Digest leaf;  // leaf_hash of the encoded header
  std::optional<EntryBody>
      body;  // nothing for another node's report, of which only the header travels
  /// The request's signature is of this key, found by whoever read the entry ahead of its replay; the codec leaves it
  /// empty.
  std::optional<SignKey> checked = {};
  bool operator==(const Entry&) const = default;
};

}  // namespace mesh
