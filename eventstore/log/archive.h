// A backup as one file: written and read as a stream of bytes, without seeking.
//
// Format 1. Integers are big-endian.
//
//   file    = "meshlog backup 1\n" log:16 entries:u64 crc32c:u32    over what is before it
//             note (entries | blobs)* trailer
//   record  = kind:u8 ordinal:u32 stored:u32 raw:u32 payload_crc32c:u32 header_crc32c:u32 payload
//   payload = `stored` bytes: a zstd frame of `raw` bytes, or those bytes themselves when stored =
//   raw
//
//   kind 1, note     the signed checkpoint that covers exactly `entries` entries
//   kind 2, entries  (header_length:u32 body_length:u32 header body)*    in order, from entry 1 on
//   kind 3, blobs    (digest:32 length:u32 bytes)*
//   kind 4, trailer  entries:u64 blobs:u64 sha256:32    over every byte before this record
//
// Records are numbered from 0, so that a missing or swapped one is named and not only found.
#pragma once

#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "eventstore/log/event_log.h"

namespace mesh {

/// Takes bytes in order.
using ByteSink = std::function<Status(ByteView)>;
/// Fills the front of a buffer and returns how many bytes; 0 only at the end.
using ByteSource = std::function<Result<size_t>(std::span<uint8_t>)>;

struct ArchiveHead {
  LogId log;
  uint64_t entries = 0;  // 1 to this one are in it
  std::string note;      // the checkpoint over them; opaque here, the reader's user checks it
};

/// What one record holds: entries that follow the ones before, or blobs in any order.
struct ArchivePart {
  std::vector<EncodedEntry> entries;
  std::vector<Blob> blobs;
};

/// Writes one backup. Holds about 1 MiB. Not thread-safe. After an error the output is worthless.
class ArchiveWriter {
 public:
  /// Errors: those of `sink`, exhausted (a note beyond its limit).
  static Result<ArchiveWriter> start(ByteSink sink, ArchiveHead head);
  ArchiveWriter(ArchiveWriter&&) noexcept;
  ArchiveWriter& operator=(ArchiveWriter&&) noexcept;
  ~ArchiveWriter();

  /// The next entry. Errors: usage (more than the head announced), exhausted (kHeaderBytesMax,
  /// kEntryBytesMax), those of the sink.
  Status add_entry(const EncodedEntry& entry);
  /// Each blob once. Errors: usage (a wrong digest), exhausted (kBlobBytesMax), those of the sink.
  Status add_blob(const Blob& blob);
  /// The last call. Errors: usage (fewer entries than the head announced), those of the sink.
  Status finish();
  /// Handed to the sink so far.
  uint64_t bytes() const;

 private:
  class Impl;
  explicit ArchiveWriter(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

/// Reads a backup once, from its beginning. Every length is checked against its limit before
/// memory is taken; a damaged record is never passed on. What it has read is intact and complete
/// only once next() has returned nothing.
///
/// Errors: invalid (no backup), unsupported (a newer format), corrupt (names the record, its byte
/// and where in the log it stands: truncated, damaged, missing, in a wrong place, not what the
/// trailer says), those of the source.
class ArchiveReader {
 public:
  static Result<ArchiveReader> open(ByteSource source);
  ArchiveReader(ArchiveReader&&) noexcept;
  ArchiveReader& operator=(ArchiveReader&&) noexcept;
  ~ArchiveReader();

  const ArchiveHead& head() const;
  /// The next record, or nothing when the trailer confirmed all of them. Blobs have their digests.
  Result<std::optional<ArchivePart>> next();
  /// Consumed so far.
  uint64_t bytes() const;

 private:
  class Impl;
  explicit ArchiveReader(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

/// A file as a source. Errors: not_found, io.
Result<ByteSource> read_file(const std::filesystem::path& path);

}  // namespace mesh
