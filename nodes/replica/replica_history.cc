// What a node keeps of its own history beside the replica: hashes to compare another one with, and entries that another
// one may lack.
#include <fmt/core.h>

#include <algorithm>
#include <bit>

#include "eventstore/model/limits.h"
#include "nodes/replica/replica_store.h"
#include "nodes/replica/tail_records.h"
#include "schemas/codec.h"

namespace mesh {

namespace {

constexpr auto kSnapshot = "replica/snapshot";
constexpr auto kTail = "replica/tail";
constexpr auto kTailBefore = "replica/tail.before";
constexpr auto kLeaves = "replica/leaves";
constexpr auto kOrphans = "replica/orphans-";
constexpr size_t kStartBytes = 8;

void put_digest(Bytes& out, const Digest& digest) { out.insert(out.end(), digest.bytes.begin(), digest.bytes.end()); }

/// Whole records from the beginning of a tail; what follows a torn or damaged one is not read.
std::vector<EncodedEntry> whole_records(const Result<Bytes>& bytes) {
  std::vector<EncodedEntry> out;
  if (!bytes) return out;
  for (size_t at = 0; at < bytes->size();) {
    auto record = read_record(ByteView(*bytes).subspan(at));
    if (record.kind != Record::Kind::whole) break;
    at += record.size;
    out.push_back(std::move(record.entry));
  }
  return out;
}

OwnLeaves nothing_before(const Replica& snapshot) { return {snapshot.frontier, {}}; }

std::optional<uint32_t> orphan_epoch(const std::string& name) {
  constexpr std::string_view kPrefix = "orphans-";
  if (!name.starts_with(kPrefix) || name.size() > kPrefix.size() + 9) return std::nullopt;
  uint32_t epoch = 0;
  for (const char c : name.substr(kPrefix.size())) {
    if (c < '0' || c > '9') return std::nullopt;
    epoch = epoch * 10 + static_cast<uint32_t>(c - '0');
  }
  return epoch;
}

}  // namespace

std::optional<Digest> OwnLeaves::root(uint64_t size) const {
  if (size < before.size() || size > this->size()) return std::nullopt;
  MerkleFrontier frontier = before;
  for (uint64_t i = 0; frontier.size() < size; ++i) frontier.append(leaves[i]);
  return frontier.root();
}

Replica ReplicaStore::snapshot() {
  auto bytes = files_.read(kSnapshot);
  auto replica = bytes ? unwrap_snapshot(*bytes) : std::unexpected(bytes.error());
  return replica ? std::move(*replica) : Replica{};
}

/// The leaves in the file, when they lead to the snapshot's root; a crash may have left others.
OwnLeaves ReplicaStore::stored_leaves(const Replica& snapshot) {
  auto bytes = files_.read(kLeaves);
  if (!bytes || bytes->size() < kStartBytes) return nothing_before(snapshot);
  uint64_t start = 0;
  for (size_t i = kStartBytes; i-- > 0;) start = start << 8 | (*bytes)[i];
  const auto count = static_cast<size_t>(std::popcount(start));
  const uint64_t size = snapshot.frontier.size();
  if (start > size || (bytes->size() - kStartBytes) / Digest::kSize < count + (size - start))
    return nothing_before(snapshot);
  size_t at = kStartBytes;
  const auto take = [&] {
    Digest digest = *Digest::from(ByteView(*bytes).subspan(at, Digest::kSize));
    at += Digest::kSize;
    return digest;
  };
  std::vector<Digest> peaks;
  for (size_t i = 0; i < count; ++i) peaks.push_back(take());
  auto before = MerkleFrontier::restore(start, std::move(peaks));
  if (!before) return nothing_before(snapshot);
  OwnLeaves out{std::move(*before), {}};
  while (out.size() < size) out.leaves.push_back(take());
  return out.root(size) == snapshot.frontier.root() ? std::move(out) : nothing_before(snapshot);
}

Result<OwnLeaves> ReplicaStore::leaves() {
  OwnLeaves out = stored_leaves(snapshot());
  for (const auto& entry : whole_records(files_.read(kTail))) {
    auto header = decode_header(entry.header);
    if (header && header->sequence.value() == out.size() + 1) out.leaves.push_back(leaf_hash(entry.header));
  }
  return out;
}

Status ReplicaStore::write_leaves(const OwnLeaves& own) {
  Bytes bytes;
  for (uint64_t i = 0, start = own.before.size(); i < kStartBytes; ++i, start >>= 8)
    bytes.push_back(static_cast<uint8_t>(start));
  for (const auto& peak : own.before.peaks()) put_digest(bytes, peak);
  for (const auto& leaf : own.leaves) put_digest(bytes, leaf);
  return write_atomic(files_, kLeaves, bytes);
}

/// Before the tail becomes part of a snapshot: its leaves go behind those in the file.
Status ReplicaStore::add_leaves(const Replica& replica) {
  const auto old = snapshot();
  auto stored = stored_leaves(old);
  auto own = leaves();
  if (!own) return std::unexpected(own.error());
  // Started from a snapshot that came from elsewhere, or damaged: begins anew.
  if (own->size() != replica.frontier.size()) return write_leaves({replica.frontier, {}});
  if (own->leaves.size() > 2 * kLeavesKept || stored.leaves.empty()) {
    while (own->leaves.size() > kLeavesKept) {
      const size_t drop = own->leaves.size() - kLeavesKept;
      for (size_t i = 0; i < drop; ++i) own->before.append(own->leaves[i]);
      own->leaves.erase(own->leaves.begin(), own->leaves.begin() + static_cast<ptrdiff_t>(drop));
    }
    return write_leaves(*own);
  }
  const size_t kept = kStartBytes + Digest::kSize * (stored.before.peaks().size() + stored.leaves.size());
  Bytes added;
  for (size_t i = stored.leaves.size(); i < own->leaves.size(); ++i) put_digest(added, own->leaves[i]);
  MESH_TRY(files_.truncate(kLeaves, kept));  // a crash may have left some behind
  return files_.append(kLeaves, added);
}

Result<std::vector<EncodedEntry>> ReplicaStore::entries_after(Sequence base, const OwnLeaves& own) {
  std::vector<EncodedEntry> out;
  for (const auto* name : {kTailBefore, kTail}) {
    for (auto& entry : whole_records(files_.read(name))) {
      auto header = decode_header(entry.header);
      const auto* leaf = header ? own.at(header->sequence) : nullptr;
      if (header->sequence > base && leaf && *leaf == leaf_hash(entry.header)) out.push_back(std::move(entry));
    }
  }
  return out;
}

Status ReplicaStore::replace(const Replica& replica, const OwnLeaves& leaves, std::string_view checkpoint) {
  MESH_TRY(write_snapshot(replica));
  MESH_TRY(trim(0));
  MESH_TRY(save_checkpoint(checkpoint));
  MESH_TRY(files_.remove(kTailBefore));
  MESH_TRY(files_.sync_dir("replica"));
  return write_leaves(leaves);
}

Status ReplicaStore::keep_orphans(uint32_t epoch, std::vector<EncodedEntry> entries) {
  Orphans orphans{epoch, {}};
  size_t bytes = 0;
  for (auto& entry : entries) {
    bytes += entry.size() + 100;  // what the frame adds
    if (bytes > kOrphanBytesMax / 2 || orphans.entries.size() == kOrphansMax) break;
    orphans.entries.push_back(std::move(entry));
  }
  if (orphans.entries.empty()) return {};
  return write_atomic(files_, fmt::format("{}{}", kOrphans, epoch), encode_message({0, std::move(orphans)}));
}

std::optional<Orphans> ReplicaStore::orphans() {
  auto names = files_.list("replica");
  if (!names) return std::nullopt;
  std::optional<uint32_t> oldest;
  for (const auto& name : *names)
    if (const auto epoch = orphan_epoch(name)) oldest = std::min(oldest.value_or(*epoch), *epoch);
  if (!oldest) return std::nullopt;
  auto bytes = files_.read(fmt::format("{}{}", kOrphans, *oldest));
  if (!bytes) return std::nullopt;
  auto message = decode_message(*bytes);
  auto* orphans = message ? std::get_if<Orphans>(&message->body) : nullptr;
  if (orphans) return std::move(*orphans);
  problems_.push_back(fmt::format("{}{} is damaged", kOrphans, *oldest));
  (void)forget_orphans(*oldest);  // tried again with the next
  return std::nullopt;
}

Status ReplicaStore::forget_orphans(uint32_t epoch) {
  MESH_TRY(files_.remove(fmt::format("{}{}", kOrphans, epoch)));
  return files_.sync_dir("replica");
}

}  // namespace mesh
