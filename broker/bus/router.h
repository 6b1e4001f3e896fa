// Internal to this folder: one CURVE ROUTER in its own context, with its ZAP handler and its
// connection limits.
//
// libzmq can limit neither the number of connections nor the parts of a message, and cannot
// disconnect a peer. So a Router keeps the descriptors that its monitor reports, and cuts a
// connection with shutdown(2). A report can be older than its descriptor, which may by then belong
// to another connection of this process: that one returns after its pause. A file is not hurt by a
// shutdown.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <string>

#include "broker/bus/server.h"

namespace zmq {
class message_t;
}
struct zmq_pollitem_t;

namespace mesh::bus {

using Clock = std::chrono::steady_clock;

/// Permits at most `per_second` on average, and twice as many at once.
class Bucket {
 public:
  explicit Bucket(int per_second) : rate_(per_second), level_(2.0 * per_second) {}
  bool take(Clock::time_point now);
  bool empty(Clock::time_point now);

 private:
  void refill(Clock::time_point now);
  double rate_;
  double level_;
  Clock::time_point at_{};
};

enum class Verdict : uint8_t { admit, refuse, later };

struct RouterOptions {
  std::vector<std::string> endpoints;  // at least one
  size_t frame_max;
  size_t connections_max;
  int handshake_ms;
  int backlog;
  int heartbeat_ms;
  int heartbeat_timeout_ms;
  int queue_max;
  int receive_queue_max;
  int linger_ms;
  bool enrolment = false;  // and then:
  size_t bytes_per_connection = 0;
  int connection_ms = 0;
  std::function<Verdict(const BoxKey&)> verdict;
};

class Router {
 public:
  static constexpr size_t kPollItems = 3;
  static constexpr int kServeMs = 100;

  static Result<std::unique_ptr<Router>> open(const BoxSecret& secret, RouterOptions options);
  ~Router();

  /// As asked for, with their real ports.
  const std::vector<std::string>& endpoints() const;
  /// Fills kPollItems items; with `frames` false, frames are left waiting.
  void watch(zmq_pollitem_t* items, bool frames) const;
  /// Answers all ZAP questions and takes all monitor reports. For strangers call it at least every
  /// kServeMs: it cuts their connections that sent more than bytes_per_connection or are older than
  /// connection_ms.
  void serve(ServerStats& stats);
  /// One frame that waits, appended to `out`. False when none waits; true also for one that was
  /// dropped.
  bool receive(std::vector<Incoming>& out, ServerStats& stats);
  /// Cuts the connection that the last frame came over, whose peer returns only if it is admitted
  /// then.
  void cut_source(ServerStats& stats);
  /// Sends a second reference to `frame`.
  Status send(uint32_t connection, zmq::message_t& frame);
  /// Stops listening; the ports are free on return.
  void unbind();

 private:
  struct Impl;
  explicit Router(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace mesh::bus
