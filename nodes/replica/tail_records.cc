#include "nodes/replica/tail_records.h"

#include <fmt/core.h>

#include <algorithm>

#include "eventstore/model/crypto.h"
#include "schemas/codec.h"

namespace mesh {

namespace {

constexpr size_t kCheckBytes = 8;  // 2^-64 for a damaged record to pass; the Merkle root is the second check
constexpr size_t kRecordHead = 4 + kCheckBytes;
constexpr std::string_view kCheckLine = "\ncheck ";

void put_u32(Bytes& out, size_t value) {
  for (int shift = 0; shift < 32; shift += 8) out.push_back(static_cast<uint8_t>(value >> shift));
}

size_t get_u32(ByteView bytes) {
  return static_cast<size_t>(bytes[0]) | static_cast<size_t>(bytes[1]) << 8 | static_cast<size_t>(bytes[2]) << 16 |
         static_cast<size_t>(bytes[3]) << 24;
}

}  // namespace

void put_record(Bytes& out, const EncodedEntry& entry) {
  Bytes payload;
  payload.reserve(4 + entry.size());
  put_u32(payload, entry.header.size());
  payload.insert(payload.end(), entry.header.begin(), entry.header.end());
  payload.insert(payload.end(), entry.body.begin(), entry.body.end());
  const auto check = sha256(payload);
  put_u32(out, payload.size());
  out.insert(out.end(), check.bytes.begin(), check.bytes.begin() + kCheckBytes);
  out.insert(out.end(), payload.begin(), payload.end());
}

Record read_record(ByteView bytes) {
  const auto size = bytes.size() < kRecordHead ? 0 : get_u32(bytes);
  if (bytes.size() < kRecordHead || bytes.size() - kRecordHead < size) return {Record::Kind::torn, {}, 0};
  const auto payload = bytes.subspan(kRecordHead, size);
  const auto check = sha256(payload);
  const bool whole = std::equal(check.bytes.begin(), check.bytes.begin() + kCheckBytes, bytes.begin() + 4);
  const auto header = size < 4 ? SIZE_MAX : get_u32(payload);
  if (!whole || header > size - 4) {
    // The last one may be a write that a crash interrupted after the file had grown.
    const bool last = bytes.size() == kRecordHead + size;
    return {last ? Record::Kind::torn : Record::Kind::damaged, {}, 0};
  }
  const auto content = payload.subspan(4);
  const auto split = content.begin() + static_cast<ptrdiff_t>(header);
  return {Record::Kind::whole, {Bytes(content.begin(), split), Bytes(split, content.end())}, kRecordHead + size};
}

std::string with_check(std::string_view text) {
  const auto check = sha256(as_bytes(text));
  return fmt::format("{}{}{}\n", text, kCheckLine, to_hex(check.view().first(kCheckBytes)));
}

Result<std::string> without_check(std::string_view text) {
  const auto line = text.rfind(kCheckLine);
  if (line == std::string_view::npos) return std::string(text);
  const auto content = text.substr(0, line);
  if (with_check(content) != text) return fail(Errc::corrupt, "its check does not fit");
  return std::string(content);
}

/// The state digest inside a snapshot covers intent only, the check before it every byte.
Result<Replica> unwrap_snapshot(ByteView bytes) {
  const auto check = Digest::from(bytes.first(std::min(bytes.size(), Digest::kSize)));
  if (!check || sha256(bytes.subspan(Digest::kSize)) != *check) return fail(Errc::corrupt, "its check does not fit");
  return decode_snapshot(bytes.subspan(Digest::kSize));
}

}  // namespace mesh
