// Claim: sysctls are given back as they were; files, programs and names of interfaces behave as
// their headers say. Method: a directory in place of /proc/sys; real programs of the base system.
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <fstream>

#include "nodes/dataplane/dataplane.h"
#include "nodes/dataplane/echo.h"
#include "nodes/dataplane/endpoints.h"
#include "nodes/dataplane/peer_memory.h"
#include "nodes/dataplane/files.h"
#include "nodes/dataplane/machine.h"
#include "nodes/dataplane/process.h"
#include "nodes/dataplane/sysctls.h"
#include "nodes/dataplane/udp_ports.h"

namespace mesh {
namespace {

using namespace std::chrono_literals;

class HostParts : public testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = (std::filesystem::temp_directory_path() / "mesh-host-XXXXXX").string();
    root_ = mkdtemp(pattern.data());
    std::filesystem::create_directories(root_ / "net/ipv4");
    put("net/ipv4/ip_forward", "0\n");
    put("net/ipv4/ip_local_port_range", "32768\t60999\n");
  }
  void TearDown() override { std::filesystem::remove_all(root_); }
  void put(const char* name, const char* value) { std::ofstream(root_ / name) << value; }
  Sysctls sysctls() const { return Sysctls(root_ / "saved", root_); }
  std::filesystem::path root_;
};

TEST_F(HostParts, SysctlsAreGivenBackAsTheyWere) {
  ASSERT_TRUE(sysctls().write("net.ipv4.ip_forward", "1"));
  ASSERT_TRUE(sysctls().write("net.ipv4.ip_forward", "2")) << "by another process";
  ASSERT_TRUE(sysctls().write("net.ipv4.ip_local_port_range", "1024 2048"));
  EXPECT_EQ(*sysctls().read("net.ipv4.ip_forward"), "2");
  ASSERT_TRUE(sysctls().restore());
  EXPECT_EQ(*sysctls().read("net.ipv4.ip_forward"), "0");
  EXPECT_EQ(*sysctls().read("net.ipv4.ip_local_port_range"), "32768 60999");
  EXPECT_FALSE(std::filesystem::exists(root_ / "saved"));
  ASSERT_TRUE(sysctls().restore()) << "twice is once";
}

TEST_F(HostParts, ASysctlThatIsSoAlreadyIsNotRemembered) {
  ASSERT_TRUE(sysctls().write("net.ipv4.ip_forward", "0"));
  EXPECT_FALSE(std::filesystem::exists(root_ / "saved"));
}

TEST_F(HostParts, SysctlNamesDoNotLeadElsewhere) {
  for (const char* name :
       {"", ".", "..", "net..ipv4", ".net", "net.", "net/ipv4/ip_forward", "../x", "a b"})
    EXPECT_EQ(sysctls().read(name).error().code, Errc::invalid) << name;
  EXPECT_EQ(sysctls().read("net.ipv4.none").error().code, Errc::not_found);
  EXPECT_EQ(sysctls().write("net.ipv4.none", "1").error().code, Errc::not_found);
}

