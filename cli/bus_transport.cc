#include <fmt/format.h>

#include <chrono>
#include <deque>
#include <utility>

#include "broker/bus/client.h"
#include "cli/transport.h"
#include "schemas/codec.h"

namespace mesh::cli {

namespace {

using Clock = std::chrono::steady_clock;

/// What the log calls a message; frames themselves are not shown.
std::string_view body_name(const Body& body) {
  static constexpr std::string_view kNames[] = {
      "Submit",     "Reply",          "ErrorReply", "Prepare", "Prepared", "Query",   "QueryResult",
      "Subscribe",  "SnapshotChunk",  "Entries",    "Credit",  "Head",     "Fetch",   "BlobChunk",
      "NodeStatus", "OutcomeMessage", "Ack",        "Join",    "Admitted", "Waiting", "Refused",
      "Orphans",    "OrphansKept"};
  static_assert(std::size(kNames) == std::variant_size_v<Body>);
  return kNames[body.index()];
}

class BusTransport final : public Transport {
 public:
  BusTransport(std::unique_ptr<BusClient> bus, Trace trace)
      : bus_(std::move(bus)), trace_(std::move(trace)) {}

  Result<Body> call(const Body& question, int timeout_ms) override {
    const auto deadline = Clock::now() + std::chrono::milliseconds(timeout_ms);
    MESH_TRY(connect(timeout_ms));
    const uint64_t correlation = ++correlation_;
    const Bytes frame = encode_message(Message{correlation, question});
    MESH_TRY(bus_->send(frame));
    trace_(fmt::format("-> {} {}, {} bytes", correlation, body_name(question), frame.size()));
    while (Clock::now() < deadline) {
      for (ClientEvent& event : bus_->poll(left_ms(deadline))) {
        if (event.kind == ClientEvent::Kind::connected) {
          refused_ = false;
          // The connection broke while we waited: the same bytes again, the controller knows them
          // by their id.
          trace_(fmt::format("-> {} {} again", correlation, body_name(question)));
          MESH_TRY(bus_->send(frame));
          continue;
        }
        MESH_TRY(take(event));
      }
      for (auto it = inbox_.begin(); it != inbox_.end(); ++it) {
        if (it->correlation != correlation) continue;
        Body body = std::move(it->body);
        inbox_.erase(it);
        if (auto* error = std::get_if<ErrorReply>(&body))
          return std::unexpected(std::move(error->error));
        return body;
      }
    }
    return fail(Errc::unavailable, fmt::format("the controller at {} did not answer in {} s",
                                               bus_->endpoint().address, timeout_ms / 1000));
  }

  Status send(const Body& body) override {
    MESH_TRY(connect(kConnectMs));
    broken_ = false;
    // A correlation of its own: an ErrorReply to it must not be taken for the answer to a call.
    return bus_->send(encode_message(Message{++correlation_, body}));
  }

  Result<std::optional<Body>> receive(int timeout_ms) override {
    const auto deadline = Clock::now() + std::chrono::milliseconds(timeout_ms);
    for (;;) {
      if (!inbox_.empty()) {
        Body body = std::move(inbox_.front().body);
        inbox_.pop_front();
        if (auto* error = std::get_if<ErrorReply>(&body))
          return std::unexpected(std::move(error->error));
        return body;
      }
      if (broken_) {
        broken_ = false;
        return fail(Errc::unavailable, "the connection to the controller broke");
      }
      for (ClientEvent& event : bus_->poll(left_ms(deadline))) MESH_TRY(take(event));
      // poll() also returns early on a signal, which the caller must see.
      if (inbox_.empty() && !broken_) return std::nullopt;
    }
  }

 private:
  static constexpr int kConnectMs = 10'000;

  static int left_ms(Clock::time_point deadline) {
    const auto left =
        std::chrono::duration_cast<std::chrono::milliseconds>(deadline - Clock::now()).count();
    return static_cast<int>(std::max<int64_t>(left, 0));
  }

  Status connect(int timeout_ms) {
    if (bus_->connected()) return {};
    const auto begin = Clock::now();
    const int patience = std::min(timeout_ms, kConnectMs);
    auto status = bus_->wait_connected(patience);
    // A controller that stops or dies within the handshake looks like one that refuses: asked
    // again, it says which.
    if (!status && status.error().code == Errc::unauthenticated) {
      bus_->poll(0);
      status = bus_->wait_connected(patience);
    }
    if (!status) return std::unexpected(connect_error(std::move(status).error()));
    // What led here is done with; an endpoint that refused before another took us is no failure.
    for (ClientEvent& event : bus_->poll(0))
      if (event.kind == ClientEvent::Kind::frame) MESH_TRY(take(event));
    trace_(fmt::format(
        "connected to {} in {} ms", bus_->endpoint().address,
        std::chrono::duration_cast<std::chrono::milliseconds>(Clock::now() - begin).count()));
    return {};
  }

  Error connect_error(Error error) {
    const std::vector<ClientEvent> events = bus_->poll(0);
    // The bus remembers a refusal longer than an endpoint that is down since.
    const bool down = !events.empty() && events.back().kind == ClientEvent::Kind::unreachable;
    if (down && error.code == Errc::unauthenticated)
      error = Error{Errc::unavailable, events.back().detail, {}};
    if (error.code == Errc::timeout) error.code = Errc::unavailable;
    if (error.fix.empty())
      error.fix = error.code == Errc::unauthenticated
                      ? "is this operator known and not banned, and is controller_key right?"
                      : "is meshd running, and are the endpoints in the context right?";
    return error;
  }

  Status take(ClientEvent& event) {
    switch (event.kind) {
      case ClientEvent::Kind::frame: {
        auto message = decode_message(event.frame);
        if (!message) return fail_in("a frame of the controller", message.error());
        trace_(fmt::format("<- {} {}, {} bytes", message->correlation, body_name(message->body),
                           event.frame.size()));
        inbox_.push_back(std::move(*message));
        return {};
      }
      case ClientEvent::Kind::refused:
        trace_(event.detail);
        // Once is what a controller does that restarts under us; twice is an answer.
        if (!std::exchange(refused_, true)) return {};
        return fail(Errc::unauthenticated, event.detail);
      case ClientEvent::Kind::disconnected:
        broken_ = true;
        break;
      case ClientEvent::Kind::connected:
        refused_ = false;
        break;
      case ClientEvent::Kind::unreachable:
        break;
    }
    trace_(event.detail);
    return {};
  }

  std::unique_ptr<BusClient> bus_;
  Trace trace_;
  uint64_t correlation_ = 0;
  std::deque<Message> inbox_;
  bool broken_ = false;
  bool refused_ = false;  // since the last connection
};

}  // namespace

Result<std::unique_ptr<Transport>> connect_bus(const OperatorContext& context, Trace trace) {
  ClientOptions options;
  for (const std::string& endpoint : context.connection.endpoints)
    options.endpoints.push_back(Endpoint{endpoint, context.connection.controller_key});
  fill_random({reinterpret_cast<uint8_t*>(&options.jitter_seed), sizeof options.jitter_seed});
  options.linger_ms = 0;  // every question was answered or given up
  auto bus = BusClient::open(context.box, std::move(options));
  if (!bus) return std::unexpected(std::move(bus).error());
  return std::make_unique<BusTransport>(std::move(*bus), std::move(trace));
}

}  // namespace mesh::cli
