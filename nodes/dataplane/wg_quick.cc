#include "nodes/dataplane/wg_quick.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <utility>

namespace mesh {
namespace {

constexpr unsigned kMtuLeast = 1280;  // of IPv6, which every link carries
constexpr std::string_view kPrefix = "tlwg_", kSuffix = ".conf", kBlank = " \t\r";

std::string_view trim(std::string_view text) {
  const size_t begin = text.find_first_not_of(kBlank);
  if (begin == std::string_view::npos) return {};
  return text.substr(begin, text.find_last_not_of(kBlank) - begin + 1);
}

std::string lower(std::string_view text) {
  std::string out(text);
  for (char& c : out)
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  return out;
}

std::vector<std::string_view> split(std::string_view text, std::string_view separators) {
  std::vector<std::string_view> out;
  for (size_t begin = 0; begin <= text.size();) {
    const size_t end = std::min(text.find_first_of(separators, begin), text.size());
    if (const auto part = trim(text.substr(begin, end - begin)); !part.empty()) out.push_back(part);
    begin = end + 1;
  }
  return out;
}

std::optional<unsigned> number(std::string_view text, unsigned max) {
  unsigned out = 0;
  const auto parsed = std::from_chars(text.data(), text.data() + text.size(), out);
  if (parsed.ec != std::errc() || parsed.ptr != text.data() + text.size() || out > max) return std::nullopt;
  return out;
}

/// `ip [-4|-6] addr|address add|del A [peer B] dev IF`. Nothing when it is another command.
struct AddressCommand {
  bool add = false;
  IpAddress local;
  std::optional<IpPrefix> peer;
};
std::optional<AddressCommand> parse_address_command(std::string_view text, std::string_view interface) {
  auto words = split(text, " \t");
  if (words.size() > 1 && (words[1] == "-4" || words[1] == "-6")) words.erase(words.begin() + 1);
  if (words.size() != 8 || (words[0] != "ip" && words[0] != "/sbin/ip" && words[0] != "/usr/sbin/ip"))
    return std::nullopt;
  const bool address = words[1] == "a" || words[1] == "addr" || words[1] == "address";
  const bool del = words[2] == "del" || words[2] == "delete";
  const bool place = words[4] == "peer" && words[6] == "dev" && (words[7] == interface || words[7] == "%i");
  if (!address || (words[2] != "add" && !del) || !place) return std::nullopt;
  auto local = parse_prefix(words[3]);
  if (!local) {
    auto bare = parse_address(words[3]);
    if (!bare) return std::nullopt;
    local = IpPrefix{*bare, bare->bits()};
  }
  auto peer = parse_prefix(words[5]);
  if (!peer) {
    auto bare = parse_address(words[5]);
    if (!bare) return std::nullopt;
    peer = IpPrefix{*bare, bare->bits()};
  }
  if (local->v6() != peer->v6()) return std::nullopt;
  return AddressCommand{!del, local->address, *peer};
}

class Parser {
 public:
  explicit Parser(NodeId peer) : peer_(peer), interface_(fmt::format("{}{}", kPrefix, peer.value())) {}

  Result<WgQuickFile> parse(std::string_view text) {
    while (!text.empty()) {
      ++line_;
      std::string_view line = text.substr(0, text.find('\n'));
      text.remove_prefix(std::min(line.size() + 1, text.size()));
      line = trim(line.substr(0, line.find('#')));
      if (line.empty()) continue;
      MESH_TRY(line.front() == '[' ? take_section(line) : take_setting(line));
    }
    line_ = 0;
    if (!private_key_) return wrong("[Interface] has no PrivateKey", use("PrivateKey", "PRIVATE-KEY"));
    if (!public_key_) return wrong("[Peer] has no PublicKey", use("PublicKey", "PUBLIC-KEY"));
    if (!all4_ || !all6_) return wrong("the peer's AllowedIPs are not everything", "AllowedIPs = 0.0.0.0/0, ::/0");
    std::ranges::sort(out_.addresses);
    std::ranges::sort(out_.peer_addresses);
    return std::move(out_);
  }

 private:
  std::unexpected<Error> wrong(std::string_view what, std::string fix = {}) const {
    const auto place = line_ == 0 ? std::string() : fmt::format(":{}", line_);
    return fail(Errc::invalid, fmt::format("{}{}{}: {}", interface_, kSuffix, place, what), std::move(fix));
  }
  std::string use(std::string_view key, std::string_view kind) const {
    return fmt::format("{} = MESHLOG-{}-{}, which the templates have as a variable", key, kind, peer_.value());
  }

  Status take_section(std::string_view line) {
    const auto name = lower(line);
    if (name == "[peer]" && std::exchange(in_peer_, true)) return wrong("a tunnel has one peer");
    if (name == "[interface]" && in_peer_) return wrong("[Interface] stands before [Peer]");
    if (name != "[peer]" && name != "[interface]") return wrong(fmt::format("{} is no section of WireGuard", line));
    in_interface_ = name == "[interface]";
    return {};
  }

  Status take_setting(std::string_view line) {
    const size_t equals = line.find('=');
    if (equals == std::string_view::npos) return wrong(fmt::format("\"{}\" is no setting", line), "NAME = VALUE");
    const auto name = trim(line.substr(0, equals)), value = trim(line.substr(equals + 1));
    if (in_interface_) return take_interface(lower(name), name, value);
    if (in_peer_) return take_peer(lower(name), name, value);
    return wrong("it stands before [Interface]");
  }

