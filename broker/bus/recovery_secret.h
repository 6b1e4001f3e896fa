// The secret with which routers are adopted when their controller, or its keys, are lost (nodes/README.md, "Recovery").
// 32 random bytes, which an operator keeps apart from every controller. A log knows two public keys of it:
//   sign key   Ed25519, seed       BLAKE2b-256, keyed with the secret, over "meshlog/recovery/sign/1"
//   box key    X25519, secret key  BLAKE2b-256, keyed with the secret, over "meshlog/recovery/box/1"
// As text: "mlrec1-" base64url(secret checksum), without padding; checksum = the first four bytes of
// SHA-256("meshlog/recovery/text/1" secret). It is there for typing mistakes, not against forgery.
#pragma once

#include <string_view>

#include "broker/bus/keys.h"

namespace mesh {

class RecoverySecret {
 public:
  static RecoverySecret generate();
  /// Blanks around it are ignored. Errors: corrupt (no such text, or mistyped), unsupported (of a newer kind).
  static Result<RecoverySecret> parse(std::string_view text);
  /// Errc::invalid unless `bytes` has exactly 32 bytes.
  static Result<RecoverySecret> from_bytes(ByteView bytes);

  /// The characters of its text.
  SecretBytes text() const;
  /// What adoptions are signed with.
  SignSecret sign() const;
  /// What proves to a router that calls whom it reached.
  BoxSecret box() const;

 private:
  explicit RecoverySecret(SecretBytes secret) : secret_(std::move(secret)) {}
  SecretBytes secret_;
};

}  // namespace mesh
