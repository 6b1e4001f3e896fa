// One fixed sequence of writes, and the check that a log holds a prefix of it: for every crash test
// of the log.
#pragma once

#include "eventstore/log/rocks_event_log.h"
#include "eventstore/log/rocks_seams.h"
#include "tests/unit/log/log_fixture.h"

namespace mesh {

constexpr size_t kSmallWriteBuffer =
    64 * 1024;  // RocksDB's smallest: several flushes, a compaction

/// Entries per append. The largest batch spans several of RocksDB's 32 KiB blocks.
struct Workload {
  std::vector<size_t> batches;
  size_t body_bytes = 40;
  bool signed_notes = true;
  bool blobs_and_snapshots = true;

  static Workload tiny() { return {{1, 2, 1}, 8, false, false}; }
  static Workload with_flushes() {
    Workload out{{}, 600, true, true};
    for (int i = 0; i < 3; ++i)
      for (const size_t batch : {1, 3, 150, 1, 1, 20}) out.batches.push_back(batch);
    return out;
  }
};

/// What a run was told to be durable.
struct Acknowledged {
  uint64_t head = 0;
  uint64_t in_flight = 0;  // the head that an append under way would have made
  std::vector<Digest> blobs;
  std::vector<Sequence> snapshots;
};

inline Blob workload_blob(uint64_t head) {
  return make_blob(text_bytes("blob at " + std::to_string(head)));
}
inline Bytes workload_snapshot(uint64_t head) {
  return text_bytes("state at " + std::to_string(head));
}

/// Runs the workload from where `log` is until it ends or a write fails; tells `acknowledged` of
/// each step.
inline Status run_workload(EventLog& log, const Workload& workload, Acknowledged& acknowledged,
                           const std::function<void()>& after_append = {}) {
  uint64_t boundary = 0;
  for (const size_t batch : workload.batches) {
    boundary += batch;
    if (boundary <= log.head().value()) continue;
    acknowledged.in_flight = boundary;
    const auto head = append_entries(log, batch, workload.body_bytes,
                                     workload.signed_notes ? test_note : CheckpointSigner());
    if (!head) return std::unexpected(head.error());
    acknowledged.head = head->value();
    if (after_append) after_append();
    if (!workload.blobs_and_snapshots || batch != 3) continue;
    const Blob blob = workload_blob(acknowledged.head);
    MESH_TRY(log.put_blobs({&blob, 1}));
    acknowledged.blobs.push_back(blob.digest);
    MESH_TRY(log.put_snapshot(*head, workload_snapshot(acknowledged.head)));
    acknowledged.snapshots.push_back(*head);
  }
  return {};
}

/// What a writer that acknowledged `head` must have stored: the blobs and snapshots before its last
/// append.
inline Acknowledged acknowledged_at(const Workload& workload, uint64_t head) {
  Acknowledged out;
  uint64_t boundary = 0;
  for (const size_t batch : workload.batches) {
    if (boundary >= head) {
      out.in_flight = boundary + batch;
      break;
    }
    boundary += batch;
    if (workload.blobs_and_snapshots && batch == 3 && boundary < head) {
      out.blobs.push_back(workload_blob(boundary).digest);
      out.snapshots.push_back(Sequence(boundary));
    }
  }
  out.head = head;
  return out;
}

/// The head of a prefix of whole batches of the workload?
inline bool is_boundary(const Workload& workload, uint64_t head) {
  uint64_t boundary = 0;
  for (const size_t batch : workload.batches) {
    if (boundary == head) return true;
    boundary += batch;
  }
  return boundary == head;
}

/// Fails the test unless the log is exactly the workload's entries up to its head.
inline void expect_whole_prefix(const EventLog& log, const Workload& workload) {
  const uint64_t head = log.head().value();
  ASSERT_TRUE(is_boundary(workload, head)) << head;
  const auto entries = log.read(Sequence(1), ~size_t{0}, ~size_t{0});
  ASSERT_TRUE(entries) << entries.error().message;
  ASSERT_EQ(entries->size(), head);
  for (uint64_t i = 1; i <= head; ++i) {
    ASSERT_EQ((*entries)[i - 1], test_entry(i, workload.body_bytes)) << i;
    ASSERT_EQ(log.find_request(test_request(i)), Sequence(i));
  }
  ASSERT_EQ(log.find_request(test_request(head + 1)), std::nullopt);
  ASSERT_EQ(log.frontier().root(), test_root(head));
  ASSERT_EQ(log.checkpoint(),
            head > 0 && workload.signed_notes ? test_note(head, test_root(head)) : "");
}

/// The same, and that nothing acknowledged is missing.
inline void expect_nothing_lost(const EventLog& log, const Workload& workload,
                                const Acknowledged& acknowledged) {
  expect_whole_prefix(log, workload);
  ASSERT_TRUE(log.head().value() == acknowledged.head ||
              log.head().value() == acknowledged.in_flight)
      << log.head().value() << " is neither " << acknowledged.head << " nor "
      << acknowledged.in_flight;
  for (const Digest& blob : acknowledged.blobs) ASSERT_TRUE(log.get_blob(blob));
  for (const Sequence snapshot : acknowledged.snapshots)
    ASSERT_EQ(log.get_snapshot(snapshot).value(), workload_snapshot(snapshot.value()));
}

}  // namespace mesh
