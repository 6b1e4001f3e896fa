// Reads what the bus gave, with the signatures of requests checked on all cores.
#pragma once

#include <functional>
#include <optional>
#include <span>
#include <vector>

#include "broker/arrival.h"
#include "broker/bus/reactor.h"
#include "broker/bus/server.h"

namespace mesh::meshd {

/// One thread owns it; the workers see only what they were given, and nothing of theirs outlives a
/// call.
class FrameReader {
 public:
  /// Up to so many requests are checked by the calling thread alone: to wake another core takes as
  /// long.
  static constexpr size_t kCheckedAlone = 4;

  /// `helpers`: threads beside the calling one. They are the reader's own, because a long
  /// compilation must not hold up a request.
  explicit FrameReader(size_t helpers) : helpers_(helpers), pool_(helpers, [] {}) {}

  using Signer = std::function<std::optional<SignKey>(const SessionId&)>;
  /// Arrival i is read_frame of frame i. `signer` says whose signature a session's request has to
  /// bear, if any. The calling thread works too and returns when all are read.
  std::vector<Arrival> read(std::vector<Incoming>& frames, const Signer& signer);

 private:
  size_t helpers_;
  WorkerPool pool_;
};

}  // namespace mesh::meshd
