#include "eventstore/log/rocks_event_log.h"

#include <fmt/format.h>
#include <rocksdb/db.h>
#include <rocksdb/write_batch.h>

#include <algorithm>

#include "eventstore/log/rocks_impl.h"
#include "eventstore/model/crypto.h"

namespace mesh {

namespace fs = std::filesystem;

namespace {

constexpr size_t kScanBytes = 256 * 1024;

constexpr size_t kBlobBatchBytes = 8 * 1024 * 1024;

rocksdb::Slice slice(std::string_view text) { return {text.data(), text.size()}; }
std::string_view text(const rocksdb::Slice& bytes) { return {bytes.data(), bytes.size()}; }

void put_entry(rocksdb::WriteBatch& batch, Sequence sequence, const EncodedEntry& entry) {
  const std::string key = records::entry_key(sequence);
  const std::string length = records::encode_u32(static_cast<uint32_t>(entry.header.size()));
  const std::string seal = records::seal(key, {length, as_text(entry.header), as_text(entry.body)});
  const rocksdb::Slice key_part(key);
  const rocksdb::Slice value_parts[] = {seal, length, slice(as_text(entry.header)),
                                        slice(as_text(entry.body))};
  batch.Put(rocksdb::SliceParts(&key_part, 1), rocksdb::SliceParts(value_parts, 4));
}

}  // namespace

Error to_error(const rocksdb::Status& status, std::string_view doing) {
  const std::string message = fmt::format("{}: {}", doing, status.ToString());
  if (status.IsNoSpace() || status.subcode() == rocksdb::Status::kSpaceLimit)
    return {Errc::exhausted, message, "free some space on the log's disk"};
  if (status.IsCorruption()) return {Errc::corrupt, message, "restore the directory from a backup"};
  return {Errc::io, message, {}};
}

Error damaged_record(std::string_view what) {
  return {Errc::corrupt, fmt::format("{}: record damaged", what),
          "restore the directory from a backup"};
}

void put_sealed(rocksdb::WriteBatch& batch, const std::string& key, std::string_view value) {
  const std::string seal = records::seal(key, {value});
  const rocksdb::Slice key_part(key);
  const rocksdb::Slice value_parts[] = {seal, slice(value)};
  batch.Put(rocksdb::SliceParts(&key_part, 1), rocksdb::SliceParts(value_parts, 2));
}

// ---- writing

Status RocksEventLog::Impl::commit(rocksdb::WriteBatch& batch, std::string_view doing) {
  step("prepared");
  rocksdb::WriteOptions options;
  options.sync = true;
  if (const auto status = db_->Write(options, &batch); !status.ok()) {
    failed_ = to_error(status, doing);
    return std::unexpected(*failed_);
  }
  progress_.note(db_->GetLatestSequenceNumber());
  step("synced");
  return {};
}

void RocksEventLog::Impl::forget_old_batches(rocksdb::WriteBatch& batch, Sequence head) {
  while (!batches_.empty() && batches_.front().last < window_begin(head)) {
    batch.Delete(records::batch_key(batches_.front().first));
    batches_.pop_front();
  }
}

Result<Sequence> RocksEventLog::Impl::append(Sequence expected_head, uint64_t term,
                                             std::span<const EncodedEntry> entries,
                                             std::span<const RequestId> requests,
                                             const CheckpointSigner& sign) {
  const std::lock_guard lock(write_mutex_);
  if (failed_) return refuse_after_failure(*failed_);
  MESH_TRY(check_append({visible_.head, visible_.term}, visible_.window, expected_head, term,
                        entries, requests));
  const Sequence first = next(visible_.head);
  const Sequence head(visible_.head.value() + entries.size());

  rocksdb::WriteBatch batch;
  TreeTiles tree = visible_.tree;
  Sequence sequence = visible_.head;
  for (const EncodedEntry& entry : entries) {
    sequence = next(sequence);
    put_entry(batch, sequence, entry);
    tree.append(leaf_hash(entry.header), [&](unsigned level, uint64_t index, const Tile& tile) {
      put_sealed(batch, records::tile_key(level, index), records::encode_tile(tile));
    });
  }
  const Digest root = tree.frontier().root();
  std::string note;
  if (sign) {
    note = sign(head.value(), root);
    MESH_TRY(check_checkpoint(note, head.value(), root));
    put_sealed(batch, records::meta_key("checkpoint"), note);
  }
  put_sealed(batch, records::batch_key(first),
             records::encode_batch({first, head, term, root, {requests.begin(), requests.end()}}));
  forget_old_batches(batch, head);
  MESH_TRY(commit(batch, "appending to the log"));
  batches_.push_back({first, head});
  publish([&](Visible& visible) {
    visible.head = head;
    visible.term = term;
    visible.tree = std::move(tree);
    for (size_t i = 0; i < requests.size(); ++i)
      visible.window.add(Sequence(first.value() + i), requests[i]);
    if (sign) visible.checkpoint = std::move(note);
  });
  return head;
}

Status RocksEventLog::Impl::put_checkpoint(std::string_view note) {
  const std::lock_guard lock(write_mutex_);
  if (failed_) return refuse_after_failure(*failed_);
  MESH_TRY(check_checkpoint(note, visible_.head.value(), visible_.tree.frontier().root()));
  rocksdb::WriteBatch batch;
  put_sealed(batch, records::meta_key("checkpoint"), note);
  MESH_TRY(commit(batch, "storing a checkpoint"));
  publish([&](Visible& visible) { visible.checkpoint = note; });
  return {};
}

Status RocksEventLog::Impl::put_blobs(std::span<const Blob> blobs) {
  const std::lock_guard lock(write_mutex_);
  if (failed_) return refuse_after_failure(*failed_);
  for (const Blob& blob : blobs) MESH_TRY(check_blob(blob));
  rocksdb::WriteBatch batch;
  for (const Blob& blob : blobs) {
    if (get_blob(blob.digest)) continue;
    batch.Put(records::blob_key(blob.digest), slice(as_text(blob.bytes)));
    if (batch.GetDataSize() < kBlobBatchBytes) continue;
    MESH_TRY(commit(batch, "storing blobs"));
    batch.Clear();
  }
  return batch.Count() > 0 ? commit(batch, "storing blobs") : Status{};
}

Status RocksEventLog::Impl::change_snapshots(Sequence sequence, std::optional<ByteView> bytes) {
  const std::lock_guard lock(write_mutex_);
  if (failed_) return refuse_after_failure(*failed_);
  std::vector<Sequence> list = visible_.snapshots;
  const auto place = std::lower_bound(list.begin(), list.end(), sequence);
  const bool known = place != list.end() && *place == sequence;
  rocksdb::WriteBatch batch;
  if (bytes) {
    MESH_TRY(check_snapshot(visible_.head, sequence, *bytes));
    if (!known) list.insert(place, sequence);
    put_sealed(batch, records::snapshot_key(sequence), as_text(*bytes));
  } else {
    if (!known) return {};
    list.erase(place);
    batch.Delete(records::snapshot_key(sequence));
  }
  put_sealed(batch, records::meta_key("snapshots"), records::encode_sequences(list));
  MESH_TRY(commit(batch, "storing a snapshot"));
  publish([&](Visible& visible) { visible.snapshots = std::move(list); });
  return {};
}

// ---- reading

Result<EncodedEntry> RocksEventLog::Impl::entry_at(const rocksdb::Iterator& it,
                                                   Sequence sequence) const {
  const std::string what = fmt::format("entry {}", sequence.value());
  if (!it.status().ok()) {
    Error error = to_error(it.status(), fmt::format("{}: record damaged", what));
    if (error.code != Errc::corrupt) error = to_error(it.status(), what);
    return std::unexpected(std::move(error));
  }
  const std::string key = records::entry_key(sequence);
  if (!it.Valid() || text(it.key()) != key)
    return fail(Errc::corrupt, fmt::format("{}: record missing", what));
  const auto value = records::unseal(key, text(it.value()));
  auto entry = value ? records::decode_entry(*value) : std::nullopt;
  if (!entry) return std::unexpected(damaged_record(what));
  return std::move(*entry);
}

Result<std::vector<EncodedEntry>> RocksEventLog::Impl::read(Sequence from, size_t max_bytes,
                                                            size_t max_entries) const {
  if (from.value() == 0) return fail(Errc::usage, "the first entry is 1, not 0");
  const Sequence head = with_visible([](const Visible& visible) { return visible.head; });
  std::vector<EncodedEntry> out;
  if (from > head || max_entries == 0) return out;
  rocksdb::ReadOptions options;
  if (max_bytes >= kScanBytes) {
    // Who walks through the log reads each block once: it must not cost the others their cache.
    options.fill_cache = false;
    options.readahead_size = std::min(max_bytes, 4 * kScanBytes);
  }
  const std::unique_ptr<rocksdb::Iterator> it(db_->NewIterator(options));
  size_t bytes = 0;
  Sequence at = from;
  for (it->Seek(records::entry_key(from)); at <= head && out.size() < max_entries; it->Next()) {
    auto entry = entry_at(*it, at);
    if (!entry) {
      if (out.empty()) return std::unexpected(std::move(entry).error());
      break;
    }
    bytes += entry->size();
    if (!out.empty() && bytes > max_bytes) break;
    out.push_back(std::move(*entry));
    at = next(at);
  }
  return out;
}

Result<std::optional<std::string>> RocksEventLog::Impl::get_sealed(const std::string& key,
                                                                   std::string_view what) const {
  std::string stored;
  const auto status = db_->Get({}, key, &stored);
  if (status.IsNotFound()) return std::nullopt;
  if (status.IsCorruption())
    return std::unexpected(to_error(status, fmt::format("{}: record damaged", what)));
  if (!status.ok()) return std::unexpected(to_error(status, what));
  const auto value = records::unseal(key, stored);
  if (!value) return std::unexpected(damaged_record(what));
  return std::string(*value);
}

Result<Tile> RocksEventLog::Impl::read_tile(unsigned level, uint64_t index) const {
  const std::string what = fmt::format("tile {} of level {}", index, level);
  const auto value = get_sealed(records::tile_key(level, index), what);
  if (!value) return std::unexpected(value.error());
  if (!*value) return fail(Errc::corrupt, fmt::format("{}: record missing", what));
  const auto tile = records::decode_tile(**value);
  if (!tile) return std::unexpected(damaged_record(what));
  return *tile;
}

Result<Digest> RocksEventLog::Impl::tree_hash(unsigned level, uint64_t index) const {
  const TilePlace place = TilePlace::of(level, index);
  {
    const std::shared_lock lock(visible_mutex_);
    const TreeTiles& tree = visible_.tree;
    if (!tree.fills(level, index)) {
      if (damage_) return std::unexpected(*damage_);
      return fail(Errc::not_found,
                  fmt::format("a log of {} entries does not fill subtree {} of level {}",
                              visible_.head.value(), index, level));
    }
    if (!tree.whole(place.level, place.index)) return tree.at(place);
  }
  const auto tile = read_tile(place.level, place.index);
  if (!tile) return std::unexpected(tile.error());
  return (*tile)[place.offset];
}

Result<Bytes> RocksEventLog::Impl::get_blob(const Digest& digest) const {
  const std::string what = fmt::format("blob {}", to_hex(digest.view()));
  rocksdb::PinnableSlice stored;
  const auto status = db_->Get({}, db_->DefaultColumnFamily(), records::blob_key(digest), &stored);
  if (status.IsNotFound()) return fail(Errc::not_found, fmt::format("there is no {}", what));
  if (!status.ok()) return std::unexpected(to_error(status, what));
  const ByteView bytes = as_bytes(text(stored));
  if (sha256(bytes) != digest) return std::unexpected(damaged_record(what));
  return Bytes(bytes.begin(), bytes.end());
}

namespace {

constexpr unsigned kEntryParts = 32, kBlobParts = 16, kSnapshotParts = 8;
static_assert(RocksEventLog::kCompactParts == 1 + kEntryParts + kBlobParts + kSnapshotParts + 1);

/// Where part `part` of a log of `head` entries begins, in the order of the keys.
std::string part_begin(unsigned part, uint64_t head) {
  if (part == 0) return {};  // batch records
  if (--part < kEntryParts) return records::entry_key(Sequence(head / kEntryParts * part));
  if (part -= kEntryParts; part < kBlobParts) {
    Digest digest;
    digest.bytes[0] = static_cast<uint8_t>(256 / kBlobParts * part);
    return records::blob_key(digest);
  }
  if (part -= kBlobParts; part < kSnapshotParts)
    return records::snapshot_key(Sequence(head / kSnapshotParts * part));
  return records::tile_key(0, 0);
}

}  // namespace

Status RocksEventLog::Impl::compact(unsigned part) const {
  MESH_ASSERT(part < kCompactParts);
  const uint64_t head = with_visible([](const Visible& visible) { return visible.head.value(); });
  const bool last = part + 1 == kCompactParts;
  const std::string begin = part_begin(part, head), end = part_begin(part + 1, head);
  const rocksdb::Slice from(begin), to(end);
  rocksdb::CompactRangeOptions options;
  options.exclusive_manual_compaction = false;  // what writes need goes on beside it
  const auto status = db_->CompactRange(options, part == 0 ? nullptr : &from, last ? nullptr : &to);
  return status.ok() ? Status{} : std::unexpected(to_error(status, "optimising the log"));
}

// ---- the port

RocksEventLog::RocksEventLog(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
RocksEventLog::~RocksEventLog() = default;

Result<std::unique_ptr<RocksEventLog>> RocksEventLog::open_with(const fs::path& directory,
                                                                const RocksSeams& seams) {
  auto impl = Impl::start(directory, seams, Impl::Mode::writing);
  if (!impl) return std::unexpected(std::move(impl).error());
  return std::unique_ptr<RocksEventLog>(new RocksEventLog(std::move(*impl)));
}

Result<std::unique_ptr<RocksEventLog>> RocksEventLog::create_with(const fs::path& directory,
                                                                  const LogId& id,
                                                                  const RocksSeams& seams) {
  MESH_TRY(Impl::create(directory, id, seams));
  return open_with(directory, seams);
}

Result<std::unique_ptr<RocksEventLog>> RocksEventLog::create(const fs::path& directory,
                                                             const LogId& id) {
  return create_with(directory, id, {});
}

Result<std::unique_ptr<RocksEventLog>> RocksEventLog::open(const fs::path& directory) {
  return open_with(directory, {});
}

Result<std::unique_ptr<const RocksEventLog>> RocksEventLog::open_read_only(
    const fs::path& directory) {
  auto impl = Impl::start(directory, {}, Impl::Mode::reading);
  if (!impl) return std::unexpected(std::move(impl).error());
  return std::unique_ptr<const RocksEventLog>(new RocksEventLog(std::move(*impl)));
}

const std::optional<Error>& RocksEventLog::damage() const { return impl_->damage(); }

uint64_t RocksEventLog::disk_bytes() const {
  uint64_t total = 0;
  std::error_code error;
  for (fs::directory_iterator it(impl_->path(), error), end; !error && it != end;
       it.increment(error)) {
    std::error_code gone;  // RocksDB removes files at any time
    const uint64_t size = it->file_size(gone);
    if (!gone) total += size;
  }
  return total;
}

Status RocksEventLog::compact(unsigned part) const { return impl_->compact(part); }

LogId RocksEventLog::id() const { return impl_->id(); }

Sequence RocksEventLog::head() const {
  return impl_->with_visible([](const auto& visible) { return visible.head; });
}

uint64_t RocksEventLog::term() const {
  return impl_->with_visible([](const auto& visible) { return visible.term; });
}

Result<Sequence> RocksEventLog::append(Sequence expected_head, uint64_t term,
                                       std::span<const EncodedEntry> entries,
                                       std::span<const RequestId> requests,
                                       const CheckpointSigner& sign) {
  return impl_->append(expected_head, term, entries, requests, sign);
}

Result<std::vector<EncodedEntry>> RocksEventLog::read(Sequence from, size_t max_bytes,
                                                      size_t max_entries) const {
  return impl_->read(from, max_bytes, max_entries);
}

std::optional<Sequence> RocksEventLog::find_request(const RequestId& request) const {
  return impl_->with_visible([&](const auto& visible) { return visible.window.find(request); });
}

MerkleFrontier RocksEventLog::frontier() const {
  return impl_->with_visible([](const auto& visible) { return visible.tree.frontier(); });
}

Result<Digest> RocksEventLog::tree_hash(unsigned level, uint64_t index) const {
  return impl_->tree_hash(level, index);
}

std::string RocksEventLog::checkpoint() const {
  return impl_->with_visible([](const auto& visible) { return visible.checkpoint; });
}

Status RocksEventLog::put_checkpoint(std::string_view note) { return impl_->put_checkpoint(note); }
Status RocksEventLog::put_blobs(std::span<const Blob> blobs) { return impl_->put_blobs(blobs); }
Result<Bytes> RocksEventLog::get_blob(const Digest& digest) const {
  return impl_->get_blob(digest);
}

Status RocksEventLog::put_snapshot(Sequence sequence, ByteView bytes) {
  return impl_->change_snapshots(sequence, bytes);
}

Status RocksEventLog::remove_snapshot(Sequence sequence) {
  return impl_->change_snapshots(sequence, std::nullopt);
}

std::vector<Sequence> RocksEventLog::snapshots() const {
  return impl_->with_visible([](const auto& visible) { return visible.snapshots; });
}

Result<Bytes> RocksEventLog::get_snapshot(Sequence sequence) const {
  const std::string what = fmt::format("snapshot {}", sequence.value());
  auto value = impl_->get_sealed(records::snapshot_key(sequence), what);
  if (!value) return std::unexpected(std::move(value).error());
  if (!*value) return fail(Errc::not_found, fmt::format("there is no {}", what));
  return Bytes((*value)->begin(), (*value)->end());
}

}  // namespace mesh
