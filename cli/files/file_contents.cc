#include "cli/files/file_contents.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <utility>

#include "eventstore/model/crypto.h"
#include "eventstore/model/limits.h"

namespace mesh::cli {

namespace {

constexpr size_t kDigestShown = 8;

/// "PrivateKey = <32 bytes in base64>", in any case; as a comment, too.
bool holds_wireguard_secret(std::string_view line) {
  std::string words;
  for (const char c : line)
    if (c != ' ' && c != '\t' && c != '\r') words += c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c;
  for (const std::string_view name : {"privatekey=", "presharedkey="}) {
    const size_t at = words.find(name);
    if (at == std::string::npos) continue;
    const std::string_view value = std::string_view(words).substr(at + name.size(), 44);
    const auto is_base64 = [](char c) {
      return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '+' || c == '/';
    };
    if (value.size() == 44 && value.back() == '=' && std::ranges::all_of(value.substr(0, 43), is_base64)) return true;
  }
  return false;
}

std::string grouped(uint64_t number) {
  std::string out = fmt::format("{}", number);
  for (size_t end = out.size(); end > 3;) out.insert(end -= 3, ",");
  return out;
}

}  // namespace

Result<std::string> FileContents::get(const FileRef& file) {
  if (const auto known = known_.find(file.digest); known != known_.end()) return known->second;
  auto blob = client_.fetch(file.digest);
  if (!blob) return std::unexpected(std::move(blob).error());
  if (blob->size() != file.size + kFileSaltBytes)
    return fail(Errc::corrupt, fmt::format("a file of {} bytes, the log says {}",
                                           blob->size() - std::min(blob->size(), kFileSaltBytes), file.size));
  std::string content(blob->begin() + kFileSaltBytes, blob->end());
  known_[file.digest] = content;
  return content;
}

Result<FileRef> FileContents::put(const std::string& content, const FileRef* stored) {
  if (content.size() > kFileBytesMax)
    return fail(Errc::exhausted,
                fmt::format("a file of {} bytes, at most {}", grouped(content.size()), grouped(kFileBytesMax)),
                "files are for templates and configuration");
  MESH_TRY(check_no_secret(content));
  if (stored != nullptr && stored->size == content.size()) {
    auto there = get(*stored);
    if (there && *there == content) return *stored;
    // One that is lost or redacted is put anew.
    if (!there && there.error().code != Errc::not_found && there.error().code != Errc::corrupt)
      return std::unexpected(std::move(there).error());
  }
  if (const auto same = fresh_.find(content); same != fresh_.end()) return same->second;
  Bytes blob(kFileSaltBytes);
  client_.random(blob);
  blob.insert(blob.end(), content.begin(), content.end());
  attached_bytes_ += blob.size();
  if (attached_bytes_ > kAttachmentBytesMax || attachments_.size() == kAttachmentsMax)
    return fail(Errc::exhausted,
                fmt::format("one request takes at most {} new files of together {} bytes", kAttachmentsMax,
                            grouped(kAttachmentBytesMax)),
                "do it in parts, for example site by site");
  const FileRef out{sha256(blob), content.size()};
  attachments_.push_back(std::move(blob));
  known_[out.digest] = content;
  return fresh_[content] = out;
}

std::vector<Bytes> FileContents::take_attachments() {
  fresh_.clear();
  attached_bytes_ = 0;
  return std::exchange(attachments_, {});
}

std::string file_text(const FileRef& file) {
  return fmt::format("{} bytes sha256:{}", grouped(file.size), to_hex(file.digest.view()).substr(0, kDigestShown));
}

std::optional<FileRef> file_at(const Json& value) {
  const Json& bytes = value_at(value, "bytes");
  const auto digest = array_from_hex<Digest>(text_at(value, "sha256"));
  if (!digest || value.size() != 2 || !bytes.is_number_integer() || bytes.get<int64_t>() < 0) return std::nullopt;
  return FileRef{*digest, bytes.get<uint64_t>()};
}

size_t secret_line(std::string_view content) {
  size_t number = 0;
  while (!content.empty()) {
    const std::string_view line = content.substr(0, content.find('\n'));
    content.remove_prefix(std::min(content.size(), line.size() + 1));
    ++number;
    const bool pem = line.starts_with("-----BEGIN ") && line.find("PRIVATE KEY-----") != std::string_view::npos;
    if (pem || holds_wireguard_secret(line)) return number;
  }
  return 0;
}

Status check_no_secret(std::string_view content) {
  const size_t line = secret_line(content);
  if (line == 0) return {};
  return fail(Errc::invalid, fmt::format("line {} holds a secret key, and what is in the log stays there", line),
              "in templates wg_private and wg_peer_preshared stand for the keys, which the node has itself");
}

Json attribute_json(const AttributeValue& value) {
  if (const auto* list = value.list()) {
    Json out = Json::array();
    for (const Scalar& member : *list) out.push_back(std::visit([](const auto& each) { return Json(each); }, member));
    return out;
  }
  if (const auto* text = value.text()) return *text;
  if (const auto* number = value.number()) return *number;
  if (const auto* file = value.file()) return {{"sha256", to_hex(file->digest.view())}, {"bytes", file->size}};
  return std::get<bool>(value.data);
}

std::string attribute_text(const Json& value) {
  if (value.is_string()) return value.get<std::string>();
  const auto file = file_at(value);
  return file ? file_text(*file) : json_text(value);
}
std::string attribute_text(const AttributeValue& value) {
  return value.file() ? file_text(*value.file()) : to_text(value);
}

}  // namespace mesh::cli
