#include "broker/orphans.h"

#include <algorithm>
#include <tuple>

#include "eventstore/model/crypto.h"
#include "eventstore/model/decide.h"
#include "schemas/codec.h"

namespace mesh {

namespace {

constexpr size_t kFrameBytes = 100;  // what an encoding adds to an entry

auto place_of(const Orphan& orphan) {
  return std::tuple(orphan.entry.header.epoch, orphan.entry.header.sequence, orphan.entry.leaf);
}

bool is_in(const EventLog& log, const Entry& entry) {
  auto there = log.read(entry.header.sequence, 1, 1);
  return there && !there->empty() && leaf_hash(there->front().header) == entry.leaf;
}

}  // namespace

bool OrphanShelf::add(const MeshState& state, const EventLog* log, const EncodedEntry& encoded, OrphanList& to) {
  auto entry = decode_entry(encoded);
  if (!entry || !entry->body || entry->header.log != state.log) return false;
  const EntryBody& body = *entry->body;
  if (body.request.principal != entry->header.principal || body.request.log != state.log) return false;
  if (log && (entry->header.epoch >= state.epoch || is_in(*log, *entry))) return false;
  const auto key = signer_key(state, body.request);
  if (key && !verify_signature(*key, kRequestDomain, body.signed_request.bytes, body.signed_request.signature))
    return false;
  Orphan orphan{encoded, std::move(*entry), key.has_value()};
  const size_t bytes = encoded.size() + kFrameBytes;
  if (to.size() >= kOrphansMax || bytes_ + bytes > kOrphanBytesMax) return false;
  const auto at = std::ranges::lower_bound(to, place_of(orphan), {}, place_of);
  if (at != to.end() && place_of(*at) == place_of(orphan)) return false;
  to.insert(at, std::move(orphan));
  bytes_ += bytes;
  return true;
}

bool OrphanShelf::take(const MeshState& state, const EventLog& log, const Orphans& message) {
  auto changed = std::make_shared<OrphanList>(*list_);
  bool any = false;
  for (const EncodedEntry& encoded : message.entries) any = add(state, &log, encoded, *changed) || any;
  if (any) list_ = std::move(changed);
  return any;
}

void OrphanShelf::load(const MeshState& state, ByteView bytes) {
  auto message = decode_message(bytes);
  const auto* orphans = message ? std::get_if<Orphans>(&message->body) : nullptr;
  if (!orphans) return;
  auto loaded = std::make_shared<OrphanList>();
  for (const EncodedEntry& encoded : orphans->entries) add(state, nullptr, encoded, *loaded);
  list_ = std::move(loaded);
}

Bytes OrphanShelf::encode() const {
  Orphans out;
  for (const Orphan& orphan : *list_) out.entries.push_back(orphan.encoded);
  return encode_message({0, std::move(out)});
}

}  // namespace mesh
