// The controller's side of the bus: a ROUTER for enrolled keys and, while open, one for strangers.
//
// Promises:
// - Every frame comes from a peer that proved it has the secret of `SessionId::user` (CURVE + ZAP);
// on the main
//   socket `admits` agreed when it connected, and the key was not muted since.
// - One frame in, one frame out, opaque, at most `frame_max` bytes. Frames of one session keep
// their order.
// - Nothing here tells when a session ends: send() says `unavailable`, and the caller forgets it.
// - No flow control: the caller sends within a session's credit. `queue_max` is a fuse.
// One thread owns a BusServer; only wake() may be called from others.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "broker/bus/keys.h"
#include "broker/bus/session.h"
#include "broker/bus/wake.h"
#include "eventstore/model/ids.h"
#include "eventstore/model/limits.h"
#include "eventstore/model/result.h"

namespace mesh {

struct Incoming {
  SessionId session;
  Bytes frame;
  std::string address = {};  // of a stranger's machine, as TCP tells it; empty for others
};

struct ServerOptions {
  std::string endpoint;                // "tcp://*:7400"; port 0 takes a free one
  std::vector<std::string> also = {};  // further endpoints of the same socket
  std::function<bool(const BoxKey&)>
      admits;  // asked in poll() for each new connection; from memory
  size_t frame_max = kFrameBytesMax;
  size_t connections_max = kSessionsMax;  // beyond it, the newest connection is cut
  int handshake_ms = 30'000;              // 10,000 returning nodes take 8 s (measured)
  int backlog = 4'096;                    // libzmq's 100 loses connections in such a storm
  int heartbeat_ms = 10'000;
  int heartbeat_timeout_ms = 30'000;  // a silent peer is dropped after it
  int queue_max = 100'000;            // frames waiting for one session: a fuse
  int linger_ms = 500;                // for the last replies, when the server is destroyed
};

struct EnrolmentOptions {
  std::string endpoint;                // "tcp://*:7401"
  std::vector<std::string> also = {};  // as above
  size_t connections_max = kEnrolConnectionsMax;
  size_t bytes_per_connection = kEnrolConnectionBytesMax;
  int connection_ms =
      300'000;  // then it is cut, so that nobody keeps the others out; who waits returns
  int per_second =
      50;  // handshakes, and frames, of all strangers together; bursts of twice as much
};

/// Counters since the start.
struct ServerStats {
  uint64_t admitted = 0;  // handshakes
  uint64_t refused = 0;   // handshakes: key not admitted, or too many strangers
  uint64_t cut = 0;       // connections: over a limit, muted, or strange
  uint64_t frames_in = 0;
  uint64_t frames_out = 0;
  uint64_t dropped_muted = 0;  // frames of muted keys, in and out
  uint64_t dropped_strange =
      0;  // frames of several parts, or under a routing id that the peer chose
};

class BusServer {
 public:
  /// Binds. Errors: conflict (address in use), usage (malformed endpoint), not_permitted
  /// (privileged port), io.
  static Result<std::unique_ptr<BusServer>> open(const BoxSecret& secret, ServerOptions options);
  /// Waits up to linger_ms for frames in flight.
  ~BusServer();
  BusServer(const BusServer&) = delete;
  BusServer& operator=(const BusServer&) = delete;

  /// The first endpoint with its real port, e.g. "tcp://127.0.0.1:40123".
  const std::string& bound_endpoint() const;
  /// All of them.
  const std::vector<std::string>& bound_endpoints() const;

  /// Opens the door for strangers. Errors as open(); conflict also when it is open already.
  Status open_enrolment(const BoxSecret& secret, EnrolmentOptions options);
  /// The port is free when it returns; replies on their way have linger_ms more.
  void close_enrolment();
  /// Empty while closed.
  std::string enrolment_endpoint() const;

  /// Waits until there are frames, a watched descriptor is readable, wake() was called, or
  /// `timeout_ms` has passed
  /// (-1: for ever); also returns early, empty, on a signal. Returns all frames that wait (at most
  /// 64 MiB or 16,384, the rest at once by the next call), so that the caller can commit them as
  /// one group.
  std::vector<Incoming> poll(int timeout_ms, std::span<Watched> watched = {});

  /// Queues `frame`. The buffer is shared, never copied, by all sessions it is sent to in a row.
  /// Errors: unavailable (the peer has gone or is muted); exhausted (queue_max, frame_max).
  Status send(const SessionId& session, const std::shared_ptr<const Bytes>& frame);
  Status send(const SessionId& session, Bytes frame);

  /// From now on nothing comes from `user` and nothing goes to it. libzmq cannot disconnect a peer,
  /// but its connections are cut as soon as they send something, and then it hears that it is
  /// refused. Ends when `admits` agrees to a new connection of the same key.
  void mute(const BoxKey& user);

  /// Makes poll() return. Any thread.
  void wake();

  const ServerStats& stats() const;

 private:
  struct Impl;
  explicit BusServer(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace mesh
