// VersionFetch: brings a version to this disk that this node did not compile itself, because it is too old, lost, for a
// newer program, or because its files were rendered: its configuration by the digest in the log, then the files that
// the configuration names, each by its digest.
//
// What was rendered is the controller's word; everything else is not. A configuration without its files must be what
// this node compiled at the commit (ReplicaStore::base_of): so a stolen controller can change rendered files of a
// version and nothing beside them. What differs, or names files past every bound, is refused for good.
// What came is on disk (fetched/), so that a restart goes on; files that a stored version has too are not asked for.
// Thread: one at a time. Memory: the files of one version, at most kVersionFilesBytesMax.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "eventstore/model/event.h"
#include "nodes/replica/replica_store.h"

namespace mesh {

class VersionFetch {
 public:
  /// Borrows `store`.
  VersionFetch(NodeId node, ReplicaStore& store) : node_(node), store_(store) {}

  /// This one from now on; the same as before goes on. Errors: io, exhausted.
  Status begin(const VersionRow& row);
  /// What to ask for now, at most kAtOnce; empty when nothing is wanted or all is there.
  std::vector<Digest> missing() const;
  bool wants(const Digest& digest) const;
  /// A blob that was asked for. Errors: corrupt (not that digest; or refused for good, by then stored as refused),
  /// unsupported, exhausted, io.
  Status take(const Digest& digest, ByteView bytes);
  /// Stores the version when all of it is there, which is the value; `overlay` for what people read beside it.
  /// Errors: exhausted, io.
  Result<bool> settle(const Overlay& overlay);
  /// Nothing is wanted any more.
  void forget();
  /// "3 of 12 files are here"; empty before the configuration is.
  std::string progress() const;

  static constexpr size_t kAtOnce = 16;  // of typical tunnels' files less than one chunk together

 private:
  Status take_config(std::string_view text);
  std::string problem_of(const NodeConfig& config) const;
  Status refuse(std::string reason);
  void reuse();

  NodeId node_;
  ReplicaStore& store_;
  std::optional<VersionRow> row_;
  std::optional<NodeConfig> config_;
  std::string text_;                          // of config_
  std::map<Digest, uint64_t> open_;           // sizes of files that are still to come
  std::map<Digest, std::string> contents_;    // of those that are here
};

}  // namespace mesh
