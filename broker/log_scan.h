// Reading the log in search of something: in blocks, from either end, leaving out what cannot hold
// it.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <mutex>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "eventstore/log/event_log.h"
#include "eventstore/model/entry.h"

namespace mesh {

/// What an event is about. Names are those of its time.
struct Mentions {
  std::vector<NodeId> nodes;
  std::vector<std::string_view> sites;  // borrowed from the event
  std::string_view attribute;
};
Mentions mentions(const Event& event);

/// Something that an entry can be found by.
using ScanKey = uint64_t;
ScanKey node_key(NodeId node);
ScanKey site_key(std::string_view name);
ScanKey actor_key(std::string_view principal);  // as to_text gives it
ScanKey type_key(std::string_view name);        // an event's or a command's
ScanKey attribute_key(std::string_view name);

/// For every block of entries that was once read whole, which keys it cannot hold: a Bloom filter
/// of 128 bytes, so 5 MB for 10 million entries. Derived from entries that never change, lost with
/// the process, and only ever used to leave a block out. Thread-safe.
class LogIndex {
 public:
  static constexpr uint64_t kBlockEntries = 256;  // block b: entries b * 256 + 1 to b * 256 + 256

  /// Whether block `block` may hold an entry that has one of `keys`; true when it is not known.
  bool may_hold(uint64_t block, std::span<const ScanKey> keys) const;
  bool knows(uint64_t block) const;
  void learn(uint64_t block, std::span<const ScanKey> keys);

 private:
  struct Filter {
    std::array<uint64_t, 16> bits{};  // all zero = not known: every entry has an actor
  };
  mutable std::mutex mutex_;
  std::vector<Filter> blocks_;
};

/// Entries `first` to `last`, both included; empty when first > last.
struct ScanRange {
  uint64_t first = 1, last = 0;
  bool newest_first = false;
};

/// Of each group at least one key has to be in an entry; no group = every entry.
using ScanKeys = std::vector<std::vector<ScanKey>>;

/// Told of every entry in turn, and of damaged ones; returns whether to go on.
using ScanVisitor = std::function<bool(Sequence, const Result<Entry>&)>;

/// Visits the entries of a range that may have `keys` until it ends, `visit` returns false, or the
/// work for about `budget` entries is done. Returns what is left of the range: empty when nothing is.
/// `index` may be nullptr.
ScanRange scan(const EventLog& log, LogIndex* index, const ScanKeys& keys, ScanRange range,
               size_t budget, const ScanVisitor& visit);

/// The first entry of 1 to `last` that is not before `time`; last + 1 when
/// there is none. Reads O(log last) entries, because times never go back; damaged ones are passed
/// over.
uint64_t first_at_or_after(const EventLog& log, uint64_t last, Timestamp time);

}  // namespace mesh
