// Desk: a Controller over a log in memory whose appends can be made to fail, with alice at one session. Frames go
// through the real codec; time stands still unless it is moved.
#pragma once

#include <gtest/gtest.h>

#include <memory>

#include "broker/controller.h"
#include "eventstore/model/crypto.h"
#include "schemas/codec.h"
#include "tests/support/borrowed_log.h"
#include "tests/support/world.h"

namespace mesh::test {

class Desk {
 public:
  /// `snapshot_every` as in ControllerOptions.
  explicit Desk(uint64_t snapshot_every = 10'000) {
    CreateLog first = genesis();
    disk = std::make_unique<MemoryEventLog>(derive_log_id(first));
    options.sign = [](std::string_view domain, ByteView bytes) { return sign_secret("test log").sign(domain, bytes); };
    options.new_request_id = [this] { return request_id(1'000'000 + next_id++); };
    options.worth_reopening = [this] { return reopening_allowed; };
    options.log_bytes = [] { return uint64_t{0}; };
    options.reopen = [this]() -> Result<std::unique_ptr<EventLog>> {
      disk->reopen();
      return std::make_unique<BorrowedLog>(*disk, appends);
    };
    options.program = "test";
    EXPECT_TRUE(create_log(*disk, first, options, now.wall).has_value());
    restart(snapshot_every);
    alice = {box_secret("alice").public_key(), 1, false};
  }

  /// A new controller over the same disk.
  void restart(uint64_t snapshot_every = 10'000) {
    options.snapshot_every = snapshot_every;
    controller = std::move(*Controller::open(std::make_unique<BorrowedLog>(*disk, appends), options));
  }

  Request request(std::vector<Command> commands, const std::string& who = "alice") {
    Request out;
    out.log = controller->state().log;
    out.epoch = controller->state().epoch;
    out.principal = Principal::human(who);
    out.id = request_id(next_id++);
    out.based_on = controller->state().sequence;
    out.commands = std::move(commands);
    out.origin = "test";
    return out;
  }
  static SignedRequest sign(const Request& request, const std::string& key = "alice") {
    SignedRequest out{encode_request(request), {}};
    out.signature = sign_secret(key).sign(kRequestDomain, out.bytes);
    return out;
  }

  /// Gives a message to the controller without flushing.
  void give(const SessionId& from, Body body) {
    controller->receive(from, encode_message({++correlation, std::move(body)}), now);
  }
  /// What comes back after a flush; jobs are run at once.
  std::vector<std::pair<SessionId, Message>> answers() {
    std::vector<std::pair<SessionId, Message>> out;
    controller->flush(now);
    for (;;) {
      Output output = controller->take_output();
      muted.insert(muted.end(), output.muted.begin(), output.muted.end());
      for (const Outgoing& outgoing : output.frames)
        out.emplace_back(outgoing.to, std::move(*decode_message(*outgoing.frame)));
      if (output.jobs.empty()) return out;
      for (Job& job : output.jobs) job()();
    }
  }
  /// The one answer to one message.
  Body ask(const SessionId& from, Body body) {
    give(from, std::move(body));
    auto all = answers();
    for (auto& [to, message] : all)
      if (to == from && message.correlation == correlation) return std::move(message.body);
    ADD_FAILURE() << "no answer";
    return ErrorReply{};
  }
  Body submit(std::vector<Command> commands) { return ask(alice, Submit{sign(request(std::move(commands))), false}); }
  Error error_of(const Body& body) {
    if (const auto* refused = std::get_if<Refused>(&body)) return refused->error;
    const auto* error = std::get_if<ErrorReply>(&body);
    EXPECT_TRUE(error) << "expected an error, got message kind " << body.index();
    return error ? error->error : Error{};
  }

  Now now{Timestamp(5'000'000), 1'000};
  uint64_t next_id = 1, correlation = 0;
  std::unique_ptr<MemoryEventLog> disk;
  int appends = 0;
  bool reopening_allowed = true;
  std::vector<BoxKey> muted;
  ControllerOptions options;
  SessionId alice;
  std::unique_ptr<Controller> controller;
};

}  // namespace mesh::test
