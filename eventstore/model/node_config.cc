// The canonical JSON of a compiled configuration. Its form is pinned by every digest in every log:
// a change of one byte needs new rules.
#include "eventstore/model/node_config.h"

#include <charconv>
#include <string_view>

#include "eventstore/model/crypto.h"
#include "eventstore/model/json_text.h"

namespace mesh {

namespace {

/// Names are ours, so they need no escapes.
class Writer {
 public:
  void raw(std::string_view text) { out_ += text; }
  void field(std::string_view name, uint64_t value) {
    key(name);
    char buffer[20];
    out_.append(buffer, std::to_chars(buffer, buffer + sizeof buffer, value).ptr);
  }
  void field(std::string_view name, std::string_view value) {
    key(name);
    append_json_string(out_, value);
  }
  void field(std::string_view name, const IpAddress& value) {
    key(name);
    out_ += '"';
    out_ += to_text(value);
    out_ += '"';
  }
  void key(std::string_view name) {
    out_ += '"';
    out_ += name;
    out_ += "\": ";
  }
  void prefixes(std::string_view name, const std::vector<IpPrefix>& values) {
    key(name);
    raw("[");
    for (size_t i = 0; i < values.size(); ++i) {
      raw(i > 0 ? ",\n    \"" : "\n    \"");
      raw(to_text(values[i]));
      raw("\"");
    }
    raw(values.empty() ? "]" : "\n  ]");
  }
  void link(const LinkConfig& link) {
    raw("{");
    field("peer", link.peer.value()), raw(", ");
    field("peer_name", link.peer_name), raw(", ");
    field("peer_as", link.peer_as), raw(", ");
    field("listen_port", link.listen_port), raw(", ");
    field("endpoint_host", link.endpoint_host), raw(", ");
    field("endpoint_port", link.endpoint_port), raw(", ");
    field("mtu", link.mtu), raw(", ");
    field("keepalive", link.keepalive), raw(", ");
    field("address", link.address), raw(", ");
    field("peer_address", link.peer_address), raw(", ");
    field("bfd_interval_ms", link.bfd_interval_ms), raw(", ");
    field("bfd_multiplier", link.bfd_multiplier);
    raw("}");
  }
  void text(std::string_view value) { append_json_string(out_, value); }
  /// A field with one item on each line.
  template <class T>
  void list(std::string_view name, const std::vector<T>& values, auto write, std::string_view margin = "\n  ") {
    raw(","), raw(margin), key(name), raw("[");
    for (size_t i = 0; i < values.size(); ++i) raw(i > 0 ? "," : ""), raw(margin), raw("  "), write(values[i]);
    if (!values.empty()) raw(margin);
    raw("]");
  }
  void file(const ConfigFile& file) {
    raw("{"), field("name", file.name), raw(", ");
    field("sha256", to_hex(file.digest.view())), raw(", ");
    field("size", file.size), raw("}");
  }
  void service(const ServiceConfig& service) {
    raw("{"), field("name", service.name), raw(", ");
    field("files", service.files), raw(", ");
    field("destination", service.destination), raw(", ");
    field("check", service.check), raw(", ");
    field("reload", service.reload), raw("}");
  }
  void management(const ManagementConfig& management) {
    raw(",\n  "), key("management"), raw("{\n    ");
    field("hub", uint64_t{management.hub}), raw(", ");
    field("listen_port", management.listen_port), raw(", ");
    field("mtu", management.mtu), raw(", ");
    field("keepalive", management.keepalive), raw(", ");
    field("address", management.address), raw(", ");
    field("link_local", management.link_local);
    list("peers", management.peers, [this](const ManagementPeer& peer) {
      raw("{"), field("node", peer.node.value()), raw(", ");
      field("name", peer.name), raw(", ");
      field("address", peer.address), raw(", ");
      field("link_local", peer.link_local), raw(", ");
      field("endpoint_host", peer.endpoint_host), raw(", ");
      field("endpoint_port", peer.endpoint_port), raw("}");
    }, "\n    ");
    raw("\n  }");
  }
  std::string take() { return std::move(out_); }
  void reserve(size_t bytes) { out_.reserve(bytes); }

 private:
  std::string out_;
};

}  // namespace

std::string config_text(const NodeConfig& config) {
  constexpr size_t kBytesPerLink = 340, kBytesPerPrefix = 32;
  Writer out;
  out.reserve(1024 + config.links.size() * kBytesPerLink +
              (config.lans.size() + config.accepted.size()) * kBytesPerPrefix);
  out.raw("{\n  "), out.field("rules", config.rules);
  out.raw(",\n  "), out.field("node", config.node.value());
  out.raw(",\n  "), out.field("name", config.name);
  out.raw(",\n  "), out.field("site", config.site);
  out.raw(",\n  "), out.field("as_number", config.as_number);
  out.raw(",\n  "), out.field("loopback4", config.loopback4);
  out.raw(",\n  "), out.field("loopback6", config.loopback6);
  out.raw(",\n  "), out.prefixes("lans", config.lans);
  out.raw(",\n  "), out.prefixes("accepted", config.accepted);
  out.raw(",\n  "), out.key("links"), out.raw("[");
  for (size_t i = 0; i < config.links.size(); ++i) {
    out.raw(i > 0 ? ",\n    " : "\n    ");
    out.link(config.links[i]);
  }
  out.raw(config.links.empty() ? "]" : "\n  ]");
  out.raw(",\n  "), out.key("sysctls"), out.raw("{");
  bool first = true;
  for (const auto& [name, value] : config.sysctls) {
    out.raw(first ? "\n    " : ",\n    ");
    out.field(name, value);
    first = false;
  }
  out.raw(config.sysctls.empty() ? "}" : "\n  }");
  if (config.drift != DriftPolicy::report)
    out.raw(",\n  "), out.field("drift", drift_policy_name(config.drift));
  if (config.routing == RoutingStyle::loopback) out.raw(",\n  "), out.field("routing", "loopback");
  if (!config.sources.empty()) out.list("sources", config.sources, [&](const auto& file) { out.file(file); });
  if (!config.files.empty()) out.list("files", config.files, [&](const auto& file) { out.file(file); });
  if (!config.services.empty()) out.list("services", config.services, [&](const auto& each) { out.service(each); });
  if (!config.ssh_keys.empty()) out.list("ssh_keys", config.ssh_keys, [&](const auto& key) { out.text(key); });
  if (config.management) out.management(*config.management);
  out.raw("\n}\n");
  return out.take();
}

bool has_rendered_files(const NodeConfig& config) {
  return config.routing == RoutingStyle::loopback || !config.sources.empty();
}

std::string_view drift_policy_name(DriftPolicy policy) {
  return policy == DriftPolicy::heal ? "heal" : "report";
}

Digest config_digest(const NodeConfig& config) { return sha256(as_bytes(config_text(config))); }

}  // namespace mesh
