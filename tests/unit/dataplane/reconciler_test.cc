// Claim: reconcile makes any router what is wanted, does nothing when it is so, takes everything
// back when one action fails and there is something to go back to, and does all it can when there
// is not; a dry run touches nothing; the dry-run router behaves like one, also over a restart.
// Method: random states from a seed that is printed; the dry-run data plane with failures put
// before chosen actions.
#include "nodes/dataplane/reconciler.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <fstream>
#include <random>
#include <set>

#include "nodes/dataplane/dry_run_dataplane.h"

namespace mesh {
namespace {

class Generator {
 public:
  explicit Generator(uint32_t seed) : random_(seed) {}
  uint32_t below(uint32_t n) { return static_cast<uint32_t>(random_() % n); }

  Desired desired() {
    Desired out;
    for (uint32_t peer = 12; peer < 20; ++peer)
      if (below(2) == 0) out.tunnels.push_back(tunnel(peer));
    std::ranges::sort(out.tunnels, {}, &Tunnel::name);
    for (uint32_t i = 0; i < below(3); ++i) out.loopbacks.push_back(address(100 + below(3)));
    std::ranges::sort(out.loopbacks);
    out.loopbacks.erase(std::ranges::unique(out.loopbacks).begin(), out.loopbacks.end());
    if (below(2) == 0) out.sysctls["net.ipv4.ip_forward"] = std::to_string(below(2));
    out.bird = "configuration " + std::to_string(below(3)) + "\n";
    if (below(2) == 0) out.management = management();
    return out;
  }

