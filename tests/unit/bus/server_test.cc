// Claim: the server takes frames from enrolled keys alone, each with the key that sent it, and a
// revoked one is silent. Method: real sockets on loopback, server and clients turned in one thread
// until a condition holds.
#include <thread>

#include "tests/unit/bus/bus_test.h"

namespace mesh::test {

using ServerTest = Loopback;

TEST_F(ServerTest, KnownKeyIsHeardAndAnswered) {
  start();
  Peer& peer = connect();
  ASSERT_TRUE(until_connected(peer));
  ASSERT_TRUE(peer.bus->send(as_bytes("hello")));
  ASSERT_TRUE(peer.bus->send({}));
  ASSERT_TRUE(until([&] { return peer.count(Kind::frame) == 2; }));
  EXPECT_EQ(peer.frames(), (std::vector<std::string>{"hello", ""}));
  ASSERT_EQ(incoming.size(), 2u);
  EXPECT_EQ(incoming[0].session.user, peer.key());
  EXPECT_FALSE(incoming[0].session.enrolment);
  EXPECT_EQ(peer.events.front().kind, Kind::connected);
}

TEST_F(ServerTest, UnknownKeyIsRefusedAndComesInOnceAdmitted) {
  start();
  Peer& peer = connect(false);
  ASSERT_TRUE(until([&] { return peer.count(Kind::refused) >= 2; }));
  EXPECT_EQ(peer.count(Kind::connected), 0u);
  EXPECT_NE(peer.events.front().detail.find("refused our key"), std::string::npos)
      << peer.events.front().detail;
  EXPECT_EQ(peer.bus->send(as_bytes("x")).error().code, Errc::unavailable);
  EXPECT_TRUE(incoming.empty());

  admitted.insert(peer.key());
  ASSERT_TRUE(until_connected(peer));
  ASSERT_TRUE(peer.bus->send(as_bytes("now")));
  ASSERT_TRUE(until([&] { return peer.frames() == std::vector<std::string>{"now"}; }));
}

TEST_F(ServerTest, RevokedWhileConnectedIsMutedAndThenRefused) {
  start();
  Peer& revoked = connect();
  Peer& other = connect();
  ASSERT_TRUE(until_connected(revoked) && until_connected(other));
  ASSERT_TRUE(revoked.bus->send(as_bytes("before")) && other.bus->send(as_bytes("before")));
  ASSERT_TRUE(
      until([&] { return revoked.count(Kind::frame) == 1 && other.count(Kind::frame) == 1; }));
  const SessionId session = incoming[incoming[0].session.user == revoked.key() ? 0 : 1].session;
  incoming.clear();

  admitted.erase(revoked.key());
  server->mute(revoked.key());
  EXPECT_EQ(server->send(session, bytes("secret")).error().code, Errc::unavailable);
  ASSERT_TRUE(revoked.bus->send(as_bytes("after")));
  ASSERT_TRUE(until([&] { return revoked.count(Kind::refused) >= 1; }));
  EXPECT_EQ(revoked.count(Kind::disconnected), 1u);
  EXPECT_EQ(server->stats().dropped_muted, 2u);
  EXPECT_TRUE(incoming.empty());
  EXPECT_EQ(revoked.frames(), std::vector<std::string>{"before"});

  ASSERT_TRUE(other.bus->send(as_bytes("still here")));
  ASSERT_TRUE(until([&] { return other.count(Kind::frame) == 2; }));

  admitted.insert(revoked.key());
  ASSERT_TRUE(until_connected(revoked));
  ASSERT_TRUE(revoked.bus->send(as_bytes("again")));
  ASSERT_TRUE(until([&] { return revoked.count(Kind::frame) == 2; }))
      << "a new admission ends the muting";
}

TEST_F(ServerTest, OrderHoldsBothWaysWhenFramesPileUp) {
  start();
  Peer& peer = connect();
  ASSERT_TRUE(until_connected(peer));
  constexpr size_t kFrames = 5'000;
  for (size_t i = 0; i < kFrames; ++i) ASSERT_TRUE(peer.bus->send(as_bytes(std::to_string(i))));
  ASSERT_TRUE(until([&] { return peer.count(Kind::frame) == kFrames; }));
  const auto frames = peer.frames();
  for (size_t i = 0; i < kFrames; ++i) ASSERT_EQ(frames[i], std::to_string(i));
  EXPECT_EQ(server->stats().frames_in, kFrames);
}

TEST_F(ServerTest, OneBufferServesManySessions) {
  start();
  constexpr size_t kPeers = 200;
  for (size_t i = 0; i < kPeers; ++i) connect();
  ASSERT_TRUE(until(
      [&] { return std::ranges::all_of(peers, [](auto& p) { return p->bus->connected(); }); }));
  echo = false;
  for (auto& peer : peers) ASSERT_TRUE(peer->bus->send(as_bytes("subscribe")));
  ASSERT_TRUE(until([&] { return incoming.size() == kPeers; }));

  auto frame = std::make_shared<const Bytes>(64 * 1024, uint8_t{7});
  for (const Incoming& in : incoming) ASSERT_TRUE(server->send(in.session, frame));
  EXPECT_LE(frame.use_count(), 3)
      << "the buffer was shared, not copied, so two references stand for all sessions";
  ASSERT_TRUE(until([&] {
    return std::ranges::all_of(peers, [](auto& p) { return p->count(Kind::frame) == 1; });
  }));
  for (auto& peer : peers) EXPECT_EQ(peer->events.back().frame, *frame);
  EXPECT_TRUE(until([&] { return frame.use_count() == 1; }))
      << "libzmq lets go of what it has sent";
}

TEST_F(ServerTest, APeerThatHasGoneIsUnavailable) {
  start();
  Peer& peer = connect();
  ASSERT_TRUE(until_connected(peer));
  ASSERT_TRUE(peer.bus->send(as_bytes("hello")));
  ASSERT_TRUE(until([&] { return incoming.size() == 1; }));
  peer.bus.reset();
  Status sent;
  ASSERT_TRUE(until([&] {
    sent = server->send(incoming[0].session, bytes("?"));
    return !sent;
  }));
  EXPECT_EQ(sent.error().code, Errc::unavailable);
}

TEST_F(ServerTest, WhoDoesNotReadIsToldApartAndHurtsNobody) {
  auto o = options();
  o.queue_max = 10;
  echo = false;
  start(std::move(o));
  Peer& slow = connect();
  Peer& fast = connect();
  ASSERT_TRUE(until_connected(slow) && until_connected(fast));
  ASSERT_TRUE(slow.bus->send(as_bytes("subscribe")));
  ASSERT_TRUE(until([&] { return incoming.size() == 1; }));

  auto frame = std::make_shared<const Bytes>(128 * 1024);
  size_t queued = 0;
  Status sent;
  while ((sent = server->send(incoming[0].session, frame))) ASSERT_LT(++queued, 1'000'000u);
  ASSERT_FALSE(sent);
  EXPECT_EQ(sent.error().code, Errc::exhausted);

  ASSERT_TRUE(fast.bus->send(as_bytes("hello")));
  while (incoming.size() < 2) {
    for (Incoming& in : server->poll(-1)) incoming.push_back(std::move(in));
  }
  ASSERT_TRUE(server->send(incoming[1].session, frame));
  ASSERT_TRUE(
      until([&] { return fast.count(Kind::frame) == 1 && slow.count(Kind::frame) == queued; }));
  EXPECT_TRUE(until([&] { return server->send(incoming[0].session, frame).has_value(); }))
      << "a reader that catches up is served again";
}

TEST_F(ServerTest, FrameOverTheLimitIsNotSent) {
  auto o = options();
  o.frame_max = 1'000;
  start(std::move(o));
  EXPECT_EQ(server->send({}, Bytes(1'001)).error().code, Errc::exhausted);
}

TEST_F(ServerTest, PortInUseIsNamedWithTheFix) {
  start();
  auto second = BusServer::open(secret, options(server->bound_endpoint()));
  ASSERT_FALSE(second);
  EXPECT_EQ(second.error().code, Errc::conflict);
  EXPECT_NE(second.error().message.find(server->bound_endpoint()), std::string::npos);
  EXPECT_NE(second.error().fix.find("ss -ltnp"), std::string::npos);
}

TEST_F(ServerTest, BadEndpointsAreUsageErrors) {
  for (const char* bad : {"", "7400", "tcp://", "tcp://*", "tcp://*:", "tcp://*:x", "tcp://*:70000",
                          "udp://*:7400", "tcp://192.0.2.1:0", "ipc:///tmp/x:1"}) {
    auto opened = BusServer::open(secret, options(bad));
    ASSERT_FALSE(opened) << bad;
    EXPECT_EQ(opened.error().code, Errc::usage) << bad << ": " << opened.error().message;
    EXPECT_FALSE(opened.error().fix.empty()) << bad;
  }
}

TEST_F(ServerTest, ServesIPv6) {
  auto opened = BusServer::open(secret, options("tcp://[::1]:0"));
  if (!opened) GTEST_SKIP() << "no IPv6 here: " << opened.error().message;
  server = std::move(*opened);
  Peer& peer = connect();
  ASSERT_TRUE(until_connected(peer));
  ASSERT_TRUE(peer.bus->send(as_bytes("six")));
  ASSERT_TRUE(until([&] { return peer.count(Kind::frame) == 1; }));
}

TEST_F(ServerTest, PollReturnsForWakeAndWatched) {
  start();
  std::thread worker([&] { server->wake(); });
  EXPECT_TRUE(server->poll(-1).empty());
  worker.join();

  WakeFd mine;
  std::array<Watched, 1> watched{{{mine.fd()}}};
  EXPECT_TRUE(server->poll(0, watched).empty());
  EXPECT_FALSE(watched[0].readable);
  mine.signal();
  EXPECT_TRUE(server->poll(-1, watched).empty());
  EXPECT_TRUE(watched[0].readable);
}

class EnrolmentTest : public Loopback {
 protected:
  BoxSecret door = BoxSecret::generate();

  EnrolmentOptions enrolment() {
    EnrolmentOptions o;
    o.endpoint = "tcp://127.0.0.1:0";
    return o;
  }
  void open(EnrolmentOptions o) {
    auto opened = server->open_enrolment(door, std::move(o));
    ASSERT_TRUE(opened) << opened.error().message;
  }
  Peer& stranger() {
    return connect(client_options({{server->enrolment_endpoint(), door.public_key()}}), false);
  }
};

TEST_F(EnrolmentTest, AKeyThatIsMutedOnTheMainSocketStillGetsAnAnswerHere) {
  echo = false;  // the answer is the one frame that comes
  start();
  open(enrolment());
  Peer& peer = stranger();
  server->mute(peer.key());
  ASSERT_TRUE(until_connected(peer));
  ASSERT_TRUE(peer.bus->send(as_bytes("join")));
  ASSERT_TRUE(until([&] { return !incoming.empty(); }));
  ASSERT_TRUE(server->send(incoming[0].session, bytes("refused: the key was revoked")));
  ASSERT_TRUE(until([&] { return peer.count(Kind::frame) == 1; }));
}

TEST_F(EnrolmentTest, OpensForStrangersAndClosesAtRunTime) {
  start();
  EXPECT_EQ(server->enrolment_endpoint(), "");
  open(enrolment());
  const std::string endpoint = server->enrolment_endpoint();
  EXPECT_EQ(server->open_enrolment(door, enrolment()).error().code, Errc::conflict);

  Peer& peer = stranger();
  Peer& on_main = connect(false);
  ASSERT_TRUE(until_connected(peer));
  ASSERT_TRUE(peer.bus->send(as_bytes("join")));
  ASSERT_TRUE(
      until([&] { return peer.count(Kind::frame) == 1 && on_main.count(Kind::refused) >= 1; }));
  ASSERT_EQ(incoming.size(), 1u);
  EXPECT_TRUE(incoming[0].session.enrolment);
  EXPECT_EQ(incoming[0].session.user, peer.key());
  EXPECT_EQ(on_main.count(Kind::connected), 0u) << "the open door is not the main one";

  ASSERT_TRUE(server->send(incoming[0].session, bytes("admitted")));
  server->close_enrolment();
  EXPECT_EQ(server->enrolment_endpoint(), "");
  EXPECT_EQ(server->send(incoming[0].session, bytes("late")).error().code, Errc::unavailable);
  ASSERT_TRUE(until(
      [&] { return peer.count(Kind::disconnected) == 1 && peer.count(Kind::unreachable) >= 1; }));
  EXPECT_EQ(peer.frames().back(), "admitted") << "the last reply still leaves";

  auto same = enrolment();
  same.endpoint = endpoint;
  open(same);
  EXPECT_EQ(server->enrolment_endpoint(), endpoint) << "the port was free at once";
  ASSERT_TRUE(until_connected(peer));
}

TEST_F(EnrolmentTest, ALargeFrameCutsItsConnection) {
  start();
  open(enrolment());
  Peer& peer = stranger();
  ASSERT_TRUE(until_connected(peer));
  ASSERT_TRUE(peer.bus->send(Bytes(kEnrolFrameBytesMax + 1)));
  ASSERT_TRUE(until([&] { return peer.count(Kind::disconnected) == 1; }));
  EXPECT_TRUE(incoming.empty());
}

TEST_F(EnrolmentTest, StrangersAreBoundedInNumber) {
  start();
  auto o = enrolment();
  o.connections_max = 3;
  o.per_second = 1'000;
  open(o);
  for (int i = 0; i < 3; ++i) ASSERT_TRUE(until_connected(stranger()));
  Peer& fourth = stranger();
  ASSERT_TRUE(
      until([&] { return fourth.count(Kind::refused) + fourth.count(Kind::unreachable) >= 3; }));
  EXPECT_EQ(fourth.count(Kind::connected), 0u);
  EXPECT_GE(server->stats().cut, 3u);

  peers.front()->bus.reset();
  ASSERT_TRUE(until_connected(fourth)) << "a place is free again";
}

TEST_F(EnrolmentTest, StrangersAreBoundedInBytesAndTime) {
  start();
  auto o = enrolment();
  o.bytes_per_connection = 20'000;
  o.per_second = 10'000;
  open(o);
  Peer& talkative = stranger();
  ASSERT_TRUE(until_connected(talkative));
  ASSERT_TRUE(until([&] {
    (void)talkative.bus->send(Bytes(1'000));
    return talkative.count(Kind::disconnected) >= 1;
  }));
  EXPECT_GE(server->stats().cut, 1u);
  talkative.bus.reset();
  server->close_enrolment();

  o.connection_ms = 1;
  open(o);
  Peer& slow = stranger();
  ASSERT_TRUE(
      until([&] { return slow.count(Kind::disconnected) + slow.count(Kind::refused) >= 2; }));
}

TEST_F(EnrolmentTest, StrangersAreBoundedInRate) {
  start();
  auto o = enrolment();
  o.per_second = 20;
  open(o);
  echo = false;
  Peer& peer = stranger();
  ASSERT_TRUE(until_connected(peer));
  const auto begin = std::chrono::steady_clock::now();
  for (int i = 0; i < 60; ++i) ASSERT_TRUE(peer.bus->send(as_bytes("join")));
  ASSERT_TRUE(until([&] { return incoming.size() == 60; })) << "late, but none is lost";
  const std::chrono::duration<double> passed = std::chrono::steady_clock::now() - begin;
  EXPECT_LE(60, 40 + 1 + 20 * passed.count()) << "a burst of two seconds' worth, then the rate";
}

TEST_F(ServerTest, SeveralEndpointsLeadToOneServer) {
  ServerOptions o = options();
  o.also = {"tcp://127.0.0.1:0"};
  start(std::move(o));
  ASSERT_EQ(server->bound_endpoints().size(), 2u);
  EXPECT_NE(server->bound_endpoints()[0], server->bound_endpoints()[1]);
  for (const std::string& endpoint : server->bound_endpoints()) {
    Peer& peer = connect(client_options({{endpoint, secret.public_key()}}), true);
    ASSERT_TRUE(until_connected(peer));
    ASSERT_TRUE(peer.bus->send(as_bytes("hello")));
    ASSERT_TRUE(until([&] { return peer.frames() == std::vector<std::string>{"hello"}; })) << endpoint;
  }
  ServerOptions taken = options(server->bound_endpoints()[1]);
  EXPECT_EQ(BusServer::open(secret, std::move(taken)).error().code, Errc::conflict);
}

}  // namespace mesh::test
