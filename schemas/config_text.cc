#include "schemas/config_text.h"

#include <fmt/core.h>

#include "eventstore/model/attribute_table.h"
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

ConfigFile read_file(JsonReader& config, const Json& json) {
  ConfigFile file;
  JsonReader in(json, "files: ");
  in.get("name", file.name);
  in.get("sha256", file.digest);
  in.get("size", file.size);
  config.adopt(in);
  return file;
}

ServiceConfig read_service(JsonReader& config, const Json& json) {
  ServiceConfig service;
  JsonReader in(json, "services: ");
  in.get("name", service.name);
  in.get("files", service.files);
  in.get("destination", service.destination);
  in.get("check", service.check);
  in.get("reload", service.reload);
  config.adopt(in);
  return service;
}

ManagementConfig read_management(JsonReader& config, const Json& json) {
  ManagementConfig management;
  JsonReader in(json, "management: ");
  uint32_t hub = 0;
  in.get("hub", hub);
  management.hub = hub != 0;
  in.get("listen_port", management.listen_port);
  in.get("mtu", management.mtu);
  in.get("keepalive", management.keepalive);
  in.get("address", management.address);
  in.get("link_local", management.link_local);
  in.each("peers", [&](const Json& item) {
    ManagementPeer peer;
    JsonReader from(item, "management: peers: ");
    from.get("node", peer.node);
    from.get("name", peer.name);
    from.get("address", peer.address);
    from.get("link_local", peer.link_local);
    from.get("endpoint_host", peer.endpoint_host);
    from.get("endpoint_port", peer.endpoint_port);
    in.adopt(from);
    management.peers.push_back(std::move(peer));
  });
  config.adopt(in);
  return management;
}

/// What the log lets nobody name otherwise. Whoever reads a configuration makes paths of these.
Status check_names(const NodeConfig& config) {
  for (const auto* files : {&config.sources, &config.files})
    for (const ConfigFile& file : *files)
      if (auto name = check_file_name(file.name); !name) return fail(Errc::corrupt, name.error().message);
  for (const ServiceConfig& service : config.services)
    if (service.name.empty() || service.name.find_first_of("./") != std::string::npos)
      return fail(Errc::corrupt, fmt::format("service name \"{}\" is not valid", service.name));
  return {};
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
  if (in.optional("routing") != nullptr) {
    std::string style;
    in.get("routing", style);
    if (style == "loopback") config.routing = RoutingStyle::loopback;
  }
  const auto each = [&](const char* name, auto read) {
    if (in.optional(name) != nullptr) in.each(name, read);
  };
  each("sources", [&](const Json& item) { config.sources.push_back(read_file(in, item)); });
  each("files", [&](const Json& item) { config.files.push_back(read_file(in, item)); });
  each("services", [&](const Json& item) { config.services.push_back(read_service(in, item)); });
  if (in.optional("ssh_keys") != nullptr) in.get("ssh_keys", config.ssh_keys);
  if (const Json* management = in.optional("management")) config.management = read_management(in, *management);
  MESH_TRY(in.status());
  MESH_TRY(check_names(config));
  if (config_text(config) != text)
    return fail(Errc::corrupt, "the configuration is not in its canonical form");
  return config;
}

}  // namespace mesh