 private:
  static IpAddress address(uint32_t last) {
    IpAddress out{true, {0xfe, 0x80}};
    out.bytes[15] = static_cast<uint8_t>(last);
    return out;
  }
  ManagementTunnel management() {
    ManagementTunnel out;
    out.listen_port = static_cast<uint16_t>(7300 + below(2));
    out.mtu = 1392;
    out.keepalive = static_cast<uint16_t>(below(2) * 25);
    out.address = address(50), out.link_local = address(11);
    out.own_generation = 1 + below(2);
    if (below(3) == 0) out.endpoint_host = "hub.example", out.endpoint_port = 51820;
    for (uint32_t peer = 12; peer < 15; ++peer) {
      if (below(2) == 0) continue;
      ManagementTunnelPeer& each = out.peers.emplace_back();
      each.node = NodeId(peer);
      each.key.bytes[0] = static_cast<uint8_t>(peer + below(2) * 100);
      each.psk_epoch = below(2);
      each.address = address(60 + peer), each.link_local = address(peer);
    }
    return out;
  }
  Tunnel tunnel(uint32_t peer) {
    Tunnel out;
    out.name = "tlwg_" + std::to_string(peer) + (below(4) == 0 ? "b" : "");
    out.peer = NodeId(peer);
    out.listen_port = static_cast<uint16_t>(7400 + peer + (below(8) == 0 ? 1 : 0));
    out.mtu = static_cast<uint16_t>(1400 + below(2) * 20);
    out.address = address(11);
    out.peer_address = address(peer);
    out.own_generation = 1 + below(2);
    out.peer_key.bytes[0] = static_cast<uint8_t>(peer);
    out.psk_epoch = below(2);
    if (below(2) == 0) out.endpoint_host = below(2) == 0 ? "192.0.2.1" : "lab.example";
    if (!out.endpoint_host.empty()) out.endpoint_port = 7411;
    out.keepalive = static_cast<uint16_t>(below(2) * 25);
    return out;
  }
  std::mt19937 random_;
};

/// Ports are unique on a router, as compile() makes them: of two tunnels with one port only the
/// first stays.
Desired with_unique_ports(Desired desired) {
  std::set<uint16_t> ports;
  std::erase_if(desired.tunnels,
                [&](const Tunnel& t) { return !ports.insert(t.listen_port).second; });
  return desired;
}

class Reconcile : public testing::Test {
 protected:
  void SetUp() override {
    for (uint32_t generation : {1, 2}) ASSERT_TRUE(keys.generate(generation));
  }
  ApplyReport apply(const Desired& wanted, const Desired* previous = nullptr) {
    return reconcile(router, wanted, keys.public_keys(), previous);
  }
  void fail_before(std::function<bool(const Action&)> chosen) {
    router.set_fault([chosen = std::move(chosen)](const Action& action) {
      return chosen(action) ? fail(Errc::io, "planted") : Status();
    });
  }
  TunnelKeys keys;
  DryRunDataplane router{keys};
};

template <class Wanted>
bool is(const Action& action) {
  return std::holds_alternative<Wanted>(action);
}

TEST_F(Reconcile, AnyRouterBecomesWhatIsWanted) {
  const uint32_t seed = std::random_device()();
  SCOPED_TRACE(testing::Message() << "seed " << seed);
  Generator generate(seed);
  for (int i = 0; i < 500; ++i) {
    Desired wanted = with_unique_ports(generate.desired());
    auto shown = dry_run(router, wanted, keys.public_keys());
    ASSERT_TRUE(shown);
    ApplyReport report = apply(wanted);
    ASSERT_TRUE(report.ok()) << report.error->message;
    ASSERT_EQ(report.steps.size(), shown->size()) << "what was shown is what is done";
    ASSERT_TRUE(dry_run(router, wanted, keys.public_keys())->empty());
    ASSERT_EQ(router.state().bird, wanted.bird) << "it is confirmed";
    const auto& management = router.state().management;  // where nobody is, nobody is dialled or kept awake
    ASSERT_EQ(management.has_value(), wanted.management.has_value());
    if (management) { ASSERT_EQ(management->peers, wanted.management->peers); }
    ASSERT_EQ(*parse_state(state_text(router.state())), router.state()) << "and kept over a restart";
    uint64_t executed = router.executed();
    ASSERT_EQ(apply(wanted).outcome, Reconciled::unchanged);
    ASSERT_EQ(router.executed(), executed);
  }
}

TEST_F(Reconcile, AFailureAnywhereLeadsBack) {
  const uint32_t seed = std::random_device()();
  SCOPED_TRACE(testing::Message() << "seed " << seed);
  Generator generate(seed);
  for (int i = 0; i < 300; ++i) {
    Desired before = with_unique_ports(generate.desired());
    Desired wanted = with_unique_ports(generate.desired());
    ASSERT_TRUE(apply(before).ok());
    const size_t steps = dry_run(router, wanted, keys.public_keys())->size();
    if (steps == 0) continue;
    // The fault is gone by the time it goes back: the kernel refused this change, not every change.
    size_t left = generate.below(static_cast<uint32_t>(steps)) + 1;
    fail_before([&left](const Action&) { return left > 0 && --left == 0; });
    ApplyReport report = apply(wanted, &before);
    router.set_fault({});
    ASSERT_EQ(report.outcome, Reconciled::went_back) << report.error->message;
    ASSERT_TRUE(report.error->message.contains("planted"));
    ASSERT_EQ(apply(before).outcome, Reconciled::unchanged);
  }
}

Desired two_tunnels() {
  Desired out;
  for (uint32_t peer : {12, 13}) {
    Tunnel tunnel;
    tunnel.name = "tlwg_" + std::to_string(peer);
    tunnel.peer = NodeId(peer);
    tunnel.listen_port = static_cast<uint16_t>(7400 + peer);
    tunnel.own_generation = 1;
    out.tunnels.push_back(tunnel);
  }
  out.sysctls["net.ipv4.ip_forward"] = "1";
  out.bird = "one\n";
  return out;
}

TEST_F(Reconcile, WithNothingToGoBackToAllThatCanBeDoneIsDone) {
  fail_before([](const Action& action) {
    auto create = std::get_if<CreateTunnel>(&action);
    return create != nullptr && create->tunnel.name == "tlwg_12";
  });
  ApplyReport report = apply(two_tunnels());
  EXPECT_EQ(report.outcome, Reconciled::failed);
  ASSERT_TRUE(report.error);
  EXPECT_EQ(report.error->code, Errc::io);
  EXPECT_TRUE(report.error->message.contains("tlwg_12")) << report.error->message;
  EXPECT_TRUE(router.state().tunnels.contains("tlwg_13"));
  EXPECT_EQ(router.state().bird, "one\n") << "confirmed, so that it stays";
  router.set_fault({});
  EXPECT_EQ(apply(two_tunnels()).steps.size(), 1u);
}

TEST_F(Reconcile, WhatCannotBeTakenBackIsSaid) {
  ASSERT_TRUE(apply(two_tunnels()).ok());
  Desired before = two_tunnels(), wanted = two_tunnels();
  wanted.tunnels[0].keepalive = 5;
  wanted.bird = "two\n";
  fail_before([updates = 0](const Action& action) mutable {
    return is<ConfigureBird>(action) || (is<UpdateTunnel>(action) && ++updates == 2);
  });
  ApplyReport report = apply(wanted, &before);
  EXPECT_EQ(report.outcome, Reconciled::failed);
  EXPECT_TRUE(report.error->message.contains("going back")) << report.error->message;
  EXPECT_EQ(router.state().bird, "one\n");
}

/// A router on which somebody else sets a tunnel back after every look.
class Stubborn final : public Dataplane {
 public:
  explicit Stubborn(DryRunDataplane& router) : router_(router) {}
  Status check(const Desired& wanted) override { return router_.check(wanted); }
  Result<Observed> observe(const Desired& wanted) override { return router_.observe(wanted); }
  Status execute(const Action& action) override {
    return is<UpdateTunnel>(action) ? Status() : router_.execute(action);
  }
  Status confirm() override { return router_.confirm(); }
  Status cancel() override { return router_.cancel(); }
  void await_other_paths(const std::vector<std::string>& going) override {
    router_.await_other_paths(going);
  }
  void await_silence(const std::vector<std::string>& going) override {
    router_.await_silence(going);
  }
  Result<Health> health() override { return router_.health(); }
  Status refresh_endpoints(const Desired& wanted) override {
    return router_.refresh_endpoints(wanted);
  }
  Result<std::vector<IpAddress>> probe(const std::vector<IpAddress>& from,
                                       const std::vector<IpAddress>& targets) override {
    return router_.probe(from, targets);
  }
  Status remove_all() override { return router_.remove_all(); }

