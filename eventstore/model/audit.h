// An audit: the replay of a whole log, and how checkpoints that somebody kept stand to it.
//
// A checkpoint of the epoch that the log is in has to be a prefix of it: of what the log key signed, nothing may have
// changed or vanished. One of an earlier epoch may reach beyond the base of the next, because an administrator gave
// those entries up when the epoch was started; up to the base it is held to the same.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "eventstore/model/replay.h"

namespace mesh {

/// An epoch as its first entry tells it.
struct EpochStart {
  uint32_t epoch = 0;
  Sequence base;   // the last entry that stays of the epochs before it
  Sequence entry;  // where it was started: base + 1
  std::string by;
  bool operator==(const EpochStart&) const = default;
};

enum class Standing : uint8_t {
  agrees,       // a prefix of this log
  given_up,     // of an earlier epoch, beyond its end: nothing can be said, and nothing needs to be
  ahead,        // the log ends before it, or is of an earlier epoch: entries are gone
  contradicts,  // the log key signed two histories: an equivocation
  unchecked,    // beyond what could be replayed
};
/// "agrees", "given up", "ahead", "contradicts", "unchecked".
std::string_view standing_name(Standing standing);

struct Judgement {
  Standing standing{};
  std::string text;  // what was found, with both roots; empty when it agrees
  bool bad() const { return standing == Standing::ahead || standing == Standing::contradicts; }
};

/// A checkpoint that somebody kept, and where.
struct KeptCheckpoint {
  std::string name;  // "FILE", "FILE (2)" for the second in it, or a node's
  std::string note;
  Checkpoint checkpoint;  // as the note says; not yet checked against any key
};
/// All notes of a file. Errors: corrupt (none, or one that is no checkpoint).
Result<std::vector<KeptCheckpoint>> read_kept_checkpoints(const std::string& name, std::string_view text);

class Audit {
 public:
  explicit Audit(LogId log = {}) : log_(log) { note_root(); }

  /// The root at `size` is wanted. Precondition: not replayed beyond it yet.
  void want(uint64_t size) {
    roots_.try_emplace(size);
    note_root();
  }
  /// Replays the next entry. Errors: those of replay(); nothing was changed then.
  Status add(const Entry& entry);

  const Replica& replica() const { return replica_; }
  Sequence head() const { return replica_.head(); }
  /// In order; empty while the log is in its first epoch.
  const std::vector<EpochStart>& epochs() const { return epochs_; }

  /// How `checkpoint`, whose signature the caller has checked and whose size was wanted, stands to what was replayed.
  /// `whole`: the log ends here, rather than at an entry that does not hold. Errors: corrupt (another log's).
  Result<Judgement> judge(const Checkpoint& checkpoint, bool whole) const;

 private:
  void note_root();

  LogId log_;
  Replica replica_;
  std::map<uint64_t, std::optional<Digest>> roots_;
  std::vector<EpochStart> epochs_;
};

}  // namespace mesh
