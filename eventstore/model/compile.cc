#include "eventstore/model/compile.h"

#include <algorithm>
#include <set>

#include "eventstore/model/candidates.h"
#include "eventstore/model/committed.h"
#include "eventstore/model/crypto.h"
#include "eventstore/model/intent.h"
#include "eventstore/model/topology.h"

namespace mesh {

namespace {

/// What every router needs. rp_filter: the kernel uses the larger of `all` and the interface's own
/// value, so 2 (loose) is the only value of `all` that no distribution's default of 1 can make
/// strict again; strict drops packets whose way back is another tunnel. Redirects would pull
/// traffic out of the tunnels.
const std::map<std::string, std::string>& base_sysctls() {
  static const std::map<std::string, std::string> kSysctls = {
      {"net.ipv4.conf.all.accept_redirects", "0"}, {"net.ipv4.conf.all.rp_filter", "2"},
      {"net.ipv4.conf.all.send_redirects", "0"},   {"net.ipv4.ip_forward", "1"},
      {"net.ipv6.conf.all.accept_redirects", "0"}, {"net.ipv6.conf.all.forwarding", "1"},
  };
  return kSysctls;
}

uint16_t keepalive_of(const NodeIntent& self, NodeId peer) {
  auto at = self.peer_keepalive.find(peer);
  return at == self.peer_keepalive.end() ? self.keepalive : at->second;
}

/// One compilation over a whole state: what all nodes share is computed once.
class Compiler {
 public:
  explicit Compiler(const MeshState& state) : intent_(state), topology_(intent_) {}

  const Intent& intent() const { return intent_; }
  const Topology& topology() const { return topology_; }

  Result<NodeConfig> compile(size_t index) const {
    const NodeIntent& self = intent_.nodes()[index];
    if (!intent_.errors().empty()) return std::unexpected(intent_.errors().front());
    if (!self.errors.empty()) return std::unexpected(self.errors.front());
    NodeConfig out;
    out.drift = self.drift;
    out.routing = self.routing;
    out.sources = self.sources;
    out.services = self.services;
    out.ssh_keys = self.ssh_keys;
    if (intent_.management()) {
      auto management = compile_management(self, *intent_.management());
      if (!management) return std::unexpected(management.error());
      out.management = std::move(*management);
    }
    const bool files = has_rendered_files(out) || !out.services.empty() || !out.ssh_keys.empty() || out.management;
    out.rules = files ? kFileRules : self.drift == DriftPolicy::report ? kCompileRules : kDriftRules;
    out.node = self.node->id;
    out.name = self.node->name;
    out.site = self.node->site;
    out.as_number = self.as_number;
    out.loopback4 = self.loopback4;
    out.loopback6 = self.loopback6;
    out.lans = self.lans;
    out.accepted = intent_.accepted();
    out.sysctls = base_sysctls();
    auto peers = topology_.peers(index);
    out.links.reserve(peers.size());
    for (size_t peer : peers) {
      auto link = compile_link(self, intent_.nodes()[peer]);
      if (!link) return std::unexpected(link.error());
      out.links.push_back(std::move(*link));
    }
    return out;
  }

 private:
  /// As Towalink: fe80:: and a unique local network, each + number.
  static ManagementPeer management_peer(const NodeIntent& node, const ManagementIntent& network) {
    IpAddress link_local{.v6 = true, .bytes = {0xfe, 0x80}};
    return {node.node->id, node.node->fullname(), network.network.address.plus(node.node->id.value()),
            link_local.plus(node.node->id.value()), {}, 0};
  }

  Result<ManagementConfig> compile_management(const NodeIntent& self, const ManagementIntent& network) const {
    const auto hub_index = intent_.find(network.hub);
    const NodeIntent& hub = intent_.nodes()[*hub_index];
    const ManagementPeer own = management_peer(self, network);
    ManagementConfig out;
    out.hub = &self == &hub;
    out.listen_port = out.hub ? network.port : static_cast<uint16_t>(self.port_base);
    out.mtu = self.management_mtu;
    out.keepalive = self.keepalive;
    out.address = own.address;
    out.link_local = own.link_local;
    if (out.hub) {
      for (const NodeIntent& node : intent_.nodes())
        if (&node != &self) out.peers.push_back(management_peer(node, network));
      return out;
    }
    out.peers.push_back(management_peer(hub, network));
    ManagementPeer& peer = out.peers.front();
    peer.endpoint_port = network.port;
    peer.endpoint_host = !network.host.empty() ? network.host : hub.outside ? hub.outside->host : std::string();
    if (peer.endpoint_host.empty())
      return fail(Errc::invalid, "nobody can dial the management hub " + hub.node->fullname() + ": it has no address",
                  "set global controller_hostname HOST");
    return out;
  }

  Result<LinkConfig> compile_link(const NodeIntent& self, const NodeIntent& peer) const {
    if (!peer.errors.empty()) return std::unexpected(peer.errors.front());
    LinkConfig out;
    out.peer = peer.node->id;
    out.peer_name = peer.node->fullname();
    out.peer_as = peer.as_number;
    auto listen_port = link_port(self.port_base, peer.node->id, *self.node);
    if (!listen_port) return std::unexpected(listen_port.error());
    out.listen_port = *listen_port;
    if (peer.outside) {
      auto endpoint_port = link_port(*peer.outside->port, self.node->id, *peer.node);
      if (!endpoint_port) return std::unexpected(endpoint_port.error());
      out.endpoint_host = peer.outside->host;
      out.endpoint_port = *endpoint_port;
    }
    out.mtu = std::min(self.mtu, peer.mtu);
    out.keepalive = keepalive_of(self, peer.node->id);
    out.address = self.link_local;
    out.peer_address = peer.link_local;
    out.bfd_interval_ms = std::max(self.bfd_interval_ms, peer.bfd_interval_ms);
    out.bfd_multiplier = std::max(self.bfd_multiplier, peer.bfd_multiplier);
    return out;
  }

