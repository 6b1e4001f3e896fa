// Claim: what templates make of tunnels and of BIRD's configuration is read as wg-quick and BIRD read it, and what
// would bring keys, files of the machine or other routes into it is refused with file and line. Method: files as
// Towalink's templates write them, whole, and with one line changed.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include "nodes/dataplane/bird_files.h"
#include "nodes/dataplane/wg_quick.h"

namespace mesh {
namespace {

IpPrefix prefix(const std::string& text) { return *parse_prefix(text); }
IpAddress address(const std::string& text) { return *parse_address(text); }

const std::string kTowalink =
    "[Interface]\n"
    "ListenPort = 51832\n"
    "PrivateKey = MESHLOG-PRIVATE-KEY-12\n"
    "Address = fe80::b/64\n"
    "Postup = ip addr add 192.88.99.11/32 peer 192.88.99.12/32 dev tlwg_12\n"
    "Mtu = 1392\n"
    "Table = off\n"
    "\n"
    "[Peer]\n"
    "Endpoint = r2.example:51831\n"
    "PublicKey = MESHLOG-PUBLIC-KEY-12\n"
    "PresharedKey = MESHLOG-PSK-12\n"
    "AllowedIPs = 192.88.99.12/32, fe80::c/128, 0.0.0.0/0, 0::0/0  # all\n"
    "PersistentKeepalive = 25";

Result<WgQuickFile> parse(const std::string& text) { return parse_wg_quick(text, NodeId(12)); }
std::string with(const std::string& before, const std::string& after) {
  auto text = kTowalink;
  return text.replace(text.find(before), before.size(), after);
}

TEST(WgQuick, ReadsWhatTowalinksTemplatesWrite) {
  const auto file = parse(kTowalink);
  ASSERT_TRUE(file) << file.error().message;
  EXPECT_EQ(file->listen_port, 51832);
  EXPECT_EQ(file->mtu, 1392);
  EXPECT_EQ(file->keepalive, 25);
  EXPECT_EQ(file->addresses, std::vector{prefix("fe80::b/64")});
  EXPECT_EQ(file->peer_addresses, (std::vector<PeerAddress>{{address("192.88.99.11"), prefix("192.88.99.12/32")}}));
  EXPECT_EQ(file->endpoint, (HostPort{"r2.example", 51831}));
  EXPECT_TRUE(file->post_up.empty() && file->post_down.empty());
}

TEST(WgQuick, WhatIsRefusedNamesItsLine) {
  struct Case {
    std::string before, after, message;
  };
  const Case cases[] = {
      {"MESHLOG-PRIVATE-KEY-12", "MESHLOG-PRIVATE-KEY-13", "tlwg_12.conf:3: PrivateKey is a key of its own"},
      {"MESHLOG-PRIVATE-KEY-12", "YAnz5TF+lXXJte14tji3zlMNftft3X/HRQtOgEOKZlM=", "tlwg_12.conf:3: PrivateKey is a key"},
      {"MESHLOG-PUBLIC-KEY-12", "x", "tlwg_12.conf:11: PublicKey is a key of its own"},
      {"MESHLOG-PSK-12", "x", "tlwg_12.conf:12: PresharedKey is a key of its own"},
      {"PrivateKey = MESHLOG-PRIVATE-KEY-12\n", "", "tlwg_12.conf: [Interface] has no PrivateKey"},
      {", 0::0/0", "", "tlwg_12.conf: the peer's AllowedIPs are not everything"},
      {"Table = off", "Table = auto", "tlwg_12.conf:7: Table = auto would change routes"},
      {"Table = off", "DNS = 192.0.2.1", "tlwg_12.conf:7: DNS is not supported"},
      {"ListenPort = 51832", "ListenPort = 99999", "tlwg_12.conf:2: ListenPort = 99999 is no number from 1 to 65535"},
      {"ListenPort = 51832", "ListenPort = 0", "tlwg_12.conf:2: ListenPort = 0 is no number from 1 to 65535"},
      {"Table = off", "MTU = 0", "tlwg_12.conf:7: MTU = 0 is no number from 1280 to 65535"},
      {"Address = fe80::b/64", "Address = here", "tlwg_12.conf:4: here is no address"},
      {"Endpoint = r2.example:51831", "Endpoint = r2.example", "tlwg_12.conf:10: r2.example is no HOST:PORT"},
      {"[Peer]", "[Other]", "tlwg_12.conf:9: [Other] is no section"},
      {"PersistentKeepalive = 25", "[Peer]", "tlwg_12.conf:14: a tunnel has one peer"},
  };
  for (const auto& each : cases) {
    const auto file = parse(with(each.before, each.after));
    ASSERT_FALSE(file) << each.after;
    EXPECT_EQ(file.error().code, Errc::invalid);
    EXPECT_TRUE(file.error().message.starts_with(each.message)) << file.error().message;
    EXPECT_FALSE(file.error().message.contains("YAnz5")) << "a key is nobody's to see";
  }
}

TEST(WgQuick, OtherCommandsAreCommands) {
  const auto file = parse(with("Postup = ip addr add 192.88.99.11/32 peer 192.88.99.12/32 dev tlwg_12",
                               "PostUp = tc qdisc add dev %i root fq\n"
                               "PostDown = ip addr del 192.0.2.1 peer 192.0.2.2 dev %i\n"
                               "PostUp = ip addr add 192.0.2.1 peer 192.0.2.2 dev %i\n"
                               "PostUp = ip addr add 192.0.2.1 peer 192.0.2.2 dev eth0"));
  ASSERT_TRUE(file) << file.error().message;
  EXPECT_EQ(file->peer_addresses, (std::vector<PeerAddress>{{address("192.0.2.1"), prefix("192.0.2.2/32")}}));
  EXPECT_EQ(file->post_up, (std::vector<std::string>{"tc qdisc add dev %i root fq",
                                                     "ip addr add 192.0.2.1 peer 192.0.2.2 dev eth0"}));
  EXPECT_TRUE(file->post_down.empty()) << "the address goes with the interface";
}

TEST(WgQuick, WhatItLeavesOutStaysAsGenerated) {
  Tunnel tunnel;
  tunnel.name = "tlwg_12";
  tunnel.peer = NodeId(12);
  tunnel.listen_port = 7;
  tunnel.mtu = 1420;
  tunnel.address = address("fe80::b");
  tunnel.loopback4 = address("192.88.99.11");
  Tunnel said = tunnel;
  use_wg_quick(*parse(kTowalink), said);
  EXPECT_EQ(said.listen_port, 51832);
  EXPECT_EQ(said.mtu, 1392);
  EXPECT_EQ(addresses_of(said), std::vector{prefix("fe80::b/64")}) << "its IPv4 address is the one with a peer";
  EXPECT_EQ(said.peer_addresses.size(), 1u);
  Tunnel other = tunnel;
  use_wg_quick(*parse("[Interface]\nPrivateKey=MESHLOG-PRIVATE-KEY-12\n[Peer]\nPublicKey=MESHLOG-PUBLIC-KEY-12\n"
                      "AllowedIPs=0.0.0.0/0,::/0\n"),
               other);
  EXPECT_EQ(other, tunnel);
  Tunnel second = tunnel;
  second.name = "tlwg_12b";
  use_wg_quick(*parse(kTowalink), second);
  EXPECT_EQ(second.listen_port, lane_port(51832, 1));
}

TEST(WgQuick, OnlyNumbersAreTunnels) {
  EXPECT_EQ(peer_of_tunnel_file("tlwg_12.conf"), NodeId(12));
  for (const char* name :
       {"tlwg_mgmt.conf", "tlwg_.conf", "tlwg_012.conf", "tlwg_12.conf.jinja", "tlwg_12b.conf", "bird.conf"})
    EXPECT_EQ(peer_of_tunnel_file(name), NodeId(0)) << name;
}

// --- BIRD ---

using Files = std::map<std::string, std::string>;

TEST(BirdFiles, IncludesOfTheVersionAreReadInTheirPlace) {
  const auto bird = assemble_bird({{"bird.conf",
                                    "router id 192.0.2.1;\n  include \"bird_a.conf\";\n"
                                    "include \"/etc/bird/bird_b.conf\"; # b\nend"},
                                   {"bird_a.conf", "one\ntwo\n"},
                                   {"bird_b.conf", "three"}});
  ASSERT_TRUE(bird) << bird.error().message;
  EXPECT_EQ(bird->text, "router id 192.0.2.1;\none\ntwo\nthree\nend\n");
  EXPECT_EQ(name_lines(*bird, "BIRD refuses: bird.conf:3:7 error"), "BIRD refuses: bird_a.conf:2:7 error");
  EXPECT_EQ(name_lines(*bird, "bird.conf:5:1 x"), "bird.conf:4:1 x");
  EXPECT_EQ(name_lines(*bird, "another"), "another");
}

TEST(BirdFiles, LogsToFilesAreLeftOut) {
  const auto bird = assemble_bird({{"bird.conf",
                                    "log \"/var/log/bird.log\" all;\n"
                                    "log syslog all; log stderr { info };\n"
                                    "x; log\n  \"/a\" { debug,\n trace }; y;\n"
                                    "# log \"/b\" all;\n/* log \"/c\" all; */ z;\n"}});
  ASSERT_TRUE(bird) << bird.error().message;
  EXPECT_EQ(bird->notes.size(), 2u);
  EXPECT_TRUE(bird->notes[0].starts_with("bird.conf:1: the log to a file is left out")) << bird->notes[0];
  EXPECT_FALSE(bird->text.contains("\"/var"));
  EXPECT_FALSE(bird->text.contains("\"/a\""));
  EXPECT_TRUE(bird->text.contains("log syslog all; log stderr { info };\n"));
  EXPECT_TRUE(bird->text.contains(" y;\n"));
  EXPECT_TRUE(bird->text.contains("x; \n")) << bird->text;
}

TEST(BirdFiles, WhatReadsOrWritesTheMachineIsRefused) {
  const std::pair<std::string, std::string> cases[] = {
      {"a;\ninclude \"/etc/shadow\";", "bird.conf:2: /etc/shadow is no file of this version"},
      {"include \"bird_*.conf\";", "bird.conf:1: bird_*.conf is no file"},
      {"include \"bird.conf\";", "bird.conf: its includes go around in a circle"},
      {"include \"b.conf\"; c;", "bird.conf:1: nothing stands behind an include"},
      {"include", "bird.conf:1: this include cannot be read"},
      {"a; include \"b.conf\";", "bird.conf:1: include stands at the begin"},
      {"eval 1;", "bird.conf:1: eval is not allowed"},
      {"mrtdump \"/x\";", "bird.conf:1: mrtdump is not allowed"},
      {"protocol mrt { filename \"/x\"; }", "bird.conf:1: filename is not allowed"},
      {"/* open\ninclude \"/etc/shadow\";", "bird.conf:2: a comment does not end"},
      {"a \"open\n", "bird.conf:1: a text does not end"},
      {"log \"/x\" all", "bird.conf:1: the log statement does not end"},
  };
  for (const auto& [text, message] : cases) {
    const auto bird = assemble_bird({{"bird.conf", text}, {"b.conf", ""}});
    ASSERT_FALSE(bird) << text;
    EXPECT_TRUE(bird.error().message.starts_with(message)) << bird.error().message;
  }
  EXPECT_TRUE(assemble_bird({{"bird.conf", "# include \"/etc/shadow\";\n/*\ninclude \"/x\";\n*/\nprint \"eval\";\n"}}));
  const auto within = assemble_bird({{"bird.conf", "include \"b.conf\";"}, {"b.conf", "\n\neval 2;"}});
  ASSERT_FALSE(within);
  EXPECT_TRUE(within.error().message.starts_with("b.conf:3: eval")) << within.error().message;
}

}  // namespace
}  // namespace mesh
