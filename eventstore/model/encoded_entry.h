#pragma once

#include "eventstore/model/ids.h"

namespace mesh {

/// An entry as it is stored and sent. `header` is the Merkle leaf's content; `body` may be empty where only
/// the header travels.
struct EncodedEntry {
  Bytes header;
  Bytes body;
  bool operator==(const EncodedEntry&) const = default;
  size_t size() const { return header.size() + body.size(); }
};

}  // namespace mesh
