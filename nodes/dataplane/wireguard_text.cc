#include "nodes/dataplane/wireguard_text.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <iterator>

namespace mesh {
namespace {

constexpr std::string_view kAllIpv4 = "0.0.0.0/0", kAllIpv6 = "::/0";

std::unexpected<Error> malformed(std::string_view what) {
  return fail(Errc::io, fmt::format("WireGuard answers with {} that makes no sense", what));
}

template <class Integer>
bool read_number(std::string_view text, Integer& out) {
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), out);
  return error == std::errc() && end == text.data() + text.size();
}

std::string_view next_part(std::string_view& text, char separator) {
  size_t end = text.find(separator);
  std::string_view part = text.substr(0, end);
  text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
  return part;
}

/// Sets one line of the device or its newest peer. False when the value is malformed.
bool take_uapi_peer(WireGuardPeer& peer, std::string_view name, std::string_view value) {
  if (name == "preshared_key") {
    peer.psk = SecretKey::from_hex(value);
    if (!peer.psk) return false;
    if (peer.psk->is_zero()) peer.psk.reset();
    return true;
  }
  if (name == "endpoint") peer.endpoint = value;
  if (name == "allowed_ip") peer.allowed_ips.emplace_back(value);
  if (name == "persistent_keepalive_interval") return read_number(value, peer.keepalive);
  if (name == "last_handshake_time_sec") return read_number(value, peer.handshake);
  if (name == "rx_bytes") return read_number(value, peer.rx_bytes);
  if (name == "tx_bytes") return read_number(value, peer.tx_bytes);
  return true;  // protocol_version, nanoseconds, and what newer programs add
}

bool take_uapi_line(WireGuardDevice& device, std::string_view name, std::string_view value) {
  if (name == "private_key") {
    device.private_key = SecretKey::from_hex(value);
    return device.private_key.has_value();
  }
  if (name == "listen_port") return read_number(value, device.listen_port);
  if (name == "public_key") {
    auto key = array_from_hex<WireGuardKey>(value);
    if (!key) return false;
    device.peers.emplace_back().key = *key;
    return true;
  }
  return device.peers.empty() || take_uapi_peer(device.peers.back(), name, value);
}

bool take_dump_device(WireGuardDevice& device, const std::vector<std::string_view>& columns) {
  if (columns[1] != "(none)") {
    device.private_key = SecretKey::from_base64(columns[1]);
    if (!device.private_key) return false;
  }
  return read_number(columns[3], device.listen_port);
}

bool take_dump_peer(WireGuardDevice& device, const std::vector<std::string_view>& columns) {
  WireGuardPeer& peer = device.peers.emplace_back();
  auto key = array_from_base64<WireGuardKey>(columns[1]);
  if (!key) return false;
  peer.key = *key;
  if (columns[2] != "(none)") {
    peer.psk = SecretKey::from_base64(columns[2]);
    if (!peer.psk) return false;
  }
  if (columns[3] != "(none)") peer.endpoint = columns[3];
  for (std::string_view ips = columns[4] == "(none)" ? "" : columns[4]; !ips.empty();)
    peer.allowed_ips.emplace_back(next_part(ips, ','));
  return read_number(columns[5], peer.handshake) && read_number(columns[6], peer.rx_bytes) &&
         read_number(columns[7], peer.tx_bytes) &&
         (columns[8] == "off" || read_number(columns[8], peer.keepalive));
}

template <class... Args>
void put(SecretString& out, fmt::format_string<Args...> format, Args&&... args) {
  fmt::format_to(std::back_inserter(out), format, std::forward<Args>(args)...);
}

std::string_view view(const SecretString& text) { return {text.data(), text.size()}; }

/// The lines of one peer that differ from `have`; nullptr = all.
SecretString peer_lines(const WireGuardPeer* have, const PeerSettings& wanted) {
  SecretString out;
  if (have == nullptr || !have->psk || !have->psk->equals(*wanted.psk))
    put(out, "preshared_key={}\n", view(wanted.psk->hex()));
  if (!wanted.endpoint.empty() && (have == nullptr || have->endpoint != wanted.endpoint))
    put(out, "endpoint={}\n", wanted.endpoint);
  if (have == nullptr || have->keepalive != wanted.keepalive)
    put(out, "persistent_keepalive_interval={}\n", wanted.keepalive);
  if (have == nullptr || have->allowed() != wanted.allowed) {
    put(out, "replace_allowed_ips=true\n");
    for (const IpPrefix& network : wanted.allowed) put(out, "allowed_ip={}\n", to_text(network));
  }
  return out;
}

}  // namespace