  Status take_interface(const std::string& key, std::string_view name, std::string_view value) {
    if (key == "privatekey") return take_key(name, value, "PRIVATE-KEY", private_key_);
    if (key == "listenport") return take_number(name, value, 1, 65535, out_.listen_port);
    if (key == "mtu") return take_number(name, value, kMtuLeast, 65535, out_.mtu);
    if (key == "address") return take_addresses(value);
    if (key == "postup" || key == "postdown") return take_command(value, key == "postup");
    if (key == "table") {
      if (lower(value) == "off") return {};
      return wrong(fmt::format("Table = {} would change routes past the routing daemon", value), "Table = off");
    }
    return wrong(fmt::format("{} is not supported in [Interface]", name));
  }

  Status take_peer(const std::string& key, std::string_view name, std::string_view value) {
    if (key == "publickey") return take_key(name, value, "PUBLIC-KEY", public_key_);
    if (key == "presharedkey") return take_key(name, value, "PSK", psk_);
    if (key == "allowedips") return take_allowed(value);
    if (key == "persistentkeepalive")
      return take_number(name, lower(value) == "off" ? "0" : value, 0, 65535, out_.keepalive);
    if (key == "endpoint") {
      auto endpoint = parse_host_port(value);
      if (!endpoint || !endpoint->port) return wrong(fmt::format("{} is no HOST:PORT", value));
      out_.endpoint = std::move(*endpoint);
      return {};
    }
    return wrong(fmt::format("{} is not supported in [Peer]", name));
  }

  Status take_key(std::string_view name, std::string_view value, std::string_view kind, bool& seen) {
    // The value itself is nobody's to read again: it may be a key.
    if (value != fmt::format("MESHLOG-{}-{}", kind, peer_.value()))
      return wrong(fmt::format("{} is a key of its own; the log keeps no keys", name), use(name, kind));
    seen = true;
    return {};
  }

  Status take_number(std::string_view name, std::string_view value, unsigned min, unsigned max,
                     std::optional<uint16_t>& out) {
    auto parsed = number(value, max);
    if (!parsed || *parsed < min)
      return wrong(fmt::format("{} = {} is no number from {} to {}", name, value, min, max));
    out = static_cast<uint16_t>(*parsed);
    return {};
  }

  Status take_addresses(std::string_view value) {
    for (const auto each : split(value, ",")) {
      auto prefix = parse_prefix(each);
      if (!prefix) {
        auto bare = parse_address(each);
        if (!bare) return wrong(fmt::format("{} is no address", each));
        prefix = IpPrefix{*bare, bare->bits()};
      }
      if (std::ranges::find(out_.addresses, *prefix) == out_.addresses.end()) out_.addresses.push_back(*prefix);
    }
    return {};
  }

  Status take_allowed(std::string_view value) {
    for (const auto each : split(value, ",")) {
      auto prefix = parse_prefix(each);
      if (!prefix) return wrong(fmt::format("{} is no network", each));
      if (prefix->length == 0) (prefix->v6() ? all6_ : all4_) = true;
    }
    return {};
  }

  Status take_command(std::string_view value, bool up) {
    if (const auto command = parse_address_command(value, interface_)) {
      // Taking the address away when the interface goes: it goes with it.
      if (up == command->add) {
        if (up) out_.peer_addresses.push_back({command->local, *command->peer});
        return {};
      }
    }
    (up ? out_.post_up : out_.post_down).emplace_back(value);
    return {};
  }

  NodeId peer_;
  std::string interface_;
  unsigned line_ = 0;
  bool in_interface_ = false, in_peer_ = false;
  bool private_key_ = false, public_key_ = false, psk_ = false, all4_ = false, all6_ = false;
  WgQuickFile out_;
};

}  // namespace

NodeId peer_of_tunnel_file(std::string_view name) {
  if (!name.starts_with(kPrefix) || !name.ends_with(kSuffix)) return {};
  name.remove_prefix(kPrefix.size());
  name.remove_suffix(kSuffix.size());
  const auto parsed = name.empty() || name.front() == '0' ? std::nullopt : number(name, UINT32_MAX);
  return NodeId(parsed.value_or(0));
}

Result<WgQuickFile> parse_wg_quick(std::string_view text, NodeId peer) { return Parser(peer).parse(text); }

void use_wg_quick(const WgQuickFile& file, Tunnel& tunnel) {
  const unsigned lane = tunnel.name.ends_with('b') ? 1 : 0;
  if (file.listen_port) tunnel.listen_port = lane_port(*file.listen_port, lane);
  if (file.mtu) tunnel.mtu = *file.mtu;
  // Without one the peer dials.
  tunnel.endpoint_host = file.endpoint ? file.endpoint->host : std::string();
  tunnel.endpoint_port = file.endpoint ? lane_port(*file.endpoint->port, lane) : 0;
  tunnel.keepalive = file.keepalive.value_or(0);
  tunnel.peer_addresses = file.peer_addresses;
  if (file.addresses.empty() && file.peer_addresses.empty()) return;
  tunnel.addresses = file.addresses.empty() ? std::vector<IpPrefix>{{tunnel.address, 64}} : file.addresses;
  for (const auto& each : tunnel.addresses)
    if (is_link_local(each)) tunnel.address = each.address;
  // See addresses_of(): an interface without an IPv4 address drops what it should route.
  const bool has4 = std::ranges::any_of(tunnel.addresses, [](const IpPrefix& each) { return !each.v6(); }) ||
                    std::ranges::any_of(tunnel.peer_addresses, [](const PeerAddress& each) { return !each.peer.v6(); });
  if (!has4 && tunnel.loopback4 != IpAddress{}) tunnel.addresses.push_back({tunnel.loopback4, tunnel.loopback4.bits()});
  std::ranges::sort(tunnel.addresses);
}

}  // namespace mesh
