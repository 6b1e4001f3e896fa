#include "nodes/replica/config_file.h"

#include <fmt/core.h>

#include "schemas/json_reader.h"

namespace mesh {

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
  JsonReader in(json);
  in.get("log", overlay.log);
  in.get("node", overlay.node);
  in.get("sequence", overlay.sequence);
  in.get("revoked", overlay.revoked);
  in.get("generations", overlay.generations);
  in.each("peers", [&](const Json& item) {
    JsonReader peer(item, "peers: ");
    NodeId id;
    PeerOverlay out;
    peer.get("node", id);
    peer.get("psk_epoch", out.psk_epoch);
    peer.each("keys", [&](const Json& each) {
      JsonReader key(each, "keys: ");
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
