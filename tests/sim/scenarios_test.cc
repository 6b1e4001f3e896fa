// The scenarios that the protocol names (design: bus protocol), each on the whole mesh with
// production code.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <functional>

#include "eventstore/model/canonical.h"
#include "eventstore/model/crypto.h"
#include "schemas/codec.h"
#include "tests/sim/mesh.h"
#include "tests/support/borrowed_log.h"
#include "tests/support/world.h"

namespace mesh::sim {
namespace {

constexpr int64_t kMinute = 60'000;

/// Runs `body` on a quiet mesh; a broken claim comes with the last steps.
void on_mesh(const MeshOptions& options, const std::function<void(Mesh&)>& body) {
  Mesh mesh(options);
  try {
    body(mesh);
    mesh.check_end();
  } catch (const ClaimBroken& broken) {
    ADD_FAILURE() << broken.what() << "\nthe last steps:\n" << mesh.trace.tail();
  }
}

void expect_finished(Mesh& mesh) {
  mesh.run_until([&] { return mesh.unfinished().empty(); }, 10 * kMinute);
  EXPECT_EQ(mesh.unfinished(), "");
}

Command keepalive(int64_t seconds) {
  return SetAttribute{{Level::global, {}}, "wg_keepalive", seconds};
}

/// A second program of an operator, which follows the log from where it likes.
class Follower final : public ClientEnd {
 public:
  Follower(Mesh& mesh, uint64_t after)
      : mesh_(mesh),
        after_(after),
        line_(mesh.network.add_line("follower", test::box_secret("alice").public_key(), false,
                                    *this)) {
    mesh.network.open(line_);
  }
  void connected() override {
    mesh_.network.send(line_, encode_message({0, Subscribe{Sequence(after_), 1 << 20, false}}));
  }
  void disconnected() override {}
  void refused() override {}
  void arrived(const Bytes& frame) override {
    auto message = decode_message(frame);
    ASSERT_TRUE(message.has_value());
    if (std::holds_alternative<Head>(message->body)) ++heads;
    if (const auto* entries = std::get_if<Entries>(&message->body))
      for (const EncodedEntry& entry : entries->entries)
        numbers.push_back(decode_header(entry.header)->sequence.value());
  }
  std::vector<uint64_t> numbers;
  unsigned heads = 0;

