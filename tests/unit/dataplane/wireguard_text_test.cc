// Claim: what wireguard-go and wg(8) say is read in full; a request to wireguard-go holds only what
// differs, so that an unchanged tunnel is not touched; a file for wg(8) always holds everything;
// malformed answers are errors. Method: answers recorded from wireguard-go 0.0.20220316 and
// wireguard-tools 1.0.20210914.
#include "nodes/dataplane/wireguard_text.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

namespace mesh {
namespace {

constexpr std::string_view kPrivateHex =
    "e84b5a6d2717c1003a13b431570353dbaca9146cf150c5f8575680feba52027a";
constexpr std::string_view kPeerHex =
    "b85996fecc9c7f1fc6d2572a76eda11d59bcd20be8e543b15ce4bd85a8e75a33";
constexpr std::string_view kPskHex =
    "188515093e952f5f22e865cef3012e72f8b5f0b598ac0309d5dacce3b70fcf52";

const std::string kAnswer =
    std::string("private_key=") + std::string(kPrivateHex) +
    "\nlisten_port=12912\npublic_key=" + std::string(kPeerHex) +
    "\npreshared_key=" + std::string(kPskHex) +
    "\nprotocol_version=1\nendpoint=[abcd:23::33]:51820\nlast_handshake_time_sec=1700000000"
    "\nlast_handshake_time_nsec=5\ntx_bytes=38333\nrx_bytes=2224\n"
    "persistent_keepalive_interval=25\nallowed_ip=0.0.0.0/0\nallowed_ip=::/0\nerrno=0\n\n";

struct Wanted {
  Tunnel tunnel;
  SecretKey private_key = std::move(*SecretKey::from_hex(kPrivateHex));
  SecretKey psk = std::move(*SecretKey::from_hex(kPskHex));
  std::string endpoint = "[abcd:23::33]:51820";
  Wanted() {
    tunnel.name = "tlwg_12";
    tunnel.listen_port = 12912;
    tunnel.keepalive = 25;
    tunnel.peer_key = *array_from_hex<WireGuardKey>(kPeerHex);
  }
  SecretString request() const {
    return uapi_request(*parse_uapi(kAnswer), settings_of({tunnel, private_key, psk, endpoint}));
  }
};

TEST(Uapi, AnAnswerIsReadInFull) {
  auto device = parse_uapi(kAnswer);
  ASSERT_TRUE(device);
  EXPECT_EQ(to_hex(device->private_key->view()), kPrivateHex);
  EXPECT_EQ(device->listen_port, 12912);
  ASSERT_EQ(device->peers.size(), 1u);
  const WireGuardPeer& peer = device->peers[0];
  EXPECT_EQ(to_hex(peer.key.view()), kPeerHex);
  EXPECT_EQ(to_hex(peer.psk->view()), kPskHex);
  EXPECT_EQ(peer.endpoint, "[abcd:23::33]:51820");
  EXPECT_EQ(peer.keepalive, 25);
  EXPECT_EQ(peer.handshake, 1700000000);
  EXPECT_EQ(peer.rx_bytes, 2224u);
  EXPECT_EQ(peer.tx_bytes, 38333u);
  EXPECT_TRUE(peer.allows_everything());
}

TEST(Uapi, AFreshDeviceHasNoKeyAndNoPeer) {
  auto device = parse_uapi("listen_port=0\nerrno=0\n\n");
  ASSERT_TRUE(device);
  EXPECT_FALSE(device->private_key);
  EXPECT_TRUE(device->peers.empty());
}

TEST(Uapi, ErrorsAndMalformedAnswersAreErrors) {
  EXPECT_EQ(parse_uapi_status("errno=-22\n\n").error().code, Errc::io);
  EXPECT_TRUE(parse_uapi_status("errno=-22\n\n").error().message.contains("-22"));
  for (std::string text :
       {std::string(), std::string("\n\n"), std::string("listen_port=1\n\n"),
        std::string("listen_port=99999\nerrno=0\n\n"), std::string("public_key=00\nerrno=0\n\n"),
        "public_key=" + std::string(kPeerHex) + "\nrx_bytes=-1\nerrno=0\n\n"})
    EXPECT_FALSE(parse_uapi(text)) << text;
  for (size_t cut = 0; cut < kAnswer.size(); ++cut) parse_uapi(kAnswer.substr(0, cut));
}

TEST(Uapi, NothingIsSentWhenNothingDiffers) { EXPECT_TRUE(Wanted().request().empty()); }

TEST(Uapi, OnlyWhatDiffersIsSent) {
  Wanted keepalive;
  keepalive.tunnel.keepalive = 20;
  EXPECT_EQ(std::string_view(keepalive.request()), "set=1\npublic_key=" + std::string(kPeerHex) +
                                                       "\npersistent_keepalive_interval=20\n\n");
  Wanted port;
  port.tunnel.listen_port = 12913;
  EXPECT_EQ(std::string_view(port.request()), "set=1\nlisten_port=12913\n\n");
  Wanted endpoint;
  endpoint.endpoint = "192.0.2.1:7";
  EXPECT_EQ(std::string_view(endpoint.request()),
            "set=1\npublic_key=" + std::string(kPeerHex) + "\nendpoint=192.0.2.1:7\n\n");
  Wanted unresolved;
  unresolved.endpoint.clear();
  EXPECT_TRUE(unresolved.request().empty()) << "the endpoint in use stays";
}

TEST(Uapi, AnotherPeerIsReplaced) {
  Wanted wanted;
  wanted.tunnel.peer_key.bytes[0] ^= 1;
  std::string other = to_hex(wanted.tunnel.peer_key.view());
  EXPECT_EQ(std::string_view(wanted.request()),
            "set=1\npublic_key=" + std::string(kPeerHex) + "\nremove=true\npublic_key=" + other +
                "\npreshared_key=" + std::string(kPskHex) +
                "\nendpoint=[abcd:23::33]:51820\npersistent_keepalive_interval=25\n"
                "replace_allowed_ips=true\nallowed_ip=0.0.0.0/0\nallowed_ip=::/0\n\n");
}

/// The management interface of a hub: two peers, each with its own addresses.
struct Hub {
  SecretKey private_key = std::move(*SecretKey::from_hex(kPrivateHex));
  SecretKey psk = std::move(*SecretKey::from_hex(kPskHex));
  InterfaceSettings settings{"tlwg_mgmt", 51820, &private_key, {peer(0x11, "fd00::c/128"), peer(0x22, "fd00::d/128")}};

