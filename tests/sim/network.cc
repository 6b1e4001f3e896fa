#include "tests/sim/network.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "schemas/codec.h"

namespace mesh::sim {

LineId Network::add_line(std::string name, const BoxKey& key, bool enrolment, ClientEnd& client) {
  Line line;
  line.name = std::move(name);
  line.key = key;
  line.enrolment = enrolment;
  line.client = &client;
  lines_.push_back(std::move(line));
  return lines_.size() - 1;
}

// --- connections ---

void Network::open(LineId id) {
  lines_[id].wanted = true;
  dial(id, random_.between(1, 50));
}

void Network::dial(LineId id, int64_t delay) {
  const uint64_t attempt = ++lines_[id].attempt;
  clock_.after(delay, [this, id, attempt] { try_connect(id, attempt); });
}

void Network::try_connect(LineId id, uint64_t attempt) {
  Line& line = lines_[id];
  if (!line.wanted || line.attempt != attempt) return;
  const bool reachable = server_up_ && !line.up_blocked && !line.down_blocked;
  if (!reachable || (line.enrolment && !server_->enrolment_open()))
    return dial(id, random_.between(200, 2'000));
  if (!line.enrolment && !server_->admits(line.key)) {
    trace_.add(line.name + " is refused");
    dial(id, random_.between(1'000, 5'000));
    return line.client->refused();
  }
  if (!line.enrolment) muted_.erase(line.key);
  auto connection = std::make_shared<Connection>();
  connection->line = id;
  connection->session = {line.key, next_connection_++, line.enrolment};
  sessions_[connection->session] = connection;
  clock_.after(random_.between(1, 20), [this, connection, attempt] {
    Line& there = lines_[connection->line];
    if (there.attempt != attempt || !there.wanted) return;
    if (connection->cut) return dial(connection->line, random_.between(100, 2'000));
    there.connection = connection;
    trace_.add(fmt::format("{} connected ({})", there.name, connection->session.connection));
    there.client->connected();
  });
}

void Network::close(LineId id) {
  Line& line = lines_[id];
  line.wanted = false;
  ++line.attempt;
  auto connection = std::exchange(line.connection, nullptr);
  if (!connection) return;
  connection->client_open = false;
  connection->cut = true;
  connection->down.clear();
  lose_tail(connection->up);
  clock_.after(random_.between(0, 3'000), [connection] { connection->server_open = false; });
}

void Network::break_connection(LineId id) {
  auto connection = lines_[id].connection;
  if (!connection || connection->cut) return;
  trace_.add("the connection of " + lines_[id].name + " breaks");
  connection->cut = true;
  lose_tail(connection->up);
  lose_tail(connection->down);
  client_notices(connection, random_.between(0, 300));
  clock_.after(random_.between(0, 3'000), [connection] { connection->server_open = false; });
}

void Network::server_gone() {
  server_up_ = false;
  for (auto& [session, connection] : sessions_) {
    connection->server_open = false;
    connection->cut = true;
    connection->up.clear();
    lose_tail(connection->down);
    const Line& line = lines_[connection->line];
    // Behind a partition nobody hears the reset: silence tells.
    if (line.connection == connection && !line.down_blocked)
      client_notices(connection, random_.between(0, 300));
  }
  sessions_.clear();
  muted_.clear();
}

void Network::client_notices(const ConnectionPtr& connection, int64_t delay) {
  clock_.after(delay, [this, connection] {
    Line& line = lines_[connection->line];
    connection->client_open = false;
    if (line.connection != connection) return;
    line.connection = nullptr;
    trace_.add(line.name + " lost its connection");
    dial(connection->line, random_.between(100, 2'000));
    line.client->disconnected();
  });
}

void Network::lose_tail(std::deque<Flight>& queue) {
  queue.resize(static_cast<size_t>(random_.below(queue.size() + 1)));
}

void Network::partition(LineId id, bool to_server, bool to_client) {
  Line& line = lines_[id];
  line.up_blocked = to_server;
  line.down_blocked = to_client;
  for (auto& [session, connection] : sessions_) {
    if (connection->line != id) continue;
    pump(connection, true);
    pump(connection, false);
  }
  auto connection = line.connection;
  if (connection) pump(connection, false);
  const bool unheard = connection && connection->cut && connection->client_open && !to_client;
  if (unheard) client_notices(connection, random_.between(0, 300));
}

void Network::calm() {
  hostile_ = false;
  for (LineId id = 0; id < lines_.size(); ++id) {
    slow(id, 0);
    if (lines_[id].up_blocked || lines_[id].down_blocked) partition(id, false, false);
  }
}

// --- frames ---

void Network::send(LineId id, Bytes frame) {
  auto connection = lines_[id].connection;
  if (!connection || connection->cut) return;
  put(connection, true, std::make_shared<const Bytes>(std::move(frame)));
}

std::set<BoxKey> Network::heard_keys() const {
  std::set<BoxKey> out;
  for (const auto& [session, connection] : sessions_)
    if (connection->server_open && !session.enrolment && !muted_.contains(session.user)) out.insert(session.user);
  return out;
}

bool Network::send_to(const SessionId& session, const Frame& frame) {
  if (!session.enrolment && muted_.contains(session.user)) return false;
  auto found = sessions_.find(session);
  if (found == sessions_.end()) return false;
  auto connection = found->second;
  if (!connection->server_open || connection->down.size() >= queue_max_) {
    connection->server_open = false;
    sessions_.erase(found);
    return false;
  }
  if (!connection->cut) put(connection, false, frame);
  return true;
}

void Network::put(const ConnectionPtr& connection, bool up, std::shared_ptr<const Bytes> frame) {
  auto& queue = up ? connection->up : connection->down;
  const int64_t pause = up ? 0 : lines_[connection->line].slow_ms;
  int64_t ready = clock_.now() + random_.between(0, random_.one_in(20) ? 400 : 20);
  if (!queue.empty()) ready = std::max(ready, queue.back().ready + pause);
  queue.push_back({ready + pause, std::move(frame)});
  if (hostile_) disturb(queue, up);
  pump(connection, up);
}

/// What CURVE over TCP rules out, and nobody may rely on.
void Network::disturb(std::deque<Flight>& queue, bool up) {
  if (random_.one_in(40)) return queue.pop_back();
  if (random_.one_in(12)) queue.push_back(queue.back());
  if (queue.size() > 1 && random_.one_in(12))
    std::swap(queue.back().frame, queue[queue.size() - 2].frame);
  if (up || !random_.one_in(25)) return;
  auto message = decode_message(*queue.back().frame);
  // What is not signed is believed: only proofs are put to the test.
  const bool proved = message && (std::holds_alternative<Entries>(message->body) ||
                                  std::holds_alternative<SnapshotChunk>(message->body) ||
                                  std::holds_alternative<BlobChunk>(message->body));
  if (!proved || lines_.empty()) return;
  Bytes bytes = *queue.back().frame;
  bytes[random_.below(bytes.size())] ^= static_cast<uint8_t>(1u << random_.below(8));
  queue.back().frame = std::make_shared<const Bytes>(std::move(bytes));
}

void Network::slow(LineId id, int64_t milliseconds) {
  lines_[id].slow_ms = milliseconds;
  if (milliseconds != 0) return;
  const auto hurry = [&](const ConnectionPtr& connection) {
    for (Flight& flight : connection->down) flight.ready = std::min(flight.ready, clock_.now());
    connection->pumping_down = false;
    pump(connection, false);
  };
  // One that the controller has given up still has frames on their way.
  if (lines_[id].connection) hurry(lines_[id].connection);
  for (auto& [session, connection] : sessions_)
    if (connection->line == id && connection != lines_[id].connection) hurry(connection);
}

void Network::pump(const ConnectionPtr& connection, bool up) {
  auto& queue = up ? connection->up : connection->down;
  bool& pumping = up ? connection->pumping_up : connection->pumping_down;
  const Line& line = lines_[connection->line];
  if (pumping || queue.empty() || (up ? line.up_blocked : line.down_blocked)) return;
  pumping = true;
  const int64_t delay = std::max<int64_t>(0, queue.front().ready - clock_.now());
  clock_.after(delay, [this, connection, up] {
    (up ? connection->pumping_up : connection->pumping_down) = false;
    deliver_next(connection, up);
  });
}

void Network::deliver_next(const ConnectionPtr& connection, bool up) {
  auto& waiting = up ? connection->up : connection->down;
  const Line& line = lines_[connection->line];
  if (waiting.empty() || (up ? line.up_blocked : line.down_blocked)) return;
  if (waiting.front().ready > clock_.now()) return pump(connection, up);
  auto frame = std::move(waiting.front().frame);
  waiting.pop_front();
  pump(connection, up);
  const bool muted = !connection->session.enrolment && muted_.contains(connection->session.user);
  if (up && connection->server_open && server_up_ && !muted)
    server_->arrived(connection->session, *frame);
  if (!up && connection->client_open && line.connection == connection) line.client->arrived(*frame);
}

}  // namespace mesh::sim
