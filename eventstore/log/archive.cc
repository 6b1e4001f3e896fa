#include "eventstore/log/archive.h"

#include <fmt/format.h>
#include <zstd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <utility>

#include "eventstore/log/crc32c.h"
#include "eventstore/model/crypto.h"
#include "eventstore/model/limits.h"

namespace mesh {

namespace {

constexpr std::string_view kFirstLine = "meshlog backup 1\n";
constexpr std::string_view kAnyFirstLine = "meshlog backup ";
constexpr size_t kRecordHeaderBytes = 21;
constexpr size_t kTrailerBytes = 48;
constexpr size_t kReadStep = 1024 * 1024;  // memory follows what was read, not what was claimed
constexpr int kLevel = 3;                  // of zstd: faster than any disk

enum class Kind : uint8_t { note = 1, entries = 2, blobs = 3, trailer = 4 };

size_t raw_limit(Kind kind) {
  switch (kind) {
    case Kind::note:
      return kNoteBytesMax;
    case Kind::entries:
      return kArchiveChunkBytes + kEntryBytesMax + kHeaderBytesMax + 8;
    case Kind::blobs:
      return kArchiveChunkBytes + kBlobBytesMax + 36;
    case Kind::trailer:
      return kTrailerBytes;
  }
  return 0;
}

void put_number(Bytes& out, uint64_t value, unsigned bytes) {
  for (unsigned i = bytes; i-- > 0;) out.push_back(static_cast<uint8_t>(value >> (8 * i)));
}
void put(Bytes& out, ByteView bytes) { out.insert(out.end(), bytes.begin(), bytes.end()); }

/// Takes values from the front of bytes that are known to be there.
class Cursor {
 public:
  explicit Cursor(ByteView bytes) : left_(bytes) {}
  size_t left() const { return left_.size(); }
  ByteView take(size_t size) {
    MESH_ASSERT(size <= left_.size());
    const ByteView out = left_.first(size);
    left_ = left_.subspan(size);
    return out;
  }
  uint64_t number(size_t size) {
    uint64_t out = 0;
    for (const uint8_t byte : take(size)) out = out << 8 | byte;
    return out;
  }
  uint32_t u32() { return static_cast<uint32_t>(number(4)); }

 private:
  ByteView left_;
};

}  // namespace

// ---- writing

class ArchiveWriter::Impl {
 public:
  Impl(ByteSink sink, ArchiveHead head) : sink_(std::move(sink)), head_(std::move(head)) {}

  Status start() {
    if (head_.note.size() > kNoteBytesMax)
      return fail(Errc::exhausted, fmt::format("the checkpoint has {} bytes, at most {}",
                                               head_.note.size(), kNoteBytesMax));
    Bytes out;
    put(out, as_bytes(kFirstLine));
    put(out, head_.log.view());
    put_number(out, head_.entries, 8);
    put_number(out, crc32c(out), 4);
    MESH_TRY(emit(out));
    put(pending_, as_bytes(head_.note));
    return write_record(Kind::note);
  }

  Status add_entry(const EncodedEntry& entry) {
    if (entries_ == head_.entries)
      return fail(Errc::usage, fmt::format("the backup ends with entry {}", entries_));
    if (entry.header.size() > kHeaderBytesMax || entry.body.size() > kEntryBytesMax)
      return fail(Errc::exhausted, fmt::format("entry {} has {} bytes, at most {}", entries_ + 1,
                                               entry.size(), kEntryBytesMax));
    MESH_TRY(turn_to(Kind::entries));
    put_number(pending_, entry.header.size(), 4);
    put_number(pending_, entry.body.size(), 4);
    put(pending_, entry.header);
    put(pending_, entry.body);
    ++entries_;
    return pending_.size() >= kArchiveChunkBytes ? write_record(Kind::entries) : Status{};
  }

