// BoxJournal: what happened to this node's versions, for `meshnode history`. The log has the same as outcomes, but the
// box must be able to tell it alone.
//
// File `journal`: one JSON object a line, oldest first, between kKept and twice as many. Beside the truth, never in its
// way: a line that is torn or damaged is skipped, a full disk costs lines.
#pragma once

#include <string>
#include <vector>

#include "eventstore/model/command.h"
#include "nodes/files.h"

namespace mesh {

struct JournalLine {
  uint64_t serial = 0;  // counts this node's outcomes, over reboots
  OutcomeKind kind{};
  ActivationId activation;
  Version version;      // what ran then
  std::string message;
  Sequence sequence;    // the log's head that the node knew
  Timestamp time;       // of that entry: the log's clock, the box has none
  bool operator==(const JournalLine&) const = default;
};

class BoxJournal {
 public:
  /// Borrows `files`, whose root is the data directory, and reads what is there.
  explicit BoxJournal(Files& files);

  /// Adds the outcomes that are newer than the newest line. Errors: exhausted, io; then try again.
  Status take(const std::vector<SignedOutcome>& outcomes, Sequence sequence, Timestamp time);
  uint64_t newest() const { return lines_.empty() ? 0 : lines_.back().serial; }
  /// Oldest first.
  const std::vector<JournalLine>& lines() const { return lines_; }

  static constexpr size_t kKept = 128;

 private:
  Files& files_;
  std::vector<JournalLine> lines_;
  bool torn_ = false;  // the file does not end with a whole line
};

/// "applied", "failed", "reverted", "refused", "healthy".
std::string_view outcome_word(OutcomeKind kind);

}  // namespace mesh
