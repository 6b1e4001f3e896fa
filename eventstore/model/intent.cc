#include "eventstore/model/intent.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <map>

#include "eventstore/model/attribute_table.h"
#include "eventstore/model/compile.h"
#include "eventstore/model/crypto.h"
#include "eventstore/model/limits.h"

namespace mesh {

namespace {

constexpr int64_t kPrivateAs16First = 64'512, kPrivateAs16Last = 65'534;  // RFC 6996
constexpr int64_t kPrivateAs32First = 4'200'000'000, kPrivateAs32Last = 4'294'967'294;

bool is_private_as(int64_t number) {
  return (number >= kPrivateAs16First && number <= kPrivateAs16Last) ||
         (number >= kPrivateAs32First && number <= kPrivateAs32Last);
}

std::string who(const Node& node) {
  return node.fullname() + " (" + std::to_string(node.id.value()) + ")";
}

Error invalid(std::string message, std::string fix) {
  return Error{Errc::invalid, std::move(message), std::move(fix)};
}

std::string shown(const AttributeValue* value) {
  return value == nullptr ? "nothing" : to_text(*value);
}

/// An integer attribute within its range. The value was checked when it was set; a state from
/// elsewhere was not.
uint32_t read_number(const AttributeValue* value, std::string_view name,
                     std::vector<Error>& errors) {
  const AttributeSpec* spec = find_attribute(name);
  if (value != nullptr && value->number() != nullptr && *value->number() >= spec->min &&
      *value->number() <= spec->max)
    return static_cast<uint32_t>(*value->number());
  errors.push_back(invalid(
      std::string(name) + " is " + shown(value),
      "set it to a number from " + std::to_string(spec->min) + " to " + std::to_string(spec->max)));
  return static_cast<uint32_t>(spec->min);
}

std::vector<IpPrefix> read_prefixes(const AttributeValue* value, std::vector<Error>& errors) {
  std::vector<IpPrefix> out;
  if (value == nullptr) return out;
  if (auto status = check_attribute("lans", *value, kAtNode); !status) {
    errors.push_back(status.error());
    return out;
  }
  for (const auto& text : value->strings()) out.push_back(*parse_prefix(text));
  std::ranges::sort(out);
  out.erase(std::ranges::unique(out).begin(), out.end());
  return out;
}

/// `endpoint`, else `node_hostname` unless that is Towalink's "localhost", which means that nobody
/// knows.
std::optional<HostPort> read_outside(const MeshState& state, const Site* site, NodeIntent& out) {
  auto name = "endpoint";
  const AttributeValue* value = find_effective(state, site, out.node, name);
  if (value == nullptr) value = find_effective(state, site, out.node, name = "node_hostname");
  if (value == nullptr) return std::nullopt;
  if (value->text() != nullptr && (*value->text() == "none" || *value->text() == "localhost"))
    return std::nullopt;
  auto parsed = parse_host_port(value->text() == nullptr ? "" : *value->text());
  if (!parsed) {
    out.errors.push_back(
        invalid(std::string(name) + " of " + who(*out.node) + ": " + parsed.error().message,
                parsed.error().fix));
    return std::nullopt;
  }
  if (!parsed->port) parsed->port = static_cast<uint16_t>(out.port_base);
  return *parsed;
}

void read_peer_keepalives(const Attributes& attributes, NodeIntent& out) {
  constexpr std::string_view kPrefix = "wg_links.", kSuffix = ".wg_peer_keepalive";
  for (auto at = attributes.lower_bound(kPrefix);
       at != attributes.end() && at->first.starts_with(kPrefix); ++at) {
    if (!at->first.ends_with(kSuffix)) continue;
    uint32_t peer = 0;
    const char* begin = at->first.data() + kPrefix.size();
    const char* end = at->first.data() + at->first.size() - kSuffix.size();
    if (begin >= end || std::from_chars(begin, end, peer).ptr != end) continue;
    out.peer_keepalive[NodeId(peer)] =
        static_cast<uint16_t>(read_number(&at->second.value, at->first, out.errors));
  }
}

/// Before rules 3 the name was nobody's, and any value of it means nothing.
DriftPolicy read_drift(const MeshState& state, const AttributeValue* value, std::vector<Error>& errors) {
  if (state.rules < kDriftRules || value == nullptr) return DriftPolicy::report;
  if (auto status = check_attribute("drift", *value, kAtNode); !status) errors.push_back(status.error());
  return value->text() != nullptr && *value->text() == "heal" ? DriftPolicy::heal : DriftPolicy::report;
}

/// A value of rules 4 that is what the table asks for, else nullptr. Before them the names were nobody's: a value from
/// then may be anything, and is an error until somebody sets it anew.
const AttributeValue* checked(std::string_view name, const AttributeValue* value, std::vector<Error>& errors) {
  if (value == nullptr) return nullptr;
  const auto level = static_cast<ScopeMask>(find_attribute(name)->scopes);
  auto good = check_attribute(name, *value, level);
  if (good) return value;
  errors.push_back(good.error());
  return nullptr;
}

/// What service.NAME.* say of each service, the nearer level first. Other fields than the table's are for templates.
std::map<std::string, ServiceConfig> read_services(std::span<const Attributes* const> layers,
                                                   std::vector<Error>& errors) {
  constexpr std::string_view kPrefix = "service.";
  std::map<std::string, ServiceConfig> out;
  for (const Attributes* layer : layers) {
    for (auto at = layer->lower_bound(kPrefix); at != layer->end() && at->first.starts_with(kPrefix); ++at) {
      const std::string_view rest = std::string_view(at->first).substr(kPrefix.size());
      const size_t dot = rest.find('.');
      if (dot == std::string_view::npos || find_attribute(at->first) == nullptr) continue;
      const AttributeValue* value = checked(at->first, &at->second.value, errors);
      if (value == nullptr) continue;
      ServiceConfig& service = out[std::string(rest.substr(0, dot))];
      const std::string_view field = rest.substr(dot + 1);
      std::string* known = field == "files"         ? &service.files
                           : field == "destination" ? &service.destination
                           : field == "check"       ? &service.check
                           : field == "reload"      ? &service.reload
                                                    : nullptr;
      if (known != nullptr && known->empty()) *known = *value->text();
    }
  }
  return out;
}

/// net + id, inside the network and, for IPv4, below its broadcast address.
std::optional<IpAddress> numbered(const IpPrefix& network, NodeId node) {
  IpAddress address = network.address.plus(node.value());
  if (!network.contains(address)) return std::nullopt;
  if (!network.v6() && !network.contains(address.plus(1))) return std::nullopt;
  return address;
}

/// The smallest network around `network` that has room for `node`, as a proposal.
std::string roomier(IpPrefix network, NodeId node) {
  while (network.length > 8 && !numbered(network.network(), node)) --network.length;
  return to_text(network.network());
}

}  // namespace

Intent::Intent(const MeshState& state) : state_(state) {
  networks_ = read_networks(state, errors_);
  const AttributeValue* seed = find_effective(state_, nullptr, nullptr, "topology_seed");
  if (seed != nullptr && seed->number() != nullptr)
    topology_seed_ = static_cast<uint64_t>(*seed->number());
  read_management();
  nodes_.reserve(state.nodes.size());
  for (const auto& [id, node] : state.nodes) read_node(*node);
  find_shared_endpoints();
  for (const auto& node : nodes_)
    accepted_.insert(accepted_.end(), node.lans.begin(), node.lans.end());
  accepted_.push_back(networks_.loopback4);
  accepted_.push_back(networks_.loopback6);
  std::ranges::sort(accepted_);
  accepted_.erase(std::ranges::unique(accepted_).begin(), accepted_.end());
}

std::optional<size_t> Intent::find(NodeId node) const {
  auto at =
      std::ranges::lower_bound(nodes_, node, {}, [](const NodeIntent& n) { return n.node->id; });
  if (at == nodes_.end() || at->node->id != node) return std::nullopt;
  return static_cast<size_t>(at - nodes_.begin());
}

Networks read_networks(const MeshState& state, std::vector<Error>& errors) {
  Networks networks;
  auto network = [&](std::string_view name, const std::string& genesis) {
    const AttributeValue* set = find_effective(state, nullptr, nullptr, name);
    AttributeValue value = set == nullptr ? AttributeValue(genesis) : *set;
    if (auto status = check_attribute(name, value, kAtGlobal); !status) {
      errors.push_back(status.error());
      return IpPrefix{};
    }
    return *parse_prefix(*value.text());
  };
  const CreateLog& genesis = state.genesis;
  networks.loopback4 = network("loopbacknet_ipv4", genesis.loopbacknet_ipv4);
  networks.loopback6 = network("loopbacknet_ipv6", genesis.loopbacknet_ipv6);
  networks.transfer4 = network("internode_transfernet_ipv4", genesis.transfernet_ipv4);
  networks.transfer6 = network("internode_transfernet_ipv6", genesis.transfernet_ipv6);
  const AttributeValue* base = find_effective(state, nullptr, nullptr, "bgp_as_base");
  AttributeValue as_base = base == nullptr ? AttributeValue(genesis.bgp_as_base) : *base;
  networks.as_base = read_number(&as_base, "bgp_as_base", errors);
  return networks;
}

void Intent::read_node(const Node& node) {
  NodeIntent out;
  out.node = &node;
  auto at = state_.sites.find(node.site);
  const Site* site = at == state_.sites.end() ? nullptr : &*at->second;
  auto value = [&](std::string_view name) { return find_effective(state_, site, &node, name); };
  auto number = [&](std::string_view name) { return read_number(value(name), name, out.errors); };
  for (const auto& group : value("groups")->strings()) {
    auto known = group_numbers_.find(group);
    if (known == group_numbers_.end())
      known = group_numbers_.emplace(group, static_cast<uint32_t>(group_numbers_.size())).first;
    out.groups.push_back(known->second);
  }
  std::ranges::sort(out.groups);
  out.port_base = number("wg_listenport_base");
  out.uplinks = number("uplinks");
  out.mtu = static_cast<uint16_t>(number("wg_mtu"));
  out.keepalive = static_cast<uint16_t>(number("wg_keepalive"));
  out.bfd_interval_ms = number("bfd_interval_ms");
  out.bfd_multiplier = number("bfd_multiplier");
  out.lans = read_prefixes(value("lans"), out.errors);
  out.outside = read_outside(state_, site, out);
  out.drift = read_drift(state_, value("drift"), out.errors);
  if (state_.rules >= kFileRules) {
    const AttributeValue* style = checked("routing_style", value("routing_style"), out.errors);
    if (style != nullptr && *style->text() == "loopback") out.routing = RoutingStyle::loopback;
    if (const auto* keys = checked("node_sshauthkeys", value("node_sshauthkeys"), out.errors))
      out.ssh_keys = keys->strings();
    if (management_) out.management_mtu = static_cast<uint16_t>(number("management_mtu"));
    read_files(site, out);
  }
  read_peer_keepalives(state_.global, out);
  if (site != nullptr) read_peer_keepalives(site->attributes, out);
  read_peer_keepalives(node.attributes, out);
  read_addresses(out);
  nodes_.push_back(std::move(out));
}

void Intent::read_files(const Site* site, NodeIntent& out) const {
  std::vector<const Attributes*> layers{&out.node->attributes};
  if (site != nullptr) layers.push_back(&site->attributes);
  layers.push_back(&state_.global);
  std::map<std::string, FileRef> files;
  for (const Attributes* layer : layers)
    for (auto at = layer->lower_bound(kFilePrefix); at != layer->end() && at->first.starts_with(kFilePrefix); ++at)
      if (const FileRef* file = at->second.value.file()) files.emplace(*file_of(at->first), *file);
  for (const auto& [name, file] : files) out.sources.push_back({name, file.digest, file.size});
  for (auto& [name, service] : read_services(layers, out.errors)) {
    service.name = name;
    const bool whole = !service.files.empty() && !service.destination.empty();
    if (!whole)
      out.errors.push_back(invalid(fmt::format("service {} of {} has no {}", name, who(*out.node),
                                               service.files.empty() ? "files" : "destination"),
                                   fmt::format("set global service.{}.{} ...", name,
                                               service.files.empty() ? "files" : "destination")));
    out.services.push_back(std::move(service));
  }
  if (out.services.size() > kServicesMax)
    out.errors.push_back(invalid(fmt::format("{} has {} services", who(*out.node), out.services.size()),
                                 fmt::format("at most {}", kServicesMax)));
}

void Intent::read_management() {
  if (state_.rules < kFileRules) return;
  auto value = [&](std::string_view name) {
    return checked(name, find_effective(state_, nullptr, nullptr, name), errors_);
  };
  const AttributeValue* named = value("management_hub");
  if (named == nullptr) return;
  const std::string reference = to_text(*named);
  const Node* hub = state_.find_node(std::string_view(reference));
  if (hub == nullptr) {
    errors_.push_back(invalid(fmt::format("management_hub {} is no node", reference),
                              "set global management_hub to a node's number or name, or to empty"));
    return;
  }
  ManagementIntent out{.hub = hub->id, .network = {}, .host = {}, .port = 0};
  if (const AttributeValue* set = value("management_net_ipv6")) {
    out.network = *parse_prefix(*set->text());
  } else {
    // A unique local network (RFC 4193) whose global id is this log's.
    Sha256 hash;
    hash.add(as_bytes("meshlog/management/1"));
    hash.add(state_.log.view());
    const Digest digest = hash.finish();
    out.network.address.v6 = true;
    out.network.address.bytes[0] = 0xfd;
    std::copy_n(digest.bytes.begin(), 5, out.network.address.bytes.begin() + 1);
    out.network.length = 64;
  }
  if (const AttributeValue* host = value("controller_hostname")) out.host = *host->text();
  if (const AttributeValue* port = value("controller_wg_listenport")) out.port = static_cast<uint16_t>(*port->number());
  management_ = std::move(out);
}

void Intent::read_addresses(NodeIntent& out) const {
  if (!errors_.empty()) return;
  const Node& node = *out.node;
  auto address = [&](const IpPrefix& network, std::string_view name) {
    auto found = numbered(network, node.id);
    if (!found)
      out.errors.push_back(invalid(
          "number of " + who(node) + " is outside " + std::string(name) + " " + to_text(network),
          "set global " + std::string(name) + " " + roomier(network, node.id)));
    return found.value_or(IpAddress{});
  };
  out.loopback4 = address(networks_.loopback4, "loopbacknet_ipv4");
  out.loopback6 = address(networks_.loopback6, "loopbacknet_ipv6");
  out.link_local = address(networks_.transfer6, "internode_transfernet_ipv6");
  int64_t as_number = networks_.as_base + node.id.value();
  if (!is_private_as(as_number))
    out.errors.push_back(invalid("AS number " + std::to_string(as_number) + " of " + who(node) +
                                     " (bgp_as_base + number) is not a private one",
                                 "set global bgp_as_base " + std::to_string(kPrivateAs32First)));
  out.as_number = static_cast<uint32_t>(as_number);
}

void Intent::find_shared_endpoints() {
  std::map<std::pair<std::string_view, uint16_t>, NodeIntent*> first;
  for (auto& node : nodes_) {
    if (!node.outside) continue;
    auto [at, inserted] =
        first.emplace(std::pair(std::string_view(node.outside->host), *node.outside->port), &node);
    if (inserted) continue;
    const Node &one = *at->second->node, &two = *node.node;
    std::string where = host_port_text(node.outside->host, *node.outside->port);
    Error error = invalid(
        who(one) + " and " + who(two) + " have the same endpoint " + where,
        "set node " + two.fullname() + " endpoint to another host, or with another port base");
    at->second->errors.push_back(error);
    node.errors.push_back(error);
  }
}

Result<uint16_t> link_port(uint32_t base, NodeId peer, const Node& owner) {
  uint64_t port = uint64_t{base} + peer.value();
  if (peer.value() > kPortNumberMax)
    return fail(Errc::invalid,
                "number " + std::to_string(peer.value()) + " has no port: numbers end at " +
                    std::to_string(kPortNumberMax),
                "remove the node");
  if (port > 65'535)
    return fail(Errc::invalid,
                "port " + std::to_string(port) + " of " + who(owner) + " for node " +
                    std::to_string(peer.value()) +
                    " (wg_listenport_base or the endpoint's port + number) is above 65535",
                "set node " + owner.fullname() + " wg_listenport_base to at most " +
                    std::to_string(65'535 - kPortNumberMax) + ", and the endpoint's port likewise");
  return static_cast<uint16_t>(port);
}

}  // namespace mesh
