#include "tests/sim/controller_disk.h"

namespace mesh::sim {

Status DiskLog::before_write() {
  if (died_) return fail(Errc::io, "the process is dead");
  if (disk_.full)
    disk_.log.fail_next_write({Errc::exhausted, "no space left on device", {}}, false);
  if (!disk_.fault) return {};
  if (disk_.fault->writes_before > 0) {
    --disk_.fault->writes_before;
    return {};
  }
  disk_.log.fail_next_write({Errc::io, "input/output error", {}}, disk_.fault->stored);
  died_ = disk_.fault->kind == WriteFault::Kind::dies;
  disk_.fault.reset();
  return {};
}

Result<Sequence> DiskLog::append(Sequence expected_head, uint64_t term,
                                 std::span<const EncodedEntry> entries,
                                 std::span<const RequestId> requests,
                                 const CheckpointSigner& sign) {
  MESH_TRY(before_write());
  return disk_.log.append(expected_head, term, entries, requests, sign);
}

Status DiskLog::put_checkpoint(std::string_view note) {
  MESH_TRY(before_write());
  return disk_.log.put_checkpoint(note);
}

Status DiskLog::put_blobs(std::span<const Blob> blobs) {
  MESH_TRY(before_write());
  return disk_.log.put_blobs(blobs);
}

Status DiskLog::put_snapshot(Sequence sequence, ByteView bytes) {
  MESH_TRY(before_write());
  MESH_TRY(disk_.log.put_snapshot(sequence, bytes));
  disk_.damaged.erase(sequence);
  return {};
}

Result<Bytes> DiskLog::get_snapshot(Sequence sequence) const {
  if (disk_.damaged.contains(sequence))
    return fail(Errc::corrupt, "snapshot " + std::to_string(sequence.value()) + ": its check does not fit");
  return disk_.log.get_snapshot(sequence);
}

Status DiskLog::remove_snapshot(Sequence sequence) {
  MESH_TRY(before_write());
  disk_.damaged.erase(sequence);
  return disk_.log.remove_snapshot(sequence);
}

}  // namespace mesh::sim
