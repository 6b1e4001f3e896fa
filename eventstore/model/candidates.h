// What a commit would pin, one node at a time: for those who have several cores. compile_candidates() does all in turn.
#pragma once

#include <memory>

#include "eventstore/model/compile.h"

namespace mesh {

class CandidateNodes {
 public:
  /// The nodes of `scope`, and with `with_neighbours` those that a link joins to them. Borrows the state.
  CandidateNodes(const MeshState& state, const Scope& scope, bool with_neighbours);
  ~CandidateNodes();

  size_t size() const;
  /// Adds the row of node `index` (ascending by number) when its configuration differs from its latest version.
  /// Thread-safe as far as `render` is; `out` is the caller's own. Errors: as compile_candidates().
  Status add(size_t index, const FileRenderer& render, Candidates& out) const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace mesh
