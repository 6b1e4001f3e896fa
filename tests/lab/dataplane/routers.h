// Two routers and a host behind each in network namespaces, with real WireGuard and BIRD, and the configurations that
// bind() makes.
#pragma once

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

namespace mesh::test {

inline const LogId kLog = *array_from_hex<LogId>("a0a1a2a3a4a5a6a7a8a9aaabacadaeaf");

inline IpAddress address(const std::string& text) { return *parse_address(text); }
inline IpPrefix prefix(const std::string& text) { return *parse_prefix(text); }

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

  /// The LAN and a host in it.
  void add_lan() {
    ns.must(
        fmt::format("ip link add lan type veth peer name host; ip addr add 10.{0}.0.1/24 dev lan;"
                    "ip addr add fd00:{0}::1/64 dev lan nodad; ip link set lan up",
                    i_));
    ns.give("host", host);
    host.must(
        fmt::format("ip addr add 10.{0}.0.2/24 dev host; ip addr add fd00:{0}::2/64 dev host nodad;"
                    "ip link set host up; ip route add default via 10.{0}.0.1;"
                    "ip -6 route add default via fd00:{0}::1",
                    i_));
  }

  /// Another data plane over the same run directory, as a restarted meshnode would make it.
  void adopt() {
    auto opened = ns.run([&] { return LinuxDataplane::open(options(), keys_); });
    ASSERT_TRUE(opened) << opened.error().message;
    dataplane = std::move(*opened);
  }

  LinuxDataplane::Options options() const {
    LinuxDataplane::Options options;
    options.log = kLog;
    options.node = config_.node;
    options.run_directory = run_directory_;
    options.bird_confirm_timeout = confirm_timeout;
    options.refresh_interval = refresh_interval;
    options.known_addresses = known_addresses;
    options.silent_after = silent_after;
    options.survey = survey;
    return options;
  }

  Desired desired() const { return bind(config_, overlay_); }
  ApplyReport apply(const Desired& wanted, const Desired* previous = nullptr) {
    return ns.run([&] { return reconcile(*dataplane, wanted, keys_.public_keys(), previous); });
  }
  ApplyReport apply() { return apply(desired()); }
  /// From what config_ says to `after`, as an activation does it; config_ is then `after`.
  ApplyReport activate(const NodeConfig& after) {
    const Desired wanted = mesh::bind(after, overlay_), previous = desired();
    const auto bridge = bind_bridge(config_, after, overlay_);
    ApplyReport report = ns.run([&] {
      return reconcile(*dataplane, wanted, keys_.public_keys(), &previous, bridge ? &*bridge : nullptr);
    });
    config_ = after;
    return report;
  }
  /// The same in a process of its own, whose number it returns.
  pid_t begin_to_activate(const NodeConfig& after) {
    const Desired wanted = mesh::bind(after, overlay_), previous = desired();
    const auto bridge = bind_bridge(config_, after, overlay_);
    return ns.run([&]() -> pid_t {
      const pid_t child = ::fork();
      if (child != 0) return child;
      auto opened = LinuxDataplane::open(options(), keys_);
      if (opened)
        (void)reconcile(**opened, wanted, keys_.public_keys(), &previous, bridge ? &*bridge : nullptr);
      ::_exit(0);
    });
  }
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
        "ss -Htn state established '( sport = :179 or dport = :179 )' | sed 's/^[0-9 ]*//; s/  */ /g'");
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
  std::chrono::seconds silent_after{180};
  PathSurvey::Options survey;
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
    for (Router* router : {one.get(), two.get()}) router->add_lan();
    one->link_to(12, two->public_key(), "198.51.100.2");
    two->link_to(11, one->public_key(), "198.51.100.1");
  }
  void TearDown() override {
    one.reset();
    two.reset();
    if (!directory_.empty()) std::filesystem::remove_all(directory_);
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

}  // namespace mesh::test
