// Claim: what is not a well-behaved client changes nothing: no crash, no frame, no harm to others.
// Method: raw TCP streams, libzmq clients of other mechanisms, chosen routing ids, oversized and
// many-part messages.
#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>
#include <zmq.h>

#include <cstring>
#include <random>

#include "tests/unit/bus/bus_test.h"

namespace mesh::test {

class HostileTest : public Loopback {
 protected:
  void* context = zmq_ctx_new();
  std::vector<void*> sockets;
  std::vector<int> streams;

  void TearDown() override {
    for (void* socket : sockets) zmq_close(socket);
    zmq_ctx_term(context);
    for (int fd : streams) ::close(fd);
  }

  void* raw_client() {
    void* socket = zmq_socket(context, ZMQ_DEALER);
    int none = 0;
    zmq_setsockopt(socket, ZMQ_LINGER, &none, sizeof none);
    sockets.push_back(socket);
    return socket;
  }
  void* raw_curve(const BoxSecret& key, std::string_view routing) {
    void* socket = raw_client();
    zmq_setsockopt(socket, ZMQ_CURVE_SERVERKEY, secret.public_key().bytes.data(), 32);
    zmq_setsockopt(socket, ZMQ_CURVE_PUBLICKEY, key.public_key().bytes.data(), 32);
    zmq_setsockopt(socket, ZMQ_CURVE_SECRETKEY, key.reveal().data(), 32);
    if (!routing.empty()) zmq_setsockopt(socket, ZMQ_ROUTING_ID, routing.data(), routing.size());
    zmq_connect(socket, server->bound_endpoint().c_str());
    return socket;
  }
  int stream() {
    int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    const std::string& endpoint = server->bound_endpoint();
    address.sin_port =
        htons(static_cast<uint16_t>(std::stoi(endpoint.substr(endpoint.rfind(':') + 1))));
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    EXPECT_EQ(::connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
    streams.push_back(fd);
    return fd;
  }
  // The server has closed its side.
  static bool ended(int fd) {
    std::array<char, 4096> buffer;
    while (true) {
      ssize_t n = ::recv(fd, buffer.data(), buffer.size(), MSG_DONTWAIT);
      if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR)) return true;
      if (n < 0) return false;
    }
  }
  // A well-behaved client still gets its answer.
  void expect_healthy() {
    Peer& peer = connect();
    ASSERT_TRUE(until_connected(peer));
    ASSERT_TRUE(peer.bus->send(as_bytes("healthy")));
    ASSERT_TRUE(until([&] { return peer.count(Kind::frame) == 1; }));
  }
};

TEST_F(HostileTest, RandomStreamsAreCutOff) {
  start();
  const uint32_t seed = std::random_device()();
  SCOPED_TRACE("seed " + std::to_string(seed));
  std::mt19937 random(seed);
  const std::string greeting =
      std::string("\xff\0\0\0\0\0\0\0\x01\x7f\x03\x01", 12) + "CURVE" + std::string(47, '\0');
  std::vector<int> open;
  for (int i = 0; i < 60; ++i) {
    std::string noise(1 + random() % 4096, '\0');
    for (char& c : noise) c = static_cast<char>(random());
    // Every third is noise from the first byte, every third a greeting and then noise, every third
    // no ZMTP at all.
    if (i % 3 == 1) noise = greeting + noise;
    if (i % 3 == 2) noise = "GET / HTTP/1.1\r\nHost: mesh\r\n\r\n" + noise;
    int fd = stream();
    (void)::send(fd, noise.data(), noise.size(), MSG_NOSIGNAL);
    ::shutdown(fd, SHUT_WR);
    open.push_back(fd);
  }
  ASSERT_TRUE(until([&] { return std::ranges::all_of(open, ended); }));
  EXPECT_TRUE(incoming.empty());
  expect_healthy();
}

TEST_F(HostileTest, SilentStreamsAreCutAfterTheHandshakeTime) {
  auto o = options();
  o.handshake_ms = 100;
  start(std::move(o));
  int fd = stream();
  ASSERT_TRUE(until([&] { return ended(fd); }));
  expect_healthy();
}

TEST_F(HostileTest, OtherMechanismsGetNowhere) {
  start();
  void* null = raw_client();
  zmq_connect(null, server->bound_endpoint().c_str());
  zmq_send(null, "plain", 5, 0);
  void* plain = raw_client();
  zmq_setsockopt(plain, ZMQ_PLAIN_USERNAME, "admin", 5);
  zmq_setsockopt(plain, ZMQ_PLAIN_PASSWORD, "admin", 5);
  zmq_connect(plain, server->bound_endpoint().c_str());
  zmq_send(plain, "plain", 5, 0);
  for (int i = 0; i < 3; ++i) expect_healthy();
  EXPECT_EQ(server->stats().admitted, 3u);
  EXPECT_EQ(std::ranges::count_if(incoming, [](auto& in) { return text(in.frame) == "plain"; }), 0);
}