TEST_F(HostParts, FilesAreReplacedWithTheModeAskedFor) {
  auto path = root_ / "file";
  ASSERT_TRUE(write_file(path, "one", 0600));
  ASSERT_TRUE(write_file(path, "two", 0640));
  EXPECT_EQ(*read_file(path), "two");
  struct stat info {};
  ASSERT_EQ(stat(path.c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 07777, 0640u);
  EXPECT_EQ(read_file(path, 2).error().code, Errc::exhausted);
  EXPECT_EQ(read_file(root_ / "none").error().code, Errc::not_found);
  EXPECT_FALSE(write_file(root_ / "none" / "file", "x", 0600));
  EXPECT_FALSE(std::filesystem::exists(root_ / "file.tmp"));
}

TEST_F(HostParts, ProgramsGetTheirInputAndNothingElse) {
  auto done = run_program(
      {"/bin/sh", "-c", "cat; echo; pwd; echo problem >&2; ls /proc/self/fd | wc -l; exit 3"},
      "input", 20s);
  ASSERT_TRUE(done);
  EXPECT_EQ(done->code, 3);
  EXPECT_EQ(std::string_view(done->out), "input\n/\n4\n")
      << "three streams, and the directory that ls reads";
  EXPECT_EQ(done->err, "problem\n");
}

TEST_F(HostParts, ProgramsGetMoreThanAPipeHoldsByItself) {
  const std::string input(700'000, 'x');  // a management hub of 3,000 nodes
  auto done = run_program({"/bin/sh", "-c", "exec cat"}, input, 20s);
  ASSERT_TRUE(done) << done.error().message;
  EXPECT_EQ(std::string_view(done->out), input);
  EXPECT_EQ(run_program({"/bin/sh"}, std::string(17 * 1024 * 1024, 'x'), 20s).error().code, Errc::exhausted);
}

TEST_F(HostParts, AProgramThatDoesNotEndIsEnded) {
  auto done = run_program({"/bin/sh", "-c", "exec sleep 1000"}, {}, 50ms);
  ASSERT_FALSE(done);
  EXPECT_EQ(done.error().code, Errc::timeout);
}

TEST_F(HostParts, AMissingProgramNamesItsPackage) {
  EXPECT_TRUE(find_program("sh", "dash"));
  auto missing = find_program("no-such-program", "no-such-package");
  ASSERT_FALSE(missing);
  EXPECT_EQ(missing.error().code, Errc::unavailable);
  EXPECT_TRUE(missing.error().fix.contains("no-such-package"));
  EXPECT_EQ(run_program({"/no/such/program"}, {}, 1s).error().code, Errc::unavailable);
}

TEST_F(HostParts, TheMachineTellsWhatItIs) {
  EXPECT_EQ(parse_load_milli("1.25 0.50 0.10 2/345 6789\n"), 1'250u);
  for (const char* text : {"", "x", "-1 0 0", "nan", "1e9"}) EXPECT_EQ(parse_load_milli(text), 0u) << text;
  const char* meminfo = "MemTotal:        2048 kB\nMemAvailableX: 7 kB\nMemAvailable:    1024 kB";
  EXPECT_EQ(parse_meminfo(meminfo, "MemTotal"), 2'097'152u);
  EXPECT_EQ(parse_meminfo(meminfo, "MemAvailable"), 1'048'576u);
  EXPECT_EQ(parse_meminfo(meminfo, "Mem"), 0u);
  EXPECT_EQ(parse_meminfo("MemTotal:", "MemTotal"), 0u);
  const auto here = read_machine(root_);
  EXPECT_GE(here.processors, 1u);
  EXPECT_GT(here.memory_bytes, here.memory_free_bytes);
  EXPECT_GT(here.disk_bytes, 0u);
  EXPECT_TRUE(here.kernel.starts_with("Linux "));
  EXPECT_EQ(read_machine(root_ / "none").disk_bytes, 0u);
}

TEST_F(HostParts, WhatTunnelsWereToldSurvives) {
  EndpointMemory memory(root_ / "endpoints");
  ASSERT_TRUE(memory.put("tlwg_12", {"lab.example:7411", "192.0.2.1:7411"}));
  ASSERT_TRUE(memory.put("tlwg_13", {"gone.example:7411", ""}));
  EndpointMemory again(root_ / "endpoints");
  EXPECT_EQ(again.all(), memory.all());
  ASSERT_TRUE(again.forget("tlwg_12"));
  EXPECT_EQ(EndpointMemory(root_ / "endpoints").all().size(), 1u);
}

TEST_F(HostParts, WherePeersWereReachedSurvivesAndAHandshakeCountsMoreThanTheDns) {
  KnownAddresses known(root_ / "known");
  EXPECT_EQ(known.find("lab.example:7411"), "");
  known.put("lab.example:7411", "192.0.2.1:7411", false);
  known.put("lab.example:7411", "192.0.2.2:7411", false);
  EXPECT_EQ(known.find("lab.example:7411"), "192.0.2.1:7411");
  known.put("lab.example:7411", "192.0.2.3:7411", true);
  known.put("six.example:7411", "[2001:db8::1]:7411", true);
  EXPECT_EQ(KnownAddresses(root_ / "known").find("lab.example:7411"), "192.0.2.3:7411");
  known.clear();
  EXPECT_EQ(KnownAddresses(root_ / "known").find("six.example:7411"), "");
}

TEST_F(HostParts, AgesOfHandshakesDoNotFollowTheWallClock) {
  constexpr int64_t k1970 = 12, kFarAhead = 4'000'000'000;
  HandshakeWatch watch(root_ / "handshakes");
  watch.look({{"tlwg_12", k1970}, {"tlwg_13", 0}}, 100);
  watch.look({{"tlwg_12", k1970}, {"tlwg_13", 0}}, 150);
  EXPECT_EQ(watch.age("tlwg_12"), 50);
  EXPECT_EQ(watch.age("tlwg_13"), -1);
  watch.look({{"tlwg_12", kFarAhead}, {"tlwg_13", 5}}, 160);  // the clock was set
  EXPECT_EQ(watch.age("tlwg_12"), 0);
  watch.look({{"tlwg_12", k1970 + 1}, {"tlwg_13", 5}}, 170);  // and back
  EXPECT_EQ(watch.age("tlwg_12"), 0);
  EXPECT_EQ(watch.age("tlwg_13"), 10);

  HandshakeWatch restarted(root_ / "handshakes");
  restarted.look({{"tlwg_13", 5}}, 500);
  EXPECT_EQ(restarted.age("tlwg_13"), 340);
  EXPECT_EQ(restarted.age("tlwg_12"), -1) << "its tunnel is gone";
  HandshakeWatch rebooted(root_ / "handshakes");
  rebooted.look({{"tlwg_13", 5}}, 20);
  EXPECT_EQ(rebooted.age("tlwg_13"), 0) << "seen in a boot before this one";
}

TEST_F(HostParts, NamesAreResolvedAndLiteralsAreKnown) {
  EXPECT_TRUE(is_literal("192.0.2.1") && is_literal("2001:db8::1"));
  EXPECT_FALSE(is_literal("lab.example") || is_literal("192.0.2"));
  Resolver resolver;
  resolver.start("localhost");
  EXPECT_FALSE(resolver.get("localhost", std::chrono::steady_clock::now() + 60s).empty());
  EXPECT_TRUE(
      resolver.get("never.started.invalid", std::chrono::steady_clock::time_point::min()).empty());
}

TEST(UdpPorts, AHolderIsNamed) {
  Fd socket(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof address;
  ASSERT_EQ(::bind(socket.get(), reinterpret_cast<sockaddr*>(&address), size), 0);
  ASSERT_EQ(::getsockname(socket.get(), reinterpret_cast<sockaddr*>(&address), &size), 0);
  const uint16_t port = ntohs(address.sin_port);
  const Status taken = check_udp_port(port, 0ms);
  ASSERT_FALSE(taken);
  EXPECT_EQ(taken.error().code, Errc::conflict);
  EXPECT_EQ(taken.error().message,
            fmt::format("UDP port {} is held by dataplane_test (pid {})", port, ::getpid()));
  EXPECT_NE(taken.error().fix, "");
  socket.reset();
  EXPECT_TRUE(check_udp_port(port, 5000ms));
  EXPECT_EQ(udp_port_holder(port), "");
}

// Method: this host's own loopback addresses answer, and 192.0.2.1 (RFC 5737) is nobody's. A root without
// CAP_NET_RAW has no such socket.
TEST(Echo, TellsWhoAnsweredAndWaitsForNobody) {
  Echo echo;
  const auto local4 = parse_address("127.0.0.1").value(), local6 = parse_address("::1").value();
  const auto nobody = parse_address("192.0.2.1").value();
  std::vector<IpAddress> answered;
  const auto end = std::chrono::steady_clock::now() + 20s;
  while (answered.empty() && std::chrono::steady_clock::now() < end) {
    auto probed = echo.probe({local4}, {local6, nobody, local4});
    if (!probed) GTEST_SKIP() << probed.error().message;
    answered = std::move(*probed);
  }
  ASSERT_FALSE(answered.empty());
  EXPECT_EQ(answered.front(), local4);
  EXPECT_TRUE(answered.size() == 1 || answered[1] == local6) << "as far as the host has IPv6";
  EXPECT_TRUE(echo.probe({}, {nobody}).value().empty());
}

TEST(TunnelNames, TellThePeer) {
  EXPECT_EQ(peer_in_name("tlwg_12"), NodeId(12));
  EXPECT_EQ(peer_in_name("tlwg_10010b"), NodeId(10010));
  for (const char* name : {"tlwg_", "tlwg_lo", "tlwg_b", "eth0", "tlwg_12x", "tlwg_99999999999"})
    EXPECT_EQ(peer_in_name(name), NodeId()) << name;
  EXPECT_EQ(bird_protocol_of("tlwg_12b"), "peer_12b");
  EXPECT_TRUE(is_tunnel_name("tlwg_12"));
  EXPECT_FALSE(is_tunnel_name("tlwg_lo"));
}

}  // namespace
}  // namespace mesh
