// Checkpoints: C2SP tlog-checkpoint text inside a C2SP signed-note, Ed25519.
#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "eventstore/model/ids.h"
#include "eventstore/model/result.h"

namespace mesh {

/// What a checkpoint says. Its text: origin line, decimal size, base64 root, then extension lines.
struct Checkpoint {
  std::string origin;  // "meshlog/<log id in hex>/<epoch>"
  uint64_t size = 0;   // entries = the newest sequence
  Digest root;
  std::vector<std::string> extensions;  // "state <digest hex> at <sequence>" when a snapshot was taken
  bool operator==(const Checkpoint&) const = default;
};

std::string checkpoint_origin(const LogId& log, uint32_t epoch);
/// The name under which a node cosigns checkpoints: "meshlog/<log id in hex>/node/<number>".
std::string cosigner_name(const LogId& log, NodeId node);
std::string checkpoint_text(const Checkpoint& checkpoint);

/// Signs `message` (the shell holds the secret key).
using SignFunction = std::function<Signature(ByteView message)>;

/// One signature line of a note: "— <name> base64(key hash (4 bytes) || signature)".
/// Key hash = first 4 bytes of SHA-256(name || "\n" || 0x01 || public key) (C2SP signed-note).
std::string sign_note(std::string_view text, std::string_view name, const SignKey& key, const SignFunction& sign);
/// Adds a further signature line (a cosignature or a new key beside the old).
Result<std::string> add_note_signature(std::string_view note, std::string_view name, const SignKey& key,
                                       const SignFunction& sign);

/// Checks that `note` carries a valid signature by (`name`, `key`) and returns its text.
/// Errors: corrupt (malformed, no signature by that key, or a wrong one).
Result<std::string> open_note(std::string_view note, std::string_view name, const SignKey& key);

/// open_note with the origin as the key's name, then parses. Errors: corrupt, also when the origin differs.
Result<Checkpoint> open_checkpoint(std::string_view note, std::string_view origin, const SignKey& key);
/// Parses a checkpoint's text, or the text of a whole note, without checking any signature (for display and
/// for learning the size before the check). Errors: corrupt.
Result<Checkpoint> parse_checkpoint_text(std::string_view text);

}  // namespace mesh
