#include "schemas/adoption.h"

#include <fmt/format.h>
#include <sodium.h>

#include <charconv>
#include <nlohmann/json.hpp>
#include <optional>

#include "eventstore/model/crypto.h"

namespace mesh {

namespace {

constexpr std::string_view kTitle = "meshlog adoption 1\n";

/// The value of the line that `text` begins with, which is cut off; nothing when it is another line.
std::optional<std::string_view> take_line(std::string_view& text, std::string_view name) {
  const size_t end = text.find('\n');
  if (end == std::string_view::npos || !text.starts_with(name)) return std::nullopt;
  const std::string_view line = text.substr(name.size(), end - name.size());
  if (line.size() < 2 || line.front() != ' ') return std::nullopt;
  text.remove_prefix(end + 1);
  return line.substr(1);
}

template <class Array>
bool take_key(std::string_view& text, std::string_view name, Array& out) {
  const auto value = take_line(text, name);
  const auto key = value ? array_from_hex<Array>(*value) : std::nullopt;
  // One way to write it: what is signed is never read in two ways.
  if (!key || to_hex(key->view()) != *value) return false;
  out = *key;
  return true;
}

bool take_seconds(std::string_view& text, uint32_t& out) {
  const auto value = take_line(text, "seconds");
  if (!value) return false;
  const auto parsed = std::from_chars(value->data(), value->data() + value->size(), out);
  return parsed.ec == std::errc() && parsed.ptr == value->data() + value->size() && std::to_string(out) == *value &&
         out >= 1 && out <= kAdoptionSecondsMax;
}

std::string text_member(const nlohmann::json& json, const char* name) {
  const auto found = json.find(name);
  return found != json.end() && found->is_string() ? found->get<std::string>() : std::string();
}

std::unexpected<Error> refused(std::string why) {
  return fail(Errc::unauthenticated, "an adoption was refused: " + std::move(why));
}

}  // namespace

std::string adoption_text(const Adoption& adoption) {
  return fmt::format("{}log {}\nrouter {}\nnonce {}\nseconds {}\ntoken {}\n", kTitle, to_hex(adoption.log.view()),
                     to_hex(adoption.router.view()), to_hex(adoption.nonce.view()), adoption.seconds, adoption.token);
}

Result<Adoption> parse_adoption_text(std::string_view text) {
  const auto other = fail(Errc::corrupt, "the text of an adoption is not as it has to be");
  if (text.size() > kAdoptionBytesMax || !text.starts_with(kTitle)) return other;
  text.remove_prefix(kTitle.size());
  Adoption out;
  if (!take_key(text, "log", out.log) || !take_key(text, "router", out.router) || !take_key(text, "nonce", out.nonce) ||
      !take_seconds(text, out.seconds))
    return other;
  const auto token = take_line(text, "token");
  if (!token || !text.empty()) return other;
  out.token = *token;
  return out;
}

std::string adoption_document(const Adoption& adoption, const SignText& sign) {
  const std::string text = adoption_text(adoption);
  const nlohmann::json json = {{"kind", "Adoption"},
                               {"text", text},
                               {"signature", to_base64(sign(kAdoptionDomain, as_bytes(text)).view())}};
  return json.dump();
}

Result<TokenText> check_adoption(std::string_view document, const AdoptionCall& call) {
  if (document.size() > kAdoptionBytesMax) return fail(Errc::corrupt, "the answer is too long for an adoption");
  const auto json = nlohmann::json::parse(document, nullptr, false);
  if (!json.is_object() || text_member(json, "kind") != "Adoption")
    return fail(Errc::corrupt, "the answer is no adoption");
  const std::string text = text_member(json, "text");
  const auto signature = array_from_base64<Signature>(text_member(json, "signature"));
  if (call.recovery.is_zero()) return refused("this node's log names nobody who may");
  if (!signature || !verify_signature(call.recovery, kAdoptionDomain, as_bytes(text), *signature))
    return refused("it is not signed with the recovery key of this node");
  auto adoption = parse_adoption_text(text);
  if (!adoption) return std::unexpected(adoption.error());
  if (adoption->log != call.log) return refused("it is for a node of another log");
  if (adoption->router != call.router) return refused("it is for another node");
  if (call.nonce.is_zero() || adoption->nonce != call.nonce) return refused("it answers another call");
  if (call.age_ms < 0 || call.age_ms > int64_t{adoption->seconds} * 1000) return refused("it came too late");
  auto token = decode_token(adoption->token);
  sodium_memzero(adoption->token.data(), adoption->token.size());
  if (!token) return fail_in("the adoption's token", token.error());
  if (token->log == call.log) return refused("it leads to the log that this node is in");
  return token;
}

}  // namespace mesh