  PeerSettings peer(uint8_t key, std::string_view address) {
    PeerSettings out{{}, &psk, {}, 25, {*parse_prefix(address), *parse_prefix("fe80::c/128")}};
    out.key.bytes.fill(key);
    return out;
  }
  std::string answer() {
    std::string out = fmt::format("private_key={}\nlisten_port=51820\n", kPrivateHex);
    for (const PeerSettings& each : settings.peers) {
      out += fmt::format("public_key={}\npreshared_key={}\npersistent_keepalive_interval=25\n",
                         to_hex(each.key.view()), kPskHex);
      for (auto at = each.allowed.rbegin(); at != each.allowed.rend(); ++at) out += "allowed_ip=" + to_text(*at) + "\n";
    }
    return out + "errno=0\n\n";
  }
};

TEST(Uapi, OfSeveralPeersOnlyTheChangedOneIsSent) {
  Hub hub;
  const auto device = parse_uapi(hub.answer());
  ASSERT_TRUE(device);
  EXPECT_TRUE(uapi_request(*device, hub.settings).empty()) << "in whatever order the addresses are listed";
  const std::string one(64, '1'), two(64, '2'), three(64, '3');
  hub.settings.peers[1].keepalive = 20;
  EXPECT_EQ(std::string_view(uapi_request(*device, hub.settings)),
            "set=1\npublic_key=" + two + "\npersistent_keepalive_interval=20\n\n");
  hub.settings.peers[1] = hub.peer(0x33, "fd00::d/128");
  const std::string replaced(uapi_request(*device, hub.settings));
  EXPECT_TRUE(replaced.starts_with("set=1\npublic_key=" + two + "\nremove=true\npublic_key=" + three + "\n"))
      << replaced;
  EXPECT_TRUE(replaced.contains("replace_allowed_ips=true\nallowed_ip=fd00::d/128\nallowed_ip=fe80::c/128\n"))
      << replaced;
  EXPECT_FALSE(replaced.contains(one)) << "the other is not touched";
  hub.settings.peers.clear();
  EXPECT_EQ(std::string_view(uapi_request(*device, hub.settings)),
            "set=1\npublic_key=" + one + "\nremove=true\npublic_key=" + two + "\nremove=true\n\n");
}

TEST(WgDump, AnAnswerIsReadInFull) {
  std::string key = to_base64(*from_hex(kPrivateHex)), peer = to_base64(*from_hex(kPeerHex));
  auto devices =
      parse_dump("tlwg_12\t" + key + "\tPUBLIC\t12912\toff\n" + "tlwg_12\t" + peer +
                 "\t(none)\t192.0.2.9:7411\t0.0.0.0/0,::/0\t1700000000\t10\t20\t25\n" +
                 "tlwg_13\t(none)\t(none)\t0\toff\n" + "tlwg_14\t" + key + "\tPUBLIC\t1\toff\n" +
                 "tlwg_14\t" + peer + "\t" + key + "\t(none)\t(none)\t0\t0\t0\toff\n");
  ASSERT_TRUE(devices);
  ASSERT_EQ(devices->size(), 3u);
  const WireGuardDevice& device = devices->at("tlwg_12");
  EXPECT_EQ(to_hex(device.private_key->view()), kPrivateHex);
  EXPECT_EQ(device.listen_port, 12912);
  ASSERT_EQ(device.peers.size(), 1u);
  EXPECT_FALSE(device.peers[0].psk);
  EXPECT_EQ(device.peers[0].endpoint, "192.0.2.9:7411");
  EXPECT_TRUE(device.peers[0].allows_everything());
  EXPECT_EQ(device.peers[0].rx_bytes, 10u);
  EXPECT_EQ(device.peers[0].tx_bytes, 20u);
  EXPECT_FALSE(devices->at("tlwg_13").private_key);
  const WireGuardPeer& silent = devices->at("tlwg_14").peers.at(0);
  EXPECT_TRUE(silent.psk);
  EXPECT_EQ(silent.endpoint, "");
  EXPECT_EQ(silent.keepalive, 0);
  EXPECT_TRUE(silent.allowed_ips.empty());
}

TEST(WgDump, MalformedLinesAreErrors) {
  for (const char* text : {"tlwg_12\n", "a\tb\tc\n", "tlwg_12\tshort\tPUBLIC\t1\toff\n",
                           "tlwg_12\t(none)\t(none)\tx\toff\n"})
    EXPECT_FALSE(parse_dump(text)) << text;
  EXPECT_TRUE(parse_dump("")->empty());
}

TEST(WgConfiguration, IsAlwaysComplete) {
  Wanted wanted;
  std::string key = to_base64(*from_hex(kPrivateHex)), peer = to_base64(*from_hex(kPeerHex)),
              psk = to_base64(*from_hex(kPskHex));
  EXPECT_EQ(std::string_view(
                setconf_text(settings_of({wanted.tunnel, wanted.private_key, wanted.psk, wanted.endpoint}))),
            "[Interface]\nPrivateKey = " + key +
                "\nListenPort = 12912\n[Peer]\nPublicKey = " + peer + "\nPresharedKey = " + psk +
                "\nAllowedIPs = 0.0.0.0/0, ::/0\nPersistentKeepalive = 25\nEndpoint = "
                "[abcd:23::33]:51820\n");
}

}  // namespace
}  // namespace mesh
