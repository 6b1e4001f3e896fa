// An entry as the log, the bus and the replicas carry it: two byte strings that only the codec
// understands.
#pragma once

#include "eventstore/model/ids.h"

namespace mesh {

struct EncodedEntry {
  Bytes header;  // the Merkle leaf; names the body's parts by their hashes
  Bytes body;    // signed request, context and events; may be absent where only the header was sent
  size_t size() const { return header.size() + body.size(); }
  bool operator==(const EncodedEntry&) const = default;
};

}  // namespace mesh
