// Claim: whenever the program dies during an activation, before any change of the disk or of the router, the next one
// makes the router exactly the old or exactly the new version, as the pointers say, from its own disk; then what the
// log says by then; also when the next one dies as well. Method: every step of an activation that moves a link (new
// tunnels before old ones) on a simulated disk and router, which outlive the program; for each, every step of the
// recovery, with and without the routing daemon's time-out in between.
#include "agent_fixture.h"

namespace mesh::test {
namespace {

/// A node whose program dies before a chosen change: of its disk or of its router, counted together.
class Mortal {
 public:
  Mortal(WrittenLog& log, const TestNode& same) : node(log, same) {}

  /// 0 = never.
  void die_at(uint64_t disk_step, uint64_t router_step) {
    left_ = router_step;
    node.disk().die_at(disk_step);
    node.router().set_gate([this](bool changes) -> Status {
      if (changes && left_ > 0 && --left_ == 0) router_died_ = true;
      if (router_died_ || node.disk().dead()) return fail(Errc::io, "the program is dead");
      return {};
    });
  }
  /// It is dead, and so is what it would still have written.
  bool died() {
    if (router_died_) node.disk().die();
    return node.disk().dead();
  }
  /// The kernel keeps what it was given.
  void revive(bool routing_timed_out) {
    node.disk().crash(true);
    node.disk().die_at(0);
    node.router().set_gate({});
    node.router().program_restarted();
    if (routing_timed_out) node.router().bird_timer_expired();
    router_died_ = false;
    left_ = 0;
  }

  TestNode node;

 private:
  uint64_t left_ = 0;
  bool router_died_ = false;
};

struct KillTest : AgentTest {
  KillTest() {
    // v2: linked with 12 only; v3: with 13 only.
    groups("r1.s1", {"x"});
    groups("r2.s2", {"x", "z"});
    groups("r3.s3", {"z"});
    log.commit();
    log.activate();
    before = log.size();
    groups("r1.s1", {"y"});
    groups("r3.s3", {"y", "z"});
    log.commit();
    log.activate();
    TestNode whole(log, node);
    whole.connect();
    whole.follow(before);
    versions[Version(2)] = whole.router().state();
    whole.follow();
    versions[Version(3)] = whole.router().state();
  }
  void groups(const std::string& name, std::vector<Scalar> groups) {
    log.append({SetAttribute{{Level::node, name}, "groups", std::move(groups)}});
  }
  /// A mortal node that runs v2, and has not heard of v3.
  std::unique_ptr<Mortal> ready() {
    auto out = std::make_unique<Mortal>(log, node);
    out->node.connect();
    out->node.follow(before);
    return out;
  }
  /// The program starts again; the router is one version, the one that its pointers name.
  void expect_whole(Mortal& it) {
    it.node.start();
    const auto active = it.node.store().pointers().active;
    ASSERT_TRUE(versions.contains(active)) << active.value();
    ASSERT_EQ(it.node.router().state(), versions.at(active)) << "v" << active.value();
    it.node.connect();
  }

  uint64_t before = 0;  // entries until v2 was activated
  std::map<Version, DryRunState> versions;
};

TEST_F(KillTest, TheActivationMovesALink) {
  EXPECT_TRUE(versions[Version(2)].tunnels.contains("tlwg_12"));
  EXPECT_FALSE(versions[Version(2)].tunnels.contains("tlwg_13"));
  EXPECT_TRUE(versions[Version(3)].tunnels.contains("tlwg_13"));
  EXPECT_FALSE(versions[Version(3)].tunnels.contains("tlwg_12"));
  const auto one = ready();
  one->node.follow();
  ASSERT_EQ(one->node.router().handovers().size(), 1u);
  EXPECT_EQ(one->node.router().handovers()[0].state.tunnels.size(), 2u) << "the new one before the old one went";
}

TEST_F(KillTest, ADeathAtAnyStepIsAnOldOrANewVersionAndNeverAMixture) {
  const uint64_t head = log.size();
  log.append({Activate{{}, Version(2)}});  // the log goes back while the node is dead
  const uint64_t back = log.size();
  uint64_t deaths = 0;
  for (const bool in_router : {false, true}) {
    for (uint64_t step = 1;; ++step) {
      bool died = false;
      for (const uint64_t last : {head, back}) {
        for (const bool timed_out : {false, true}) {
          SCOPED_TRACE(testing::Message() << (in_router ? "router" : "disk") << " step " << step << ", log of "
                                          << last);
          const auto it = ready();
          it->die_at(in_router ? 0 : step, in_router ? step : 0);
          it->node.follow(head);
          died = it->died();
          if (!died) continue;
          ++deaths;
          it->revive(timed_out);
          ASSERT_NO_FATAL_FAILURE(expect_whole(*it));
          it->node.follow(last);
          it->node.give(Head{Sequence(last), log.note(last)});
          ASSERT_EQ(it->node.router().state(), versions.at(Version(last == head ? 3 : 2)));
          ASSERT_EQ(it->node.store().pointers().pending, Version());
        }
      }
      if (!died) break;
    }
  }
  EXPECT_GT(deaths, 100u);
}

TEST_F(KillTest, ASecondDeathInTheRecoveryChangesNothingAboutIt) {
  uint64_t second_deaths = 0;
  for (uint64_t step = 1;; ++step) {
    bool died = false;
    for (const bool in_router : {false, true}) {
      for (uint64_t second = 1;; ++second) {
        SCOPED_TRACE(testing::Message() << "router step " << step << ", then " << (in_router ? "router" : "disk")
                                        << " step " << second);
        const auto it = ready();
        it->die_at(0, step);
        it->node.follow();
        died = it->died();
        if (!died) break;
        it->revive(false);
        it->die_at(in_router ? 0 : second, in_router ? second : 0);
        if (it->node.try_start()) {
          it->node.connect();
          it->node.follow();
          it->node.give(Head{Sequence(log.size()), log.note(log.size())});
        }
        const bool died_again = it->died();
        if (died_again)
          it->revive(second % 2 == 0);
        else
          it->die_at(0, 0);
        second_deaths += died_again;
        ASSERT_NO_FATAL_FAILURE(expect_whole(*it));
        it->node.follow();
        it->node.give(Head{Sequence(log.size()), log.note(log.size())});
        ASSERT_EQ(it->node.router().state(), versions.at(Version(3)));
        if (!died_again) break;
      }
    }
    if (!died) break;
  }
  EXPECT_GT(second_deaths, 50u);
}

}  // namespace
}  // namespace mesh::test
