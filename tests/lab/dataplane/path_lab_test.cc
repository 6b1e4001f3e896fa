// Claim: over real tunnels round-trip times and path MTUs are what the network below makes of them; a peer whose name
// moves to another address is found there when its handshake is old; the machine's versions are told.
// Method: two routers as in dataplane_lab_test.cc. The line between them is delayed by netem, where the kernel has it,
// and drops what is larger than the far end's MTU without a word; ping(8) is asked which sizes come through. Names are
// lines of a hosts file of the router's own.
#include <chrono>
#include <csignal>
#include <thread>

#include "tests/lab/dataplane/routers.h"

namespace mesh::test {
namespace {

using namespace std::chrono_literals;

class PathLab : public DataplaneLab {
 protected:
  void SetUp() override {
    DataplaneLab::SetUp();
    if (IsSkipped()) return;
    one->survey = {.interval_us = 100'000, .mtu_interval_us = 500'000};
    one->adopt();
  }
  /// What is known of the tunnel when `enough`.
  TunnelHealth measured(const std::function<bool(const TunnelHealth&)>& enough) {
    TunnelHealth last;
    EXPECT_TRUE(eventually([&] {
      one->ns.run([&] { one->dataplane->probe_links(); });
      last = one->health_of("tlwg_12");
      return enough(last);
    })) << last.rtt_us
        << " us, path MTU " << last.path_mtu;
    return last;
  }
  bool comes_back(unsigned bytes) {
    return one->ns.sh(fmt::format("ping -6 -q -c3 -i0.2 -W1 -M do -s {} fe80::12%tlwg_12", bytes - 48)).code == 0;
  }
};

TEST_F(PathLab, RoundTripTimesAreTheLines) {
  bring_up();
  ASSERT_EQ(one->apply().outcome, Reconciled::unchanged);
  const auto fast = measured([](const TunnelHealth& health) { return health.path_mtu != 0; });
  EXPECT_GT(fast.rtt_us, 0);
  EXPECT_EQ(fast.rtt_age_s, 0);
  EXPECT_EQ(fast.mtu, 1'420);
  EXPECT_EQ(fast.path_mtu, 1'420);
  const Health all = one->health();
  EXPECT_TRUE(all.machine.bird.starts_with("2.")) << all.machine.bird;
  EXPECT_TRUE(all.machine.wireguard.starts_with("wireguard-go ") || all.machine.wireguard.starts_with("kernel"))
      << all.machine.wireguard;
  EXPECT_TRUE(all.warnings.empty());
  if (two->ns.sh("tc qdisc add dev wan root netem delay 80ms").code == 0)
    measured([](const TunnelHealth& health) { return health.rtt_us >= 80'000; });
}

TEST_F(PathLab, OnlyTheWayCountsAndNotWhenAnybodyLooked) {
  bring_up();
  ASSERT_EQ(one->apply().outcome, Reconciled::unchanged);
  measured([](const TunnelHealth& health) { return health.rtt_us >= 0; });
  // An apply may take this long. What was sent before it came back at once, and is taken after it.
  std::this_thread::sleep_for(1s);
  one->ns.run([&] { one->dataplane->probe_links(); });
  EXPECT_LT(one->health_of("tlwg_12").rtt_us, 900'000);
  const pid_t peer = two->process_of("wireguard-go tlwg_11");
  if (peer == 0) GTEST_SKIP() << "the kernel's WireGuard cannot be made slow";
  EXPECT_TRUE(eventually([&] {
    ::kill(peer, SIGSTOP);
    for (const auto end = std::chrono::steady_clock::now() + 300ms; std::chrono::steady_clock::now() < end;)
      one->ns.run([&] { one->dataplane->probe_links(); });
    ::kill(peer, SIGCONT);
    return measured([](const TunnelHealth& health) { return health.rtt_age_s == 0; }).rtt_us >= 50'000;
  }));
}

TEST_F(PathLab, ThePathMtuIsWhatTheLineCarries) {
  bring_up();
  ASSERT_EQ(one->apply().outcome, Reconciled::unchanged);
  measured([](const TunnelHealth& health) { return health.path_mtu == 1'420; });
  two->ns.must("ip link set wan mtu 1400");  // what is larger is dropped, and nobody is told
  const auto narrow = measured([](const TunnelHealth& health) { return health.path_mtu < 1'420; });
  EXPECT_EQ(narrow.mtu, 1'420);
  EXPECT_GE(narrow.path_mtu, 1'280);
  EXPECT_TRUE(comes_back(narrow.path_mtu)) << narrow.path_mtu;
  EXPECT_FALSE(comes_back(narrow.path_mtu + 1u)) << narrow.path_mtu;
  two->ns.must("ip link set wan mtu 1500");
  measured([](const TunnelHealth& health) { return health.path_mtu == 1'420; });
}

TEST_F(PathLab, AnOutageIsNoMtu) {
  bring_up();
  ASSERT_EQ(one->apply().outcome, Reconciled::unchanged);
  const auto before = measured([](const TunnelHealth& health) { return health.path_mtu == 1'420; });
  two->ns.must("ip link set wan down");
  const auto after = measured([](const TunnelHealth& health) { return health.rtt_age_s >= 4; });
  EXPECT_EQ(after.path_mtu, 1'420);
  EXPECT_GE(after.path_mtu_age_s, 3);
  EXPECT_GE(before.rtt_us, 0);
}

TEST_F(PathLab, APeerWhoseNameMovedIsFoundWhenItsHandshakeIsOld) {
  one->refresh_interval = 0ms;
  one->silent_after = 8s;
  one->adopt();
  one->config_.links[0].endpoint_host = "r2.lab.invalid";
  two->config_.links[0].endpoint_host.clear();
  const std::string hosts = one->run_directory_.string() + ".hosts";
  one->ns.must(fmt::format(
      "cp /etc/hosts {0}; echo 198.51.100.2 r2.lab.invalid >> {0}; mount --bind {0} /etc/hosts", hosts));
  bring_up();
  // It moves, and forgets us: nothing comes from its new address before we dial it there.
  two->ns.must("ip link del tlwg_11; ip addr del 198.51.100.2/24 dev wan; ip addr add 198.51.100.7/24 dev wan");
  EXPECT_TRUE(eventually([&] { return two->process_of("wireguard-go tlwg_11") == 0; }));
  ASSERT_TRUE(two->apply().ok());
  one->ns.must("sed 's/^198.51.100.2 /198.51.100.7 /' /etc/hosts > /run/wireguard/h");
  one->ns.must("cat /run/wireguard/h > /etc/hosts");
  EXPECT_TRUE(eventually([&] {
    EXPECT_TRUE(one->apply().ok());
    const auto health = one->health_of("tlwg_12");
    return health.endpoint == "198.51.100.7:7411" && health.handshake_age_s >= 0 && health.handshake_age_s < 8;
  }));
  expect_routed();
}

}  // namespace
}  // namespace mesh::test
