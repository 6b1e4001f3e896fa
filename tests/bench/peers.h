// Many CURVE clients in one thread: the load. Raw libzmq sockets, so that the client costs as
// little as possible and the same for our controller and for the raw parts beside it.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "broker/bus/keys.h"
#include "eventstore/model/result.h"

namespace mesh::bench {

enum class PeerKind : uint8_t { dealer, sub, pull };

/// One thread owns it. Sockets are numbered from 0 in the order of their keys.
class Peers {
 public:
  Peers(PeerKind kind, const std::string& endpoint, const BoxKey& server,
        const std::vector<const BoxSecret*>& keys);
  ~Peers();
  Peers(const Peers&) = delete;
  Peers& operator=(const Peers&) = delete;

  size_t size() const;
  void send(size_t peer, ByteView frame);
  using Got = std::function<void(size_t peer, ByteView frame)>;
  /// Hands over everything that waits; when that is nothing, waits up to `timeout_us` for
  /// something. Returns the number of frames.
  size_t receive(int64_t timeout_us, const Got& got);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

/// Makes the limit of descriptors as high as it may be: two for each socket.
void raise_descriptor_limit();

/// Microseconds of the monotonic clock.
int64_t now_us();

/// What a closed or open loop of requests showed.
struct LoadResult {
  double seconds = 0;
  std::vector<double> latencies_us;
  std::vector<Bytes> replies;
};
/// Each peer sends its next frame when the last was answered, until all `frames` are; frame i
/// belongs to peer i modulo their number. Errors: timeout.
Result<LoadResult> closed_loop(Peers& peers, const std::vector<Bytes>& frames);
/// Frame i leaves at i / `per_second`, whether or not the others were answered; latency counts from
/// that moment, so a stall is not hidden. Answers on one connection come in order. Errors: timeout.
Result<LoadResult> open_loop(Peers& peers, const std::vector<Bytes>& frames, double per_second);

}  // namespace mesh::bench
