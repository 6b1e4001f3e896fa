// What an operator who has a recovery secret says to a router that lost its controller: join that log instead
// (nodes/README.md, "Recovery"). Signed with the recovery key that the router's own log names, over a text:
//
//   meshlog adoption 1
//   log HEX               the log that the router is in
//   router HEX            its Ed25519 key there: for this router and no other
//   nonce HEX             that the router made for this answer: for once
//   seconds N             how long after it made the nonce; routers have no clock that could be trusted
//   token TEXT            of the new log: its id, keys and endpoints, and the right to join it once
//
// It travels as the document of a QueryResult: {"kind":"Adoption","text","signature"}. The question is a Join for the
// log that was lost, signed by the router, over a connection to the recovery secret's CURVE key.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

#include "schemas/codec.h"

namespace mesh {

inline constexpr std::string_view kAdoptionDomain = "meshlog/adoption/1\n";
inline constexpr uint32_t kAdoptionSecondsMax = 300;
inline constexpr size_t kAdoptionBytesMax = 16 * 1024;  // the document

struct Adoption {
  LogId log;
  SignKey router;
  Digest nonce;
  uint32_t seconds = 0;  // 1 to kAdoptionSecondsMax
  std::string token;     // secret: the caller zeroes it
};

std::string adoption_text(const Adoption& adoption);
/// Exactly what adoption_text() writes. Errors: corrupt.
Result<Adoption> parse_adoption_text(std::string_view text);

using SignText = std::function<Signature(std::string_view domain, ByteView text)>;
/// The document; secret, as the token in it.
std::string adoption_document(const Adoption& adoption, const SignText& sign);

/// What a router knows when it judges an answer.
struct AdoptionCall {
  LogId log;           // its own
  SignKey router;      // its own
  SignKey recovery;    // by its own log; zero = nobody may
  Digest nonce;        // of the call; zero = none is open
  int64_t age_ms = 0;  // since it was made, counted without a wall clock
};
/// The token to join with. Errors: corrupt (no such document, or its token), unauthenticated (not signed with that key,
/// for another log, router or call, too late, or nobody may).
Result<TokenText> check_adoption(std::string_view document, const AdoptionCall& call);

}  // namespace mesh
