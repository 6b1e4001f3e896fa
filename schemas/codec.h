// The disk and wire formats. The only code that touches FlatBuffers; every decoder treats its input as hostile:
// size, FlatBuffers verifier (depth, tables), then every field. Errors: corrupt (what is wrong), exhausted
// (over a limit), unsupported (an unknown command, event or message kind, a newer protocol).
//
// Encoders write what they are given, and the reader judges it; but text that nobody chose (errors, outcomes,
// a node's state and problem, host names) is cut at its limit and made readable first.
#pragma once

#include <string>

#include "eventstore/model/encoded_entry.h"
#include "eventstore/model/entry.h"
#include "eventstore/model/replay.h"
#include "schemas/message.h"

namespace mesh {

/// The bytes that a principal signs (under kRequestDomain).
Bytes encode_request(const Request& request);
Result<Request> decode_request(ByteView bytes);

/// Header and body of an entry that was decided. Fills the three hashes in a copy of `header`.
/// body.request is not encoded: signed_request.bytes are.
EncodedEntry encode_entry(EntryHeader header, const EntryBody& body);
/// Checks the body's hashes against the header. An empty body gives Entry without one.
Result<Entry> decode_entry(const EncodedEntry& encoded);
Result<EntryHeader> decode_header(ByteView bytes);

Bytes encode_message(const Message& message);
Result<Message> decode_message(ByteView frame);
/// The correlation of a frame that decode_message refused, so that its sender gets an answer; 0 when the frame
/// is not even well-formed.
uint64_t frame_correlation(ByteView frame);

Bytes encode_join(const JoinStatement& statement);
Result<JoinStatement> decode_join(ByteView bytes);
Bytes encode_outcome(const Outcome& outcome);
Result<Outcome> decode_outcome(ByteView bytes);

/// Snapshot = sequence, rules, frontier, canonical state, state digest. Decoding checks the digest.
Bytes encode_snapshot(const Replica& replica);
Result<Replica> decode_snapshot(ByteView bytes);

/// What `token create` prints: everything a newcomer needs, in one line of text ("meshtoken1...").
struct TokenText {
  LogId log;
  TokenId token;
  SignKey log_key;
  BoxKey controller_key;
  std::vector<std::string> enrol_endpoints;
  std::string node;                 // number or full name, or empty for a site's token
  std::optional<Anchor> anchor;
  std::array<uint8_t, 32> seed{};   // secret: the caller zeroes it
};
std::string encode_token(const TokenText& token);
Result<TokenText> decode_token(std::string_view text);

}  // namespace mesh
