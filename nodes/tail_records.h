// The bytes of a replica's tail and snapshot: records with a check of their own (layout: replica_store.h).
#pragma once

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

/// A snapshot file's replica. Errors: corrupt, unsupported.
Result<Replica> unwrap_snapshot(ByteView bytes);

}  // namespace mesh
