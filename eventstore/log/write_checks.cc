#include "eventstore/log/write_checks.h"

#include <fmt/format.h>

#include <algorithm>

#include "eventstore/model/checkpoint.h"
#include "eventstore/model/crypto.h"

namespace mesh {

namespace {

Status check_sizes(std::span<const EncodedEntry> entries) {
  if (entries.size() > kAppendEntriesMax)
    return fail(Errc::exhausted, fmt::format("an append of {} entries, at most {} are allowed",
                                             entries.size(), kAppendEntriesMax));
  size_t total = 0;
  for (const EncodedEntry& entry : entries) {
    if (entry.size() > kEntryBytesMax)
      return fail(Errc::exhausted, fmt::format("an entry of {} bytes, at most {} are allowed",
                                               entry.size(), kEntryBytesMax));
    total += entry.size();
  }
  if (total > kAppendBytesMax)
    return fail(Errc::exhausted, fmt::format("an append of {} bytes, at most {} are allowed", total,
                                             kAppendBytesMax));
  return {};
}

Status check_requests(const RequestIndex& window, std::span<const RequestId> requests) {
  std::vector<RequestId> sorted;
  sorted.reserve(requests.size());
  for (const RequestId& request : requests) {
    if (request.is_zero()) continue;
    if (const auto known = window.find(request))
      return fail(Errc::conflict, fmt::format("request {} is entry {} already",
                                              to_hex(request.view()), known->value()));
    sorted.push_back(request);
  }
  std::sort(sorted.begin(), sorted.end());
  if (const auto twice = std::adjacent_find(sorted.begin(), sorted.end()); twice != sorted.end())
    return fail(Errc::conflict,
                fmt::format("request {} twice in one append", to_hex(twice->view())));
  return {};
}

}  // namespace

Status check_append(const LogPosition& at, const RequestIndex& window, Sequence expected_head,
                    uint64_t term, std::span<const EncodedEntry> entries,
                    std::span<const RequestId> requests) {
  if (expected_head != at.head)
    return fail(
        Errc::conflict,
        fmt::format("the log is at {}, expected {}", at.head.value(), expected_head.value()),
        "fold what is new and decide again");
  if (term < at.term)
    return fail(Errc::conflict, fmt::format("term {} is over, the log has term {}", term, at.term));
  if (entries.empty()) return fail(Errc::usage, "an append without entries");
  if (entries.size() != requests.size())
    return fail(Errc::usage, fmt::format("{} requests were named for {} entries", requests.size(),
                                         entries.size()));
  MESH_TRY(check_sizes(entries));
  return check_requests(window, requests);
}

Status check_checkpoint(std::string_view note, uint64_t size, const Digest& root) {
  const auto checkpoint = parse_checkpoint_text(note);
  if (!checkpoint) return fail(Errc::usage, checkpoint.error().message);
  if (checkpoint->size != size || checkpoint->root != root)
    return fail(
        Errc::usage,
        fmt::format("the checkpoint covers {} entries with root {}, expected {} with {}",
                    checkpoint->size, to_hex(checkpoint->root.view()), size, to_hex(root.view())));
  return {};
}

Status check_blob(const Blob& blob) {
  if (blob.bytes.size() > kBlobBytesMax)
    return fail(Errc::exhausted, fmt::format("a blob of {} bytes, at most {} are allowed",
                                             blob.bytes.size(), kBlobBytesMax));
  if (sha256(blob.bytes) != blob.digest)
    return fail(Errc::usage,
                fmt::format("the bytes do not have the digest {}", to_hex(blob.digest.view())));
  return {};
}

Status check_snapshot(Sequence head, Sequence sequence, ByteView bytes) {
  if (sequence.value() == 0 || sequence > head)
    return fail(Errc::usage, fmt::format("a snapshot of entry {} in a log at {}", sequence.value(),
                                         head.value()));
  if (bytes.size() > kSnapshotBytesMax)
    return fail(Errc::exhausted, fmt::format("a snapshot of {} bytes, at most {} are allowed",
                                             bytes.size(), kSnapshotBytesMax));
  return {};
}

std::unexpected<Error> refuse_after_failure(const Error& first) {
  return fail(Errc::unavailable,
              fmt::format("the log takes no writes since one failed ({})", first.message),
              "remove the cause, then restart so that the log is reopened");
}

}  // namespace mesh
