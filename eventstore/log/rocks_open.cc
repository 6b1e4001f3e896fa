#include <fmt/format.h>
#include <rocksdb/cache.h>
#include <rocksdb/db.h>
#include <rocksdb/env.h>
#include <rocksdb/filter_policy.h>
#include <rocksdb/listener.h>
#include <rocksdb/table.h>
#include <rocksdb/write_batch.h>

#include <algorithm>

#include "eventstore/log/recovery_check.h"
#include "eventstore/log/rocks_impl.h"
#include "eventstore/model/checkpoint.h"

namespace mesh {

namespace fs = std::filesystem;

namespace {

constexpr size_t kTailEntries = 64;              // checked at open
constexpr size_t kTailBytes = 16 * 1024 * 1024;  // at most, unless the tree's edge needs more

std::string_view text(const rocksdb::Slice& bytes) { return {bytes.data(), bytes.size()}; }

/// Keeps RocksDB from resuming by itself after an error: what failed stays failed until reopened.
/// (Its recovery from a full disk also aborts the process on an assertion in 7.8, ResumeImpl.)
class NoRecovery final : public rocksdb::EventListener {
 public:
  void OnErrorRecoveryBegin(rocksdb::BackgroundErrorReason, rocksdb::Status,
                            bool* auto_recovery) override {
    *auto_recovery = false;
  }
};

/// RocksDB would keep a diary of its own in the directory, and abort the process on an assertion when
/// the full disk does not take a line of it (7.8, WritableFileWriter). What matters comes as a Status.
class NoDiary final : public rocksdb::Logger {
 public:
  using rocksdb::Logger::Logv;
  void Logv(const char*, va_list) override {}
};

rocksdb::Options make_options(const RocksSeams& seams, rocksdb::WALRecoveryMode recovery) {
  rocksdb::Options options;
  if (seams.env) options.env = seams.env;
  options.wal_recovery_mode = recovery;
  options.write_buffer_size = seams.write_buffer_bytes;
  options.max_total_wal_size = seams.write_buffer_bytes;
  // Every flush spans all kinds of keys and so overlaps the whole first level: a small one keeps
  // the rewriting low. Below it, sequential keys make files that move down without being rewritten.
  options.max_bytes_for_level_base = 4 * seams.write_buffer_bytes;
  options.max_bgerror_resume_count = 0;
  options.listeners.push_back(std::make_shared<NoRecovery>());
  options.info_log = std::make_shared<NoDiary>();
  options.stats_dump_period_sec = 0;
  options.stats_persist_period_sec = 0;
  rocksdb::BlockBasedTableOptions table;
  table.block_cache = rocksdb::NewLRUCache(16 * 1024 * 1024);
  table.filter_policy.reset(rocksdb::NewBloomFilterPolicy(10));  // absent blobs cost no read
  options.table_factory.reset(rocksdb::NewBlockBasedTableFactory(table));
  return options;
}

}  // namespace

RocksEventLog::Impl::Impl(LogDirectory directory, fs::path path, const RocksSeams& seams)
    : directory_(std::move(directory)), path_(std::move(path)), seams_(seams) {}

RocksEventLog::Impl::~Impl() = default;

Status RocksEventLog::Impl::create(const fs::path& path, const LogId& id, const RocksSeams& seams) {
  MESH_TRY(LogDirectory::make_empty(path));
  rocksdb::Options options = make_options(seams, rocksdb::WALRecoveryMode::kPointInTimeRecovery);
  options.create_if_missing = true;
  options.error_if_exists = true;
  rocksdb::DB* raw = nullptr;
  if (const auto status = rocksdb::DB::Open(options, path.string(), &raw); !status.ok())
    return std::unexpected(to_error(status, "creating the log"));
  const std::unique_ptr<rocksdb::DB> db(raw);
  rocksdb::WriteBatch batch;
  put_sealed(batch, records::meta_key("format"), records::encode_u32(records::kFormat));
  put_sealed(batch, records::meta_key("log_id"), as_text(id.view()));
  rocksdb::WriteOptions write;
  write.sync = true;
  if (const auto status = db->Write(write, &batch); !status.ok())
    return std::unexpected(to_error(status, "creating the log"));
  return LogDirectory::mark(path, id);
}

Result<std::unique_ptr<RocksEventLog::Impl>> RocksEventLog::Impl::start(const fs::path& path,
                                                                        const RocksSeams& seams,
                                                                        Mode mode) {
  auto directory = LogDirectory::open(path, mode == Mode::writing);
  if (!directory) return std::unexpected(std::move(directory).error());
  auto impl = std::make_unique<Impl>(std::move(*directory), path, seams);
  const std::string context = fmt::format("opening the log {}", path.string());
  // Before the database, because a writer beside a reader goes on.
  const auto noted = Progress::read(path);
  if (!noted && mode == Mode::writing) return fail_in(context, noted.error());
  if (const Status opened = impl->open_database(mode); !opened)
    return fail_in(context, opened.error());
  Status loaded = impl->load();
  if (loaded && noted) loaded = impl->check_progress(*noted);
  if (loaded && !noted) loaded = std::unexpected(noted.error());
  if (!loaded) {
    if (mode == Mode::writing) return fail_in(context, loaded.error());
    impl->load_what_is_intact(loaded.error());
  }
  if (mode == Mode::writing) MESH_TRY(impl->progress_.open(path));
  return impl;
}

Status RocksEventLog::Impl::check_progress(const std::optional<uint64_t>& noted) const {
  const uint64_t there = db_->GetLatestSequenceNumber();
  if (!noted || there >= *noted) return {};
  return fail(Errc::corrupt,
              fmt::format("the end is missing: {} records were acknowledged, {} are there, up to entry {}",
                          *noted, there, visible_.head.value()),
              "restore the directory from a backup; nodes may know the missing entries");
}

Status RocksEventLog::Impl::open_database(Mode mode) {
  const auto torn = check_recovery_files(path_);
  if (!torn && (mode == Mode::writing || torn.error().code != Errc::corrupt))
    return std::unexpected(torn.error());
  rocksdb::DB* raw = nullptr;
  rocksdb::Status status;
  if (mode == Mode::writing) {
    for (const TornWrite& write : *torn) MESH_TRY(cut_torn_write(path_, write));
    // What we found whole, RocksDB must find whole too.
    status = rocksdb::DB::Open(make_options(seams_, rocksdb::WALRecoveryMode::kAbsoluteConsistency),
                               path_.string(), &raw);
  } else {
    if (!torn) damage_ = torn.error();
    const auto recovery = torn ? rocksdb::WALRecoveryMode::kPointInTimeRecovery
                               : rocksdb::WALRecoveryMode::kSkipAnyCorruptedRecords;
    // A controller that runs may remove a file between the reading of its manifest and the opening of what that names.
    constexpr int kTries = 5;
    for (int tries = 0; tries < kTries; ++tries) {
      status = rocksdb::DB::OpenForReadOnly(make_options(seams_, recovery), path_.string(), &raw);
      if (status.ok() || !status.ToString().contains("No such file or directory")) break;
    }
  }
  if (!status.ok()) return std::unexpected(to_error(status, "rocksdb"));
  db_.reset(raw);
  return {};
}

Status RocksEventLog::Impl::load() {
  MESH_TRY(check_meta());
  const auto root = load_batches();
  if (!root) return std::unexpected(root.error());
  MESH_TRY(load_tree(*root));
  MESH_TRY(check_tail());
  MESH_TRY(load_checkpoint());
  return load_snapshots();
}

void RocksEventLog::Impl::load_what_is_intact(Error damage) {
  if (!damage_) damage_ = std::move(damage);
  visible_.tree = {};
  if (visible_.head.value() == 0) {
    const std::unique_ptr<rocksdb::Iterator> it(db_->NewIterator({}));
    it->SeekForPrev(records::entry_key(Sequence(~uint64_t{0})));
    if (it->Valid()) visible_.head = records::sequence_of(text(it->key())).value_or(Sequence());
  }
  static_cast<void>(load_snapshots());  // what is damaged is named when it is read
}

Status RocksEventLog::Impl::check_meta() const {
  const auto format = get_sealed(records::meta_key("format"), "format");
  if (!format) return std::unexpected(format.error());
  const auto log_id = get_sealed(records::meta_key("log_id"), "log id");
  if (!log_id) return std::unexpected(log_id.error());
  if (!*format || !*log_id) return std::unexpected(damaged_record("format and log id"));
  const auto version = records::decode_u32(**format);
  if (version && *version > records::kFormat)
    return fail(Errc::unsupported,
                fmt::format("format {}, this program knows up to {}", *version, records::kFormat),
                "upgrade this program");
  if (!version || *version != records::kFormat) return std::unexpected(damaged_record("format"));
  if (**log_id != as_text(id().view()))
    return fail(Errc::corrupt, fmt::format("the database is of log {}, the file meshlog says {}",
                                           to_hex(as_bytes(**log_id)), to_hex(id().view())));
  return {};
}

Result<std::vector<records::Batch>> RocksEventLog::Impl::read_window_batches() const {
  std::vector<records::Batch> newest_first;
  const std::unique_ptr<rocksdb::Iterator> it(db_->NewIterator({}));
  for (it->SeekForPrev(records::batch_key(Sequence(~uint64_t{0}))); it->Valid(); it->Prev()) {
    const std::string_view key = text(it->key());
    const auto first = records::sequence_of(key);
    if (!first || key[0] != 'b') break;
    const auto value = records::unseal(key, text(it->value()));
    auto batch = value ? records::decode_batch(key, *value) : std::nullopt;
    if (!batch) return std::unexpected(damaged_record(fmt::format("batch {}", first->value())));
    if (!newest_first.empty() && next(batch->last) != newest_first.back().first)
      return fail(Errc::corrupt, fmt::format("batch {}: does not follow the one before it",
                                             newest_first.back().first.value()));
    newest_first.push_back(std::move(*batch));
    if (newest_first.back().first <= window_begin(newest_first.front().last)) break;
  }
  if (!it->status().ok())
    return std::unexpected(to_error(it->status(), "reading the newest batches"));
  if (!newest_first.empty() && newest_first.back().first > window_begin(newest_first.front().last))
    return fail(Errc::corrupt,
                fmt::format("the batch before {} is missing", newest_first.back().first.value()));
  return newest_first;
}

Result<Digest> RocksEventLog::Impl::load_batches() {
  const auto batches = read_window_batches();
  if (!batches) return std::unexpected(batches.error());
  for (auto batch = batches->rbegin(); batch != batches->rend(); ++batch) {
    batches_.push_back({batch->first, batch->last});
    for (size_t i = 0; i < batch->requests.size(); ++i)
      visible_.window.add(Sequence(batch->first.value() + i), batch->requests[i]);
  }
  if (!batches->empty()) {
    visible_.head = batches->front().last;
    visible_.term = batches->front().term;
  }
  MESH_TRY(check_nothing_beyond(visible_.head));
  return batches->empty() ? MerkleFrontier().root() : batches->front().root;
}

Status RocksEventLog::Impl::check_nothing_beyond(Sequence head) const {
  const std::unique_ptr<rocksdb::Iterator> it(db_->NewIterator({}));
  it->SeekForPrev(records::entry_key(Sequence(~uint64_t{0})));
  if (!it->status().ok())
    return std::unexpected(to_error(it->status(), "reading the newest entry"));
  const auto newest = it->Valid() && it->key().starts_with("e")
                          ? records::sequence_of(text(it->key()))
                          : std::nullopt;
  if (newest.value_or(Sequence()) != head)
    return fail(Errc::corrupt, fmt::format("the newest entry is {}, the newest batch ends with {}",
                                           newest.value_or(Sequence()).value(), head.value()));
  return {};
}

Status RocksEventLog::Impl::load_tree(const Digest& expected_root) {
  const auto leaf = [this](uint64_t index) -> Result<Digest> {
    const auto entries = read(Sequence(index + 1), 0, 1);
    if (!entries) return std::unexpected(entries.error());
    return leaf_hash(entries->front().header);
  };
  const auto tile = [this](unsigned level, uint64_t index) { return read_tile(level, index); };
  auto tree = TreeTiles::restore(visible_.head.value(), leaf, tile);
  if (!tree) return std::unexpected(std::move(tree).error());
  if (tree->frontier().root() != expected_root)
    return fail(Errc::corrupt,
                fmt::format("the tree over {} entries has root {}, the newest batch says {}",
                            visible_.head.value(), to_hex(tree->frontier().root().view()),
                            to_hex(expected_root.view())));
  visible_.tree = std::move(*tree);
  return {};
}

Status RocksEventLog::Impl::check_tail() const {
  const uint64_t head = visible_.head.value();
  size_t budget = kTailBytes;
  for (uint64_t at = head > kTailEntries ? head - kTailEntries + 1 : 1; at <= head && budget > 0;
       ++at) {
    const auto entries = read(Sequence(at), 0, 1);
    if (!entries) return std::unexpected(entries.error());
    const auto expected = tree_hash(0, at - 1);
    if (!expected) return std::unexpected(expected.error());
    if (leaf_hash(entries->front().header) != *expected)
      return fail(Errc::corrupt,
                  fmt::format("entry {}: the header is not the one in the tree", at));
    budget -= std::min(budget, entries->front().size());
  }
  return {};
}

Status RocksEventLog::Impl::load_checkpoint() {
  auto note = get_sealed(records::meta_key("checkpoint"), "checkpoint");
  if (!note) return std::unexpected(std::move(note).error());
  if (!*note) return {};
  const auto checkpoint = parse_checkpoint_text(**note);
  if (!checkpoint) return fail_in("the stored checkpoint", checkpoint.error());
  const auto root = root_at(
      checkpoint->size, [this](unsigned level, uint64_t index) { return tree_hash(level, index); });
  if (!root || *root != checkpoint->root)
    return fail(Errc::corrupt,
                fmt::format("the stored checkpoint over {} entries does not fit the tree over {}",
                            checkpoint->size, visible_.head.value()));
  visible_.checkpoint = std::move(**note);
  return {};
}

Status RocksEventLog::Impl::load_snapshots() {
  const auto list = get_sealed(records::meta_key("snapshots"), "list of snapshots");
  if (!list) return std::unexpected(list.error());
  if (!*list) return {};
  auto sequences = records::decode_sequences(**list);
  if (!sequences) return std::unexpected(damaged_record("list of snapshots"));
  visible_.snapshots = std::move(*sequences);
  return {};
}

}  // namespace mesh
