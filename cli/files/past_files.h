// The files of every node as they were at an instant, from a replayed state: compiled and rendered
// here, so that no controller has to be believed.
#pragma once

#include <filesystem>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "eventstore/model/entry.h"
#include "eventstore/model/state.h"

namespace mesh::cli {

/// The states in which versions were committed. A version is compiled from the state after its
/// commit; what it depends on is gone from later states. States share what they have in common, and
/// those whose versions no node could run are dropped.
class CommittedStates {
 public:
  /// After each entry of a replay.
  void note(const MeshState& state, const Entry& entry);
  /// From now on keeps only these.
  void keep_only(std::vector<Sequence> wanted);
  const MeshState* find(Sequence commit) const;
  /// Commits of versions that a node of `now` runs or would run next, and that were dropped: an
  /// older version was activated again.
  std::vector<Sequence> missing(const MeshState& now) const;

 private:
  void drop_unused(const MeshState& now);

  std::map<Sequence, MeshState> states_;
  std::vector<Sequence> only_;  // ascending
  size_t limit_ = 64;
};

struct WrittenFiles {
  size_t nodes = 0, configurations = 0, files = 0;
  std::vector<std::string> problems;  // a version that is not what its commit said
  std::vector<std::string> warnings;  // a node without a configuration, and why
};

/// An empty or new directory below one that exists, to be written into. Errors: conflict (there is
/// something in it), not_found, io.
Status check_target(const std::filesystem::path& directory);

/// A blob that the log names; its digest is checked already.
using FetchBlob = std::function<Result<Bytes>(const Digest&)>;

/// Writes DIRECTORY/NODE.SITE/vN (the active and the latest version) and .../working (when that is
/// neither): config.json and the files rendered from it with the peers' public keys of then, as the
/// node keeps them; secret keys are left out. What only the controller can render comes by `fetch`; of what is not
/// committed it is missing, with a warning. All or nothing: it is written beside and renamed,
/// and not at all when there are problems. Errors: those of check_target.
Result<WrittenFiles> write_past_files(const MeshState& now, const CommittedStates& committed,
                                      const std::filesystem::path& directory, const FetchBlob& fetch);

}  // namespace mesh::cli
