// A node's or an operator's side of the bus: one CURVE connection to the first controller that
// takes it.
//
// libzmq does not return by itself after a refusal, and alternates between endpoints when given
// several. So each attempt is a socket of its own with one endpoint; its monitor says what became
// of it. Endpoints are tried in order without a pause; after a full round, and after a lost
// connection, there is a jittered exponential pause, and the walk begins at the first again. Frames
// queued when a connection ends are lost: the caller repeats what was not answered. One thread owns
// a BusClient; only wake() may be called from others.
#pragma once

#include <memory>
#include <span>
#include <string>
#include <vector>

#include "broker/bus/keys.h"
#include "broker/bus/wake.h"
#include "eventstore/model/ids.h"
#include "eventstore/model/limits.h"
#include "eventstore/model/result.h"

namespace mesh {

struct Endpoint {
  std::string address;  // "tcp://host:port", "tcp://[2001:db8::1]:7400"
  BoxKey server;        // the only key that may answer there
  auto operator<=>(const Endpoint&) const = default;
};

/// A node also tries where its controller was before, and each address of a name.
inline constexpr size_t kClientEndpointsMax = 64;

struct ClientOptions {
  std::vector<Endpoint> endpoints;  // in order of preference, 1 to kClientEndpointsMax
  uint64_t jitter_seed = 0;         // different for each peer, or all return in the same moment
  int backoff_min_ms = 250;
  int backoff_max_ms = 30'000;
  int connect_ms = 5'000;  // until TCP is up
  int handshake_ms =
      30'000;  // from there until CURVE is; a controller with 10,000 returning nodes needs 8 s
  int heartbeat_ms = 5'000;
  int heartbeat_timeout_ms = 15'000;
  int queue_max = 10'000;  // frames that wait to leave: a fuse
  int linger_ms = 500;     // for the last frames, when the client is destroyed
  size_t frame_max = kFrameBytesMax;
};

struct ClientEvent {
  enum class Kind : uint8_t {
    connected,     // `detail`: the endpoint
    disconnected,  // after connected; `detail`: the endpoint
    refused,      // the handshake failed; `detail` says how: key not admitted, wrong server key, no
                  // controller
    unreachable,  // no connection; `detail` names the endpoint
    frame,        // `frame`, opaque
  };
  Kind kind{};
  Bytes frame;
  std::string detail;
};

class BusClient {
 public:
  /// Does not wait: connecting happens in poll(). Errors: usage (no, too many or malformed
  /// endpoints).
  static Result<std::unique_ptr<BusClient>> open(const BoxSecret& secret, ClientOptions options);
  /// Waits up to linger_ms for frames in flight.
  ~BusClient();
  BusClient(const BusClient&) = delete;
  BusClient& operator=(const BusClient&) = delete;

  /// Waits until there are events, a watched descriptor is readable, wake() was called, or
  /// `timeout_ms` has passed
  /// (-1: for ever); also returns early, empty, on a signal. Between connected and disconnected,
  /// and only there, come frames.
  std::vector<ClientEvent> poll(int timeout_ms, std::span<Watched> watched = {});

  /// For command lines: polls until connected, or until every endpoint has failed once, or the time
  /// is over. Frames that come meanwhile are kept for poll(). Errors: unauthenticated (refused),
  /// unavailable, timeout.
  Status wait_connected(int timeout_ms);

  /// Queues `frame`. Errors: unavailable (not connected), exhausted (queue_max, frame_max).
  Status send(ByteView frame);

  bool connected() const;
  /// The endpoint of the connection, or of the attempt.
  const Endpoint& endpoint() const;

  /// Replaces the list. A connection to an endpoint that is no longer in it ends. Errors as open(),
  /// changing nothing.
  Status set_endpoints(std::vector<Endpoint> endpoints);

  /// Makes poll() return. Any thread.
  void wake();

 private:
  struct Impl;
  explicit BusClient(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace mesh
