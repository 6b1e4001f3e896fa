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

std::optional<Orphan> OrphanShelf::read(const MeshState& state, const EventLog* log, const EncodedEntry& encoded,
                                        const OrphanList& known) const {
  if (known.size() >= kOrphansMax || bytes_ + encoded.size() + kFrameBytes > kOrphanBytesMax) return std::nullopt;
  auto entry = decode_entry(encoded);
  if (!entry || !entry->body || entry->header.log != state.log) return std::nullopt;
  Orphan orphan{encoded, std::move(*entry), false};
  // Every node of a fleet hands over the same: what is known costs no look at the log and no signature.
  if (!free_place(known, orphan)) return std::nullopt;
  const EntryBody& body = *orphan.entry.body;
  if (body.request.principal != orphan.entry.header.principal || body.request.log != state.log) return std::nullopt;
  if (log && (orphan.entry.header.epoch >= state.epoch || is_in(*log, orphan.entry))) return std::nullopt;
  const auto key = signer_key(state, body.request);
  if (key && !verify_signature(*key, kRequestDomain, body.signed_request.bytes, body.signed_request.signature))
    return std::nullopt;
  orphan.signer_known = key.has_value();
  return orphan;
}

void OrphanShelf::put(Orphan orphan, OrphanList& to) {
  bytes_ += orphan.encoded.size() + kFrameBytes;
  const auto at = *free_place(to, orphan);
  to.insert(at, std::move(orphan));
}

void OrphanShelf::take(const MeshState& state, const EventLog& log, const Orphans& message) {
  std::shared_ptr<OrphanList> changed;
  for (const EncodedEntry& encoded : message.entries) {
    auto orphan = read(state, &log, encoded, changed ? *changed : *list_);
    if (!orphan) continue;
    if (!changed) changed = std::make_shared<OrphanList>(*list_);
    put(std::move(*orphan), *changed);
  }
  if (!changed) return;
  list_ = std::move(changed);
  unsaved_ = true;
}

void OrphanShelf::load(const MeshState& state, ByteView bytes) {
  auto message = decode_message(bytes);
  const auto* orphans = message ? std::get_if<Orphans>(&message->body) : nullptr;
  if (!orphans) return;
  auto loaded = std::make_shared<OrphanList>();
  for (const EncodedEntry& encoded : orphans->entries)
    if (auto orphan = read(state, nullptr, encoded, *loaded)) put(std::move(*orphan), *loaded);
  list_ = std::move(loaded);
}

Bytes OrphanShelf::encode() const {
  Orphans out;
  for (const Orphan& orphan : *list_) out.entries.push_back(orphan.encoded);
  return encode_message({0, std::move(out)});
}

}  // namespace mesh
