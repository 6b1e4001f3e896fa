// Claim: over the real bus a question is answered once, also when the connection breaks under it
// (the same bytes are sent again), and a controller that is not there and one that refuses are told
// apart. Method: a BusServer on loopback in a thread of its own, which breaks off at will.
#include <gtest/gtest.h>

#include <mutex>
#include <thread>

#include "broker/bus/server.h"
#include "cli/transport.h"
#include "schemas/codec.h"
#include "tests/unit/cli/fake_controller.h"

namespace mesh::cli::test {
namespace {

constexpr int kPatienceMs = 20'000;  // a deadline, reached by no healthy run

/// Answers queries with their own kind. Forgets the first `breaks` questions and everybody with
/// them.
class EchoServer {
 public:
  explicit EchoServer(int breaks, bool admits = true) : admits_(admits), breaks_(breaks) {
    open("tcp://127.0.0.1:0");
    endpoint_ = server_->bound_endpoint();
    thread_ = std::jthread([this](std::stop_token stop) { run(stop); });
  }
  ~EchoServer() {
    // Not through wake(): the thread replaces the server.
    thread_.request_stop();
  }

  const std::string& endpoint() const { return endpoint_; }
  BoxKey key() const { return secret_.public_key(); }
  std::vector<Bytes> frames() const {
    const std::lock_guard lock(mutex_);
    return frames_;
  }

 private:
  static constexpr int kTurnMs = 20;

  void open(const std::string& endpoint) {
    ServerOptions options;
    options.endpoint = endpoint;
    options.admits = [this](const BoxKey&) { return admits_; };
    auto opened = BusServer::open(secret_, std::move(options));
    ASSERT_TRUE(opened.has_value()) << opened.error().message;
    server_ = std::move(*opened);
  }

  void run(const std::stop_token& stop) {
    while (!stop.stop_requested()) {
      bool broken = false;
      for (const Incoming& incoming : server_->poll(kTurnMs)) broken = broken || !answer(incoming);
      if (!broken) continue;
      server_.reset();
      open(endpoint_);
    }
  }

  /// False when the connection shall break instead.
  bool answer(const Incoming& incoming) {
    {
      const std::lock_guard lock(mutex_);
      frames_.push_back(incoming.frame);
    }
    const auto message = decode_message(incoming.frame);
    if (!message) return true;
    if (const auto* query = std::get_if<Query>(&message->body)) {
      if (breaks_-- > 0) return false;
      // Something of its own before the answer: it must wait for receive().
      reply(incoming.session, Message{0, Head{Sequence(7), "note"}});
      reply(incoming.session, Message{message->correlation, QueryResult{query->kind, false, {}}});
    } else if (std::holds_alternative<Prepare>(message->body)) {
      reply(incoming.session,
            Message{message->correlation, ErrorReply{Error{Errc::invalid, "no", "fix"}}});
    }
    return true;
  }

  void reply(const SessionId& session, const Message& message) {
    EXPECT_TRUE(server_->send(session, encode_message(message)).has_value());
  }

  BoxSecret secret_ = box_secret(4);
  bool admits_;
  int breaks_;
  std::string endpoint_;
  std::unique_ptr<BusServer> server_;
  mutable std::mutex mutex_;
  std::vector<Bytes> frames_;
  std::jthread thread_;
};

OperatorContext context_for(const std::string& endpoint, const BoxKey& key) {
  return OperatorContext{"context", Connection{{endpoint}, key, LogId{}, SignKey{}}, "alice",
                         sign_secret(2), box_secret(3)};
}

std::unique_ptr<Transport> transport_to(const OperatorContext& context) {
  auto transport = connect_bus(context, [](const std::string&) {});
  EXPECT_TRUE(transport.has_value());
  return std::move(*transport);
}

TEST(BusTransport, AnswersAndWhatComesByItselfAreKeptApart) {
  const EchoServer server(0);
  const OperatorContext context = context_for(server.endpoint(), server.key());
  const auto transport = transport_to(context);
  for (const char* kind : {"first", "second"}) {
    const auto answer = transport->call(Query{kind, {}, Sequence()}, kPatienceMs);
    ASSERT_TRUE(answer.has_value()) << answer.error().message;
    EXPECT_EQ(std::get<QueryResult>(*answer).json, kind);
  }
  for (int i = 0; i < 2; ++i) {
    const auto head = transport->receive(kPatienceMs);
    ASSERT_TRUE(head.has_value() && head->has_value());
    EXPECT_EQ(std::get<Head>(**head).sequence, Sequence(7));
  }
  const auto refused = transport->call(Prepare{}, kPatienceMs);
  ASSERT_FALSE(refused.has_value());
  EXPECT_EQ(refused.error(), (Error{Errc::invalid, "no", "fix"}));
}

TEST(BusTransport, AQuestionIsRepeatedAsTheSameBytesWhenTheConnectionBreaks) {
  const EchoServer server(1);
  const OperatorContext context = context_for(server.endpoint(), server.key());
  const auto answer = transport_to(context)->call(Query{"once", {}, Sequence()}, kPatienceMs);
  ASSERT_TRUE(answer.has_value()) << answer.error().message;
  EXPECT_EQ(std::get<QueryResult>(*answer).json, "once");
  const auto frames = server.frames();
  ASSERT_EQ(frames.size(), 2u);
  EXPECT_EQ(frames[0], frames[1]);
}

TEST(BusTransport, ARefusalAndAbsenceAreToldApart) {
  const EchoServer server(0, false);
  const OperatorContext refused = context_for(server.endpoint(), server.key());
  EXPECT_EQ(transport_to(refused)->call(Query{"x", {}, Sequence()}, kPatienceMs).error().code,
            Errc::unauthenticated);
  std::string free_endpoint;
  {
    const EchoServer gone(0);
    free_endpoint = gone.endpoint();
  }
  const OperatorContext nobody = context_for(free_endpoint, server.key());
  EXPECT_EQ(transport_to(nobody)->call(Query{"x", {}, Sequence()}, kPatienceMs).error().code,
            Errc::unavailable);
  const OperatorContext malformed = context_for("nowhere", server.key());
  EXPECT_EQ(connect_bus(malformed, [](const std::string&) {}).error().code, Errc::usage);
}

}  // namespace
}  // namespace mesh::cli::test
