// CRC-32C (Castagnoli, RFC 3720 appendix B.4), as in RocksDB's files: finds damage, not forgery.
#pragma once

#include "eventstore/model/ids.h"

namespace mesh {

/// The checksum of what `crc` covers followed by `bytes`; 0 covers nothing. Uses the CPU's
/// instruction where it has one: a table manages 0.4 GB/s, less than RocksDB iterates.
uint32_t crc32c(uint32_t crc, ByteView bytes);
inline uint32_t crc32c(ByteView bytes) { return crc32c(0, bytes); }

}  // namespace mesh
