// Claim: the Linux data plane makes two routers route between their LANs over IPv4 and IPv6; what
// is as it shall be is not touched; what died or was broken by hand is brought back; what cannot be
// applied is taken back; leaving removes everything. Method: two routers and a host behind each in
// network namespaces of this test, with real wireguard-go and BIRD, and the configurations that
// bind() makes. The kernel's own WireGuard is used where the kernel has it.
#include <csignal>

#include "tests/lab/dataplane/routers.h"

namespace mesh::test {
namespace {

using namespace std::chrono_literals;

TEST_F(DataplaneLab, RoutersRouteAndASecondApplyTouchesNothing) {
  bring_up();
  EXPECT_EQ(one->ns.must("stat -c %U /proc/" + std::to_string(one->bird_pid())), "bird\n");
  TunnelHealth health = one->health_of("tlwg_12");
  EXPECT_EQ(health.peer, NodeId(12));
  EXPECT_TRUE(health.up);
  EXPECT_GE(health.handshake_age_s, 0);
  EXPECT_GT(health.rx_bytes, 0u);
  EXPECT_EQ(health.endpoint, "198.51.100.2:7411");
  EXPECT_TRUE(one->health().warnings.empty());
  EXPECT_EQ(one->host.sh("ping -q -c1 -W1 100.64.0.12 && ping -q -c1 -W1 fd64::12").code, 0)
      << "loopbacks answer";

  const std::string session = one->connections();
  const int64_t handshake = one->last_handshake("tlwg_12");
  ASSERT_FALSE(session.empty());
  EXPECT_EQ(one->apply().outcome, Reconciled::unchanged);
  one->adopt();
  EXPECT_EQ(one->apply().outcome, Reconciled::unchanged)
      << "what another process started is adopted";
  EXPECT_EQ(one->connections(), session);
  EXPECT_EQ(one->last_handshake("tlwg_12"), handshake);
}

TEST_F(DataplaneLab, AChangeTouchesItsTunnelOnly) {
  one->link_to(13, SecretKey::random().public_key(), "198.51.100.3");
  bring_up();
  const std::string session = one->connections();
  const int64_t handshake = one->last_handshake("tlwg_12");

  one->config_.links[1].keepalive = 20;
  EXPECT_EQ(one->apply().steps, std::vector<std::string>{"tunnel tlwg_13: set keepalive"});
  one->config_.links[0].keepalive = 20;
  EXPECT_EQ(one->apply().steps, std::vector<std::string>{"tunnel tlwg_12: set keepalive"});
  EXPECT_EQ(one->connections(), session);
  EXPECT_EQ(one->last_handshake("tlwg_12"), handshake);
  EXPECT_TRUE(pings_now());

  for (Router* router : {one.get(), two.get()}) {
    for (auto& [peer, keys] : router->overlay_.peers) ++keys.psk_epoch;
    EXPECT_EQ(router->apply().outcome, Reconciled::changed) << "pre-shared keys rotate in place";
  }
  EXPECT_TRUE(pings_now());
  EXPECT_EQ(one->connections(), session);

  one->config_.links.pop_back();
  EXPECT_EQ(one->apply().steps.back(), "tunnel tlwg_13: remove");
  EXPECT_EQ(one->connections(), session);
  EXPECT_EQ(one->process_of("wireguard-go tlwg_13"), 0);
}

TEST_F(DataplaneLab, TheManagementNetworkReachesANodeThatOnlyDials) {
  auto join = [](Router& router, bool hub, uint32_t peer) {
    ManagementConfig& config = router.config_.management.emplace();
    config.hub = hub;
    config.listen_port = hub ? 51820 : 7400;
    config.mtu = 1392, config.keepalive = 1;
    config.address = address("fd99::").plus(router.config_.node.value());
    config.link_local = address("fe80::").plus(router.config_.node.value());
    ManagementPeer& other = config.peers.emplace_back();
    other.node = NodeId(peer);
    other.address = address("fd99::").plus(peer), other.link_local = address("fe80::").plus(peer);
    if (!hub) other.endpoint_host = "198.51.100.1", other.endpoint_port = 51820;
  };
  bring_up();
  const std::string session = one->connections();
  join(*one, true, 12);
  join(*two, false, 11);
  EXPECT_EQ(one->apply().steps, std::vector<std::string>{"tunnel tlwg_mgmt: create, port 51820"});
  EXPECT_EQ(two->apply().steps, std::vector<std::string>{"tunnel tlwg_mgmt: create, port 7400"});
  EXPECT_TRUE(eventually([&] {
    return one->ns.sh("ping -q -c1 -W1 fd99::c && ping -q -c1 -W1 fe80::c%tlwg_mgmt").code == 0;
  }))
      << one->ns.sh("wg show; ip -6 route").out << two->ns.sh("wg show; ip -6 route").out;
  EXPECT_NE(two->host.sh("ping -q -c1 -W1 fd99::b").code, 0) << "a LAN has no part in it";
  for (Router* router : {one.get(), two.get()}) {
    EXPECT_EQ(router->apply().outcome, Reconciled::unchanged);
    router->adopt();
    EXPECT_EQ(router->apply().outcome, Reconciled::unchanged);
    EXPECT_EQ(router->health().tunnels.size(), 1u);
  }
  const int64_t handshake = one->last_handshake("tlwg_mgmt");
  one->overlay_.peers[NodeId(13)] = {{{1, SecretKey::random().public_key()}}, 0};
  one->config_.management->peers.push_back({NodeId(13), "", address("fd99::d"), address("fe80::d"), "", 0});
  EXPECT_EQ(one->apply().steps, std::vector<std::string>{"tunnel tlwg_mgmt: set peer 13"});
  EXPECT_EQ(one->ns.sh("ping -q -c1 -W1 fd99::c").code, 0);
  one->overlay_.peers.erase(NodeId(13));
  EXPECT_EQ(one->apply().steps, std::vector<std::string>{"tunnel tlwg_mgmt: set other peers"});
  EXPECT_EQ(one->last_handshake("tlwg_mgmt"), handshake) << "the other peer is not touched";
  two->config_.management.reset();
  EXPECT_EQ(two->apply().steps, std::vector<std::string>{"tunnel tlwg_mgmt: remove"});
  EXPECT_EQ(one->connections(), session) << "no link was touched";
}

TEST_F(DataplaneLab, WhatDiedIsBroughtBack) {
  bring_up();
  pid_t tunnel = one->process_of("wireguard-go tlwg_12");
  if (tunnel != 0) {  // in the kernel there is no process to die
    ASSERT_EQ(kill(tunnel, SIGKILL), 0);
    ASSERT_TRUE(eventually([&] { return one->ns.sh("ip link show tlwg_12").code != 0; }));
    EXPECT_EQ(one->apply().outcome, Reconciled::changed);
    EXPECT_NE(one->process_of("wireguard-go tlwg_12"), tunnel);
    expect_routed();
    expect_sessions();
  }
  pid_t bird = one->bird_pid();
  ASSERT_NE(bird, 0);
  ASSERT_EQ(kill(bird, SIGKILL), 0);
  ASSERT_TRUE(eventually([&] { return one->bird_pid() == 0; }));
  // A process loses its command line before its sockets: for a moment it still takes connections.
  ASSERT_TRUE(eventually([&] {
    auto health = one->ns.run([&] { return one->dataplane->health(); });
    return health && !health->bird_running;
  }));
  ApplyReport report = one->apply();
  EXPECT_EQ(report.outcome, Reconciled::changed);
  ASSERT_EQ(report.steps.size(), 1u);
  EXPECT_TRUE(report.steps[0].starts_with("bird: start"));
  expect_routed();
  expect_sessions();
  EXPECT_EQ(one->apply().outcome, Reconciled::unchanged);
}

TEST_F(DataplaneLab, WhatWasBrokenByHandIsMended) {
  bring_up();
  one->ns.must(
      "ip link set tlwg_12 down; ip link set tlwg_12 up");  // takes the link-local address away
  EXPECT_EQ(one->apply().steps, std::vector<std::string>{"tunnel tlwg_12: set address"});
  one->ns.must(
      "ip link set tlwg_12 down; ip link set tlwg_12 mtu 1300; ip addr add 192.0.2.1/32 dev "
      "tlwg_12;"
      "wg set tlwg_12 peer $(wg show tlwg_12 peers) allowed-ips 10.0.0.0/8;"
      "wg set tlwg_12 peer " +
      to_base64(SecretKey::random().public_key().view()) +
      ";"
      "ip addr del 100.64.0.11/32 dev tlwg_lo; ip addr add 192.0.2.9/32 dev tlwg_lo; sysctl -qw "
      "net.ipv4.ip_forward=0");
  EXPECT_EQ(one->apply().outcome, Reconciled::changed);
  EXPECT_EQ(one->apply().outcome, Reconciled::unchanged);
  EXPECT_EQ(one->ns.must("ip -o addr show tlwg_lo scope global | wc -l"), "2\n");
  expect_routed();
  expect_sessions();
  one->ns.must("ip link del tlwg_lo; ip link del tlwg_12");
  EXPECT_EQ(one->apply().outcome, Reconciled::changed);
  expect_routed();
}

TEST_F(DataplaneLab, AConfigurationThatBirdRefusesTouchesNothing) {
  bring_up();
  const std::string session = one->connections();
  const Desired good = one->desired();
  Desired bad = good;
  bad.bird = "router id 1.2.3.4;\nprotocol nonsense {}\n";
  bad.tunnels[0].keepalive = 11;
  ApplyReport report = one->apply(bad, &good);
  EXPECT_EQ(report.outcome, Reconciled::refused);
  ASSERT_TRUE(report.error);
  EXPECT_EQ(report.error->code, Errc::invalid);
  EXPECT_TRUE(report.error->message.contains("bird.conf:2:")) << report.error->message;
  EXPECT_TRUE(report.steps.empty() && report.back.empty());
  EXPECT_EQ(one->apply(good).outcome, Reconciled::unchanged);
  EXPECT_EQ(one->connections(), session);
  EXPECT_TRUE(pings_now());
}

TEST_F(DataplaneLab, BirdGoesBackByItselfWhenNobodyConfirms) {
  one->confirm_timeout = 1s;
  one->adopt();
  bring_up();
  const Desired good = one->desired();
  const std::string other = good.bird + "# another\n";
  // A process that dies between execute and confirm: the next one finds a candidate that is not its
  // own.
  ASSERT_TRUE(one->ns.run([&] { return one->dataplane->execute(ConfigureBird{other, false}); }));
  EXPECT_EQ(one->ns.run([&] { return one->dataplane->observe(good); })->bird, other);
  one->adopt();
  EXPECT_EQ(one->ns.run([&] { return one->dataplane->observe(good); })->bird, "")
      << "not final, so unknown";
  EXPECT_TRUE(eventually([&] {
    return one->ns.run([&] {
      auto control = BirdControl::connect(one->run_directory_ / "bird" / "bird.ctl", 10s);
      auto reply = control->command("eval meshlog_config");
      return reply && with_identity(good.bird).contains(reply->lines.back().text);
    });
  })) << "BIRD undoes it";
  EXPECT_EQ(one->apply(good).outcome, Reconciled::changed);
  EXPECT_EQ(one->apply(good).outcome, Reconciled::unchanged);

  // One that confirms too late is told.
  ASSERT_TRUE(one->ns.run([&] { return one->dataplane->execute(ConfigureBird{other, false}); }));
  Status late;
  EXPECT_TRUE(eventually([&] {
    return one->ns.run([&] {
      auto control = BirdControl::connect(one->run_directory_ / "bird" / "bird.ctl", 10s);
      return !control->command("configure status")->has(22);
    });
  }));
  late = one->ns.run([&] { return one->dataplane->confirm(); });
  ASSERT_FALSE(late);
  EXPECT_EQ(late.error().code, Errc::timeout);
  EXPECT_TRUE(one->ns.run([&] { return one->dataplane->cancel(); }));
  EXPECT_EQ(one->apply(good).outcome, Reconciled::unchanged);
  expect_routed();
}

TEST_F(DataplaneLab, BirdGoesBackWhenItIsTold) {
  bring_up();
  const Desired good = one->desired();
  const std::string session = one->connections();
  Desired without_lan = good;
  without_lan.bird.replace(without_lan.bird.find("10.1.0.0/24"), 11, "10.9.0.0/24");
  auto announced = [&] { return !two->ns.sh("ip route show 10.1.0.0/24").out.empty(); };
  ASSERT_TRUE(one->ns.run([&] {
    return one->dataplane->execute(ConfigureBird{without_lan.bird, false});
  }));
  EXPECT_TRUE(eventually([&] { return !announced(); }));
  ASSERT_TRUE(one->ns.run([&] { return one->dataplane->cancel(); }));
  EXPECT_TRUE(eventually(announced));
  EXPECT_EQ(one->apply(good).outcome, Reconciled::unchanged);
  EXPECT_EQ(one->connections(), session);
}

TEST_F(DataplaneLab, ChangedFiltersFilterAnewWithoutABounce) {
  bring_up();
  const std::string session = one->connections();
  auto learned = [&] { return !one->ns.sh("ip route show 10.2.0.0/24").out.empty(); };
  const auto accepted = one->config_.accepted;
  std::erase(one->config_.accepted, prefix("10.2.0.0/24"));
  EXPECT_EQ(one->apply().outcome, Reconciled::changed);
  EXPECT_TRUE(eventually([&] { return !learned(); })) << "import filters of routes that are there";
  one->config_.accepted = accepted;
  EXPECT_EQ(one->apply().outcome, Reconciled::changed);
  EXPECT_TRUE(eventually(learned));
  EXPECT_EQ(one->connections(), session);
}

TEST_F(DataplaneLab, ANewLanDoesNotDisturbTheOthers) {
  bring_up();
  const std::string log = one->run_directory_ / "routes";
  two->ns.must("setsid ip monitor route > " + log + " 2>&1 < /dev/null & sleep 0");
  ASSERT_TRUE(eventually([&] { return two->ns.processes("ip monitor").size() == 1; }));
  one->ns.must(
      "ip link add lan3 type bridge; ip addr add 10.3.0.1/24 dev lan3; ip link set lan3 up");
  two->config_.accepted.push_back(prefix("10.3.0.0/24"));
  ASSERT_TRUE(two->apply().ok());
  one->config_.lans.push_back(prefix("10.3.0.0/24"));
  ASSERT_TRUE(one->apply().ok());
  EXPECT_TRUE(eventually([&] { return !two->ns.sh("ip route show 10.3.0.0/24").out.empty(); }));
  EXPECT_TRUE(eventually([&] { return two->ns.must("cat " + log).contains("10.3.0.0/24"); }));
  EXPECT_FALSE(two->ns.must("cat " + log).contains("Deleted 10.1.0.0/24"));
}

// The kernel's module is driven by wg(8), which speaks to wireguard-go as well.
TEST_F(DataplaneLab, WgConfiguresAsTheSocketDoes) {
  one->link_to(13, SecretKey::random().public_key(), "198.51.100.3");
  bring_up();
  Tunnel tunnel = one->desired().tunnels[1];
  tunnel.keepalive = 7;
  tunnel.peer_key = SecretKey::random().public_key();
  const SecretKey key = SecretKey::random(), psk = SecretKey::random();
  const std::string endpoint = "198.51.100.4:7411";
  auto expect_set = [&](WireGuardBackend& backend) {
    auto devices = backend.read({"tlwg_12", "tlwg_13", "tlwg_99"});
    ASSERT_TRUE(devices);
    EXPECT_EQ(devices->size(), 2u);
    const WireGuardDevice& device = devices->at("tlwg_13");
    EXPECT_EQ(device.private_key->public_key(), key.public_key());
    EXPECT_EQ(device.listen_port, tunnel.listen_port);
    ASSERT_EQ(device.peers.size(), 1u);
    EXPECT_EQ(device.peers[0].key, tunnel.peer_key);
    EXPECT_TRUE(device.peers[0].psk->equals(psk));
    EXPECT_EQ(device.peers[0].endpoint, endpoint);
    EXPECT_EQ(device.peers[0].keepalive, 7);
    EXPECT_TRUE(device.peers[0].allows_everything());
  };
  one->ns.run([&] {
    auto netlink = Rtnetlink::open();
    KernelWireGuard through_wg(*netlink);
    Status done = through_wg.configure(settings_of({tunnel, key, psk, endpoint}));
    ASSERT_TRUE(done) << done.error().message;
    expect_set(through_wg);
    if (!one->ns.processes("wireguard-go tlwg_13").empty()) {
      UserspaceWireGuard through_socket(*netlink);
      expect_set(through_socket);
    }
  });
  EXPECT_TRUE(pings_now()) << "the other tunnel is not touched";
}

TEST_F(DataplaneLab, ANameThatDoesNotResolveDoesNotHoldUpTheOthers) {
  one->refresh_interval = 0ms;
  one->adopt();
  one->config_.links[0].endpoint_host = "r2.lab.invalid";
  two->config_.links[0]
      .endpoint_host.clear();  // it cannot dial, so nothing comes up before the name resolves
  ASSERT_TRUE(one->apply().ok());
  ASSERT_TRUE(two->apply().ok());
  EXPECT_EQ(
      one->health().warnings,
      std::vector<std::string>{"endpoint r2.lab.invalid:7411 of tunnel tlwg_12 does not resolve"});
  EXPECT_EQ(one->apply().outcome, Reconciled::unchanged)
      << "waiting for a name is no difference to the router";
  const std::string hosts = one->run_directory_ / "hosts";
  one->ns.must(fmt::format(
      "cp /etc/hosts {0}; echo 198.51.100.2 r2.lab.invalid >> {0}; mount --bind {0} /etc/hosts",
      hosts));
  EXPECT_TRUE(eventually([&] {
    EXPECT_EQ(one->apply().outcome, Reconciled::unchanged);
    return one->health().warnings.empty();
  }));
  expect_routed();
  EXPECT_EQ(one->apply().outcome, Reconciled::unchanged);
}

TEST_F(DataplaneLab, ARouterThatBootsWithoutDnsDialsWherePeersWereReachedLast) {
  one->known_addresses = one->run_directory_.string() + ".known";
  one->refresh_interval = 0ms;
  one->adopt();
  one->config_.links[0].endpoint_host = "r2.lab.invalid";
  two->config_.links[0].endpoint_host.clear();
  const std::string hosts = one->run_directory_.string() + ".hosts";
  one->ns.must(fmt::format(
      "cp /etc/hosts {0}; echo 198.51.100.2 r2.lab.invalid >> {0}; mount --bind {0} /etc/hosts",
      hosts));
  bring_up();

  one->ns.must("umount /etc/hosts; ip link del tlwg_12; ip link del tlwg_lo");
  ::kill(one->bird_pid(), SIGKILL);
  EXPECT_TRUE(eventually([&] {
    return one->bird_pid() == 0 && one->process_of("wireguard-go tlwg_12") == 0;
  }));
  std::filesystem::remove_all(one->run_directory_);
  one->adopt();
  ASSERT_EQ(one->apply().outcome, Reconciled::changed);
  EXPECT_TRUE(one->health().warnings.empty());
  EXPECT_EQ(one->health_of("tlwg_12").endpoint, "198.51.100.2:7411");
  expect_routed();
}

TEST_F(DataplaneLab, APeerThatRoamsIsNotFought) {
  bring_up();
  two->ns.must(
      "ip addr add 198.51.100.22/24 dev wan; ip route replace 198.51.100.1/32 dev wan src "
      "198.51.100.22;"
      "ip addr del 198.51.100.2/24 dev wan; ip addr add 198.51.100.22/24 dev wan || true");
  EXPECT_TRUE(eventually([&] {
    pings_now();
    return one->health_of("tlwg_12").endpoint == "198.51.100.22:7411";
  }));
  EXPECT_EQ(one->apply().outcome, Reconciled::unchanged);
  EXPECT_EQ(one->health_of("tlwg_12").endpoint, "198.51.100.22:7411");
}

TEST_F(DataplaneLab, WhatIsMissingIsNamed) {
  one->ns.must(
      "mount --bind /dev/null $(command -v wireguard-go); mount --bind /dev/null $(command -v "
      "bird)");
  ApplyReport report = one->apply();
  EXPECT_EQ(report.outcome, Reconciled::failed);
  ASSERT_TRUE(report.error);
  EXPECT_EQ(report.error->code, Errc::unavailable);
  EXPECT_EQ(one->ns.must("sysctl -n net.ipv4.ip_forward"), "1\n") << "what can be done is done";
  Status bird = one->ns.run([&] { return one->dataplane->execute(ConfigureBird{"", true}); });
  ASSERT_FALSE(bird);
  EXPECT_EQ(bird.error().fix, "apt-get install bird2");
  two->ns.run([&] {
    ASSERT_EQ(::syscall(SYS_setresuid, -1, 65534, -1), 0);  // this thread only
    auto opened = LinuxDataplane::open({}, TunnelKeys());
    ASSERT_EQ(::syscall(SYS_setresuid, -1, 0, -1), 0);
    ASSERT_FALSE(opened);
    EXPECT_EQ(opened.error().code, Errc::unavailable);
  });
}

TEST_F(DataplaneLab, AnotherBirdIsNotFought) {
  one->ns.must("echo 'router id 1.1.1.1; protocol device {}' > " + one->run_directory_.string() +
               "/other.conf;"
               "bird -c " +
               one->run_directory_.string() + "/other.conf -s " + one->run_directory_.string() +
               "/other.ctl -P " + one->run_directory_.string() + "/other.pid");
  ApplyReport report = one->apply();
  EXPECT_EQ(report.outcome, Reconciled::failed);
  ASSERT_TRUE(report.error);
  EXPECT_EQ(report.error->code, Errc::conflict);
  ApplyReport elsewhere = two->apply();
  EXPECT_EQ(elsewhere.outcome, Reconciled::changed)
      << "one in another network namespace is nobody's rival";
}

TEST_F(DataplaneLab, LeavingRemovesEverything) {
  const std::string before = one->ns.must(
      "ip -o link | cut -d: -f2 | sort; ip route; ip -6 route; sysctl net.ipv4.ip_forward");
  bring_up();
  ASSERT_TRUE(one->ns.run([&] { return one->dataplane->remove_all(); }));
  EXPECT_EQ(one->bird_pid(), 0);
  EXPECT_TRUE(eventually([&] { return one->process_of("wireguard-go tlwg_12") == 0; }));
  EXPECT_EQ(
      one->ns.must(
          "ip -o link | cut -d: -f2 | sort; ip route; ip -6 route; sysctl net.ipv4.ip_forward"),
      before);
  EXPECT_EQ(one->ns.must("ls /run/wireguard"), "");
  EXPECT_FALSE(std::filesystem::exists(one->run_directory_));
  ASSERT_TRUE(one->ns.run([&] { return one->dataplane->remove_all(); })) << "twice is once";
  const Desired nothing;
  EXPECT_EQ(one->apply(one->desired(), &nothing).outcome, Reconciled::changed)
      << "and it can come back, in the same program";
  expect_routed();
}

}  // namespace
}  // namespace mesh::test
