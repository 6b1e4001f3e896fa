// The layout of the log's keys and values. Pure bytes; rocks_event_log.cc stores them.
//
// Format 1. Integers are big-endian, so that byte order is numeric order.
//
//   entry     'e' sequence:u64       -> header_length:u32 header body
//   batch     'b' first:u64          -> last:u64 term:u64 root:32 (request:16)*  one per entry
//   tile      't' level:u8 index:u64 -> hash:32 * 126
//   blob      'o' digest:32          -> bytes              ("object"; the digest is the check)
//   snapshot  's' sequence:u64       -> bytes
//   meta      'm' "format"           -> version:u32
//             'm' "log_id"           -> id:16
//             'm' "checkpoint"       -> signed note
//             'm' "snapshots"        -> (sequence:u64)*    ascending
//
// Every value but a blob's is sealed: crc32c:u32 over the key and what follows, so that a record
// that was damaged, cut or copied under another key is found wherever it is read.
//
// One append writes its entries, the tiles they complete, its batch record and the checkpoint in
// one RocksDB batch. The newest batch record is the head. Batch records older than the request
// window are deleted by the append that moves the window past them: one deletion per append, where
// a key per request would need one per entry.
//
// A tile holds the hashes under one node of height 6 * (level + 1): 64 of its height 6 * level,
// then 32, 16, 8, 4, 2 of those above. Only whole tiles are stored, 64 bytes per entry in one put
// per 64 entries; the unfinished ones, at most 4 KiB for each of their levels, are in memory and
// made again at open from the newest 63 entries. Rejected: a key per hash, one more put per entry.
#pragma once

#include <optional>
#include <string>

#include "eventstore/log/tree_tiles.h"
#include "eventstore/model/encoded_entry.h"

namespace mesh::records {

inline constexpr uint32_t kFormat = 1;

std::string entry_key(Sequence sequence);
std::string batch_key(Sequence first);
std::string tile_key(unsigned level, uint64_t index);
std::string blob_key(const Digest& digest);
std::string snapshot_key(Sequence sequence);
std::string meta_key(std::string_view name);

/// The sequence that ends an entry's or a batch's key; nothing for any other key.
std::optional<Sequence> sequence_of(std::string_view key);

/// The checksum that stands before a value made of `parts`.
std::string seal(std::string_view key, std::initializer_list<std::string_view> parts);
/// The value without its checksum, a view into `stored`; nothing when it is damaged.
std::optional<std::string_view> unseal(std::string_view key, std::string_view stored);

struct Batch {
  Sequence first;
  Sequence last;
  uint64_t term = 0;
  Digest root;
  std::vector<RequestId> requests;  // one for each entry, zero where there is none
};

std::string encode_u32(uint32_t value);
std::optional<uint32_t> decode_u32(std::string_view value);
std::string encode_batch(const Batch& batch);
std::optional<Batch> decode_batch(std::string_view key, std::string_view value);
std::optional<EncodedEntry> decode_entry(std::string_view value);
std::string encode_sequences(const std::vector<Sequence>& sequences);
std::optional<std::vector<Sequence>> decode_sequences(std::string_view value);
std::string encode_tile(const Tile& tile);
std::optional<Tile> decode_tile(std::string_view value);

}  // namespace mesh::records
