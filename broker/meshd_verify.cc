// meshd verify: replays a log directory or a backup from its first entry, without a running controller.
#include <fmt/format.h>

#include <algorithm>
#include <fstream>
#include <map>
#include <nlohmann/json.hpp>
#include <set>
#include <sstream>
#include <thread>

#include "broker/meshd.h"
#include "broker/read_ahead.h"
#include "eventstore/log/archive.h"
#include "eventstore/log/rocks_event_log.h"
#include "eventstore/model/audit.h"
#include "eventstore/model/decide.h"
#include "schemas/blob_names.h"
#include "schemas/codec.h"

namespace mesh::meshd {

namespace {

constexpr size_t kProblemsMax = 100;

/// Where entries come from, read once from the first to the last.
class Source {
 public:
  virtual ~Source() = default;
  virtual LogId id() const = 0;
  virtual Sequence head() const = 0;
  /// The newest signed note.
  virtual std::string checkpoint() const = 0;
  /// Some entries from `from` on, at least one; `from` follows what was read before. Any thread,
  /// one at a time. Errors: corrupt, io.
  virtual Result<std::vector<EncodedEntry>> read(Sequence from) = 0;
  /// What is damaged beside that: found by opening, behind `first_bad`, or at the end.
  virtual std::vector<std::string> damage(std::optional<uint64_t> first_bad) = 0;
  /// Whether the blob is there and whole; after damage(). Errors: not_found, corrupt.
  virtual Status check_blob(const Digest& digest) = 0;
};

class DirectorySource final : public Source {
 public:
  explicit DirectorySource(std::unique_ptr<const RocksEventLog> log) : log_(std::move(log)) {}
  LogId id() const override { return log_->id(); }
  Sequence head() const override { return log_->head(); }
  std::string checkpoint() const override { return log_->checkpoint(); }
  Result<std::vector<EncodedEntry>> read(Sequence from) override {
    auto entries = log_->read(from, 1 << 20, SIZE_MAX);
    if (entries && entries->empty())
      return fail(Errc::corrupt, fmt::format("entry {}: it is missing", from.value()));
    return entries;
  }
  std::vector<std::string> damage(std::optional<uint64_t> first_bad) override {
    std::vector<std::string> out;
    if (log_->damage()) out.push_back(log_->damage()->message);
    if (!first_bad) return out;
    for (uint64_t at = *first_bad + 1; at <= log_->head().value() && out.size() < kProblemsMax; ++at)
      if (auto entry = log_->read(Sequence(at), 1, 1); !entry) out.push_back(entry.error().message);
    return out;
  }

  Status check_blob(const Digest& digest) override {
    if (auto blob = log_->get_blob(digest); !blob) return std::unexpected(blob.error());
    return {};
  }

 private:
  std::unique_ptr<const RocksEventLog> log_;
};

class ArchiveSource final : public Source {
 public:
  explicit ArchiveSource(ArchiveReader reader) : reader_(std::move(reader)) {}
  LogId id() const override { return reader_.head().log; }
  Sequence head() const override { return Sequence(reader_.head().entries); }
  std::string checkpoint() const override { return reader_.head().note; }
  Result<std::vector<EncodedEntry>> read(Sequence from) override {
    for (;;) {
      auto part = next();
      if (!part) return std::unexpected(std::move(part).error());
      if (!*part) return fail(Errc::corrupt, fmt::format("entry {}: it is missing", from.value()));
      if (!(*part)->entries.empty()) return std::move((*part)->entries);
    }
  }
  /// To the trailer, which confirms the rest: a damaged record ends it.
  std::vector<std::string> damage(std::optional<uint64_t> first_bad) override {
    for (;;) {
      auto part = next();
      if (part && !*part) return {};
      if (!part && first_bad) return {};  // told as what is wrong with that entry, or after it
      if (!part) return {part.error().message};
    }
  }