TEST_F(HostileTest, AnOversizedFrameEndsItsConnectionOnly) {
  auto o = options();
  o.frame_max = 10'000;
  start(std::move(o));
  Peer& peer = connect();
  Peer& other = connect();
  ASSERT_TRUE(until_connected(peer) && until_connected(other));
  ASSERT_TRUE(peer.bus->send(Bytes(9'000)));
  ASSERT_TRUE(until([&] { return peer.count(Kind::frame) == 1; }));
  ASSERT_TRUE(peer.bus->send(Bytes(11'000)));
  ASSERT_TRUE(until([&] { return peer.count(Kind::disconnected) == 1; }));
  EXPECT_EQ(incoming.size(), 1u);
  ASSERT_TRUE(until_connected(peer));
  EXPECT_EQ(other.count(Kind::disconnected), 0u);
}

TEST_F(HostileTest, ARoutingIdLendsNoIdentity) {
  start();
  Peer& victim = connect();
  ASSERT_TRUE(until_connected(victim));
  ASSERT_TRUE(victim.bus->send(as_bytes("mine")));
  ASSERT_TRUE(until([&] { return incoming.size() == 1; }));
  const SessionId session = incoming[0].session;
  const uint32_t id = session.connection;
  const std::string taken{0, static_cast<char>(id >> 24), static_cast<char>(id >> 16),
                          static_cast<char>(id >> 8), static_cast<char>(id)};
  BoxSecret thief = BoxSecret::generate();
  admitted.insert(thief.public_key());
  zmq_send(raw_curve(thief, taken), "taken", 5, 0);
  zmq_send(raw_curve(thief, "admin"), "named", 5, 0);
  ASSERT_TRUE(
      until([&] { return server->stats().dropped_strange >= 1 && server->stats().admitted >= 3; }));
  expect_healthy();

  for (const Incoming& in : incoming) {
    EXPECT_NE(text(in.frame), "named");
    EXPECT_TRUE(text(in.frame) != "taken" || in.session.user == thief.public_key());
    EXPECT_TRUE(in.session.user != victim.key() || in.session == session);
  }
  ASSERT_TRUE(server->send(session, bytes("for the victim")));
  ASSERT_TRUE(until([&] { return victim.frames().back() == "for the victim"; }));
}

TEST_F(HostileTest, MessagesOfManyPartsAreDroppedAndTheirSenderCut) {
  start();
  BoxSecret key = BoxSecret::generate();
  admitted.insert(key.public_key());
  void* socket = raw_curve(key, "");
  zmq_send(socket, "one", 3, ZMQ_SNDMORE);
  zmq_send(socket, "two", 3, ZMQ_SNDMORE);
  zmq_send(socket, "three", 5, 0);
  ASSERT_TRUE(until([&] { return server->stats().dropped_strange == 1; }));
  EXPECT_EQ(server->stats().cut, 1u);
  EXPECT_TRUE(incoming.empty());
  expect_healthy();
}

TEST_F(HostileTest, AStrangerCannotFillMemoryWithParts) {
  start();
  BoxSecret key = BoxSecret::generate();
  EnrolmentOptions o;
  o.endpoint = "tcp://127.0.0.1:0";
  o.bytes_per_connection = 50'000;
  ASSERT_TRUE(server->open_enrolment(secret, o));
  void* socket = raw_client();
  zmq_setsockopt(socket, ZMQ_CURVE_SERVERKEY, secret.public_key().bytes.data(), 32);
  zmq_setsockopt(socket, ZMQ_CURVE_PUBLICKEY, key.public_key().bytes.data(), 32);
  zmq_setsockopt(socket, ZMQ_CURVE_SECRETKEY, key.reveal().data(), 32);
  zmq_connect(socket, server->enrolment_endpoint().c_str());
  const Bytes part(1'000);
  for (int i = 0; i < 1'000; ++i)
    zmq_send(socket, part.data(), part.size(), ZMQ_SNDMORE | ZMQ_DONTWAIT);
  zmq_send(socket, part.data(), part.size(), ZMQ_DONTWAIT);
  ASSERT_TRUE(until([&] { return server->stats().cut >= 1; }));
  EXPECT_TRUE(incoming.empty());
  expect_healthy();
}

TEST_F(HostileTest, ConnectionsOverTheLimitAreCut) {
  auto o = options();
  o.connections_max = 20;
  start(std::move(o));
  for (int i = 0; i < 19; ++i) stream();
  std::vector<int> over;
  expect_healthy();  // the twentieth
  for (int i = 0; i < 200; ++i) over.push_back(stream());
  ASSERT_TRUE(until([&] { return std::ranges::all_of(over, ended); }));
  EXPECT_GE(server->stats().cut, 200u);
  for (int fd : streams) ::shutdown(fd, SHUT_RDWR);
  expect_healthy();
}

}  // namespace mesh::test
