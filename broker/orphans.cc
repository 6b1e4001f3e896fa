#include "broker/orphans.h"

#include <algorithm>
#include <tuple>

#include "eventstore/model/crypto.h"
#include "eventstore/model/decide.h"
#include "schemas/codec.h"

namespace mesh {

namespace {

constexpr size_t kFrameBytes = 100;  // what an encoding adds to an entry
constexpr size_t kUnknownShare = 4;  // a quarter

auto place_of(const Orphan& orphan) {
  return std::tuple(orphan.entry.header.epoch, orphan.entry.header.sequence, orphan.entry.leaf);
}

/// Where it belongs; nullopt when it is there.
std::optional<OrphanList::const_iterator> free_place(const OrphanList& list, const Orphan& orphan) {
  const auto at = std::ranges::lower_bound(list, place_of(orphan), {}, place_of);
  if (at != list.end() && place_of(*at) == place_of(orphan)) return std::nullopt;
  return at;
}

bool is_in(const EventLog& log, const Entry& entry) {
  auto there = log.read(entry.header.sequence, 1, 1);
  return there && !there->empty() && leaf_hash(there->front().header) == entry.leaf;
}

}  // namespace

OrphanShelf::Use OrphanShelf::read(const MeshState& state, const EventLog* log, const EncodedEntry& encoded,
                                   const OrphanList& known, Orphan& orphan) const {
  auto entry = decode_entry(encoded);
  if (!entry || !entry->body || entry->header.log != state.log) return Use::none;
  orphan = {encoded, std::move(*entry), false};
  // Every node of a fleet hands over the same: what is known costs no look at the log and no signature.
  if (!free_place(known, orphan)) return Use::none;
  const EntryBody& body = *orphan.entry.body;
  if (body.request.principal != orphan.entry.header.principal || body.request.log != state.log) return Use::none;
  if (log && (orphan.entry.header.epoch >= state.epoch || is_in(*log, orphan.entry))) return Use::none;
  const size_t bytes = encoded.size() + kFrameBytes;
  if (known.size() >= kOrphansMax || bytes_ + bytes > kOrphanBytesMax) return Use::no_room;
  const auto key = signer_key(state, body.request);
  if (key && !verify_signature(*key, kRequestDomain, body.signed_request.bytes, body.signed_request.signature))
    return Use::none;
  orphan.signer_known = key.has_value();
  const bool fits = unknown_ < kOrphansMax / kUnknownShare && unknown_bytes_ + bytes <= kOrphanBytesMax / kUnknownShare;
  return key || fits || !log ? Use::keep : Use::no_room;
}

void OrphanShelf::put(Orphan orphan, OrphanList& to) {
  const size_t bytes = orphan.encoded.size() + kFrameBytes;
  bytes_ += bytes;
  if (!orphan.signer_known) ++unknown_, unknown_bytes_ += bytes;
  const auto at = *free_place(to, orphan);
  to.insert(at, std::move(orphan));
}

size_t OrphanShelf::take(const MeshState& state, const EventLog& log, const Orphans& message) {
  std::shared_ptr<OrphanList> changed;
  size_t settled = 0;
  bool all = true;
  for (const EncodedEntry& encoded : message.entries) {
    Orphan orphan;
    const Use use = read(state, &log, encoded, changed ? *changed : *list_, orphan);
    all = all && use != Use::no_room;
    settled += all;
    if (use != Use::keep) continue;
    if (!changed) changed = std::make_shared<OrphanList>(*list_);
    put(std::move(orphan), *changed);
  }
  if (!changed) return settled;
  list_ = std::move(changed);
  unsaved_ = true;
  return settled;
}

void OrphanShelf::load(const MeshState& state, ByteView bytes) {
  auto message = decode_message(bytes);
  const auto* orphans = message ? std::get_if<Orphans>(&message->body) : nullptr;
  if (!orphans) return;
  auto loaded = std::make_shared<OrphanList>();
  for (const EncodedEntry& encoded : orphans->entries) {
    Orphan orphan;
    if (read(state, nullptr, encoded, *loaded, orphan) == Use::keep) put(std::move(orphan), *loaded);
  }
  list_ = std::move(loaded);
}

Bytes OrphanShelf::encode() const {
  Orphans out;
  for (const Orphan& orphan : *list_) out.entries.push_back(orphan.encoded);
  return encode_message({0, std::move(out)});
}

}  // namespace mesh
