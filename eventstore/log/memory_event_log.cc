#include "eventstore/log/memory_event_log.h"

#include <fmt/format.h>

#include "eventstore/log/write_checks.h"
#include "eventstore/model/crypto.h"

namespace mesh {

void MemoryEventLog::fail_next_write(Error error, bool stored) {
  next_failure_ = Failure{std::move(error), stored};
}

void MemoryEventLog::reopen() {
  if (after_reopen_) visible_ = std::move(*after_reopen_);
  after_reopen_.reset();
  failed_.reset();
}

Status MemoryEventLog::write(const std::function<void(Contents&)>& change) {
  if (!next_failure_) {
    change(visible_);
    return {};
  }
  const Failure failure = *std::exchange(next_failure_, std::nullopt);
  if (failure.stored) {
    after_reopen_ = visible_;
    change(*after_reopen_);
  }
  failed_ = failure.error;
  return std::unexpected(failure.error);
}

Result<Sequence> MemoryEventLog::append(Sequence expected_head, uint64_t term,
                                        std::span<const EncodedEntry> entries,
                                        std::span<const RequestId> requests,
                                        const CheckpointSigner& sign) {
  if (failed_) return refuse_after_failure(*failed_);
  MESH_TRY(check_append({head(), visible_.term}, visible_.window, expected_head, term, entries,
                        requests));
  MerkleFrontier frontier = visible_.frontier;
  std::vector<std::pair<unsigned, Digest>> completed;
  for (const EncodedEntry& entry : entries)
    frontier.append(leaf_hash(entry.header), [&](unsigned level, uint64_t, const Digest& hash) {
      completed.emplace_back(level, hash);
    });
  std::string note;
  if (sign) {
    note = sign(frontier.size(), frontier.root());
    MESH_TRY(check_checkpoint(note, frontier.size(), frontier.root()));
  }
  MESH_TRY(write([&](Contents& contents) {
    contents.term = term;
    contents.frontier = frontier;
    for (size_t i = 0; i < entries.size(); ++i) {
      contents.entries.push_back(entries[i]);
      contents.window.add(contents.head(), requests[i]);
    }
    for (const auto& [level, hash] : completed) {
      if (contents.tree.size() <= level) contents.tree.resize(level + 1);
      contents.tree[level].push_back(hash);
    }
    if (sign) contents.checkpoint = note;
  }));
  return head();
}

Result<std::vector<EncodedEntry>> MemoryEventLog::read(Sequence from, size_t max_bytes,
                                                       size_t max_entries) const {
  if (from.value() == 0) return fail(Errc::usage, "the first entry is 1, not 0");
  std::vector<EncodedEntry> out;
  size_t bytes = 0;
  for (Sequence at = from; at <= head() && out.size() < max_entries; at = next(at)) {
    const EncodedEntry& entry = visible_.entries[at.value() - 1];
    bytes += entry.size();
    if (!out.empty() && bytes > max_bytes) break;
    out.push_back(entry);
  }
  return out;
}

std::optional<Sequence> MemoryEventLog::find_request(const RequestId& request) const {
  return visible_.window.find(request);
}

Result<Digest> MemoryEventLog::tree_hash(unsigned level, uint64_t index) const {
  if (level >= visible_.tree.size() || index >= visible_.tree[level].size())
    return fail(Errc::not_found,
                fmt::format("a log of {} entries does not fill subtree {} of level {}",
                            head().value(), index, level));
  return visible_.tree[level][index];
}

Status MemoryEventLog::put_checkpoint(std::string_view note) {
  if (failed_) return refuse_after_failure(*failed_);
  MESH_TRY(check_checkpoint(note, visible_.frontier.size(), visible_.frontier.root()));
  return write([&](Contents& contents) { contents.checkpoint = note; });
}

Status MemoryEventLog::put_blobs(std::span<const Blob> blobs) {
  if (failed_) return refuse_after_failure(*failed_);
  for (const Blob& blob : blobs) MESH_TRY(check_blob(blob));
  if (blobs.empty()) return {};
  return write([&](Contents& contents) {
    for (const Blob& blob : blobs) contents.blobs[blob.digest] = blob.bytes;
  });
}

Result<Bytes> MemoryEventLog::get_blob(const Digest& digest) const {
  const auto found = visible_.blobs.find(digest);
  if (found == visible_.blobs.end())
    return fail(Errc::not_found, fmt::format("there is no blob {}", to_hex(digest.view())));
  return found->second;
}

Status MemoryEventLog::put_snapshot(Sequence sequence, ByteView bytes) {
  if (failed_) return refuse_after_failure(*failed_);
  MESH_TRY(check_snapshot(head(), sequence, bytes));
  return write([&](Contents& contents) {
    contents.snapshots[sequence] = Bytes(bytes.begin(), bytes.end());
  });
}

Status MemoryEventLog::remove_snapshot(Sequence sequence) {
  if (failed_) return refuse_after_failure(*failed_);
  if (!visible_.snapshots.contains(sequence)) return {};
  return write([&](Contents& contents) { contents.snapshots.erase(sequence); });
}

std::vector<Sequence> MemoryEventLog::snapshots() const {
  std::vector<Sequence> out;
  for (const auto& [sequence, bytes] : visible_.snapshots) out.push_back(sequence);
  return out;
}

Result<Bytes> MemoryEventLog::get_snapshot(Sequence sequence) const {
  const auto found = visible_.snapshots.find(sequence);
  if (found == visible_.snapshots.end())
    return fail(Errc::not_found, fmt::format("there is no snapshot of entry {}", sequence.value()));
  return found->second;
}

}  // namespace mesh
