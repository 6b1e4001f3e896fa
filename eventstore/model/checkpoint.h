// Checkpoints: C2SP tlog-checkpoint text inside a C2SP signed-note, Ed25519. Proofs: C2SP tlog-proof.
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
/// The epoch in an origin of `log`. Errors: corrupt (another log's, or not an origin of ours).
Result<uint32_t> origin_epoch(std::string_view origin, const LogId& log);
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

/// The key as C2SP signed-note's verifiers take it: "<name>+<key hash in hex>+<base64 of 0x01 || public key>".
std::string verifier_key(std::string_view name, const SignKey& key);

/// Checks that `note` carries a valid signature by (`name`, `key`) and returns its text.
/// Errors: corrupt (malformed, no signature by that key, or a wrong one).
Result<std::string> open_note(std::string_view note, std::string_view name, const SignKey& key);

/// open_note with the origin as the key's name, then parses. Errors: corrupt, also when the origin differs.
Result<Checkpoint> open_checkpoint(std::string_view note, std::string_view origin, const SignKey& key);
/// The same for a checkpoint of `log` in whatever epoch: origin_epoch() of what comes back tells it.
Result<Checkpoint> open_checkpoint(std::string_view note, const LogId& log, const SignKey& key);
/// Notes that stand one after another in a file, blank lines between them or not.
std::vector<std::string> split_notes(std::string_view text);
/// Parses a checkpoint's text, or the text of a whole note, without checking any signature (for display and
/// for learning the size before the check). Errors: corrupt.
Result<Checkpoint> parse_checkpoint_text(std::string_view text);

/// A C2SP tlog-proof: that the entry whose leaf hashes `extra` is at `index` (from 0) of the tree that `note` signs.
std::string inclusion_proof_text(uint64_t index, const std::vector<Digest>& proof, ByteView extra,
                                 std::string_view note);

}  // namespace mesh
