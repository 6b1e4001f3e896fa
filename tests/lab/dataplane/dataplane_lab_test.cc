// Claim: the Linux data plane makes two routers route between their LANs over IPv4 and IPv6; what
// is as it shall be is not touched; what died or was broken by hand is brought back; what cannot be
// applied is taken back; leaving removes everything. Method: two routers and a host behind each in
// network namespaces of this test, with real wireguard-go and BIRD, and the configurations that
// bind() makes. The kernel's own WireGuard is used where the kernel has it.
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <filesystem>
#include <memory>

#include "nodes/dataplane/linux_dataplane.h"
#include "nodes/dataplane/reconciler.h"
#include "tests/lab/dataplane/namespaces.h"

namespace mesh {
namespace {

using test::eventually;
using test::Namespace;
using namespace std::chrono_literals;

const LogId kLog = *array_from_hex<LogId>("a0a1a2a3a4a5a6a7a8a9aaabacadaeaf");

IpAddress address(const std::string& text) { return *parse_address(text); }
IpPrefix prefix(const std::string& text) { return *parse_prefix(text); }

/// Router number i (1 or 2) is node 10 + i, and has the LANs 10.i.0.0/24 and fd00:i::/64.
class Router {
 public:
  Router(int i, const std::filesystem::path& directory)
      : i_(i), run_directory_(directory / fmt::format("r{}", i)) {
    keys_.generate(1);
    config_.rules = 1;
    config_.node = NodeId(10 + static_cast<uint32_t>(i));
    config_.name = fmt::format("r{}", i);
    config_.site = fmt::format("site{}", i);
    config_.as_number = 4200000000 + config_.node.value();
    config_.loopback4 = address(fmt::format("100.64.0.{}", 10 + i));
    config_.loopback6 = address(fmt::format("fd64::{}", 10 + i));
    config_.lans = {prefix(fmt::format("10.{}.0.0/24", i)), prefix(fmt::format("fd00:{}::/64", i))};
    for (const char* text :
         {"10.1.0.0/24", "10.2.0.0/24", "100.64.0.0/16", "fd00:1::/64", "fd00:2::/64", "fd64::/48"})
      config_.accepted.push_back(prefix(text));
    config_.sysctls = {{"net.ipv4.ip_forward", "1"}, {"net.ipv6.conf.all.forwarding", "1"}};
    overlay_.log = kLog;
    overlay_.node = config_.node;
    overlay_.generations = {1};
    adopt();
  }
  ~Router() {
    ns.run([this] { dataplane.reset(); });
  }

  void link_to(uint32_t peer, const WireGuardKey& key, const std::string& endpoint) {
    LinkConfig link;
    link.peer = NodeId(peer);
    link.peer_name = fmt::format("r{}.site{}", peer - 10, peer - 10);
    link.peer_as = 4200000000 + peer;
    link.listen_port = static_cast<uint16_t>(7400 + peer);
    link.endpoint_host = endpoint;
    link.endpoint_port = endpoint.empty() ? 0 : static_cast<uint16_t>(7400 + config_.node.value());
    link.mtu = 1420;
    link.keepalive = 25;
    link.address = address(fmt::format("fe80::{}", 10 + i_));
    link.peer_address = address(fmt::format("fe80::{}", peer));
    link.bfd_interval_ms = 300;
    link.bfd_multiplier = 3;
    config_.links.push_back(link);
    overlay_.peers[link.peer] = {{{1, key}}, 1};
  }

  /// Another data plane over the same run directory, as a restarted meshnode would make it.
  void adopt() {
    LinuxDataplane::Options options;
    options.log = kLog;
    options.node = config_.node;
    options.run_directory = run_directory_;
    options.bird_confirm_timeout = confirm_timeout;
    options.refresh_interval = refresh_interval;
    options.known_addresses = known_addresses;
    auto opened = ns.run([&] { return LinuxDataplane::open(options, keys_); });
    ASSERT_TRUE(opened) << opened.error().message;
    dataplane = std::move(*opened);
  }

