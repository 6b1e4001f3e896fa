// Claim: a client finds the controller that takes it, comes back by itself, and says why when it
// cannot. Method: real sockets on loopback; servers end, return and change while the client is
// turned.
#include "broker/bus/client.h"

#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <thread>

#include "tests/unit/bus/bus_test.h"

namespace mesh::test {

namespace {

// A loopback port where nobody listens, held for as long as it lives.
class ClosedPort {
 public:
  ClosedPort() : fd_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    EXPECT_EQ(::bind(fd_, reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
    socklen_t size = sizeof address;
    EXPECT_EQ(::getsockname(fd_, reinterpret_cast<sockaddr*>(&address), &size), 0);
    endpoint_ = "tcp://127.0.0.1:" + std::to_string(ntohs(address.sin_port));
  }
  ~ClosedPort() { ::close(fd_); }
  const std::string& endpoint() const { return endpoint_; }

 private:
  int fd_;
  std::string endpoint_;
};

}  // namespace

using ClientTest = Loopback;

TEST_F(ClientTest, ReturnsAfterTheServerRestarts) {
  start();
  const std::string endpoint = server->bound_endpoint();
  Peer& peer = connect();
  ASSERT_TRUE(until_connected(peer));
  for (size_t round = 1; round <= 3; ++round) {
    server.reset();
    ASSERT_TRUE(
        until([&] { return peer.count(Kind::disconnected) == round && !peer.bus->connected(); }));
    EXPECT_EQ(peer.bus->send(as_bytes("x")).error().code, Errc::unavailable);
    start(options(endpoint));
    ASSERT_TRUE(until_connected(peer));
    ASSERT_TRUE(peer.bus->send(as_bytes("back")));
    ASSERT_TRUE(until([&] { return peer.count(Kind::frame) == round; }));
  }
}

TEST_F(ClientTest, WhatCameBeforeTheEndIsDelivered) {
  start();
  Peer& peer = connect();
  ASSERT_TRUE(until_connected(peer));
  ASSERT_TRUE(peer.bus->send(as_bytes("hello")));
  echo = false;
  ASSERT_TRUE(until([&] { return incoming.size() == 1; }));
  constexpr size_t kFrames = 200;
  for (size_t i = 0; i < kFrames; ++i)
    ASSERT_TRUE(server->send(incoming[0].session, bytes(std::to_string(i))));
  server.reset();  // lingers until they have left
  ASSERT_TRUE(until([&] { return peer.count(Kind::disconnected) == 1; }));
  EXPECT_EQ(peer.frames().size(), kFrames);
  const auto end = std::ranges::find(peer.events, Kind::disconnected, &ClientEvent::kind);
  EXPECT_EQ(std::ranges::find(end, peer.events.end(), Kind::frame, &ClientEvent::kind),
            peer.events.end());
}

TEST_F(ClientTest, WalksTheListPastDeadAndForeignControllers) {
  start();
  ClosedPort dead;
  auto other = BusServer::open(BoxSecret::generate(), options());
  ASSERT_TRUE(other);
  Answering answering(**other);
  Peer& peer = connect(client_options({{dead.endpoint(), secret.public_key()},
                                       {(*other)->bound_endpoint(), secret.public_key()},
                                       {server->bound_endpoint(), secret.public_key()}}),
                       true);
  ASSERT_TRUE(until_connected(peer));
  ASSERT_GE(peer.events.size(), 3u);
  EXPECT_EQ(peer.events[0].kind, Kind::unreachable) << peer.events[0].detail;
  EXPECT_NE(peer.events[0].detail.find(dead.endpoint()), std::string::npos);
  EXPECT_EQ(peer.events[1].kind, Kind::refused) << peer.events[1].detail;
  EXPECT_NE(peer.events[1].detail.find("ended the handshake"), std::string::npos)
      << peer.events[1].detail;
  EXPECT_EQ(peer.events[2].kind, Kind::connected);
  EXPECT_EQ(peer.bus->endpoint().address, server->bound_endpoint());
}

TEST_F(ClientTest, TheSecondControllerTakesOverAndTheFirstIsPreferred) {
  start();
  const std::string first = server->bound_endpoint();
  auto second = BusServer::open(secret, options());
  ASSERT_TRUE(second);
  Peer& peer = connect(client_options({{first, secret.public_key()},
                                       {(*second)->bound_endpoint(), secret.public_key()}}),
                       true);
  ASSERT_TRUE(until_connected(peer));
  EXPECT_EQ(peer.bus->endpoint().address, first);

  server = std::move(*second);  // the first ends here
  ASSERT_TRUE(until([&] { return peer.count(Kind::connected) == 2; }));
  EXPECT_EQ(peer.bus->endpoint().address, server->bound_endpoint());

  auto returned = BusServer::open(secret, options(first));
  ASSERT_TRUE(returned);
  server = std::move(*returned);
  ASSERT_TRUE(until([&] { return peer.count(Kind::connected) == 3; }));
  EXPECT_EQ(peer.bus->endpoint().address, first);
}

TEST_F(ClientTest, NewEndpointsActAtOnce) {
  start();
  auto o = client_options({{server->bound_endpoint(), secret.public_key()}});
  Peer& peer = connect(o, true);
  ASSERT_TRUE(until_connected(peer));

  auto list = o.endpoints;
  list.push_back({"tcp://127.0.0.1:9", secret.public_key()});
  ASSERT_TRUE(peer.bus->set_endpoints(list));
  EXPECT_TRUE(peer.bus->connected()) << "the endpoint in use is still listed";

  EXPECT_EQ(peer.bus->set_endpoints({}).error().code, Errc::usage);
  auto moved = BusServer::open(secret, options());
  ASSERT_TRUE(moved);
  ASSERT_TRUE(peer.bus->set_endpoints({{(*moved)->bound_endpoint(), secret.public_key()}}));
  EXPECT_FALSE(peer.bus->connected());
  server = std::move(*moved);
  ASSERT_TRUE(until_connected(peer));
  EXPECT_EQ(peer.count(Kind::disconnected), 1u);
  EXPECT_EQ(peer.bus->endpoint().address, server->bound_endpoint());
}

TEST_F(ClientTest, BadListsAreUsageErrors) {
  BoxSecret key = BoxSecret::generate();
  auto code = [&](std::vector<Endpoint> endpoints) {
    auto opened = BusClient::open(key, client_options(std::move(endpoints)));
    return opened ? Errc{} : opened.error().code;
  };
  EXPECT_EQ(code({}), Errc::usage);
  EXPECT_EQ(code(std::vector<Endpoint>(kClientEndpointsMax + 1, {"tcp://127.0.0.1:1", {}})), Errc::usage);
  for (const char* bad :
       {"127.0.0.1:7400", "tcp://127.0.0.1", "tcp://127.0.0.1:0", "tcp://:7400", "tcp://h:99999"}) {
    EXPECT_EQ(code({{bad, {}}}), Errc::usage) << bad;
  }
}

TEST_F(ClientTest, WaitConnectedForCommandLines) {
  start();
  Answering answering(*server);
  const Endpoint good{server->bound_endpoint(), secret.public_key()};
  ClosedPort dead;

  BoxSecret stranger = BoxSecret::generate();
  auto refused =
      (*BusClient::open(stranger, client_options({{dead.endpoint(), secret.public_key()}, good})))
          ->wait_connected(30'000);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, Errc::unauthenticated)
      << "a refusal says more than a dead endpoint";

  auto unreachable =
      (*BusClient::open(stranger, client_options({{dead.endpoint(), secret.public_key()}})))
          ->wait_connected(30'000);
  ASSERT_FALSE(unreachable);
  EXPECT_EQ(unreachable.error().code, Errc::unavailable);
  EXPECT_NE(unreachable.error().message.find(dead.endpoint()), std::string::npos);

  // A listener that never answers: the kernel takes the connection, nobody speaks.
  int silent = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  ASSERT_EQ(::bind(silent, reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
  ASSERT_EQ(::listen(silent, 1), 0);
  socklen_t size = sizeof address;
  ASSERT_EQ(::getsockname(silent, reinterpret_cast<sockaddr*>(&address), &size), 0);
  const std::string mute = "tcp://127.0.0.1:" + std::to_string(ntohs(address.sin_port));
  auto late = (*BusClient::open(stranger, client_options({{mute, secret.public_key()}})))
                  ->wait_connected(50);
  ::close(silent);
  ASSERT_FALSE(late);
  EXPECT_EQ(late.error().code, Errc::timeout);
}

TEST_F(ClientTest, UnresolvableNamesAreUnreachable) {
  auto o = client_options({{"tcp://no-such-host.invalid:7400", secret.public_key()}});
  o.connect_ms = 200;
  Peer& peer = connect(o, true);
  ASSERT_TRUE(until([&] { return peer.count(Kind::unreachable) >= 1; }));
}

TEST_F(ClientTest, PollReturnsForWakeAndWatched) {
  ClosedPort dead;
  auto o = client_options({{dead.endpoint(), secret.public_key()}});
  o.backoff_min_ms = o.backoff_max_ms = 3'600'000;
  Peer& peer = connect(o, true);
  ASSERT_TRUE(until([&] { return peer.count(Kind::unreachable) == 1; }));
  std::thread worker([&] { peer.bus->wake(); });
  EXPECT_TRUE(peer.bus->poll(-1).empty());
  worker.join();
  WakeFd mine;
  mine.signal();
  std::array<Watched, 1> watched{{{mine.fd()}}};
  EXPECT_TRUE(peer.bus->poll(-1, watched).empty());
  EXPECT_TRUE(watched[0].readable);
}

}  // namespace mesh::test