 private:
  DryRunDataplane& router_;
};

TEST_F(Reconcile, SuccessIsWhatIsSeenAndNotWhatIsReturned) {
  ASSERT_TRUE(apply(two_tunnels()).ok());
  Stubborn stubborn(router);
  Desired wanted = two_tunnels();
  wanted.tunnels[0].keepalive = 5;
  ApplyReport report = reconcile(stubborn, wanted, keys.public_keys());
  EXPECT_EQ(report.outcome, Reconciled::failed);
  EXPECT_TRUE(report.error->message.contains("tlwg_12: set keepalive")) << report.error->message;
}

TEST_F(Reconcile, WhatCannotBeDoneTouchesNothing) {
  ASSERT_TRUE(apply(two_tunnels()).ok());
  const DryRunState is = router.state();
  Desired before = two_tunnels(), wanted = two_tunnels();
  wanted.bird = "two\n";
  wanted.tunnels[1].own_generation = 7;
  const uint64_t executed = router.executed();
  ApplyReport report = apply(wanted, &before);
  EXPECT_EQ(report.outcome, Reconciled::refused);
  ASSERT_TRUE(report.error);
  EXPECT_EQ(report.error->code, Errc::not_found);
  EXPECT_TRUE(report.error->message.starts_with("nothing was touched: tunnel tlwg_13 needs"))
      << report.error->message;
  EXPECT_NE(report.error->fix, "");
  EXPECT_TRUE(report.steps.empty());
  wanted.tunnels[1].own_generation = 1;
  router.set_obstacle([](const Desired&) { return fail(Errc::conflict, "a port is taken"); });
  EXPECT_EQ(apply(wanted, &before).error->code, Errc::conflict);
  EXPECT_EQ(router.executed(), executed);
  EXPECT_EQ(router.state(), is);
  EXPECT_EQ(apply(wanted).outcome, Reconciled::changed)
      << "at boot and to repair, what can be done is done";
}

/// A network in which the link to 12 goes and one to 14 comes.
struct Moved {
  Moved() : before(two_tunnels()), wanted(two_tunnels()), bridge(two_tunnels()) {
    wanted.tunnels[0].name = "tlwg_14";
    wanted.tunnels[0].peer = NodeId(14);
    wanted.tunnels[0].listen_port = 7414;
    std::swap(wanted.tunnels[0], wanted.tunnels[1]);
    wanted.tunnels[0].keepalive = 5;
    bridge.tunnels.push_back(wanted.tunnels[1]);
    wanted.bird = "two\n";
    bridge.bird = "one and two\n";
  }
  Desired before, wanted, bridge;
};

TEST_F(Reconcile, WhatIsNewStandsBeforeWhatIsOldGoes) {
  Moved moved;
  ASSERT_TRUE(apply(moved.before).ok());
  ApplyReport report =
      reconcile(router, moved.wanted, keys.public_keys(), &moved.before, &moved.bridge);
  ASSERT_TRUE(report.ok()) << report.error->message;
  EXPECT_EQ(report.steps,
            (std::vector<std::string>{"tunnel tlwg_14: create, port 7414", "bird: configure with 1 lines",
                                      "tunnel tlwg_13: set keepalive", "bird: configure with 1 lines",
                                      "tunnel tlwg_12: remove"}));
  ASSERT_EQ(router.handovers().size(), 1u);
  const auto& handover = router.handovers()[0];
  EXPECT_EQ(handover.going, std::vector<std::string>{"tlwg_12"});
  EXPECT_EQ(handover.state.tunnels.size(), 3u);
  EXPECT_EQ(handover.state.tunnels.at("tlwg_13").keepalive, 0) << "what stays is not touched yet";
  EXPECT_EQ(handover.state.running_bird(), "one and two\n");
  EXPECT_EQ(router.state().bird, "two\n");
  EXPECT_EQ(apply(moved.wanted).outcome, Reconciled::unchanged);
}

TEST_F(Reconcile, ARouterThatDoesNotRouteKeepsNothingUp) {
  Moved moved;
  ASSERT_TRUE(apply(moved.before).ok());
  ASSERT_TRUE(router.kill_bird());
  ASSERT_TRUE(
      reconcile(router, moved.wanted, keys.public_keys(), &moved.before, &moved.bridge).ok());
  EXPECT_TRUE(router.handovers().empty());
}

TEST_F(Reconcile, OldLoopbacksStayUntilTheRoutesHaveChanged) {
  Desired before = two_tunnels(), wanted = two_tunnels();
  before.loopbacks = {*parse_address("100.64.0.1"), *parse_address("fd64::1")};
  wanted.loopbacks = {*parse_address("100.64.0.2"), *parse_address("fd64::1")};
  wanted.bird = "two\n";
  ASSERT_TRUE(apply(before).ok());
  EXPECT_EQ(apply(wanted, &before).steps,
            (std::vector<std::string>{"loopbacks: 100.64.0.2, fd64::1, 100.64.0.1",
                                      "bird: configure with 1 lines",
                                      "loopbacks: 100.64.0.2, fd64::1"}));
  EXPECT_EQ(router.state().loopbacks, wanted.loopbacks);
}

// A program dies before the k-th change, for every k, and once more in the recovery: what the routing
// daemon then goes back to has its tunnels, and the next program makes the router whole.
TEST_F(Reconcile, ADeathAtAnyStepLeavesARouterThatTheNextProgramMakesWhole) {
  Moved moved;
  uint64_t deaths = 0;
  for (uint64_t step = 1;; ++step) {
    ASSERT_TRUE(router.remove_all());
    ASSERT_TRUE(apply(moved.before).ok());
    uint64_t left = step;
    router.set_gate([&left](bool changes) -> Status {
      if (left == 0 || (changes && --left == 0)) return fail(Errc::io, "the program is dead");
      return {};
    });
    (void)reconcile(router, moved.wanted, keys.public_keys(), &moved.before, &moved.bridge);
    router.set_gate({});
    if (left > 0) break;
    ++deaths;
    const std::string routing = router.state().running_bird();
    const auto& tunnels = router.state().tunnels;
    EXPECT_TRUE(tunnels.contains("tlwg_12") || routing == "two\n") << "step " << step;
    EXPECT_TRUE(tunnels.contains("tlwg_14") || routing == "one\n") << "step " << step;
    EXPECT_TRUE(tunnels.contains("tlwg_12") || !router.state().unconfirmed)
        << "step " << step << ": the routing daemon would go back to a tunnel that is gone";
    for (const bool timed_out : {false, true}) {
      for (const Desired* next : {&moved.before, &moved.wanted}) {
        for (uint64_t second = 1;; ++second) {
          DryRunDataplane again(keys);
          again.restore(router.state());
          if (timed_out) again.bird_timer_expired();
          uint64_t steps_left = second;
          again.set_gate([&steps_left](bool changes) -> Status {
            if (steps_left == 0 || (changes && --steps_left == 0)) return fail(Errc::io, "the program is dead");
            return {};
          });
          (void)reconcile(again, *next, keys.public_keys());
          again.set_gate({});
          again.program_restarted();
          const bool died = steps_left == 0;
          ASSERT_TRUE(reconcile(again, *next, keys.public_keys()).ok());
          ASSERT_EQ(again.state().running_bird(), next->bird);
          ASSERT_FALSE(again.state().unconfirmed);
          ASSERT_EQ(again.state().tunnels.size(), next->tunnels.size());
          for (const Tunnel& tunnel : next->tunnels)
            ASSERT_EQ(again.state().tunnels.at(tunnel.name), tunnel) << "steps " << step << ", " << second;
          if (!died) break;
        }
      }
    }
  }
  EXPECT_EQ(deaths, 6u) << "five actions and a confirmation";
}

TEST_F(Reconcile, ADeadRoutingDaemonIsStarted) {
  ASSERT_TRUE(apply(two_tunnels()).ok());
  ASSERT_TRUE(router.kill_bird());
  EXPECT_FALSE(router.health()->bird_running);
  ApplyReport report = apply(two_tunnels());
  EXPECT_EQ(report.outcome, Reconciled::changed);
  ASSERT_EQ(report.steps.size(), 1u);
  EXPECT_TRUE(report.steps[0].starts_with("bird: start"));
}

TEST_F(Reconcile, AnUnconfirmedConfigurationIsLost) {
  ASSERT_TRUE(apply(two_tunnels()).ok());
  ASSERT_TRUE(router.execute(ConfigureBird{"two\n", false}));
  EXPECT_EQ(router.observe(two_tunnels())->bird, "two\n");
  router.bird_timer_expired();
  EXPECT_EQ(router.observe(two_tunnels())->bird, "one\n");
}

TEST_F(Reconcile, RemovingAllLeavesNothing) {
  ASSERT_TRUE(apply(two_tunnels()).ok());
  ASSERT_TRUE(router.remove_all());
  EXPECT_EQ(router.state(), DryRunState());
}

TEST(DryRunState, IsReadBackFromItsText) {
  const uint32_t seed = std::random_device()();
  SCOPED_TRACE(testing::Message() << "seed " << seed);
  Generator generate(seed);
  for (int i = 0; i < 100; ++i) {
    DryRunState state;
    Desired wanted = generate.desired();
    for (const Tunnel& tunnel : wanted.tunnels)
      state = apply_action(std::move(state), CreateTunnel{tunnel});
    state.loopbacks = wanted.loopbacks;
    state.sysctls = wanted.sysctls;
    state.bird_running = true;
    state.bird = wanted.bird;
    auto again = parse_state(state_text(state));
    ASSERT_TRUE(again) << again.error().message;
    ASSERT_EQ(*again, state);
  }
}

TEST(DryRunState, ADamagedTextIsAnError) {
  for (const char* text : {"", "{}", "[]", "{\"tunnels\":{\"x\":{}}}",
                           "{\"tunnels\":1,\"loopbacks\":[],\"sysctls\":{}}"}) {
    auto state = parse_state(text);
    ASSERT_FALSE(state) << text;
    EXPECT_EQ(state.error().code, Errc::corrupt);
  }
}

TEST(DryRunDataplaneFile, SurvivesARestartWithoutWhatWasNotFinal) {
  std::string pattern = (std::filesystem::temp_directory_path() / "mesh-dry-XXXXXX").string();
  std::filesystem::path directory = mkdtemp(pattern.data());
  TunnelKeys keys;
  ASSERT_TRUE(keys.generate(1));
  auto router = DryRunDataplane::open(keys, directory / "router.json");
  ASSERT_TRUE(router);
  ASSERT_TRUE(reconcile(**router, two_tunnels(), keys.public_keys()).ok());
  ASSERT_TRUE((*router)->execute(ConfigureBird{"two\n", false}));

  auto again = DryRunDataplane::open(keys, directory / "router.json");
  ASSERT_TRUE(again);
  EXPECT_EQ(reconcile(**again, two_tunnels(), keys.public_keys()).outcome, Reconciled::unchanged);
  ASSERT_TRUE((*again)->reboot());
  EXPECT_EQ(reconcile(**again, two_tunnels(), keys.public_keys()).outcome, Reconciled::changed);

  std::ofstream(directory / "router.json") << "x";
  auto damaged = DryRunDataplane::open(keys, directory / "router.json");
  ASSERT_FALSE(damaged);
  EXPECT_EQ(damaged.error().code, Errc::corrupt);
  std::filesystem::remove_all(directory);
}

}  // namespace
}  // namespace mesh