  Status add_blob(const Blob& blob) {
    if (blob.bytes.size() > kBlobBytesMax)
      return fail(Errc::exhausted,
                  fmt::format("blob {} has {} bytes, at most {}", to_hex(blob.digest.view()),
                              blob.bytes.size(), kBlobBytesMax));
    if (sha256(blob.bytes) != blob.digest)
      return fail(Errc::usage,
                  fmt::format("blob {} has another digest", to_hex(blob.digest.view())));
    MESH_TRY(turn_to(Kind::blobs));
    put(pending_, blob.digest.view());
    put_number(pending_, blob.bytes.size(), 4);
    put(pending_, blob.bytes);
    ++blobs_;
    return pending_.size() >= kArchiveChunkBytes ? write_record(Kind::blobs) : Status{};
  }

  Status finish() {
    if (entries_ != head_.entries)
      return fail(Errc::usage, fmt::format("the backup shall have {} entries and got {}",
                                           head_.entries, entries_));
    MESH_TRY(turn_to(Kind::trailer));
    sealed_ = true;
    put_number(pending_, entries_, 8);
    put_number(pending_, blobs_, 8);
    put(pending_, hash_.finish().view());
    return write_record(Kind::trailer);
  }

  uint64_t bytes() const { return bytes_; }

 private:
  /// Ends a record of another kind.
  Status turn_to(Kind kind) {
    if (!pending_.empty() && collecting_ != kind) MESH_TRY(write_record(collecting_));
    collecting_ = kind;
    return {};
  }

  Status write_record(Kind kind) {
    Bytes packed(pending_.size());
    // Succeeds only when the result is smaller: else the bytes are stored as they are.
    const size_t size = pending_.empty() ? 0
                                         : ZSTD_compress(packed.data(), packed.size() - 1,
                                                         pending_.data(), pending_.size(), kLevel);
    const bool smaller = kind != Kind::trailer && !pending_.empty() && !ZSTD_isError(size);
    const ByteView payload = smaller ? ByteView(packed).first(size) : ByteView(pending_);
    Bytes header{static_cast<uint8_t>(kind)};
    put_number(header, ordinal_++, 4);
    put_number(header, payload.size(), 4);
    put_number(header, pending_.size(), 4);
    put_number(header, crc32c(payload), 4);
    put_number(header, crc32c(header), 4);
    MESH_TRY(emit(header));
    MESH_TRY(emit(payload));
    pending_.clear();
    return {};
  }

  Status emit(ByteView bytes) {
    bytes_ += bytes.size();
    if (!sealed_) hash_.add(bytes);
    return sink_(bytes);
  }

