// What must be in the log, known from the writer's reports alone and kept outside of its process.
#pragma once

#include <filesystem>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <unordered_set>
#include <vector>

#include "eventstore/log/rocks_event_log.h"
#include "eventstore/model/replay.h"

namespace mesh::crash {

/// What checks found, over all of them.
struct Findings {
  uint64_t checked = 0;  // entries, each once
  uint64_t lost = 0;     // acknowledged entries, blobs or snapshots that are not there
  uint64_t half = 0;     // writes that are there in part
  uint64_t gaps = 0;
  uint64_t duplicates = 0;
  uint64_t wrong = 0;  // anything else
  std::vector<std::string> texts;
  bool clean() const { return lost + half + gaps + duplicates + wrong == 0; }
};

/// The model of one log directory over many lives of its writer.
class Witness {
 public:
  explicit Witness(const LogId& log) : log_(log) {}

  /// One line of the report (writer.h).
  void hear(const std::string& line);
  /// Compares the reopened log with the model, and takes what was in flight and is there for
  /// acknowledged: from now on it must stay.
  void check(const RocksEventLog& log, Findings& findings);
  /// Folds the whole log from its first entry, and compares with the fold so far.
  void check_from_the_beginning(const RocksEventLog& log, Findings& findings) const;
  /// A backup that was finished holds all it announced; one that was not is never taken for whole.
  void check_backup(const std::filesystem::path& file, Findings& findings) const;

  uint64_t acknowledged_entries() const { return heard_entries_; }
  size_t blobs() const { return blobs_.size(); }
  size_t snapshots() const { return heard_snapshots_; }
  size_t backups() const { return heard_backups_; }
  /// What the writer said that it must not: "failed ...".
  const std::optional<std::string>& failure() const { return failure_; }
  bool refused() const { return refused_; }
  void begin_life();

 private:
  void check_entries(const RocksEventLog& log, Findings& findings);
  void check_new_entry(const RocksEventLog& log, uint64_t sequence, const EncodedEntry& encoded,
                       Findings& findings);
  void check_tree(const RocksEventLog& log, Findings& findings) const;
  void check_blobs(const RocksEventLog& log, Findings& findings) const;
  void check_snapshots(const RocksEventLog& log, Findings& findings);

  LogId log_;
  std::vector<std::string> entries_;  // digests in hex, of entries 1 to n
  std::vector<std::string> in_flight_;
  std::set<std::string> blobs_;
  std::map<uint64_t, std::string> snapshots_;
  std::optional<std::pair<uint64_t, std::string>> snapshot_in_flight_;
  std::optional<uint64_t> drop_in_flight_;
  std::optional<uint64_t> backup_;  // its head
  bool backup_finished_ = false;
  std::unordered_set<std::string> requests_;
  Replica replica_;  // the fold of what was checked
  uint64_t heard_entries_ = 0;
  size_t heard_snapshots_ = 0;
  size_t heard_backups_ = 0;
  std::optional<std::string> failure_;
  bool refused_ = false;
};

}  // namespace mesh::crash
