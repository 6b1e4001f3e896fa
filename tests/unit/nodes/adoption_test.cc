// Claim: a node goes over to another log in one piece, whenever it is killed or loses power: it is one of the old log
// or of the new one, with all that belongs to it, its router is not touched, and goes on as the old log's active
// version says until one of the new log is activated, as a whole or not at all. What was of the old log is kept.
// Method: an Agent on a simulated disk and router, with two logs that were decided and signed for real. The change of
// logs, and the first activation after it, die at each change of the disk and of the router, by kill and by power loss;
// so does what goes on with it.
#include "nodes/adoption.h"

#include <gtest/gtest.h>

#include "agent_fixture.h"
#include "nodes/below_files.h"

namespace mesh::test {
namespace {

constexpr std::string_view kNames[] = {"sign.key", "box.key", "node.json"};

struct AdoptionTest : AgentTest {
  AdoptionTest() : next(3, kRulesNewest - 1) {
    node.follow();
    routed = node.router().state();
    EXPECT_NE(next.id(), log.id());
    next.set("wg_keepalive", int64_t{44});
    next.admit(NodeId(11), node.signer(), node.options.deployment.own_keys.at(1));
    joined = next.size();
  }

  /// The others join the new log with the keys that they have, and all of them get a version.
  void complete_next() {
    for (const uint32_t other : {12u, 13u})
      next.admit(NodeId(other), Signer(static_cast<uint8_t>(other)), log.state().find_node(NodeId(other))->keys[0].key);
    next.commit();
    next.activate();
  }

  static void put(MemoryFiles& disk, const std::string& directory, const std::string& whose) {
    ASSERT_TRUE(disk.make_dir(directory));
    for (const auto name : kNames)
      ASSERT_TRUE(write_atomic(disk, directory + "/" + std::string(name), as_bytes(whose)));
    ASSERT_TRUE(disk.sync_dir("."));
  }
  /// Up to where the node goes over.
  void prepare(TestNode& it) {
    it.connect();
    it.follow(log.size());
    put(it.disk(), "identity", "old");
    put(it.disk(), "adopt", "new");
  }
  static std::string text(MemoryFiles& disk, const std::string& path) {
    const auto* bytes = disk.raw(path);
    return bytes ? std::string(as_text(*bytes)) : "none";
  }
  /// Whose node it is; fails when that is a mixture.
  static std::string whose(MemoryFiles& disk) {
    const auto first = text(disk, "identity/node.json");
    for (const auto name : kNames) EXPECT_EQ(text(disk, "identity/" + std::string(name)), first) << name;
    return first;
  }
  void start_in_next(TestNode& it) {
    it.options.history.log = next.id();
    it.options.history.log_key = next.log_key();
    it.options.deployment.log = next.id();
    it.start();
  }
  /// All of the old log is where it was put.
  void check_kept(TestNode& it, const std::string& place) {
    BelowFiles files(it.disk(), place);
    ReplicaStore store(files);
    ASSERT_TRUE(store.open());
    EXPECT_TRUE(store.problems().empty());
    auto loaded = store.load();
    ASSERT_TRUE(loaded) << loaded.error().message;
    EXPECT_EQ(loaded->replica, log.at(log.size()));
    EXPECT_EQ(store.pointers().active, Version(1));
    EXPECT_EQ(text(it.disk(), place + "/identity/sign.key"), "old");
  }

