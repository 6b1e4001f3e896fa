// What is being applied, and what waits for its confirmation: the file `pending` and how it ends.
#include <fmt/core.h>

#include <utility>

#include "nodes/replica/replica_store.h"

namespace mesh {

Status ReplicaStore::set_pending(Version version) {
  MESH_TRY(write_atomic(files_, kPendingFile, as_bytes(fmt::format("v{}", version.value()))));
  pointers_.pending = version;
  waiting_.reset();
  return {};
}

Status ReplicaStore::clear_pending() {
  MESH_TRY(files_.remove(kPendingFile));
  MESH_TRY(files_.sync_dir("."));
  pointers_.pending = {};
  waiting_.reset();
  return {};
}

Status ReplicaStore::set_waiting(const PendingVersion& waiting) {
  MESH_TRY(write_atomic(files_, kPendingFile, as_bytes(pending_text(waiting))));
  pointers_.pending = waiting.version;
  waiting_ = waiting;
  return {};
}

bool ReplicaStore::half_confirmed() const {
  return waiting_ && waiting_->from != waiting_->version && pointers_.active == waiting_->version;
}

Status ReplicaStore::confirm_waiting() {
  if (!waiting_) return {};
  // The pointer first: after a crash it tells that there was a confirmation. The file last: it is what is gone on with.
  MESH_TRY(point_to(waiting_->version));
  auto done = handled();
  done.activation = done.trial = waiting_->activation;
  done.stage = TrialStage::over;
  MESH_TRY(write_outcomes(std::move(done)));
  return clear_pending();
}

Status ReplicaStore::forget_trial() {
  if (pointers_.trial == ActivationId()) return {};
  auto forgotten = handled();
  forgotten.trial = {};
  forgotten.stage = TrialStage::none;
  return write_outcomes(std::move(forgotten));
}

}  // namespace mesh