  ByteSink sink_;
  ArchiveHead head_;
  Sha256 hash_;
  Bytes pending_;
  Kind collecting_ = Kind::entries;
  uint32_t ordinal_ = 0;
  uint64_t entries_ = 0, blobs_ = 0, bytes_ = 0;
  bool sealed_ = false;  // the trailer does not cover itself
};

ArchiveWriter::ArchiveWriter(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
ArchiveWriter::ArchiveWriter(ArchiveWriter&&) noexcept = default;
ArchiveWriter& ArchiveWriter::operator=(ArchiveWriter&&) noexcept = default;
ArchiveWriter::~ArchiveWriter() = default;

Result<ArchiveWriter> ArchiveWriter::start(ByteSink sink, ArchiveHead head) {
  auto impl = std::make_unique<Impl>(std::move(sink), std::move(head));
  MESH_TRY(impl->start());
  return ArchiveWriter(std::move(impl));
}
Status ArchiveWriter::add_entry(const EncodedEntry& entry) { return impl_->add_entry(entry); }
Status ArchiveWriter::add_blob(const Blob& blob) { return impl_->add_blob(blob); }
Status ArchiveWriter::finish() { return impl_->finish(); }
uint64_t ArchiveWriter::bytes() const { return impl_->bytes(); }

// ---- reading

class ArchiveReader::Impl {
 public:
  explicit Impl(ByteSource source) : source_(std::move(source)) {}

  Status open() {
    Bytes head;
    MESH_TRY(read(head, kFirstLine.size()));
    if (!as_text(head).starts_with(kAnyFirstLine))
      return fail(Errc::invalid, "this is no backup of meshlog",
                  "name a file that `meshcli controller backup` wrote");
    if (as_text(head) != kFirstLine)
      return fail(Errc::unsupported, "this backup has another format, this program reads format 1",
                  "upgrade this program");
    MESH_TRY(read(head, 28));
    Cursor cursor(ByteView(head).subspan(kFirstLine.size()));
    head_.log = *LogId::from(cursor.take(16));
    head_.entries = cursor.number(8);
    if (cursor.u32() != crc32c(ByteView(head).first(head.size() - 4)))
      return fail(Errc::corrupt, "the backup's head is damaged", kFix);
    auto note = read_record();
    if (!note) return std::unexpected(std::move(note).error());
    if (kind_ != Kind::note) return bad("it should be the checkpoint");
    head_.note = std::string(as_text(*note));
    return {};
  }

  Result<std::optional<ArchivePart>> next() {
    if (finished_) return std::nullopt;
    const Digest before = Sha256(hash_).finish();
    auto raw = read_record();
    if (!raw) return std::unexpected(std::move(raw).error());
    ArchivePart part;
    switch (kind_) {
      case Kind::note:
        return bad("there is a second checkpoint");
      case Kind::entries:
        MESH_TRY(parse_entries(*raw, part));
        break;
      case Kind::blobs:
        MESH_TRY(parse_blobs(*raw, part));
        break;
      case Kind::trailer:
        MESH_TRY(check_trailer(*raw, before));
        return std::nullopt;
    }
    return part;
  }

  const ArchiveHead& head() const { return head_; }
  uint64_t bytes() const { return bytes_; }

 private:
  static constexpr const char* kFix = "take another backup; what precedes the damage is intact";

  /// "record 7 at byte 81234, after entry 1200: " + what
  std::unexpected<Error> bad(std::string_view what) const {
    return fail(Errc::corrupt,
                fmt::format("the backup's record {} at byte {}, after entry {}: {}", ordinal_,
                            record_at_, entries_, what),
                kFix);
  }

  /// Appends `size` bytes to `out`.
  Status read(Bytes& out, size_t size) {
    while (size > 0) {
      const size_t before = out.size();
      out.resize(before + std::min(size, kReadStep));
      auto got = source_(std::span(out).subspan(before));
      if (!got) return std::unexpected(std::move(got).error());
      MESH_ASSERT(*got <= out.size() - before);
      out.resize(before + *got);
      if (*got == 0)
        return fail(
            Errc::corrupt,
            fmt::format("the backup is cut off at byte {}, after entry {}", bytes_, entries_),
            kFix);
      hash_.add(ByteView(out).subspan(before));
      bytes_ += *got;
      size -= *got;
    }
    return {};
  }

  /// One record's bytes, unpacked; sets kind_.
  Result<Bytes> read_record() {
    record_at_ = bytes_;
    Bytes header;
    MESH_TRY(read(header, kRecordHeaderBytes));
    Cursor cursor(header);
    const uint64_t kind = cursor.number(1);
    const uint32_t ordinal = cursor.u32(), stored = cursor.u32(), raw = cursor.u32(),
                   payload_crc = cursor.u32();
    if (cursor.u32() != crc32c(ByteView(header).first(kRecordHeaderBytes - 4)))
      return bad("damaged");
    if (ordinal != ordinal_)
      return bad(
          fmt::format("record {} is in its place: records are missing or were swapped", ordinal));
    kind_ = static_cast<Kind>(kind);
    if (kind < 1 || kind > 4) return bad(fmt::format("its kind {} is unknown", kind));
    if (raw > raw_limit(kind_) || stored > raw)
      return bad(
          fmt::format("it claims {} bytes, packed {}, at most {}", raw, stored, raw_limit(kind_)));
    Bytes payload;
    MESH_TRY(read(payload, stored));
    if (crc32c(payload) != payload_crc) return bad("damaged");
    if (stored < raw) {
      Bytes unpacked(raw);
      const size_t size = ZSTD_decompress(unpacked.data(), raw, payload.data(), payload.size());
      if (ZSTD_isError(size) || size != raw) return bad("it cannot be unpacked");
      payload = std::move(unpacked);
    }
    ++ordinal_;
    return payload;
  }

  Status parse_entries(ByteView raw, ArchivePart& part) {
    Cursor cursor(raw);
    while (cursor.left() > 0) {
      if (cursor.left() < 8) return bad("its entries are malformed");
      const uint32_t header = cursor.u32(), body = cursor.u32();
      if (header > kHeaderBytesMax || body > kEntryBytesMax ||
          cursor.left() < size_t{header} + body)
        return bad("its entries are malformed");
      if (entries_ == head_.entries) return bad("more entries than the backup announced");
      const ByteView header_bytes = cursor.take(header), body_bytes = cursor.take(body);
      part.entries.push_back(
          {{header_bytes.begin(), header_bytes.end()}, {body_bytes.begin(), body_bytes.end()}});
      ++entries_;
    }
    return {};
  }

  Status parse_blobs(ByteView raw, ArchivePart& part) {
    Cursor cursor(raw);
    while (cursor.left() > 0) {
      if (cursor.left() < 36) return bad("its blobs are malformed");
      const Digest digest = *Digest::from(cursor.take(32));
      const uint32_t size = cursor.u32();
      if (size > kBlobBytesMax || cursor.left() < size) return bad("its blobs are malformed");
      const ByteView bytes = cursor.take(size);
      if (sha256(bytes) != digest)
        return bad(fmt::format("blob {} has another digest", to_hex(digest.view())));
      part.blobs.push_back({digest, {bytes.begin(), bytes.end()}});
      ++blobs_;
    }
    return {};
  }

  Status check_trailer(ByteView raw, const Digest& before) {
    if (raw.size() != kTrailerBytes) return bad("the trailer is malformed");
    Cursor cursor(raw);
    const uint64_t entries = cursor.number(8), blobs = cursor.number(8);
    if (entries != entries_ || entries != head_.entries)
      return bad(fmt::format("the trailer counts {} entries, the head {}, found were {}", entries,
                             head_.entries, entries_));
    if (blobs != blobs_)
      return bad(fmt::format("the trailer counts {} blobs, found were {}", blobs, blobs_));
    if (*Digest::from(cursor.take(32)) != before)
      return bad("the SHA-256 of what precedes it is not the trailer's");
    uint8_t more = 0;
    auto rest = source_(std::span(&more, 1));
    if (!rest) return std::unexpected(std::move(rest).error());
    if (*rest > 0) return bad("there are bytes after the trailer");
    finished_ = true;
    return {};
  }

  ByteSource source_;
  ArchiveHead head_;
  Sha256 hash_;
  Kind kind_{};
  uint32_t ordinal_ = 0;
  uint64_t record_at_ = 0, entries_ = 0, blobs_ = 0, bytes_ = 0;
  bool finished_ = false;
};

ArchiveReader::ArchiveReader(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
ArchiveReader::ArchiveReader(ArchiveReader&&) noexcept = default;
ArchiveReader& ArchiveReader::operator=(ArchiveReader&&) noexcept = default;
ArchiveReader::~ArchiveReader() = default;

Result<ArchiveReader> ArchiveReader::open(ByteSource source) {
  auto impl = std::make_unique<Impl>(std::move(source));
  MESH_TRY(impl->open());
  return ArchiveReader(std::move(impl));
}
const ArchiveHead& ArchiveReader::head() const { return impl_->head(); }
Result<std::optional<ArchivePart>> ArchiveReader::next() { return impl_->next(); }
uint64_t ArchiveReader::bytes() const { return impl_->bytes(); }

Result<ByteSource> read_file(const std::filesystem::path& path) {
  std::FILE* opened = std::fopen(path.c_str(), "rbe");
  if (!opened)
    return fail(errno == ENOENT ? Errc::not_found : Errc::io,
                fmt::format("{} cannot be read: {}", path.string(), std::strerror(errno)));
  std::shared_ptr<std::FILE> file(opened, [](std::FILE* f) { std::fclose(f); });
  return ByteSource([file, path](std::span<uint8_t> buffer) -> Result<size_t> {
    const size_t got = std::fread(buffer.data(), 1, buffer.size(), file.get());
    if (got == 0 && std::ferror(file.get()))
      return fail(Errc::io, fmt::format("reading {}: {}", path.string(), std::strerror(errno)));
    return got;
  });
}

}  // namespace mesh