  WrittenLog next;
  DryRunState routed;
  uint64_t joined = 0;
};

TEST_F(AdoptionTest, WhatRanRoutesUntilTheNewLogHasAVersion) {
  prepare(node);
  ASSERT_TRUE(adopt(node.disk()));
  EXPECT_EQ(whose(node.disk()), "new");
  check_kept(node, "before/1");
  EXPECT_FALSE(node.disk().list("adopt"));
  start_in_next(node);
  EXPECT_EQ(node.router().state(), routed);
  EXPECT_EQ(status().active, Version(0));
  EXPECT_EQ(status().taken_over, "v1 of log " + to_hex(log.id().view()));

  // The new log knows this node, and none of the others: its keys would take all tunnels down.
  node.connect();
  node.follow(next);
  node.pass(30'000);
  EXPECT_EQ(status().sequence, Sequence(joined));
  EXPECT_EQ(status().problem, "");
  EXPECT_EQ(node.router().state(), routed);
  ASSERT_TRUE(node.router().reboot());
  node.reboot();
  EXPECT_EQ(node.router().state(), routed) << "also from the disk alone";

  complete_next();
  node.connect();
  node.follow(next);
  EXPECT_EQ(status().active, Version(1));
  EXPECT_EQ(status().taken_over, "");
  EXPECT_EQ(node.router().state().tunnels.at("tlwg_12").keepalive, 44);
  EXPECT_EQ(node.router().state().tunnels.at("tlwg_12").psk_log, next.id());
  EXPECT_FALSE(node.disk().read_link("inherited"));
  const auto now = node.router().state();
  node.reboot();
  EXPECT_EQ(node.router().state(), now);
  check_kept(node, "before/1");
}

TEST_F(AdoptionTest, AFirstVersionThatFailsLeavesWhatRan) {
  prepare(node);
  ASSERT_TRUE(adopt(node.disk()));
  start_in_next(node);
  complete_next();
  node.connect();
  node.router().set_obstacle([](const Desired& wanted) -> Status {
    if (wanted.tunnels.front().keepalive == 44) return fail(Errc::conflict, "that port is in use");
    return {};
  });
  node.follow(next);
  EXPECT_NE(status().problem.find("that port is in use"), std::string::npos) << status().problem;
  EXPECT_EQ(node.router().state(), routed);
  node.router().set_obstacle({});
  bool failed = false;
  node.router().set_fault([&](const Action&) -> Status {
    if (std::exchange(failed, true)) return {};
    return fail(Errc::io, "no");
  });
  node.restart();
  EXPECT_TRUE(failed);
  EXPECT_EQ(node.router().state(), routed);
  EXPECT_EQ(status().taken_over.substr(0, 2), "v1");
}

TEST_F(AdoptionTest, WhatRanAndCannotBeReadIsNotTakenDown) {
  prepare(node);
  ASSERT_TRUE(adopt(node.disk()));
  node.disk().raw("before/1/versions/v1/config.json")->at(3) ^= 1;
  start_in_next(node);
  EXPECT_EQ(node.router().state(), routed);
  EXPECT_NE(status().problem, "");
  complete_next();
  node.connect();
  bool failed = false;
  node.router().set_fault([&](const Action&) -> Status {
    if (std::exchange(failed, true)) return {};
    return fail(Errc::io, "no");
  });
  node.follow(next);
  EXPECT_TRUE(failed);
  EXPECT_EQ(tunnels(), 2u) << "nobody knows how to go back, and nothing is removed";
}

TEST_F(AdoptionTest, AFirstVersionThatIsNotConfirmedGoesBackToWhatRan) {
  for (const bool rebooted : {false, true}) {
    TestNode it(log, node);
    prepare(it);
    ASSERT_TRUE(adopt(it.disk()));
    start_in_next(it);
    WrittenLog trial = next;
    for (const uint32_t other : {12u, 13u})
      trial.admit(NodeId(other), Signer(static_cast<uint8_t>(other)), SecretKey::random().public_key());
    trial.commit();
    trial.activate_confirmed(20);
    it.connect();
    it.follow(trial);
    ASSERT_EQ(it.agent().status().pending, Version(1));
    EXPECT_EQ(it.router().state().tunnels.at("tlwg_12").keepalive, 44);
    it.disconnect();
    if (rebooted) it.reboot();
    it.pass(21'000);
    EXPECT_EQ(it.router().state(), routed);
    EXPECT_EQ(it.agent().status().pending, Version(0));
    EXPECT_NE(it.agent().status().taken_over, "");
  }
}

TEST_F(AdoptionTest, ARevocationInTheNewLogTakesTheTunnelsDown) {
  prepare(node);
  ASSERT_TRUE(adopt(node.disk()));
  start_in_next(node);
  node.connect();
  next.revoke(NodeId(11));
  node.follow(next);
  EXPECT_EQ(tunnels(), 0u);
}

TEST_F(AdoptionTest, ANodeThatLeavesAgainBeforeAVersionGoesOnWithWhatItHad) {
  prepare(node);
  ASSERT_TRUE(adopt(node.disk()));
  start_in_next(node);
  put(node.disk(), "adopt", "third");
  ASSERT_TRUE(adopt(node.disk()));
  EXPECT_EQ(whose(node.disk()), "third");
  start_in_next(node);
  EXPECT_EQ(node.router().state(), routed);
  EXPECT_EQ(node.disk().read_link("inherited").value_or(""), "before/1");
  check_kept(node, "before/1");
}

// Claim: at every step, by every death, and when what goes on with it dies too.
TEST_F(AdoptionTest, ItIsOfOneLogWheneverItDies) {
  TestNode counted(log, node);
  prepare(counted);
  const auto begun = counted.disk().changes();
  ASSERT_TRUE(adopt(counted.disk()));
  const auto steps = counted.disk().changes() - begun;
  ASSERT_GT(steps, 20u);
  bool stayed = false, went = false;
  for (uint64_t step = 1; step <= steps; ++step) {
    for (const bool lucky : {true, false}) {
      for (uint64_t again = 0; again <= steps + 4; again += again == 0 ? 1 : 5) {
        SCOPED_TRACE(::testing::Message() << "step " << step << (lucky ? " lucky" : "") << " again " << again);
        TestNode it(log, node);
        prepare(it);
        it.disk().die_at(step);
        EXPECT_FALSE(adopt(it.disk()));
        it.disk().crash(lucky);
        if (again != 0) {
          it.disk().die_at(again);
          (void)finish_adoption(it.disk());
          it.disk().crash(!lucky);
        }
        ASSERT_TRUE(finish_adoption(it.disk()));
        const auto now = whose(it.disk());
        ASSERT_TRUE(now == "old" || now == "new") << now;
        (now == "old" ? stayed : went) = true;
        if (now == "old") {
          it.start();
          EXPECT_EQ(it.agent().status().active, Version(1));
          EXPECT_EQ(text(it.disk(), "adopt/node.json"), "new") << "it can be tried again";
          ASSERT_TRUE(adopt(it.disk()));
        }
        check_kept(it, "before/1");
        start_in_next(it);
        EXPECT_EQ(it.router().state(), routed);
        ASSERT_TRUE(it.store().problems().empty()) << it.store().problems().front();
        ASSERT_NE(it.agent().status().taken_over, "");
        if (HasFailure()) return;
      }
    }
  }
  EXPECT_TRUE(stayed && went) << "both were seen";
}

// Claim: the first activation in the new log is of one piece too.
TEST_F(AdoptionTest, TheFirstVersionStandsOrWhatRanDoes) {
  complete_next();
  const auto begin = [&](TestNode& it) {
    prepare(it);
    ASSERT_TRUE(adopt(it.disk()));
    start_in_next(it);
    it.connect();
  };
  TestNode counted(log, node);
  begin(counted);
  const auto begun = counted.disk().changes();
  const auto acted = counted.router().executed();
  counted.follow(next);
  const auto steps = counted.disk().changes() - begun, actions = counted.router().executed() - acted;
  const auto second = counted.router().state();
  ASSERT_NE(second, routed);
  const auto check = [&](TestNode& it) {
    EXPECT_TRUE(it.router().state() == routed || it.router().state() == second);
    const bool old = it.router().state() == routed;
    EXPECT_EQ(it.agent().status().active, old ? Version(0) : Version(1));
    EXPECT_EQ(it.agent().status().taken_over.empty(), !old);
    it.connect();
    it.follow(next);
    it.give(Head{Sequence(next.size()), next.note(next.size())});
    it.pass(6'000);
    EXPECT_EQ(it.router().state(), second) << it.agent().status().state;
    EXPECT_EQ(it.agent().status().active, Version(1));
  };
  for (uint64_t step = 1; step <= steps; ++step) {
    for (const bool lucky : {true, false}) {
      SCOPED_TRACE(::testing::Message() << "change " << step << " of the disk" << (lucky ? ", lucky" : ""));
      TestNode it(log, node);
      begin(it);
      it.disk().die_at(step);
      it.follow(next);
      it.reboot(lucky);
      check(it);
      if (HasFailure()) return;
    }
  }
  for (uint64_t action = 1; action <= actions; ++action) {
    SCOPED_TRACE(::testing::Message() << "action " << action << " on the router");
    TestNode it(log, node);
    begin(it);
    uint64_t count = 0;
    it.router().set_fault([&](const Action&) -> Status {
      if (++count < action) return {};
      it.disk().die();
      return fail(Errc::io, "the program is dead");
    });
    it.follow(next);
    it.router().set_fault({});
    it.restart();
    check(it);
    if (HasFailure()) return;
  }
}

}  // namespace
}  // namespace mesh::test
