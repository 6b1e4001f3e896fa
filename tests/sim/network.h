// A simulated bus: what ZeroMQ over TCP does with frames, seen from both ends.
//
// A line is one client's way to the controller, with at most one connection at a time; it is
// dialled until it stands. Frames of one connection and direction keep their order, arrive late,
// and are lost only with their connection, from some point on. Either end learns of a loss late;
// the controller only when it sends. A partition holds frames back, in one direction or both, and
// may last until somebody gives up; one that ends earlier is a clog: what waited arrives at once.
// Hostile mode breaks the promises on purpose: frames twice, in another order, lost one by one, with
// flipped bits.
#pragma once

#include <deque>
#include <map>
#include <memory>
#include <set>
#include <string>

#include "broker/output.h"
#include "tests/sim/random.h"
#include "tests/sim/scheduler.h"
#include "tests/sim/trace.h"

namespace mesh::sim {

class ServerEnd {
 public:
  virtual ~ServerEnd() = default;
  virtual bool admits(const BoxKey& key) = 0;
  virtual bool enrolment_open() = 0;
  virtual void arrived(const SessionId& session, const Bytes& frame) = 0;
};

class ClientEnd {
 public:
  virtual ~ClientEnd() = default;
  virtual void connected() = 0;
  virtual void disconnected() = 0;
  virtual void refused() = 0;
  virtual void arrived(const Bytes& frame) = 0;
};

using LineId = size_t;

class Network {
 public:
  Network(Scheduler& clock, Trace& trace, Random random)
      : clock_(clock), trace_(trace), random_(random) {}

  void attach(ServerEnd& server) { server_ = &server; }
  void server_started() { server_up_ = true; }
  /// The process is gone, and every connection with it.
  void server_gone();

  /// `client` must outlive the network.
  LineId add_line(std::string name, const BoxKey& key, bool enrolment, ClientEnd& client);
  void open(LineId line);
  /// The client's process closes, or is gone: it hears nothing more.
  void close(LineId line);
  bool is_connected(LineId line) const { return lines_[line].connection != nullptr; }
  void send(LineId line, Bytes frame);
  /// False when the peer is known to be gone or muted: forget the session.
  bool send_to(const SessionId& session, const Frame& frame);
  void mute(const BoxKey& key) { muted_.insert(key); }
  /// Whose frames would reach the server. Not those of the enrolment socket.
  std::set<BoxKey> heard_keys() const;

  // Faults.
  void break_connection(LineId line);
  void partition(LineId line, bool to_server, bool to_client);
  /// Between any two frames to the client; 0 = as fast as they come.
  void slow(LineId line, int64_t milliseconds);
  void set_hostile(bool hostile) { hostile_ = hostile; }
  /// Frames that may wait for one session before it counts as gone.
  void set_queue_max(size_t frames) { queue_max_ = frames; }
  /// No partition, no slowness, no hostility from now on.
  void calm();
  size_t lines() const { return lines_.size(); }
  const std::string& name(LineId line) const { return lines_[line].name; }

 private:
  struct Flight {
    int64_t ready = 0;
    std::shared_ptr<const Bytes> frame;
  };
  struct Connection {
    LineId line = 0;
    SessionId session;
    bool client_open = true, server_open = true;
    bool cut = false;  // nothing new gets through
    std::deque<Flight> up, down;
    bool pumping_up = false, pumping_down = false;
  };
  using ConnectionPtr = std::shared_ptr<Connection>;
  struct Line {
    std::string name;
    BoxKey key;
    bool enrolment = false;
    ClientEnd* client = nullptr;
    bool wanted = false;
    uint64_t attempt = 0;      // dials that belong to an earlier wish are void
    ConnectionPtr connection;  // the client's view
    bool up_blocked = false, down_blocked = false;
    int64_t slow_ms = 0;
  };

  void dial(LineId line, int64_t delay);
  void try_connect(LineId line, uint64_t attempt);
  void put(const ConnectionPtr& connection, bool up, std::shared_ptr<const Bytes> frame);
  void disturb(std::deque<Flight>& queue, bool up);
  void pump(const ConnectionPtr& connection, bool up);
  void deliver_next(const ConnectionPtr& connection, bool up);
  void lose_tail(std::deque<Flight>& queue);
  void client_notices(const ConnectionPtr& connection, int64_t delay);

  Scheduler& clock_;
  Trace& trace_;
  Random random_;
  ServerEnd* server_ = nullptr;
  bool server_up_ = false, hostile_ = false;
  size_t queue_max_ = 10'000;
  uint32_t next_connection_ = 1;
  std::deque<Line> lines_;
  std::map<SessionId, ConnectionPtr> sessions_;
  std::set<BoxKey> muted_;
};

}  // namespace mesh::sim