  Intent intent_;
  Topology topology_;
};

bool covers(const Scope& scope, const Node& node) {
  switch (scope.level) {
    case Level::global:
      return true;
    case Level::site:
      return node.site == scope.site;
    case Level::node:
      return node.id == scope.node;
  }
  return false;
}

/// The numbers of nodes outside `scope` that have a link into it.
void add_neighbours(const Compiler& compiler, const Scope& scope, std::set<NodeId>& out) {
  auto nodes = compiler.intent().nodes();
  for (size_t i = 0; i < nodes.size(); ++i) {
    if (!covers(scope, *nodes[i].node)) continue;
    for (size_t peer : compiler.topology().peers(i))
      if (!covers(scope, *nodes[peer].node)) out.insert(nodes[peer].node->id);
  }
}

/// Both those that have a link now and those that had one before what is uncommitted.
std::set<NodeId> neighbours(const Compiler& compiler, const Scope& scope) {
  std::set<NodeId> out;
  if (scope.level == Level::global) return out;
  add_neighbours(compiler, scope, out);
  MeshState before = committed_state(compiler.intent().state());
  add_neighbours(Compiler(before), scope, out);
  return out;
}

using FileContents = std::map<Digest, Bytes>;

Status add_files(const Node& node, NodeConfig& config, const FileRenderer& render, FileContents& contents) {
  if (!has_rendered_files(config)) return {};
  if (!render) return fail(Errc::unsupported, "its files are rendered by the controller");
  auto files = render(node, config);
  if (!files) return std::unexpected(files.error());
  for (RenderedFile& file : *files) {
    const Digest digest = sha256(file.content);
    config.files.push_back({file.name, digest, file.content.size()});
    contents.emplace(digest, std::move(file.content));
  }
  return {};
}

/// Adds the node's row when its configuration differs from its latest version.
Status add_candidate(const Compiler& compiler, size_t index, const FileRenderer& render, Candidates& out) {
  const Node& node = *compiler.intent().nodes()[index].node;
  auto config = compiler.compile(index);
  if (!config) return fail_in("node " + node.fullname(), config.error());
  FileContents contents;
  if (auto rendered = add_files(node, *config, render, contents); !rendered)
    return fail_in("node " + node.fullname(), rendered.error());
  Digest digest = config_digest(*config);
  if (!node.versions.empty() && node.versions.back().digest == digest) return {};
  out.rows.push_back({node.id, next_version(compiler.intent().state(), node), digest});
  out.configs.emplace(node.id, std::move(*config));
  out.contents.merge(contents);
  return {};
}

}  // namespace

struct Compilation::Impl {
  Compiler compiler;
};

Compilation::Compilation(const MeshState& state) : impl_(new Impl{Compiler(state)}) {}
Compilation::~Compilation() = default;

Result<NodeConfig> Compilation::node(NodeId node) const {
  auto index = impl_->compiler.intent().find(node);
  if (!index)
    return fail(Errc::not_found, "node " + std::to_string(node.value()) + " does not exist",
                "list nodes all");
  return impl_->compiler.compile(*index);
}

Result<NodeConfig> compile(const MeshState& state, NodeId node) {
  return Compilation(state).node(node);
}

struct CandidateNodes::Impl {
  Compiler compiler;
  std::vector<size_t> nodes;
};

CandidateNodes::CandidateNodes(const MeshState& state, const Scope& scope, bool with_neighbours)
    : impl_(new Impl{Compiler(state), {}}) {
  const Compiler& compiler = impl_->compiler;
  const std::set<NodeId> extra = with_neighbours ? neighbours(compiler, scope) : std::set<NodeId>{};
  auto nodes = compiler.intent().nodes();
  for (size_t i = 0; i < nodes.size(); ++i)
    if (covers(scope, *nodes[i].node) || extra.contains(nodes[i].node->id)) impl_->nodes.push_back(i);
}
CandidateNodes::~CandidateNodes() = default;

size_t CandidateNodes::size() const { return impl_->nodes.size(); }

Status CandidateNodes::add(size_t index, const FileRenderer& render, Candidates& out) const {
  return add_candidate(impl_->compiler, impl_->nodes[index], render, out);
}

Result<Candidates> compile_candidates(const MeshState& state, const Scope& scope,
                                      bool with_neighbours, const FileRenderer& render) {
  const CandidateNodes nodes(state, scope, with_neighbours);
  Candidates out;
  for (size_t i = 0; i < nodes.size(); ++i) MESH_TRY(nodes.add(i, render, out));
  return out;
}

std::vector<NodeId> affected_neighbours(const MeshState& state, const Scope& scope) {
  Compiler compiler(state);
  std::vector<NodeId> out;
  std::optional<MeshState> committed;
  std::optional<Compilation> before;
  for (NodeId node : neighbours(compiler, scope)) {
    auto index = compiler.intent().find(node);
    if (!index) continue;
    auto config = compiler.compile(*index);
    Candidates candidates;
    if (config && has_rendered_files(*config)) {
      // What is rendered for a node follows from what is compiled for it.
      if (!before) before.emplace(committed.emplace(committed_state(state)));
      if (before->node(node) != config) out.push_back(node);
    } else if (!add_candidate(compiler, *index, {}, candidates) || !candidates.rows.empty()) {
      // One that cannot be compiled is affected too: its commit will say why.
      out.push_back(node);
    }
  }
  return out;
}

}  // namespace mesh
