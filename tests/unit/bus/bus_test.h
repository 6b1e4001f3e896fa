// What the tests of the bus share: a server and clients on loopback, driven in one thread until a
// condition holds.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <functional>
#include <memory>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "broker/bus/client.h"
#include "broker/bus/keys.h"
#include "broker/bus/server.h"

namespace mesh::test {

inline Bytes bytes(std::string_view text) { return {text.begin(), text.end()}; }
inline std::string text(ByteView view) { return std::string(as_text(view)); }

/// A client and all that it was told.
struct Peer {
  BoxSecret secret = BoxSecret::generate();
  std::unique_ptr<BusClient> bus;
  std::vector<ClientEvent> events;

  BoxKey key() const { return secret.public_key(); }
  size_t count(ClientEvent::Kind kind) const {
    return static_cast<size_t>(std::ranges::count(events, kind, &ClientEvent::kind));
  }
  std::vector<std::string> frames() const {
    std::vector<std::string> out;
    for (const ClientEvent& event : events) {
      if (event.kind == ClientEvent::Kind::frame) out.push_back(text(event.frame));
    }
    return out;
  }
};

/// Polls a server in a thread of its own, for tests whose own thread waits.
class Answering {
 public:
  explicit Answering(BusServer& server)
      : server_(server), thread_([this](std::stop_token stop) {
          while (!stop.stop_requested()) (void)server_.poll(-1);
        }) {}
  ~Answering() {
    thread_.request_stop();
    server_.wake();
  }

 private:
  BusServer& server_;
  std::jthread thread_;
};

class Loopback : public ::testing::Test {
 protected:
  using Kind = ClientEvent::Kind;
  static constexpr auto kDeadline = std::chrono::seconds(30);

  BoxSecret secret = BoxSecret::generate();
  std::set<BoxKey> admitted;
  std::unique_ptr<BusServer> server;
  std::vector<Incoming> incoming;
  bool echo = true;
  std::vector<std::unique_ptr<Peer>> peers;

  ServerOptions options(std::string endpoint = "tcp://127.0.0.1:0") {
    ServerOptions o;
    o.endpoint = std::move(endpoint);
    o.admits = [this](const BoxKey& key) { return admitted.contains(key); };
    return o;
  }

  void start(ServerOptions o) {
    auto opened = BusServer::open(secret, std::move(o));
    ASSERT_TRUE(opened) << opened.error().message;
    server = std::move(*opened);
  }
  void start() { start(options()); }

  ClientOptions client_options(std::vector<Endpoint> endpoints) {
    ClientOptions o;
    o.endpoints = std::move(endpoints);
    o.jitter_seed = peers.size();
    o.backoff_min_ms = 10;
    o.backoff_max_ms = 50;
    return o;
  }

  Peer& connect(ClientOptions o, bool admit) {
    auto peer = std::make_unique<Peer>();
    if (admit) admitted.insert(peer->key());
    auto opened = BusClient::open(peer->secret, std::move(o));
    EXPECT_TRUE(opened) << opened.error().message;
    peer->bus = std::move(*opened);
    peers.push_back(std::move(peer));
    return *peers.back();
  }
  Peer& connect(bool admit = true) {
    return connect(client_options({{server->bound_endpoint(), secret.public_key()}}), admit);
  }

  void turn() {
    if (server) {
      for (Incoming& in : server->poll(1)) {
        if (echo) (void)server->send(in.session, in.frame);
        incoming.push_back(std::move(in));
      }
    }
    for (auto& peer : peers) {
      if (!peer->bus) continue;
      for (ClientEvent& event : peer->bus->poll(server ? 0 : 1))
        peer->events.push_back(std::move(event));
    }
  }

  /// Turns server and clients until `condition` holds; false after a deadline that no healthy run
  /// reaches.
  [[nodiscard]] bool until(const std::function<bool()>& condition) {
    const auto end = std::chrono::steady_clock::now() + kDeadline;
    while (!condition()) {
      if (std::chrono::steady_clock::now() > end) return false;
      turn();
    }
    return true;
  }

  [[nodiscard]] bool until_connected(Peer& peer) {
    return until([&] { return peer.bus->connected(); });
  }
};

}  // namespace mesh::test
