// What a node does with entries, without its disk: decode, check, fold.
#pragma once

#include <optional>

#include "eventstore/model/replay.h"
#include "schemas/message.h"

namespace mesh::bench {

class Follower {
 public:
  /// `whole`: as every locked node, with each request's signature and a second decide(). Otherwise
  /// hashes, order, the Merkle root and the fold.
  Follower(const LogId& log, const SignKey& log_key, bool whole)
      : log_(log), log_key_(log_key), whole_(whole) {}

  /// One frame of a subscription. Frames that carry no entries change nothing.
  /// Errors: corrupt, and those of replay.
  Status take(ByteView frame);

  /// Checked against a signed checkpoint up to here.
  Sequence verified() const { return verified_; }
  const Replica& replica() const { return replica_; }
  uint64_t bytes() const { return bytes_; }

 private:
  Status take_entry(const EncodedEntry& encoded);

  LogId log_;
  SignKey log_key_;
  bool whole_;
  Replica replica_;
  Sequence verified_;
  uint64_t bytes_ = 0;  // of entries
};

}  // namespace mesh::bench
