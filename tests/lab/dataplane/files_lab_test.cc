// Claim: rendered files in Towalink's style make a router as Towalink's do: sessions between loopbacks over tunnels
// whose addresses name their other end; and a change of one file touches only what it is about. Method: two routers
// with hosts in network namespaces, real WireGuard and BIRD; files as templates write them.
#include "nodes/dataplane/bird_files.h"
#include "nodes/dataplane/wg_quick.h"
#include "tests/lab/dataplane/routers.h"

namespace mesh::test {
namespace {

class FilesLab : public DataplaneLab {
 protected:
  static std::string tunnel_file(unsigned own, unsigned peer, const std::string& more) {
    return fmt::format(
        "[Interface]\nListenPort = {1}\nPrivateKey = MESHLOG-PRIVATE-KEY-{2}\nAddress = fe80::{0}/64\n"
        "Postup = ip addr add 100.64.0.{0}/32 peer 100.64.0.{2}/32 dev tlwg_{2}\nTable = off\n\n"
        "[Peer]\nEndpoint = 198.51.100.{3}:{4}\nPublicKey = MESHLOG-PUBLIC-KEY-{2}\nPresharedKey = MESHLOG-PSK-{2}\n"
        "AllowedIPs = 100.64.0.{2}/32, fe80::{2}/128, 0.0.0.0/0, 0::0/0\n{5}",
        own, 7400 + peer, peer, peer - 10, 7400 + own, more);
  }
  static std::map<std::string, std::string> bird_files(unsigned own, unsigned peer, const std::string& more) {
    return {{"bird.conf", fmt::format("define OWNAS = {1};\nrouter id 100.64.0.{0};\nlog \"/var/log/bird.log\" all;\n"
                                      "protocol device {{ }}\n"
                                      "protocol direct direct1 {{\n  ipv4 {{ import all; }};\n"
                                      "  interface -\"tlwg_mgmt\", \"*\";\n}}\n"
                                      "protocol kernel kernel_four {{\n  persist;\n"
                                      "  ipv4 {{ import all; export where proto != \"direct1\"; }};\n}}\n"
                                      "protocol bfd {{ multihop {{ interval 300 ms; multiplier 5; }}; }}\n"
                                      "template bgp common {{\n  local as OWNAS;\n  source address 100.64.0.{0};\n"
                                      "  multihop 2;\n  bfd graceful;\n  connect delay time 1;\n"
                                      "  ipv4 {{ import all; export where source ~ [ RTS_DEVICE, RTS_BGP ]; }};\n}}\n"
                                      "include \"bird_neighbors.conf\";\n{2}",
                                      own, 4200000000 + own, more)},
            {"bird_neighbors.conf",
             fmt::format("protocol bgp site_r{0}_{0} from common {{\n  neighbor 100.64.0.{0} as {1};\n}}", peer,
                         4200000000 + peer)}};
  }
  static Desired desired(const Router& router, unsigned peer, const std::string& tunnel = "PersistentKeepalive = 25",
                         const std::string& bird = "") {
    const auto own = router.config_.node.value();
    Desired out = router.desired();
    for (auto& each : out.tunnels) use_wg_quick(*parse_wg_quick(tunnel_file(own, peer, tunnel), each.peer), each);
    out.bird = assemble_bird(bird_files(own, peer, bird))->text;
    out.own_routing = false;
    return out;
  }
};

TEST_F(FilesLab, SessionsBetweenLoopbacksRouteAndAChangeTouchesOnlyItsPart) {
  const Desired first = desired(*one, 12);
  for (const auto& [router, wanted] : {std::pair(one.get(), first), {two.get(), desired(*two, 11)}}) {
    const auto report = router->apply(wanted);
    ASSERT_EQ(report.outcome, Reconciled::changed) << (report.error ? report.error->message : "");
    ASSERT_EQ(router->apply(wanted).outcome, Reconciled::unchanged);
  }
  EXPECT_TRUE(eventually([&] { return one->host.sh("ping -q -c1 -W1 10.2.0.2").code == 0; }))
      << one->ns.sh("ip addr; ip route; wg show").out;
  EXPECT_TRUE(one->ns.must("ip -4 addr show dev tlwg_12").contains("100.64.0.11 peer 100.64.0.12/32"));
  EXPECT_TRUE(eventually([&] { return one->health_of("tlwg_12").bgp_up() && one->health_of("tlwg_12").bfd_up(); }))
      << "a session between loopbacks is that of the tunnel to its neighbour";

  const auto sessions = one->connections();
  const auto daemon = one->bird_pid();
  const Desired bird_only = desired(*one, 12, "PersistentKeepalive = 25", "protocol static spare { ipv4; }\n");
  auto report = one->apply(bird_only, &first);
  ASSERT_EQ(report.outcome, Reconciled::changed) << (report.error ? report.error->message : "");
  ASSERT_EQ(report.steps.size(), 1u);
  EXPECT_TRUE(report.steps[0].starts_with("bird: configure")) << report.steps[0];
  EXPECT_EQ(one->connections(), sessions);
  EXPECT_EQ(one->bird_pid(), daemon);

  const Desired tunnel_only = desired(*one, 12, "PersistentKeepalive = 20", "protocol static spare { ipv4; }\n");
  report = one->apply(tunnel_only, &bird_only);
  ASSERT_EQ(report.steps, std::vector<std::string>{"tunnel tlwg_12: set keepalive"});
  EXPECT_EQ(one->connections(), sessions) << "hot: no down and up";

  const Desired wrong = desired(*one, 12, "PersistentKeepalive = 20", "nonsense\n");
  report = one->apply(wrong, &tunnel_only);
  EXPECT_EQ(report.outcome, Reconciled::refused);
  EXPECT_TRUE(report.steps.empty());
  EXPECT_EQ(one->connections(), sessions);

  // Back to what is generated: the address without another end.
  report = one->apply(one->desired(), &tunnel_only);
  ASSERT_EQ(report.outcome, Reconciled::changed) << (report.error ? report.error->message : "");
  EXPECT_FALSE(one->ns.must("ip -4 addr show dev tlwg_12").contains("peer"));
}

}  // namespace
}  // namespace mesh::test
