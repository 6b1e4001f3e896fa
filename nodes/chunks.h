// Puts together what comes in pieces: snapshots and blobs.
#pragma once

#include <optional>

#include "eventstore/model/ids.h"
#include "eventstore/model/limits.h"

namespace mesh {

class Chunks {
 public:
  /// The whole, when `piece` was its last part. `key` names what it belongs to: another key starts anew. A piece that
  /// is already there is ignored; one that is too far, too long or of another total starts anew.
  std::optional<Bytes> add(ByteView key, uint64_t offset, uint64_t total, ByteView piece) {
    const Bytes name(key.begin(), key.end());
    if (name != key_ || total != total_ || offset == 0) {
      key_ = name;
      total_ = total;
      bytes_.clear();
    }
    const bool fits = total <= kBlobBytesMax && offset <= total && piece.size() <= total - offset;
    if (!fits || offset > bytes_.size()) {
      reset();
      return std::nullopt;
    }
    if (offset == bytes_.size()) bytes_.insert(bytes_.end(), piece.begin(), piece.end());
    if (bytes_.size() != total_ || total_ == 0) return std::nullopt;
    auto whole = std::move(bytes_);
    reset();
    return whole;
  }
  void reset() {
    key_.clear();
    bytes_.clear();
    total_ = 0;
  }

 private:
  Bytes key_, bytes_;
  uint64_t total_ = 0;
};

}  // namespace mesh
