#include "eventstore/model/checkpoint.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <optional>

#include "eventstore/model/crypto.h"
#include "eventstore/model/json_text.h"

// A signed note (C2SP signed-note):
//
//   note      = text "\n" 1*signature        text ends with "\n" and has no control characters but
//   "\n" signature = "— " name " " base64(key_hash:4 bytes || signature) "\n" key_hash  =
//   SHA-256(name "\n" 0x01 public_key)[0:4]
//
// The blank line that separates text from signatures is the last one, so a text may hold others.

namespace mesh {

namespace {

constexpr std::string_view kSignaturePrefix = "\u2014 ";  // em dash, space
constexpr uint8_t kEd25519 = 0x01;
constexpr size_t kKeyHashBytes = 4;
constexpr size_t kSignatureLinesMax = 100;  // as in Go's reference implementation

struct NoteParts {
  std::string_view text;        // with its final newline
  std::string_view signatures;  // whole lines
};

struct SignatureLine {
  std::string_view name;
  Bytes key_hash;
  Bytes signature;
};

Bytes key_hash(std::string_view name, const SignKey& key) {
  const Digest hash =
      Sha256().add(as_bytes(name)).add(uint8_t{'\n'}).add(kEd25519).add(key.view()).finish();
  return Bytes(hash.bytes.begin(), hash.bytes.begin() + kKeyHashBytes);
}

std::string signature_line(std::string_view text, std::string_view name, const SignKey& key,
                           const SignFunction& sign) {
  MESH_ASSERT(!name.empty() && name.find_first_of(" +\n\t\r\v\f") == std::string_view::npos);
  Bytes payload = key_hash(name, key);
  const Signature signature = sign(as_bytes(text));
  payload.insert(payload.end(), signature.bytes.begin(), signature.bytes.end());
  return fmt::format("{}{} {}\n", kSignaturePrefix, name, to_base64(payload));
}

/// Takes the first line off `rest`. Nothing when no newline is left.
std::optional<std::string_view> take_line(std::string_view& rest) {
  const size_t end = rest.find('\n');
  if (end == std::string_view::npos) return std::nullopt;
  const std::string_view line = rest.substr(0, end);
  rest.remove_prefix(end + 1);
  return line;
}

std::unexpected<Error> malformed(std::string_view what) {
  return fail(Errc::corrupt, fmt::format("malformed note: {}", what));
}

Result<SignatureLine> parse_signature_line(std::string_view line) {
  if (!line.starts_with(kSignaturePrefix))
    return malformed("a signature line does not begin with an em dash");
  line.remove_prefix(kSignaturePrefix.size());
  const size_t space = line.find(' ');
  if (space == 0 || space == std::string_view::npos)
    return malformed("a signature line has no key name");
  auto payload = from_base64(line.substr(space + 1));
  if (!payload || payload->size() <= kKeyHashBytes)
    return malformed("a signature is not base64 of a key id and bytes");
  const auto hash_end = payload->begin() + kKeyHashBytes;
  return SignatureLine{line.substr(0, space), Bytes(payload->begin(), hash_end),
                       Bytes(hash_end, payload->end())};
}

/// Text of a note is shown to people, also before any signature is checked.
Status check_characters(std::string_view text) {
  for (const char c : text)
    if ((static_cast<uint8_t>(c) < 0x20 && c != '\n') || c == 0x7f)
      return malformed("it holds a control character");
  if (!is_utf8(text)) return malformed("it is not UTF-8");
  return {};
}

Result<NoteParts> split_note(std::string_view note) {
  MESH_TRY(check_characters(note));
  const size_t blank = note.rfind("\n\n");
  if (blank == std::string_view::npos) return malformed("no blank line before the signatures");
  const NoteParts parts{note.substr(0, blank + 1), note.substr(blank + 2)};
  if (parts.signatures.empty() || parts.signatures.back() != '\n')
    return malformed("it ends within a line");
  return parts;
}

Result<std::vector<SignatureLine>> parse_signatures(std::string_view lines) {
  std::vector<SignatureLine> out;
  while (!lines.empty()) {
    if (out.size() == kSignatureLinesMax) return malformed("more than 100 signatures");
    auto line = parse_signature_line(*take_line(lines));
    if (!line) return std::unexpected(std::move(line).error());
    out.push_back(std::move(*line));
  }
  return out;
}

/// Strict: no sign, no leading zero, nothing after the digits (C2SP tlog-checkpoint).
std::optional<uint64_t> parse_size(std::string_view digits) {
  uint64_t value = 0;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), value);
  if (error != std::errc() || end != digits.data() + digits.size()) return std::nullopt;
  if (digits.size() > 1 && digits.front() == '0') return std::nullopt;
  return value;
}

Result<Checkpoint> parse_lines(std::string_view rest) {
  const auto origin = take_line(rest);
  const auto size = take_line(rest);
  const auto root = take_line(rest);
  if (!origin || origin->empty() || !size || !root)
    return fail(Errc::corrupt, "malformed checkpoint: expected the lines origin, size and root");
  const auto number = parse_size(*size);
  if (!number)
    return fail(Errc::corrupt, fmt::format("malformed checkpoint: \"{}\" is not a size", *size));
  const auto digest = array_from_base64<Digest>(*root);
  if (!digest)
    return fail(Errc::corrupt, "malformed checkpoint: the root is not 32 bytes in base64");
  Checkpoint out{std::string(*origin), *number, *digest, {}};
  while (!rest.empty()) {
    const auto line = take_line(rest);
    if (!line || line->empty())
      return fail(Errc::corrupt, "malformed checkpoint: an extension line is empty or cut");
    out.extensions.emplace_back(*line);
  }
  return out;
}

}  // namespace