 private:
  Mesh& mesh_;
  uint64_t after_;
  LineId line_;
};

/// What alice countersigns: the state at the head.
void sign_anchor(Mesh& mesh) {
  Intention intention;
  intention.kind = Intention::Kind::anchor;
  intention.query = "state";
  mesh.alice().ask(std::move(intention));
  mesh.run_until([&] { return !mesh.alice().busy(); }, kMinute);
  ASSERT_TRUE(mesh.book.state().anchor.has_value());
}

/// r1.s9 exists, and somebody comes with a token for it.
NodeHost& newcomer(Mesh& mesh, std::optional<Anchor> anchor) {
  const std::string secret = "token of r1.s9";
  EXPECT_FALSE(mesh.submit(
      {CreateToken{test::sign_secret(secret).public_key(), {Level::node, "r1.s9"}, 1, {}, false}}));
  return mesh.invite({"r1.s9", TokenId(mesh.book.state().next_token.value() - 1), secret, anchor});
}

void add_site_nine(Mesh& mesh) {
  EXPECT_FALSE(mesh.submit({AddSite{"s9"}, AddNode{"r1.s9"},
                            SetAttribute{{Level::node, "r1.s9"}, "endpoint", "192.0.2.9"}}));
}

Sequence head_of(NodeHost& host) {
  return host.joined() && host.running() ? host.agent().history().head() : Sequence();
}

// Claim: who stands exactly at a snapshot's entry gets the tail, each entry once, and no snapshot
// again. Method: a newcomer starts from the signed snapshot and is killed when it has just that;
// its disk holds the snapshot and an empty tail. Every stream is checked for gaps and repeats when
// it leaves the controller.
TEST(Scenario, ReconnectExactlyAtASnapshotBoundary) {
  MeshOptions options;
  options.controller.snapshot_threshold = 2;
  on_mesh(options, [](Mesh& mesh) {
    mesh.build(2);
    add_site_nine(mesh);
    sign_anchor(mesh);
    const Anchor anchor = *mesh.book.state().anchor;
    for (int i = 1; i <= 5; ++i) mesh.submit({keepalive(i)});
    NodeHost& host = newcomer(mesh, anchor);
    mesh.run_until([&] { return head_of(host) != Sequence(); }, kMinute);
    ASSERT_EQ(head_of(host), anchor.sequence) << "it starts from the snapshot";
    host.kill();
    mesh.run_for(1'000);
    host.start();
    ASSERT_EQ(head_of(host), anchor.sequence);
    EXPECT_TRUE(host.agent().history().settled()) << "a snapshot is a verified head";
    mesh.run_until([&] { return head_of(host) != anchor.sequence; }, kMinute);
    EXPECT_GT(head_of(host), anchor.sequence);
    expect_finished(mesh);
  });
}

// Claim: an anchor that is signed while another's snapshot is on its way spoils neither the
// newcomer nor the stream. Method: a state of more than two frames, small credit, slow reading; the
// second anchor comes between two frames.
TEST(Scenario, TwoSnapshotsInQuickSuccession) {
  MeshOptions options;
  options.controller.snapshot_threshold = 2;
  options.node.credit = 1'000;
  on_mesh(options, [](Mesh& mesh) {
    mesh.build(2);
    add_site_nine(mesh);
    for (int part = 0; part < 8; ++part) {
      std::vector<Command> commands;
      for (int i = 0; i < 60; ++i)
        commands.push_back(SetAttribute{
            {Level::global, {}}, "note" + std::to_string(part * 60 + i), std::string(800, 'x')});
      ASSERT_FALSE(mesh.submit(std::move(commands)));
    }
    sign_anchor(mesh);
    const Anchor anchor = *mesh.book.state().anchor;
    for (int i = 1; i <= 5; ++i) mesh.submit({keepalive(i)});
    NodeHost& host = newcomer(mesh, anchor);
    mesh.run_until([&] { return host.joined(); }, kMinute);
    mesh.network.slow(host.line(), 400);
    mesh.run_for(1'000);
    ASSERT_EQ(head_of(host), Sequence()) << "the first snapshot is on its way";
    sign_anchor(mesh);
    for (int i = 6; i <= 9; ++i) mesh.submit({keepalive(i)});
    sign_anchor(mesh);
    expect_finished(mesh);
    EXPECT_EQ(head_of(host), mesh.book.head());
  });
}

// Claim: a position past the head is waited for. Method: the entries up to it are never sent.
TEST(Scenario, SubscribingInTheFuture) {
  on_mesh({}, [](Mesh& mesh) {
    mesh.build(1);
    const uint64_t head = mesh.book.head().value();
    Follower follower(mesh, head + 3);
    mesh.run_for(10'000);
    EXPECT_TRUE(follower.numbers.empty());
    EXPECT_GT(follower.heads, 0u) << "it hears where the log is";
    for (int i = 1; i <= 5; ++i) mesh.submit({keepalive(i)});
    mesh.run_for(1'000);
    EXPECT_EQ(follower.numbers, (std::vector{head + 4, head + 5}));
  });
}

// Claim: at the head there is nothing to send, and then exactly what is new. Method: a follower of
// the head.
TEST(Scenario, SubscribingAtTheHead) {
  on_mesh({}, [](Mesh& mesh) {
    mesh.build(1);
    const uint64_t head = mesh.book.head().value();
    Follower follower(mesh, head);
    mesh.run_for(10'000);
    EXPECT_TRUE(follower.numbers.empty());
    mesh.submit({keepalive(1)});
    mesh.submit({keepalive(2)});
    mesh.run_for(1'000);
    EXPECT_EQ(follower.numbers, (std::vector{head + 1, head + 2}));
  });
}

// Claim: who reads slowly delays nobody and misses nothing. Method: one router takes two seconds
// for each frame and has credit for one, while twenty changes are made and rolled out.
TEST(Scenario, ASlowConsumerBesideFastOnes) {
  MeshOptions options;
  options.node.credit = 600;
  on_mesh(options, [](Mesh& mesh) {
    mesh.build(3);
    NodeHost& slow = *mesh.find_host("r1.s1");
    mesh.network.slow(slow.line(), 2'000);
    for (int i = 1; i <= 20; ++i) mesh.submit({keepalive(i)});
    mesh.roll_out();
    mesh.run_for(2'000);
    for (const auto* name : {"r1.s2", "r1.s3"}) EXPECT_EQ(mesh.find_host(name)->unfinished(), "");
    EXPECT_LT(head_of(slow), mesh.book.head()) << "it is behind, and the others are not";
    expect_finished(mesh);
  });
}

// Claim: what a controller appended and nobody heard of is acknowledged by the retry, once.
// Method: kill -9 after the append, before any frame leaves; the operator sends the same bytes
// again.
TEST(Scenario, CrashBetweenAppendAndPublish) {
  on_mesh({}, [](Mesh& mesh) {
    mesh.build(2);
    const Sequence before = mesh.book.head();
    Intention intention;
    intention.commands = {AddSite{"crash"}};
    mesh.run_until([&] { return !mesh.alice().busy(); }, kMinute);
    mesh.alice().ask(std::move(intention));
    bool armed = false;
    mesh.run_until(
        [&] {
          if (!armed && !mesh.alice().busy()) return true;
          if (!armed) mesh.controller.die_before_publishing();
          armed = true;
          return !mesh.controller.running() && mesh.book.head() > before;
        },
        kMinute);
    while (!mesh.controller.running()) {
      mesh.controller.start();
      mesh.run_for(100);
    }
    expect_finished(mesh);
    EXPECT_FALSE(mesh.alice().last_error());
    EXPECT_TRUE(mesh.book.state().find_site("crash"));
    EXPECT_EQ(mesh.book.state(before).find_site("crash"), nullptr);
  });
}

// Claim: a program that stood still acts on where the log is, not on what was superseded meanwhile.
// Method: the connection is cut too, as it is after so long; v2 and v3 are activated; the router
// goes from v1 to v3.
TEST(Scenario, AStalledRouterWakesWithOldState) {
  on_mesh({}, [](Mesh& mesh) {
    mesh.build(2);
    NodeHost& host = *mesh.find_host("r1.s1");
    const auto applied_before = host.applied().size();
    host.stall(2 * kMinute);
    mesh.network.break_connection(host.line());
    mesh.submit({keepalive(11)});
    mesh.roll_out();
    mesh.submit({keepalive(12)});
    mesh.roll_out();
    mesh.run_for(3 * kMinute);
    expect_finished(mesh);
    EXPECT_EQ(host.applied().size(), applied_before + 1) << "v2 was never applied";
    EXPECT_EQ(host.store().pointers().active, Version(3));
  });
}

// Claim: a controller that stood still serves its old sessions or makes them come anew; nothing is
// lost. Method: it sleeps until every peer has given its connection up, with a request in its
// queue.
TEST(Scenario, AStalledControllerWakesWithOldSessions) {
  on_mesh({}, [](Mesh& mesh) {
    mesh.build(2);
    mesh.controller.stall(40'000);
    EXPECT_FALSE(mesh.submit({keepalive(11)}))
        << "the same bytes, sent again and again, are one request";
    expect_finished(mesh);
  });
}

// Claim: frames twice, in another order and damaged do not confuse anybody, nor change what is
// believed. Method: the bus breaks its promises while thirty changes are made.
TEST(Scenario, DuplicatedAndReorderedMessages) {
  MeshOptions options;
  options.node.hostile = options.people.hostile = true;
  options.node.credit = 2'000;
  on_mesh(options, [](Mesh& mesh) {
    mesh.build(3);
    mesh.network.set_hostile(true);
    for (int i = 1; i <= 30; ++i) {
      mesh.submit({keepalive(i)});
      if (i % 10 == 0) mesh.roll_out();
    }
    mesh.network.calm();
    expect_finished(mesh);
  });
}

// Claim: a revoked router gets nothing more, and its tunnels are gone from the others at once.
// Method: it is revoked while connected; every frame to its key is looked for.
TEST(Scenario, ARevokedRouterIsCutOff) {
  on_mesh({}, [](Mesh& mesh) {
    mesh.build(3);
    NodeHost& host = *mesh.find_host("r1.s1");
    const Sequence head = head_of(host);
    ASSERT_FALSE(mesh.submit({RevokeNode{"r1.s1"}}));
    expect_finished(mesh);
    for (const auto* name : {"r1.s2", "r1.s3"})
      EXPECT_FALSE(mesh.find_host(name)->router().state().tunnels.contains("tlwg_11"));
    mesh.submit({keepalive(1)});
    mesh.run_for(kMinute);
    EXPECT_EQ(head_of(host), head);
  });
}

// --- a controller that was restored from an old backup ---

/// One router and one controller, frame by frame, without the checks of the mesh: two histories are
/// the point.
class Restored {
 public:
  Restored(Mesh& mesh, NodeHost& host, const MemoryEventLog& backup)
      : log_(backup),
        controller_(std::move(*Controller::open(std::make_unique<test::BorrowedLog>(log_, appends_),
                                                mesh.controller.options()))),
        node_{host.key(), 1, false},
        alice_{test::box_secret("alice").public_key(), 2, false},
        store_(host.files()) {
    EXPECT_TRUE(store_.open().has_value());
    agent_ = std::make_unique<Agent>(host.agent_options(), store_, host.router());
    agent_->boot(now_.mono_ms);
    EXPECT_TRUE(agent_->load(now_.mono_ms).has_value());
    agent_->connected(now_.mono_ms);
  }

  void talk() {
    for (int i = 0; i < 20; ++i) {
      now_.mono_ms += 1'000;
      now_.wall = Timestamp(now_.wall.value() + 1'000'000);
      agent_->tick(now_.mono_ms);
      for (const Bytes& frame : agent_->take_frames()) controller_->receive(node_, frame, now_);
      controller_->tick(now_);
      for (const Outgoing& outgoing : controller_->take_output().frames)
        if (outgoing.to == node_) agent_->receive(*outgoing.frame, now_.mono_ms);
    }
  }
  void change(Command command) {
    Request request;
    request.log = controller_->state().log;
    request.epoch = controller_->state().epoch;
    request.principal = Principal::human("alice");
    request.id = test::request_id(++requests_);
    request.based_on = controller_->state().sequence;
    request.commands = {std::move(command)};
    SignedRequest signed_request{encode_request(request), {}};
    signed_request.signature =
        test::sign_secret("alice").sign(kRequestDomain, signed_request.bytes);
    controller_->receive(alice_, encode_message({1, Submit{std::move(signed_request), false}}),
                         now_);
    controller_->flush(now_);
  }
  void start_epoch() {
    const MeshState& state = controller_->state();
    change(StartEpoch{state.epoch + 1, state.sequence, log_.frontier().root(),
                      NodeId(state.next_node.value() + 1'000), Version(1'001)});
  }
  /// What an administrator reads of what the log lost.
  std::string orphans() {
    controller_->receive(alice_, encode_message({2, Query{"orphans", {}, Sequence()}}), now_);
    controller_->tick(now_);
    std::string json;
    const auto keep = [&](const Output& output) {
      for (const Outgoing& outgoing : output.frames)
        if (auto message = decode_message(*outgoing.frame); message && outgoing.to == alice_)
          if (const auto* result = std::get_if<QueryResult>(&message->body)) json = result->json;
    };
    Output output = controller_->take_output();
    keep(output);
    for (Job& job : output.jobs) job()();
    keep(controller_->take_output());
    return json;
  }
  Agent& agent() { return *agent_; }
  Sequence head() const { return log_.head(); }
  const Controller& controller() const { return *controller_; }

 private:
  MemoryEventLog log_;
  int appends_ = 0;
  std::unique_ptr<Controller> controller_;
  SessionId node_, alice_;
  ReplicaStore store_;
  std::unique_ptr<Agent> agent_;
  Now now_{Timestamp(1'800'000'000'000'000), 1'000};
  uint64_t requests_ = 0;
};

// Claim: a router that meets an older head keeps its state and its routing and says so; when that
// controller then decides something else, the router refuses it as a second history. Method: a copy
// of the log, two changes that the copy lacks, and a controller on the copy.
TEST(Scenario, AControllerRestoredFromAnOldBackup) {
  on_mesh({}, [](Mesh& mesh) {
    mesh.build(2);
    const MemoryEventLog backup = mesh.controller.disk().log;
    mesh.submit({keepalive(7)});
    mesh.roll_out();
    expect_finished(mesh);
    NodeHost& host = *mesh.find_host("r1.s1");
    const Sequence head = head_of(host);
    const DryRunState router = host.router().state();
    host.kill();
    mesh.controller.kill("for a restore");

    Restored restored(mesh, host, backup);
    restored.talk();
    EXPECT_EQ(restored.agent().history().head(), head);
    EXPECT_EQ(host.router().state(), router);
    EXPECT_NE(restored.agent().status().problem.find("was restored from a backup at #"),
              std::string::npos)
        << restored.agent().status().problem;

    for (int64_t i = 50; restored.head() <= head; ++i) restored.change(keepalive(i));
    restored.talk();
    EXPECT_EQ(restored.agent().history().head(), head);
    EXPECT_EQ(host.router().state(), router) << "routing goes on as it was";
    EXPECT_NE(restored.agent().status().state.find("refused: equivocation"), std::string::npos)
        << restored.agent().status().state;
    mesh.controller.start();
  });
}

// Claim: when an administrator starts an epoch on the restored log, the router follows it, keeps
// routing what it runs, and hands over every entry that the log lost, which an administrator then
// reads. Method: as above, with a StartEpoch.
TEST(Scenario, AnEpochAfterAnOldBackup) {
  on_mesh({}, [](Mesh& mesh) {
    mesh.build(2);
    const MemoryEventLog backup = mesh.controller.disk().log;
    mesh.submit({keepalive(7)});
    mesh.roll_out();
    expect_finished(mesh);
    NodeHost& host = *mesh.find_host("r1.s1");
    const DryRunState router = host.router().state();
    host.kill();
    mesh.controller.kill("for a restore");

    Restored restored(mesh, host, backup);
    restored.talk();
    const Sequence base = restored.head();
    restored.start_epoch();
    restored.change(keepalive(8));
    restored.talk();
    EXPECT_EQ(restored.agent().history().head(), restored.head());
    EXPECT_EQ(state_digest(restored.agent().state()), state_digest(restored.controller().state()));
    EXPECT_EQ(restored.agent().history().epoch(), 2u);
    EXPECT_FALSE(restored.agent().history().refusal());
    EXPECT_EQ(host.router().state(), router) << "nothing was activated since";
    const std::string orphans = restored.orphans();
    EXPECT_NE(orphans.find(fmt::format("\"sequence\":{}", base.value() + 1)), std::string::npos) << orphans;
    EXPECT_NE(orphans.find("\"signature\":\"good\""), std::string::npos) << orphans;
    EXPECT_NE(orphans.find("wg_keepalive"), std::string::npos) << orphans;
    mesh.controller.start();
  });
}

}  // namespace
}  // namespace mesh::sim
