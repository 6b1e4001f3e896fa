// The variables of a node's templates: Towalink's dictionary, by its names and formulas (n: own number, p: peer's).
//
//   attributes    what is set for the node at its three levels, nested at the dots; without defaults, files and the
//                 networks and bases that the formulas use up
//   identity      node_id, node_name, site_name, node_fullname, bgp_as = bgp_as_base + n
//   loopbacks     loopback_ipv4 and _ipv6 (net + n with /32, /128), bgp_ipv4 and _ipv6 (the same, bare)
//   bgp_peers     {p: as, name SITE_NODE_p, ip, loopback_ipv4 and _ipv6 (net + p with the network's length),
//                 ifname_local tlwg_p, password}
//   wg_links      {p: wg_ifname, wg_listenport, wg_peer_endpoint ("localhost" when nobody knows where the peer is),
//                 wg_addresses, wg_(peer_)address_ipv4 and _ipv6, wg_peer_allowedips, wg_private, wg_peer_public,
//                 wg_peer_preshared, wg_peer_keepalive, wg_mtu (only when it is not 1420)}
//
// Keys p are integers; in wg_links the text of p when an attribute wg_links.<p>.* is set, whose fields stay. No secret
// is in the log, so keys are placeholders (kPrivateKeyPlaceholder, ...), which the router replaces by what it has. The
// password is the same at both ends and no secret: sessions run inside the tunnel.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "eventstore/model/node_config.h"
#include "eventstore/model/state.h"

namespace mesh {

/// Before the number of the peer.
inline constexpr std::string_view kPrivateKeyPlaceholder = "MESHLOG-PRIVATE-KEY-";
inline constexpr std::string_view kPublicKeyPlaceholder = "MESHLOG-PUBLIC-KEY-";
inline constexpr std::string_view kPresharedKeyPlaceholder = "MESHLOG-PSK-";

struct TemplateValue;
/// Integers before texts, each ascending.
using TemplateTable = std::map<std::variant<int64_t, std::string>, TemplateValue>;
using TemplateList = std::vector<TemplateValue>;
struct TemplateValue {
  std::variant<bool, int64_t, std::string, TemplateList, TemplateTable> data;
  bool operator==(const TemplateValue&) const = default;
};

/// `config` is what compile() gives for a node of `state`. Errors: not_found, invalid (networks).
Result<TemplateTable> template_variables(const MeshState& state, const NodeConfig& config);

/// JSON in one line. An integer key is written "#12": names of attributes have no such character. The same table gives
/// the same bytes.
std::string variables_json(const TemplateTable& table);
/// Block style YAML, sorted, as Towalink's config.yaml.
std::string variables_yaml(const TemplateTable& table);

}  // namespace mesh
