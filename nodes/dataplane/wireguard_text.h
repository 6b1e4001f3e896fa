// What WireGuard says and hears, as text: the UAPI of wireguard-go
// (https://www.wireguard.com/xplatform/) and the formats of wg(8). Pure. Texts with keys are
// SecretStrings.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "eventstore/model/overlay.h"
#include "nodes/dataplane/secret.h"

namespace mesh {

struct WireGuardPeer {
  WireGuardKey key;
  std::optional<SecretKey> psk;  // nothing = none set
  std::string endpoint;          // "address:port"; empty = none
  uint16_t keepalive = 0;        // seconds; 0 = off
  std::vector<std::string> allowed_ips;
  int64_t handshake = 0;  // seconds since 1970; 0 = never
  uint64_t rx_bytes = 0, tx_bytes = 0;

  /// Exactly 0.0.0.0/0 and ::/0.
  bool allows_everything() const;
  /// `allowed_ips` as values, ascending; what is no network is left out.
  std::vector<IpPrefix> allowed() const;
};

struct WireGuardDevice {
  std::optional<SecretKey> private_key;
  uint16_t listen_port = 0;
  std::vector<WireGuardPeer> peers;
};

/// A tunnel with its secrets and its endpoint resolved. Borrows all of it.
struct WireGuardSettings {
  const Tunnel& tunnel;
  const SecretKey& private_key;
  const SecretKey& psk;
  const std::string& endpoint;  // "address:port"; empty = leave as it is
};

/// A peer as it shall be. Borrows its key.
struct PeerSettings {
  WireGuardKey key;
  const SecretKey* psk = nullptr;
  std::string endpoint;  // "address:port"; empty = leave as it is
  uint16_t keepalive = 0;
  std::vector<IpPrefix> allowed;
};
/// An interface with all its peers. Borrows its key.
struct InterfaceSettings {
  std::string name;
  uint16_t listen_port = 0;
  const SecretKey* private_key = nullptr;
  std::vector<PeerSettings> peers;
};
InterfaceSettings settings_of(const WireGuardSettings& tunnel);

/// The answer to "get=1", up to and with its errno line. Errors: io (errno, malformed).
Result<WireGuardDevice> parse_uapi(std::string_view text);
/// The answer of `wg show all dump`, by interface. Errors: io.
Result<std::map<std::string, WireGuardDevice>> parse_dump(std::string_view text);
/// 0 when the answer to "set=1" reports success. Errors: io.
Status parse_uapi_status(std::string_view text);

/// The "set=1" request that brings `current` to `wanted`, with only what differs: setting a listen
/// port again would rebind the socket. Empty when nothing differs.
SecretString uapi_request(const WireGuardDevice& current, const InterfaceSettings& wanted);
/// The whole configuration for `wg syncconf`, which drops whatever an incomplete file does not
/// name.
SecretString setconf_text(const InterfaceSettings& wanted);

}  // namespace mesh
