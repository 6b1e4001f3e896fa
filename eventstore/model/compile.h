// compile: from the attributes of all nodes to the configuration of one. n = own number, p = the peer's.
//
//   loopbacks     loopbacknet_ipv4 + n, loopbacknet_ipv6 + n        AS number     bgp_as_base + n
//   link address  internode_transfernet_ipv6 + n (link-local)       listen port   wg_listenport_base + p
//   dials         the peer's endpoint host : its PORT + n           PORT          as in `endpoint host:PORT`, else
//                                                                                 the peer's wg_listenport_base
//
// Who forwards ports forwards PORT + number to wg_listenport_base + number, and the same of lane 1 (overlay.h).
// Both ends compute the smaller mtu and the larger BFD interval and multiplier. Enrolment and keys play no part.
// With `rules` unchanged the result for a state never changes: digests in logs depend on it.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <vector>

#include "eventstore/model/node_config.h"
#include "eventstore/model/state.h"

namespace mesh {

/// The newest rules that changed what compile gives: what NodeConfig::rules says. Rules that leave
/// configurations alone (2: history) make no new versions; one that holds something newer says its rules (3: drift,
/// 4: files, services, management).
inline constexpr uint32_t kCompileRules = 1;
inline constexpr uint32_t kDriftRules = 3;
inline constexpr uint32_t kFileRules = 4;

/// The configuration that `node` has by the working state. Reads only the state; canonical order everywhere.
/// Errors: not_found, invalid (an attribute that makes no configuration possible, with the fix).
Result<NodeConfig> compile(const MeshState& state, NodeId node);

/// compile() for many nodes of one state: what they share is read once. Borrows the state.
class Compilation {
 public:
  explicit Compilation(const MeshState& state);
  ~Compilation();
  Result<NodeConfig> node(NodeId node) const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

/// Nodes of `scope` whose compiled configuration differs from their latest version, with the next version and
/// digest: the candidates of a commit, ascending by node.
struct Candidates {
  std::vector<VersionRow> rows;
  std::map<NodeId, NodeConfig> configs;
  std::map<Digest, Bytes> contents;  // of the rendered files of them all
};
/// The files that follow from NodeConfig::sources and the routing style, ascending by name. Not pure: the shell has it.
struct RenderedFile {
  std::string name;
  Bytes content;
};
using FileRenderer = std::function<Result<std::vector<RenderedFile>>(const Node& node, const NodeConfig& config)>;
/// Errors: those of compile() and of `render`; unsupported when a node has rendered files and `render` is empty.
Result<Candidates> compile_candidates(const MeshState& state, const Scope& scope, bool with_neighbours,
                                      const FileRenderer& render = {});
/// Nodes outside `scope` whose configuration would change too: the ends of links into it, both of links that are
/// and of links that were before what is uncommitted.
std::vector<NodeId> affected_neighbours(const MeshState& state, const Scope& scope);

}  // namespace mesh
