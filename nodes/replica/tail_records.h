// The bytes of a replica's tail and snapshot: records with a check of their own (layout: replica_store.h).
#pragma once

#include <string>
#include <string_view>

#include "eventstore/model/encoded_entry.h"
#include "eventstore/model/replay.h"

namespace mesh {

void put_record(Bytes& out, const EncodedEntry& entry);

struct Record {
  enum class Kind : uint8_t { whole, torn, damaged } kind{};
  EncodedEntry entry;
  size_t size = 0;  // in bytes, of a whole one
};
/// The first record of `bytes`.
Record read_record(ByteView bytes);

/// A small file's text with a last line that checks it.
std::string with_check(std::string_view text);
/// The text without that line; a text that has none is from an older program, and is taken as it is. Errors: corrupt.
Result<std::string> without_check(std::string_view text);

/// A snapshot file's replica. Errors: corrupt, unsupported.
Result<Replica> unwrap_snapshot(ByteView bytes);

}  // namespace mesh
