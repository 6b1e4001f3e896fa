#include "eventstore/log/records.h"

#include "eventstore/log/crc32c.h"

namespace mesh::records {

namespace {

constexpr size_t kSealBytes = 4;
constexpr size_t kBatchFixedBytes = 8 + 8 + Digest::kSize;

void put_integer(std::string& out, uint64_t value, unsigned bytes) {
  for (unsigned shift = bytes * 8; shift > 0; shift -= 8)
    out.push_back(static_cast<char>(value >> (shift - 8)));
}

/// Requires that many bytes.
uint64_t take_integer(std::string_view& from, unsigned bytes) {
  uint64_t value = 0;
  for (unsigned i = 0; i < bytes; ++i) value = value << 8 | static_cast<uint8_t>(from[i]);
  from.remove_prefix(bytes);
  return value;
}

/// Requires that many bytes.
template <class Array>
Array take_array(std::string_view& from) {
  Array out = *Array::from(as_bytes(from.substr(0, Array::kSize)));
  from.remove_prefix(Array::kSize);
  return out;
}

std::string numbered_key(char kind, uint64_t number) {
  std::string key(1, kind);
  put_integer(key, number, 8);
  return key;
}

}  // namespace

std::string entry_key(Sequence sequence) { return numbered_key('e', sequence.value()); }
std::string batch_key(Sequence first) { return numbered_key('b', first.value()); }
std::string snapshot_key(Sequence sequence) { return numbered_key('s', sequence.value()); }
std::string meta_key(std::string_view name) { return "m" + std::string(name); }
std::string blob_key(const Digest& digest) { return "o" + std::string(as_text(digest.view())); }

std::string tile_key(unsigned level, uint64_t index) {
  std::string key = "t";
  put_integer(key, level, 1);
  put_integer(key, index, 8);
  return key;
}

std::optional<Sequence> sequence_of(std::string_view key) {
  if (key.size() != 9 || (key[0] != 'e' && key[0] != 'b')) return std::nullopt;
  key.remove_prefix(1);
  return Sequence(take_integer(key, 8));
}

std::string seal(std::string_view key, std::initializer_list<std::string_view> parts) {
  uint32_t crc = crc32c(as_bytes(key));
  for (const std::string_view part : parts) crc = crc32c(crc, as_bytes(part));
  return encode_u32(crc);
}

std::optional<std::string_view> unseal(std::string_view key, std::string_view stored) {
  if (stored.size() < kSealBytes) return std::nullopt;
  const auto expected = static_cast<uint32_t>(take_integer(stored, kSealBytes));
  if (crc32c(crc32c(as_bytes(key)), as_bytes(stored)) != expected) return std::nullopt;
  return stored;
}

std::string encode_u32(uint32_t value) {
  std::string out;
  put_integer(out, value, 4);
  return out;
}

std::optional<uint32_t> decode_u32(std::string_view value) {
  if (value.size() != 4) return std::nullopt;
  return static_cast<uint32_t>(take_integer(value, 4));
}

std::string encode_batch(const Batch& batch) {
  std::string out;
  out.reserve(kBatchFixedBytes + batch.requests.size() * RequestId::kSize);
  put_integer(out, batch.last.value(), 8);
  put_integer(out, batch.term, 8);
  out += as_text(batch.root.view());
  for (const RequestId& request : batch.requests) out += as_text(request.view());
  return out;
}

std::optional<Batch> decode_batch(std::string_view key, std::string_view value) {
  const auto first = sequence_of(key);
  if (!first || key[0] != 'b' || value.size() < kBatchFixedBytes) return std::nullopt;
  Batch out;
  out.first = *first;
  out.last = Sequence(take_integer(value, 8));
  out.term = take_integer(value, 8);
  out.root = take_array<Digest>(value);
  if (out.first.value() == 0 || out.last < out.first ||
      value.size() / RequestId::kSize != out.last.value() - out.first.value() + 1 ||
      value.size() % RequestId::kSize != 0)
    return std::nullopt;
  while (!value.empty()) out.requests.push_back(take_array<RequestId>(value));
  return out;
}

std::optional<EncodedEntry> decode_entry(std::string_view value) {
  if (value.size() < 4) return std::nullopt;
  const size_t header_length = take_integer(value, 4);
  if (header_length > value.size()) return std::nullopt;
  const ByteView bytes = as_bytes(value);
  return EncodedEntry{Bytes(bytes.begin(), bytes.begin() + static_cast<ptrdiff_t>(header_length)),
                      Bytes(bytes.begin() + static_cast<ptrdiff_t>(header_length), bytes.end())};
}

std::string encode_sequences(const std::vector<Sequence>& sequences) {
  std::string out;
  for (const Sequence sequence : sequences) put_integer(out, sequence.value(), 8);
  return out;
}

std::optional<std::vector<Sequence>> decode_sequences(std::string_view value) {
  if (value.size() % 8 != 0) return std::nullopt;
  std::vector<Sequence> out;
  while (!value.empty()) out.push_back(Sequence(take_integer(value, 8)));
  return out;
}

std::string encode_tile(const Tile& tile) {
  std::string out;
  out.reserve(tile.size() * Digest::kSize);
  for (const Digest& hash : tile) out += as_text(hash.view());
  return out;
}

std::optional<Tile> decode_tile(std::string_view value) {
  Tile out;
  if (value.size() != out.size() * Digest::kSize) return std::nullopt;
  for (Digest& hash : out) hash = take_array<Digest>(value);
  return out;
}

}  // namespace mesh::records