std::string checkpoint_origin(const LogId& log, uint32_t epoch) {
  return fmt::format("meshlog/{}/{}", to_hex(log.view()), epoch);
}

Result<uint32_t> origin_epoch(std::string_view origin, const LogId& log) {
  const std::string prefix = fmt::format("meshlog/{}/", to_hex(log.view()));
  uint32_t epoch = 0;
  const char* end = origin.data() + origin.size();
  if (!origin.starts_with(prefix) ||
      std::from_chars(origin.data() + prefix.size(), end, epoch).ptr != end ||
      checkpoint_origin(log, epoch) != origin)
    return fail(Errc::corrupt, fmt::format("a checkpoint of another log: {}", origin),
                fmt::format("expected {}EPOCH", prefix));
  return epoch;
}

std::string cosigner_name(const LogId& log, NodeId node) {
  return fmt::format("meshlog/{}/node/{}", to_hex(log.view()), node.value());
}

std::string checkpoint_text(const Checkpoint& checkpoint) {
  std::string text = fmt::format("{}\n{}\n{}\n", checkpoint.origin, checkpoint.size,
                                 to_base64(checkpoint.root.view()));
  for (const std::string& line : checkpoint.extensions) {
    MESH_ASSERT(!line.empty() && line.find('\n') == std::string::npos);
    text += line;
    text += '\n';
  }
  return text;
}

std::string sign_note(std::string_view text, std::string_view name, const SignKey& key,
                      const SignFunction& sign) {
  MESH_ASSERT(text.ends_with('\n'));
  return fmt::format("{}\n{}", text, signature_line(text, name, key, sign));
}

Result<std::string> add_note_signature(std::string_view note, std::string_view name,
                                       const SignKey& key, const SignFunction& sign) {
  auto parts = split_note(note);
  if (!parts) return std::unexpected(std::move(parts).error());
  auto lines = parse_signatures(parts->signatures);
  if (!lines) return std::unexpected(std::move(lines).error());
  if (lines->size() == kSignatureLinesMax)
    return fail(Errc::exhausted, fmt::format("the note has {} signatures already", kSignatureLinesMax));
  return std::string(note) + signature_line(parts->text, name, key, sign);
}

std::string verifier_key(std::string_view name, const SignKey& key) {
  Bytes typed{kEd25519};
  typed.insert(typed.end(), key.bytes.begin(), key.bytes.end());
  return fmt::format("{}+{}+{}", name, to_hex(key_hash(name, key)), to_base64(typed));
}

Result<std::string> open_note(std::string_view note, std::string_view name, const SignKey& key) {
  auto parts = split_note(note);
  if (!parts) return std::unexpected(std::move(parts).error());
  auto lines = parse_signatures(parts->signatures);
  if (!lines) return std::unexpected(std::move(lines).error());
  const Bytes wanted = key_hash(name, key);
  bool found = false;
  for (const SignatureLine& line : *lines) {
    if (line.name != name || line.key_hash != wanted)
      continue;  // another signer's: not ours to judge
    const auto signature = Signature::from(line.signature);
    if (!signature || !verify_signature(key, {}, as_bytes(parts->text), *signature))
      return fail(Errc::corrupt, fmt::format("the note's signature by \"{}\" is wrong", name));
    found = true;
  }
  if (!found)
    return fail(Errc::corrupt, fmt::format("the note has no signature by \"{}\" with key {}", name,
                                           to_hex(wanted)));
  return std::string(parts->text);
}

std::vector<std::string> split_notes(std::string_view text) {
  std::vector<std::string> out;
  bool at_end = true;  // nothing, or signature lines, stand before
  while (!text.empty()) {
    const std::string_view line = text.substr(0, text.find('\n'));
    const std::string_view whole = text.substr(0, std::min(text.size(), line.size() + 1));
    text.remove_prefix(whole.size());
    const bool is_signature = line.starts_with(kSignaturePrefix) && !out.empty();
    if (at_end && !is_signature) {
      if (line.empty()) continue;
      out.emplace_back();
    }
    at_end = is_signature;
    out.back() += whole;
  }
  return out;
}

Result<Checkpoint> parse_checkpoint_text(std::string_view text) {
  MESH_TRY(check_characters(text));
  const size_t blank = text.rfind("\n\n");
  return parse_lines(blank == std::string_view::npos ? text : text.substr(0, blank + 1));
}

Result<Checkpoint> open_checkpoint(std::string_view note, std::string_view origin,
                                   const SignKey& key) {
  auto text = open_note(note, origin, key);
  if (!text) return std::unexpected(std::move(text).error());
  auto checkpoint = parse_lines(*text);
  if (checkpoint && checkpoint->origin != origin)
    return fail(Errc::corrupt, fmt::format("the checkpoint is of \"{}\", expected \"{}\"",
                                           checkpoint->origin, origin));
  return checkpoint;
}

Result<Checkpoint> open_checkpoint(std::string_view note, const LogId& log, const SignKey& key) {
  auto claimed = parse_checkpoint_text(note);
  if (!claimed) return claimed;
  MESH_TRY(origin_epoch(claimed->origin, log));
  return open_checkpoint(note, claimed->origin, key);
}

std::string inclusion_proof_text(uint64_t index, const std::vector<Digest>& proof, ByteView extra,
                                 std::string_view note) {
  std::string out = fmt::format("c2sp.org/tlog-proof@v1\nextra {}\nindex {}\n", to_base64(extra), index);
  for (const Digest& hash : proof) out += to_base64(hash.view()) + "\n";
  return fmt::format("{}\n{}", out, note);
}

}  // namespace mesh
