#include "nodes/version_binding.h"

#include <fmt/core.h>
#include <fnmatch.h>

#include <algorithm>

#include "nodes/dataplane/wg_quick.h"

namespace mesh {

namespace {

constexpr std::string_view kScriptPrefix = "startup_", kTemplate = ".jinja", kTunnelFile = "tlwg_", kBirdFile = "bird";

bool routes(std::string_view name) {
  return name.starts_with(kTunnelFile) || name.starts_with(kScriptPrefix) ||
         (name.starts_with(kBirdFile) && name.ends_with(".conf"));
}

Status use_tunnel_file(const std::string& name, const std::string& text, BoundVersion& out) {
  const auto peer = peer_of_tunnel_file(name);
  if (peer == NodeId()) {
    out.notes.push_back(fmt::format("{} is no tunnel's file (tlwg_NUMBER.conf), and only kept", name));
    return {};
  }
  auto file = parse_wg_quick(text, peer);
  if (!file) return std::unexpected(file.error());
  bool used = false;
  for (auto& tunnel : out.desired.tunnels) {
    if (tunnel.peer != peer) continue;
    use_wg_quick(*file, tunnel);
    if (!file->post_up.empty() || !file->post_down.empty())
      out.services.tunnels[tunnel.name] = {file->post_up, file->post_down};
    used = true;
  }
  if (!used) out.notes.push_back(fmt::format("{}: there is no tunnel to node {} now", name, peer.value()));
  out.generated = false;
  return {};
}

Status check_ports(const std::vector<Tunnel>& tunnels) {
  std::map<uint16_t, std::string> holders;
  for (const auto& tunnel : tunnels) {
    const auto [held, added] = holders.emplace(tunnel.listen_port, tunnel.name);
    if (!added)
      return fail(Errc::invalid, fmt::format("{} and {} both listen on port {}", held->second, tunnel.name,
                                             tunnel.listen_port),
                  "ListenPort = {{ wg_listenport }}");
  }
  return {};
}

void add_services(const StoredVersion& version, WantedServices& out) {
  for (const auto& config : version.services) {
    WantedService service{config.name, config.destination, config.check, config.reload, {}};
    while (service.destination.size() > 1 && service.destination.ends_with('/')) service.destination.pop_back();
    for (const auto& [name, content] : version.contents) {
      const bool matches = !config.files.empty() && ::fnmatch(config.files.c_str(), name.c_str(), FNM_PERIOD) == 0;
      if (matches && !routes(name) && !name.ends_with(kTemplate)) service.files[name] = content;
    }
    if (!service.files.empty()) out.services.push_back(std::move(service));
  }
}

}  // namespace

Result<BoundVersion> bind_version(const StoredVersion& version, const Overlay& overlay) {
  BoundVersion out;
  out.desired = bind(version, overlay);
  for (const auto& [name, content] : version.contents) {
    if (name.ends_with(kTemplate)) continue;
    if (name.starts_with(kTunnelFile)) MESH_TRY(use_tunnel_file(name, content, out));
    if (name.starts_with(kScriptPrefix)) out.services.scripts[name] = content;
  }
  if (!out.generated) MESH_TRY(check_ports(out.desired.tunnels));
  // One that is revoked routes nothing, whatever its files say.
  if (version.contents.contains(std::string(kBirdMain)) && !overlay.revoked) {
    auto bird = assemble_bird(version.contents);
    if (!bird) return std::unexpected(bird.error());
    out.bird = std::move(*bird);
    out.desired.bird = out.bird.text;
    out.desired.own_routing = out.generated = false;
    out.notes.insert(out.notes.end(), out.bird.notes.begin(), out.bird.notes.end());
  } else if (version.routing == RoutingStyle::loopback && !overlay.revoked) {
    return fail(Errc::invalid, "routing_style is loopback, and no bird.conf was rendered",
                "put file global bird.conf.jinja, or set global routing_style link");
  }
  add_services(version, out.services);
  out.services.ssh_keys = version.ssh_keys;
  return out;
}

std::map<std::string, std::string> files_of(const StoredVersion& version, const Overlay& overlay) {
  auto out = rendered_files(version, overlay);
  for (const auto& [name, content] : version.contents) out[name] = content;
  return out;
}

}  // namespace mesh
