#include "nodes/identity.h"

#include "schemas/json_reader.h"

namespace mesh {

std::string identity_text(const NodeIdentity& identity) {
  Json json = {{"log", to_hex(identity.log.view())},
               {"log_key", to_hex(identity.log_key.view())},
               {"controller_key", to_hex(identity.controller_key.view())},
               {"node", identity.node.value()},
               {"fullname", identity.fullname},
               {"endpoints", identity.endpoints},
               {"enrol_endpoints", identity.enrol_endpoints}};
  if (const auto& anchor = identity.anchor) {
    json["anchor"] = {{"sequence", anchor->sequence.value()},
                      {"state_digest", to_hex(anchor->state_digest.view())},
                      {"root", to_hex(anchor->root.view())},
                      {"by", anchor->by}};
  }
  return json.dump(1) + "\n";
}

Result<NodeIdentity> parse_identity_text(std::string_view text) {
  const auto json = Json::parse(text, nullptr, false);
  NodeIdentity identity;
  JsonReader in(json);
  in.get("log", identity.log);
  in.get("log_key", identity.log_key);
  in.get("controller_key", identity.controller_key);
  in.get("node", identity.node);
  in.get("fullname", identity.fullname);
  in.get("endpoints", identity.endpoints);
  in.get("enrol_endpoints", identity.enrol_endpoints);
  if (const auto* member = in.optional("anchor")) {
    JsonReader anchor(*member, "anchor: ");
    identity.anchor.emplace();
    anchor.get("sequence", identity.anchor->sequence);
    anchor.get("state_digest", identity.anchor->state_digest);
    anchor.get("root", identity.anchor->root);
    anchor.get("by", identity.anchor->by);
    in.adopt(anchor);
  }
  MESH_TRY(in.status());
  return identity;
}

}  // namespace mesh
