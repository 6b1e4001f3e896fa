// The records of a backup file, for tests that rearrange or damage them.
#pragma once

#include "eventstore/log/archive.h"
#include "eventstore/log/crc32c.h"
#include "eventstore/model/crypto.h"

namespace mesh::test {

inline constexpr size_t kArchiveHeadBytes = 45;
inline constexpr size_t kArchiveRecordHeaderBytes = 21;

inline uint32_t number_at(ByteView bytes, size_t at) {
  uint32_t out = 0;
  for (const uint8_t byte : bytes.subspan(at, 4)) out = out << 8 | byte;
  return out;
}
inline void set_number(std::span<uint8_t> bytes, size_t at, uint32_t value) {
  for (size_t i = 0; i < 4; ++i) bytes[at + i] = static_cast<uint8_t>(value >> (24 - 8 * i));
}

/// The head, then each record, as far as their lengths make sense; what is left over comes last.
inline std::vector<Bytes> split_archive(ByteView bytes) {
  std::vector<Bytes> out;
  size_t at = 0;
  const auto cut = [&](size_t size) {
    out.emplace_back(bytes.begin() + static_cast<ptrdiff_t>(at),
                     bytes.begin() + static_cast<ptrdiff_t>(at + size));
    at += size;
  };
  if (bytes.size() >= kArchiveHeadBytes) cut(kArchiveHeadBytes);
  while (bytes.size() - at >= kArchiveRecordHeaderBytes) {
    const size_t size = kArchiveRecordHeaderBytes + number_at(bytes, at + 5);
    if (size > bytes.size() - at) break;
    cut(size);
  }
  if (at < bytes.size()) cut(bytes.size() - at);
  return out;
}

inline Bytes join_archive(const std::vector<Bytes>& pieces) {
  Bytes out;
  for (const Bytes& piece : pieces) out.insert(out.end(), piece.begin(), piece.end());
  return out;
}

/// Makes every checksum right again, and the numbers of the records; with `digest` the trailer's
/// hash, too.
inline Bytes reseal_archive(std::vector<Bytes> pieces, bool digest) {
  Bytes out;
  for (size_t i = 0; i < pieces.size(); ++i) {
    Bytes& piece = pieces[i];
    if (i == 0 && piece.size() == kArchiveHeadBytes)
      set_number(piece, kArchiveHeadBytes - 4,
                 crc32c(ByteView(piece).first(kArchiveHeadBytes - 4)));
    if (i > 0 && piece.size() >= kArchiveRecordHeaderBytes) {
      const std::span payload = std::span(piece).subspan(kArchiveRecordHeaderBytes);
      if (digest && piece[0] == 4 && payload.size() == 48) {
        const Digest before = sha256(out);
        std::copy(before.bytes.begin(), before.bytes.end(), payload.begin() + 16);
      }
      set_number(piece, 1, static_cast<uint32_t>(i - 1));
      set_number(piece, 13, crc32c(payload));
      set_number(piece, 17, crc32c(ByteView(piece).first(17)));
    }
    out.insert(out.end(), piece.begin(), piece.end());
  }
  return out;
}

/// A source over bytes in memory that gives at most `step` at once.
inline ByteSource source_of(ByteView bytes, size_t step = SIZE_MAX) {
  return [bytes, step, at = size_t{0}](std::span<uint8_t> buffer) mutable -> Result<size_t> {
    const size_t size = std::min({buffer.size(), bytes.size() - at, step});
    std::copy_n(bytes.begin() + static_cast<ptrdiff_t>(at), size, buffer.begin());
    at += size;
    return size;
  };
}

struct ArchiveContents {
  ArchiveHead head;
  std::vector<EncodedEntry> entries;
  std::vector<Blob> blobs;
};

/// Reads all of it; `seen`, when given, has what was passed on before an error.
inline Result<ArchiveContents> read_archive(ByteSource source, ArchiveContents* seen = nullptr) {
  ArchiveContents own;
  ArchiveContents& out = seen ? *seen : own;
  auto reader = ArchiveReader::open(std::move(source));
  if (!reader) return std::unexpected(reader.error());
  out.head = reader->head();
  for (;;) {
    auto part = reader->next();
    if (!part) return std::unexpected(part.error());
    if (!*part) return out;
    for (EncodedEntry& entry : (*part)->entries) out.entries.push_back(std::move(entry));
    for (Blob& blob : (*part)->blobs) out.blobs.push_back(std::move(blob));
  }
}

inline Result<Bytes> write_archive(const ArchiveContents& contents) {
  Bytes out;
  auto writer = ArchiveWriter::start(
      [&](ByteView bytes) -> Status {
        out.insert(out.end(), bytes.begin(), bytes.end());
        return {};
      },
      contents.head);
  if (!writer) return std::unexpected(writer.error());
  for (const EncodedEntry& entry : contents.entries) MESH_TRY(writer->add_entry(entry));
  for (const Blob& blob : contents.blobs) MESH_TRY(writer->add_blob(blob));
  MESH_TRY(writer->finish());
  return out;
}

/// A backup of a few opaque entries and blobs.
inline ArchiveContents small_archive() {
  ArchiveContents out;
  out.head.log.bytes.fill(7);
  out.head.entries = 5;
  out.head.note = "meshlog/07/1\n5\nroot\n\n- signature\n";
  for (uint8_t i = 1; i <= 5; ++i)
    out.entries.push_back({Bytes(10 + i, i), Bytes(size_t{20} * i, static_cast<uint8_t>(i * 3))});
  for (const std::string_view text : {"", "wg_keepalive 25", "router id 100.64.0.11;"}) {
    const ByteView bytes = as_bytes(text);
    out.blobs.push_back({sha256(bytes), Bytes(bytes.begin(), bytes.end())});
  }
  return out;
}

}  // namespace mesh::test
