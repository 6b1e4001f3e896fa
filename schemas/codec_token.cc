// token = "meshtoken1" base64url(buffer checksum), without padding; checksum = the first four bytes of
// SHA-256(buffer). It is there for truncated pastes, not against forgery: a token is as good as its seed.
#include <sodium.h>

#include "eventstore/model/crypto.h"
#include "schemas/codec.h"
#include "schemas/codec_internal.h"
#include "snapshot_generated.h"

namespace mesh {

namespace {

constexpr std::string_view kPrefix = "meshtoken1";
constexpr size_t kChecksumBytes = 4;
constexpr const char* kDamaged = "token is incomplete or was changed";
constexpr const char* kPasteAgain = "copy the whole line that token create printed";

/// Bytes that are wiped when they are no longer needed.
struct Wiped {
  Bytes bytes;
  Wiped() = default;
  Wiped(const Wiped&) = delete;
  Wiped& operator=(const Wiped&) = delete;
  ~Wiped() {
    if (!bytes.empty()) sodium_memzero(bytes.data(), bytes.size());
  }
};

std::array<uint8_t, kChecksumBytes> checksum(ByteView buffer) {
  const Digest digest = sha256(buffer);
  std::array<uint8_t, kChecksumBytes> out;
  std::copy_n(digest.bytes.begin(), kChecksumBytes, out.begin());
  return out;
}

std::string_view trimmed(std::string_view text) {
  constexpr std::string_view kSpace = " \t\r\n";
  const size_t first = text.find_first_not_of(kSpace);
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(kSpace) - first + 1);
}

Anchor unpack_anchor(Reader& r, const wire::Anchor& w) {
  return {.sequence = Sequence(w.sequence()),
          .state_digest = r.fixed<Digest>(w.state_digest(), "anchor's state digest"),
          .root = r.fixed<Digest>(w.root(), "anchor's root"),
          .by = r.line(w.by(), "anchor's signer", kFullNameBytesMax)};
}

/// The buffer inside the text, its checksum verified and cut off.
Status open_text(std::string_view text, Wiped& buffer) {
  text = trimmed(text);
  if (!text.starts_with("meshtoken")) return fail(Errc::corrupt, "this is not a token", kPasteAgain);
  if (!text.starts_with(kPrefix))
    return fail(Errc::unsupported, "this token is of a newer kind than this program knows", "upgrade this program");
  text.remove_prefix(kPrefix.size());
  if (text.empty()) return fail(Errc::corrupt, kDamaged, kPasteAgain);
  if (text.size() > sodium_base64_ENCODED_LEN(kTokenBytesMax, sodium_base64_VARIANT_URLSAFE_NO_PADDING))
    return fail(Errc::exhausted, fmt::format("token has {} characters", text.size()), kPasteAgain);
  buffer.bytes.resize(text.size());
  size_t size = 0;
  const char* end = nullptr;
  const bool decoded =
      sodium_base642bin(buffer.bytes.data(), buffer.bytes.size(), text.data(), text.size(), nullptr, &size, &end,
                        sodium_base64_VARIANT_URLSAFE_NO_PADDING) == 0 &&
      end == text.data() + text.size() && size > kChecksumBytes;
  const size_t body = decoded ? size - kChecksumBytes : 0;
  const ByteView found(buffer.bytes.data() + body, decoded ? kChecksumBytes : 0);
  if (!decoded || !std::ranges::equal(checksum(ByteView(buffer.bytes).first(body)), found))
    return fail(Errc::corrupt, kDamaged, kPasteAgain);
  buffer.bytes.resize(body);
  return {};
}

}  // namespace

std::string encode_token(const TokenText& token) {
  Builder b(2 * kTokenBytesMax);  // so that no copy of the seed is left behind by growing
  const auto enrol_endpoints = pack_texts(b, token.enrol_endpoints);
  const auto node = pack_text(b, token.node);
  Offset<wire::Anchor> anchor;
  if (token.anchor) {
    const auto by = pack_text(b, token.anchor->by);
    anchor = wire::CreateAnchor(b, token.anchor->sequence.value(), pack_fixed(token.anchor->state_digest),
                                pack_fixed(token.anchor->root), by);
  }
  b.Finish(wire::CreateToken(b, pack_fixed(token.log), token.token.value(), pack_fixed(token.log_key),
                             pack_fixed(token.controller_key), enrol_endpoints, node, anchor,
                             pack_fixed(token.seed)),
           kTokenIdentifier);
  Wiped buffer;
  buffer.bytes.reserve(b.GetSize() + kChecksumBytes);
  buffer.bytes.assign(b.GetBufferPointer(), b.GetBufferPointer() + b.GetSize());
  sodium_memzero(b.GetBufferPointer(), b.GetSize());
  const auto check = checksum(buffer.bytes);
  buffer.bytes.insert(buffer.bytes.end(), check.begin(), check.end());
  constexpr int kVariant = sodium_base64_VARIANT_URLSAFE_NO_PADDING;
  std::string text(sodium_base64_encoded_len(buffer.bytes.size(), kVariant), '\0');
  sodium_bin2base64(text.data(), text.size(), buffer.bytes.data(), buffer.bytes.size(), kVariant);
  text.pop_back();  // its terminator
  return text.insert(0, kPrefix);
}

Result<TokenText> decode_token(std::string_view text) {
  Wiped buffer;
  MESH_TRY(open_text(text, buffer));
  const AlignedInput input(buffer.bytes);
  auto root = open_root<wire::Token>(input, kTokenIdentifier, kTokenBytesMax, "token");
  if (!root) return std::unexpected(std::move(root).error());
  const auto& w = **root;
  Reader r(buffer.bytes.size());
  TokenText token{.log = r.fixed<LogId>(w.log(), "log id"),
                  .token = TokenId(w.token()),
                  .log_key = r.fixed<SignKey>(w.log_key(), "log key"),
                  .controller_key = r.fixed<BoxKey>(w.controller_key(), "controller key"),
                  .enrol_endpoints =
                      r.lines(w.enrol_endpoints(), "enrolment endpoint", kEndpointsMax, kEndpointBytesMax),
                  .node = r.line(w.node(), "node", kFullNameBytesMax),
                  .anchor = std::nullopt,
                  .seed = r.fixed<Digest>(w.seed(), "seed").bytes};
  if (w.anchor()) token.anchor = unpack_anchor(r, *w.anchor());
  return r.finish("token", std::move(token));
}

}  // namespace mesh
