// Entries that the log lost and nodes still have: when an administrator starts an epoch on an older base, what came
// after it is given up, and nodes hand it over. It is kept outside the log, to be read and, by hand, done again.
#pragma once

#include <memory>
#include <optional>
#include <vector>

#include "eventstore/log/event_log.h"
#include "eventstore/model/state.h"
#include "schemas/message.h"

namespace mesh {

struct Orphan {
  EncodedEntry encoded;
  Entry entry;
  bool signer_known = false;  // else nobody whom the log knows can vouch for the signature
};
/// By epoch and sequence.
using OrphanList = std::vector<Orphan>;

/// At most kOrphansMax entries and kOrphanBytesMax; what comes first stays. Entries whose signer the log does not know
/// get a quarter of that: anybody's node could have made them up. One thread.
class OrphanShelf {
 public:
  /// What encode() gave. What is damaged is left out.
  void load(const MeshState& state, ByteView bytes);
  /// Takes what a node hands over: whole entries of an earlier epoch of this log, which the log does not have, with a
  /// signature that is right as far as the log can tell. What is known already is passed over cheaply. How many of the
  /// first entries need not come again: they are kept now, or of no use; the one after them found no room.
  size_t take(const MeshState& state, const EventLog& log, const Orphans& message);
  Bytes encode() const;
  /// Whether there is something that saved() was not told of.
  bool unsaved() const { return unsaved_; }
  void saved() { unsaved_ = false; }
  /// Never changed in place: a worker may hold it.
  const std::shared_ptr<const OrphanList>& list() const { return list_; }

 private:
  enum class Use : uint8_t { none, no_room, keep };
  /// Whether it belongs on the shelf beside `known`; then it is in `orphan`. `log`: nullptr for what was there before.
  Use read(const MeshState& state, const EventLog* log, const EncodedEntry& encoded, const OrphanList& known,
           Orphan& orphan) const;
  void put(Orphan orphan, OrphanList& to);

  std::shared_ptr<const OrphanList> list_ = std::make_shared<OrphanList>();
  size_t bytes_ = 0;
  size_t unknown_ = 0, unknown_bytes_ = 0;  // those without a known signer
  bool unsaved_ = false;
};

}  // namespace mesh
