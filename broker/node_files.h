// NodeFiles: what templates and other sources make of the configurations of one state. Every answer that compiles goes
// through it.
#pragma once

#include <map>
#include <mutex>
#include <set>
#include <string>

#include "broker/render/renderer.h"
#include "eventstore/log/event_log.h"
#include "eventstore/model/compile.h"
#include "eventstore/model/state.h"

namespace mesh {

/// Borrows everything. One thread; candidates() has helpers of its own.
class NodeFiles {
 public:
  /// Without a renderer, nodes that need one are errors.
  NodeFiles(Renderer* renderer, const MeshState& state, const EventLog& log)
      : renderer_(renderer), state_(state), log_(log) {}

  /// compile_candidates() on all cores. Errors: its own, of the first node that has one.
  Result<Candidates> candidates(const Scope& scope, bool with_neighbours);
  /// `config`, as compile() gave it, with its files. Errors: those of Renderer, with the node's name.
  Result<NodeConfig> complete(NodeConfig config);
  /// All files of a configuration as people read them: those that the router makes by itself, and in their place or
  /// beside them those that were rendered.
  std::map<std::string, std::string> texts(const NodeConfig& config) const;
  /// What people should know of what was rendered so far: "bird.conf:3: ... (r1.ams and 3 more)".
  std::vector<std::string> warnings();

 private:
  Result<std::vector<RenderedFile>> render(const Node& node, const NodeConfig& config);

  Renderer* renderer_;
  const MeshState& state_;
  const EventLog& log_;
  std::map<Digest, Bytes> contents_;  // of what was rendered for complete()
  std::mutex mutex_;  // of what follows
  std::map<std::string, std::set<NodeId>> warnings_;  // with the nodes that it is about
};

}  // namespace mesh