  Status check_blob(const Digest& digest) override {
    if (blobs_.contains(digest)) return {};
    return fail(Errc::not_found, "the backup does not hold it");
  }

 private:
  Result<std::optional<ArchivePart>> next() {
    auto part = reader_.next();
    if (part && *part)
      for (const Blob& blob : (*part)->blobs) blobs_.insert(blob.digest);
    return part;
  }

  ArchiveReader reader_;
  std::set<Digest> blobs_;
};

struct Verdict {
  explicit Verdict(LogId log) : audit(log) {}
  Audit audit;
  std::optional<uint64_t> first_bad;
  std::vector<std::string> problems, warnings;
  nlohmann::json checkpoints = nlohmann::json::array();
  std::map<Digest, std::string> files;  // what entries put, and where
};

void blame(Verdict& verdict, uint64_t sequence, std::string problem) {
  if (!verdict.first_bad) verdict.first_bad = sequence;
  // What opening found damaged is met again on the way.
  if (std::ranges::find(verdict.problems, problem) == verdict.problems.end())
    verdict.problems.push_back(std::move(problem));
}

Status replay_next(Verdict& verdict, ReadAhead& ahead) {
  Audit& audit = verdict.audit;
  auto entry = ahead.next();
  if (!entry) return std::unexpected(entry.error());
  if (!entry->checked && entry->body)
    if (auto key = signer_key(audit.replica().state, entry->body->request))
      ahead.learn(entry->header.principal, *key);
  MESH_TRY(audit.add(*entry));
  for (const BlobName& blob : blobs_of(*entry))
    if (!blob.config)
      verdict.files.try_emplace(blob.digest, fmt::format("{} of #{}", blob.name, entry->header.sequence.value()));
  return {};
}

/// Replays until the head or the first entry that does not hold. What is damaged beside it is named
/// too.
void replay_all(Source& log, Verdict& verdict) {
  Audit& audit = verdict.audit;
  {
    // Nine tenths of the work are signatures: all cores check them.
    ReadAhead ahead([&](Sequence from) { return log.read(from); }, Sequence(1), log.head(),
                    std::max(std::thread::hardware_concurrency(), 2u) - 1);
    while (audit.head() < log.head() && !verdict.first_bad)
      if (auto good = replay_next(verdict, ahead); !good)
        blame(verdict, audit.head().value() + 1, good.error().message);
  }
  for (std::string& problem : log.damage(verdict.first_bad))
    if (std::ranges::find(verdict.problems, problem) == verdict.problems.end())
      verdict.problems.push_back(std::move(problem));
  if (verdict.first_bad) return;
  for (const auto& [digest, name] : verdict.files)
    if (auto there = log.check_blob(digest); !there)
      verdict.problems.push_back(fmt::format("{}: {}", name, there.error().message));
}

void check_note(const Source& log, Verdict& verdict) {
  const Replica& replica = verdict.audit.replica();
  uint64_t size = replica.frontier.size();
  if (log.checkpoint().empty()) return blame(verdict, size, "the log has no checkpoint");
  auto checkpoint =
      open_checkpoint(log.checkpoint(), replica.state.log, replica.state.genesis.log_key);
  if (!checkpoint) return blame(verdict, size, "the checkpoint: " + checkpoint.error().message);
  if (auto same = matches(replica, *checkpoint); !same) blame(verdict, size, same.error().message);
}

/// Errors: corrupt (not signed by this log's key).
Status judge(const std::vector<KeptCheckpoint>& kept, Verdict& verdict) {
  const MeshState& state = verdict.audit.replica().state;
  for (const KeptCheckpoint& one : kept) {
    if (state.sequence == Sequence()) return {};  // not even the key is known: that is told already
    if (auto opened = open_checkpoint(one.note, state.log, state.genesis.log_key); !opened)
      return fail_in(one.name, opened.error());
    auto judgement = verdict.audit.judge(one.checkpoint, !verdict.first_bad);
    if (!judgement) return fail_in(one.name, judgement.error());
    verdict.checkpoints.push_back({{"name", one.name},
                                   {"origin", one.checkpoint.origin},
                                   {"size", one.checkpoint.size},
                                   {"root", to_hex(one.checkpoint.root.view())},
                                   {"standing", standing_name(judgement->standing)},
                                   {"text", judgement->text}});
    if (judgement->text.empty()) continue;
    (judgement->bad() ? verdict.problems : verdict.warnings)
        .push_back(fmt::format("{}: {}", one.name, judgement->text));
  }
  return {};
}

Result<std::vector<KeptCheckpoint>> read_kept(const std::vector<std::filesystem::path>& files) {
  std::vector<KeptCheckpoint> out;
  for (const auto& path : files) {
    std::ifstream file(path, std::ios::binary);
    if (!file) return fail(Errc::not_found, fmt::format("cannot read {}", path.string()));
    std::ostringstream text;
    text << file.rdbuf();
    auto kept = read_kept_checkpoints(path.string(), text.str());
    if (!kept) return kept;
    std::ranges::move(*kept, std::back_inserter(out));
  }
  return out;
}

Result<std::unique_ptr<Source>> open_source(const std::filesystem::path& data) {
  std::error_code ignored;
  if (std::filesystem::is_regular_file(data, ignored)) {
    auto bytes = read_file(data);
    if (!bytes) return std::unexpected(bytes.error());
    auto reader = ArchiveReader::open(std::move(*bytes));
    if (!reader) return fail_in(data.string(), reader.error());
    return std::make_unique<ArchiveSource>(std::move(*reader));
  }
  auto directory = std::filesystem::exists(log_path(data), ignored) ? log_path(data) : data;
  auto log = RocksEventLog::open_read_only(directory);
  if (!log) return std::unexpected(log.error());
  return std::make_unique<DirectorySource>(std::move(*log));
}

void print(const Verdict& verdict, const std::string& output) {
  const Replica& replica = verdict.audit.replica();
  bool ok = verdict.problems.empty();
  std::string root = to_hex(replica.frontier.root().view());
  if (output == "json") {
    nlohmann::ordered_json out = {
        {"kind", "Verification"},
        {"ok", ok},
        {"entries", replica.head().value()},
        {"root", root},
        {"epoch", replica.state.epoch},
        {"first_bad", verdict.first_bad ? nlohmann::json(*verdict.first_bad) : nlohmann::json()},
        {"problems", verdict.problems},
        {"warnings", verdict.warnings},
        {"checkpoints", verdict.checkpoints},
        {"log", to_hex(replica.state.log.view())},
        {"log_key", to_hex(replica.state.genesis.log_key.view())}};
    fmt::print("{}\n", out.dump());
    return;
  }
  if (ok)
    fmt::print("ok: {} entries, root {}\n", replica.head().value(), root);
  else
    fmt::print("FAILED after {} good entries\n", replica.head().value());
  for (const std::string& problem : verdict.problems) fmt::print("  {}\n", problem);
  for (const std::string& warning : verdict.warnings) fmt::print("  note: {}\n", warning);
}

}  // namespace

int verify(const std::filesystem::path& data, const std::vector<std::filesystem::path>& against,
           const std::string& output) {
  auto kept = read_kept(against);
  if (!kept) return report(kept.error(), output);
  auto log = open_source(data);
  if (!log) return report(log.error(), output);
  Verdict verdict((*log)->id());
  for (const KeptCheckpoint& one : *kept)
    if (one.checkpoint.size <= (*log)->head().value()) verdict.audit.want(one.checkpoint.size);
  replay_all(**log, verdict);
  if (!verdict.first_bad) check_note(**log, verdict);
  if (auto judged = judge(*kept, verdict); !judged) return report(judged.error(), output);
  print(verdict, output);
  return verdict.problems.empty() ? 0 : 12;
}

}  // namespace mesh::meshd
