// Claim: the server takes frames from enrolled keys alone, each with the key that sent it, and a revoked one is silent.
// Method: real sockets on loopback, server and clients turned in one thread until a condition holds.
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
  EXPECT_NE(peer.events.front().detail.find("refused our key"), std::string::npos) << peer.events.front().detail;
  EXPECT_EQ(peer.bus->send(as_bytes("x")).error().code, Errc::unavailable);
  EXPECT_TRUE(incoming.empty());

  admitted.insert(peer.key());
  ASSERT_TRUE(until_connected(peer));
  ASSERT_TRUE(peer.bus->send(as_bytes("now")));
  ASSERT_TRUE(until([&] { return peer.frames() == std::vector<std::string>{"now"}; }));
}

}  // namespace mesh::test