bool WireGuardPeer::allows_everything() const {
  return allowed_ips.size() == 2 && std::ranges::count(allowed_ips, kAllIpv4) == 1 &&
         std::ranges::count(allowed_ips, kAllIpv6) == 1;
}

std::vector<IpPrefix> WireGuardPeer::allowed() const {
  std::vector<IpPrefix> out;
  for (const std::string& text : allowed_ips)
    if (auto network = parse_prefix(text)) out.push_back(*network);
  std::ranges::sort(out);
  return out;
}

InterfaceSettings settings_of(const WireGuardSettings& wanted) {
  const Tunnel& tunnel = wanted.tunnel;
  return {tunnel.name,
          tunnel.listen_port,
          &wanted.private_key,
          {{tunnel.peer_key, &wanted.psk, wanted.endpoint, tunnel.keepalive,
            {*parse_prefix(kAllIpv4), *parse_prefix(kAllIpv6)}}}};
}

Result<WireGuardDevice> parse_uapi(std::string_view text) {
  MESH_TRY(parse_uapi_status(text));
  WireGuardDevice device;
  while (!text.empty()) {
    std::string_view line = next_part(text, '\n');
    std::string_view name = next_part(line, '=');
    if (!take_uapi_line(device, name, line)) return malformed(name);
  }
  if (device.private_key && device.private_key->is_zero()) device.private_key.reset();
  return device;
}

Status parse_uapi_status(std::string_view text) {
  size_t begin = text.rfind("errno=");
  if (begin == std::string_view::npos || (begin > 0 && text[begin - 1] != '\n'))
    return malformed("an answer");
  text.remove_prefix(begin + 6);
  int error = 0;
  if (!read_number(next_part(text, '\n'), error)) return malformed("an errno");
  if (error != 0)
    return fail(Errc::io, fmt::format("WireGuard refuses the request with errno {}", error));
  return {};
}

Result<std::map<std::string, WireGuardDevice>> parse_dump(std::string_view text) {
  constexpr size_t kDeviceColumns = 5, kPeerColumns = 9;
  std::map<std::string, WireGuardDevice> out;
  while (!text.empty()) {
    std::string_view line = next_part(text, '\n');
    std::vector<std::string_view> columns;
    while (!line.empty()) columns.push_back(next_part(line, '\t'));
    if (columns.size() != kDeviceColumns && columns.size() != kPeerColumns)
      return malformed("a line");
    WireGuardDevice& device = out[std::string(columns[0])];
    bool good = columns.size() == kDeviceColumns ? take_dump_device(device, columns)
                                                 : take_dump_peer(device, columns);
    if (!good) return malformed("a value");
  }
  return out;
}

SecretString uapi_request(const WireGuardDevice& current, const InterfaceSettings& wanted) {
  SecretString body;
  // WireGuard clamps a private key, so the bytes may differ for the same key.
  if (!current.private_key || current.private_key->public_key() != wanted.private_key->public_key())
    put(body, "private_key={}\n", view(wanted.private_key->hex()));
  if (current.listen_port != wanted.listen_port) put(body, "listen_port={}\n", wanted.listen_port);
  // What goes first: two peers cannot have one address, not even for a moment.
  for (const WireGuardPeer& peer : current.peers)
    if (std::ranges::find(wanted.peers, peer.key, &PeerSettings::key) == wanted.peers.end())
      put(body, "public_key={}\nremove=true\n", to_hex(peer.key.view()));
  for (const PeerSettings& peer : wanted.peers) {
    auto have = std::ranges::find(current.peers, peer.key, &WireGuardPeer::key);
    SecretString lines = peer_lines(have == current.peers.end() ? nullptr : &*have, peer);
    if (!lines.empty()) put(body, "public_key={}\n{}", to_hex(peer.key.view()), view(lines));
  }
  if (body.empty()) return body;
  SecretString out;
  put(out, "set=1\n{}\n", view(body));
  return out;
}

SecretString setconf_text(const InterfaceSettings& wanted) {
  SecretString out;
  put(out, "[Interface]\nPrivateKey = {}\nListenPort = {}\n", view(wanted.private_key->base64()), wanted.listen_port);
  for (const PeerSettings& peer : wanted.peers) {
    put(out, "[Peer]\nPublicKey = {}\nPresharedKey = {}\nAllowedIPs = ", to_base64(peer.key.view()),
        view(peer.psk->base64()));
    for (size_t i = 0; i < peer.allowed.size(); ++i) put(out, "{}{}", i == 0 ? "" : ", ", to_text(peer.allowed[i]));
    put(out, "\nPersistentKeepalive = {}\n", peer.keepalive);
    if (!peer.endpoint.empty()) put(out, "Endpoint = {}\n", peer.endpoint);
  }
  return out;
}

}  // namespace mesh
