// What every implementation of the port refuses, so that all refuse it alike and in the same words.
#pragma once

#include "eventstore/log/event_log.h"
#include "eventstore/log/request_index.h"

namespace mesh {

struct LogPosition {
  Sequence head;
  uint64_t term = 0;
};

Status check_append(const LogPosition& at, const RequestIndex& window, Sequence expected_head,
                    uint64_t term, std::span<const EncodedEntry> entries,
                    std::span<const RequestId> requests);
/// Errors: usage unless the note's text names this size and root.
Status check_checkpoint(std::string_view note, uint64_t size, const Digest& root);
Status check_blob(const Blob& blob);
Status check_snapshot(Sequence head, Sequence sequence, ByteView bytes);

/// What is answered to every write after the one that failed with `first`.
std::unexpected<Error> refuse_after_failure(const Error& first);

}  // namespace mesh
