#include "nodes/config_file.h"

#include <fmt/core.h>

#include "nodes/json_reader.h"

namespace mesh {

namespace {

LinkConfig read_link(Reader& config, const Json& json) {
  LinkConfig link;
  Reader in(json, "links: ");
  in.get("peer", link.peer);
  in.get("peer_name", link.peer_name);
  in.get("peer_as", link.peer_as);
  in.get("listen_port", link.listen_port);
  in.get("endpoint_host", link.endpoint_host);
  in.get("endpoint_port", link.endpoint_port);
  in.get("mtu", link.mtu);
  in.get("keepalive", link.keepalive);
  in.get("address", link.address);
  in.get("peer_address", link.peer_address);
  in.get("bfd_interval_ms", link.bfd_interval_ms);
  in.get("bfd_multiplier", link.bfd_multiplier);
  config.adopt(in);
  return link;
}

}  // namespace

Result<NodeConfig> parse_config_text(std::string_view text) {
  const auto json = Json::parse(text, nullptr, false);
  NodeConfig config;
  Reader in(json);
  in.get("rules", config.rules);
  MESH_TRY(in.status());
  if (config.rules > kRulesNewest) {
    return fail(Errc::unsupported, fmt::format("the configuration has rules {}, this program knows {}", config.rules,
                                               kRulesNewest),
                "upgrade this program");
  }
  in.get("node", config.node);
  in.get("name", config.name);
  in.get("site", config.site);
  in.get("as_number", config.as_number);
  in.get("loopback4", config.loopback4);
  in.get("loopback6", config.loopback6);
  in.get("lans", config.lans);
  in.get("accepted", config.accepted);
  in.each("links", [&](const Json& item) { config.links.push_back(read_link(in, item)); });
  in.get("sysctls", config.sysctls);
  MESH_TRY(in.status());
  if (config_text(config) != text) return fail(Errc::corrupt, "the configuration is not in its canonical form");
  return config;
}

std::string overlay_text(const Overlay& overlay) {
  auto peers = Json::array();
  for (const auto& [id, peer] : overlay.peers) {
    auto keys = Json::array();
    for (const auto& key : peer.keys) keys.push_back({{"generation", key.generation}, {"key", to_hex(key.key.view())}});
    peers.push_back({{"node", id.value()}, {"keys", keys}, {"psk_epoch", peer.psk_epoch}});
  }
  const Json json = {{"log", to_hex(overlay.log.view())}, {"node", overlay.node.value()},
                     {"sequence", overlay.sequence.value()}, {"revoked", overlay.revoked},
                     {"generations", overlay.generations}, {"peers", peers}};
  return json.dump(1) + "\n";
}

Result<Overlay> parse_overlay_text(std::string_view text) {
  const auto json = Json::parse(text, nullptr, false);
  Overlay overlay;
  Reader in(json);
  in.get("log", overlay.log);
  in.get("node", overlay.node);
  in.get("sequence", overlay.sequence);
  in.get("revoked", overlay.revoked);
  in.get("generations", overlay.generations);
  in.each("peers", [&](const Json& item) {
    Reader peer(item, "peers: ");
    NodeId id;
    PeerOverlay out;
    peer.get("node", id);
    peer.get("psk_epoch", out.psk_epoch);
    peer.each("keys", [&](const Json& each) {
      Reader key(each, "keys: ");
      KeyGeneration generation;
      key.get("generation", generation.generation);
      key.get("key", generation.key);
      peer.adopt(key);
      out.keys.push_back(generation);
    });
    in.adopt(peer);
    overlay.peers[id] = std::move(out);
  });
  MESH_TRY(in.status());
  return overlay;
}

}  // namespace mesh
