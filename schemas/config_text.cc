#include "schemas/config_text.h"

#include <fmt/core.h>

#include "eventstore/model/state.h"
#include "schemas/json_reader.h"

namespace mesh {

namespace {

LinkConfig read_link(JsonReader& config, const Json& json) {
  LinkConfig link;
  JsonReader in(json, "links: ");
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
  JsonReader in(json);
  in.get("rules", config.rules);
  MESH_TRY(in.status());
  if (config.rules > kRulesNewest) {
    return fail(Errc::unsupported,
                fmt::format("the configuration has rules {}, this program knows {}", config.rules,
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
  if (in.optional("drift") != nullptr) {
    std::string policy;
    in.get("drift", policy);
    // Another word does not survive the comparison below.
    if (policy == drift_policy_name(DriftPolicy::heal)) config.drift = DriftPolicy::heal;
  }
  MESH_TRY(in.status());
  if (config_text(config) != text)
    return fail(Errc::corrupt, "the configuration is not in its canonical form");
  return config;
}

}  // namespace mesh