  Desired desired() const { return bind(config_, overlay_); }
  ApplyReport apply(const Desired& wanted, const Desired* previous = nullptr) {
    return ns.run([&] { return reconcile(*dataplane, wanted, keys_.public_keys(), previous); });
  }
  ApplyReport apply() { return apply(desired()); }
  Health health() {
    auto health = ns.run([&] { return dataplane->health(); });
    EXPECT_TRUE(health) << health.error().message;
    return health ? *health : Health();
  }
  TunnelHealth health_of(const std::string& tunnel) {
    Health all = health();
    auto it = std::ranges::find(all.tunnels, tunnel, &TunnelHealth::name);
    return it == all.tunnels.end() ? TunnelHealth() : *it;
  }
  /// The TCP connections of all BGP sessions: others after a bounce.
  std::string connections() {
    return ns.must(
        "ss -Htn state established '( sport = :179 or dport = :179 )' | sed 's/^[0-9 ]*//'");
  }
  int64_t last_handshake(const std::string& tunnel) {
    std::string out = ns.must("wg show " + tunnel + " latest-handshakes");
    return out.empty() ? 0 : std::stoll(out.substr(out.find('\t') + 1));
  }
  /// 0 = none.
  pid_t process_of(const std::string& command) {
    auto found = ns.processes(command);
    return found.size() == 1 ? found[0] : 0;
  }
  pid_t bird_pid() { return process_of(run_directory_ / "bird" / "bird.ctl"); }
  WireGuardKey public_key() const { return keys_.public_keys().at(1); }

  Namespace ns, host;
  std::unique_ptr<LinuxDataplane> dataplane;
  std::chrono::seconds confirm_timeout{60};
  std::chrono::milliseconds refresh_interval{15'000};
  std::filesystem::path known_addresses;
  NodeConfig config_;
  Overlay overlay_;
  const int i_;
  const std::filesystem::path run_directory_;

 private:
  TunnelKeys keys_;
};

class DataplaneLab : public testing::Test {
 protected:
  void SetUp() override {
    if (!test::why_no_lab().empty()) GTEST_SKIP() << test::why_no_lab();
    std::string pattern = (std::filesystem::temp_directory_path() / "mesh-lab-XXXXXX").string();
    directory_ = mkdtemp(pattern.data());
    std::filesystem::permissions(directory_,
                                 std::filesystem::perms(0755));  // BIRD's user reads below it
    one = std::make_unique<Router>(1, directory_);
    two = std::make_unique<Router>(2, directory_);
    one->ns.must(
        "ip link add wan type veth peer name wan2; ip addr add 198.51.100.1/24 dev wan; ip link "
        "set wan up");
    one->ns.give("wan2", two->ns);
    two->ns.must(
        "ip link set wan2 name wan; ip addr add 198.51.100.2/24 dev wan; ip link set wan up");
    for (Router* router : {one.get(), two.get()}) add_lan(*router);
    one->link_to(12, two->public_key(), "198.51.100.2");
    two->link_to(11, one->public_key(), "198.51.100.1");
  }
  void TearDown() override {
    one.reset();
    two.reset();
    if (!directory_.empty()) std::filesystem::remove_all(directory_);
  }

  static void add_lan(Router& router) {
    int i = router.i_;
    router.ns.must(
        fmt::format("ip link add lan type veth peer name host; ip addr add 10.{0}.0.1/24 dev lan;"
                    "ip addr add fd00:{0}::1/64 dev lan nodad; ip link set lan up",
                    i));
    router.ns.give("host", router.host);
    router.host.must(
        fmt::format("ip addr add 10.{0}.0.2/24 dev host; ip addr add fd00:{0}::2/64 dev host nodad;"
                    "ip link set host up; ip route add default via 10.{0}.0.1;"
                    "ip -6 route add default via fd00:{0}::1",
                    i));
  }

  bool pings_now() {
    return one->host.sh("ping -q -c1 -W1 10.2.0.2 && ping -q -c1 -W1 fd00:2::2").code == 0 &&
           two->host.sh("ping -q -c1 -W1 10.1.0.2 && ping -q -c1 -W1 fd00:1::2").code == 0;
  }
  void expect_routed() {
    EXPECT_TRUE(eventually([&] { return pings_now(); }))
        << one->ns.sh("ip route; ip -6 route; wg show").out;
  }
  void expect_sessions() {
    EXPECT_TRUE(eventually([&] {
      TunnelHealth health = one->health_of("tlwg_12");
      return health.bgp_up() && health.bfd_up();
    }));
  }
  /// Applies both configurations and waits until they route.
  void bring_up() {
    for (Router* router : {one.get(), two.get()}) {
      ApplyReport report = router->apply();
      ASSERT_EQ(report.outcome, Reconciled::changed) << (report.error ? report.error->message : "");
    }
    expect_routed();
    expect_sessions();
  }

  std::unique_ptr<Router> one, two;

 private:
  std::filesystem::path directory_;
};

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
    Status done = through_wg.configure({tunnel, key, psk, endpoint});
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
  one->adopt();
  EXPECT_EQ(one->apply().outcome, Reconciled::changed) << "and it can come back";
  expect_routed();
}

}  // namespace
}  // namespace mesh

int main(int argc, char** argv) {
  testing::InitGoogleTest(&argc, argv);
  return mesh::test::run_contained([] { return RUN_ALL_TESTS(); });
}
