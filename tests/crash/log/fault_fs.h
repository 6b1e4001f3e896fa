// A file system for RocksDB that can fail, run full, lose what was not synced, or end the process,
// at any operation.
#pragma once

#include <rocksdb/env.h>
#include <rocksdb/file_system.h>

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <random>
#include <shared_mutex>
#include <string>
#include <string_view>
#include <vector>

namespace mesh {

/// Passes everything on to the real file system but the waiting for a sync, which it only
/// remembers. Thread-safe, as RocksDB's background threads need.
class FaultFs final : public rocksdb::FileSystemWrapper {
 public:
  enum class Fate {
    happen,
    no_space,   // fails with "no space left"; an append leaves half of its bytes
    io_error,   // fails without effect
    power_off,  // this and every later operation fails without effect, until power_on
    kill,       // the process ends before the operation, as by kill -9
    power_cut,  // the power fails: what cut_power says, then the process ends
  };
  enum class Loss {
    everything,  // of what was not synced nothing is left
    nothing,
    some,  // a prefix of the directory's changes; of each file some sectors, the others zero
  };
  /// Decides about operation `number`, counted from 1: creating, appending to, syncing, renaming
  /// and removing files, and syncing the directory. RocksDB's own diary (LOG) is not counted.
  using Judge = std::function<Fate(uint64_t number)>;
  /// The same operations by their names, before and after each; the next operation waits for the
  /// answer. After one, only `kill` and `power_cut` still change anything.
  struct Operation {
    std::string_view name;  // "create", "append", "sync", "rename", "remove", "sync directory"
    std::string path;
    bool done = false;
    uint64_t number = 0;
  };
  using Watch = std::function<Fate(const Operation&)>;

  FaultFs();

  /// For RocksSeams. Its clock does not sleep: RocksDB waits a second after each failed flush.
  rocksdb::Env* env() { return env_.get(); }
  void set_judge(Judge judge);
  /// In place of a judge.
  void set_watch(Watch watch);
  uint64_t operations() const;
  /// Applies the loss to the files, forgets everything, and lets all happen again. Requires that no
  /// database is open.
  void power_on(Loss loss, std::mt19937_64& random);
  /// What a power cut does by itself, once set: waits for the operations under way, applies the
  /// loss, and ends the process as by kill -9. A lying disk forgets what was synced of
  /// the write-ahead log.
  void set_loss(Loss loss, uint64_t seed, bool lying = false);
  [[noreturn]] void cut_power();

  const char* Name() const override { return "FaultFs"; }
  rocksdb::IOStatus NewWritableFile(const std::string& path, const rocksdb::FileOptions& options,
                                    std::unique_ptr<rocksdb::FSWritableFile>* result,
                                    rocksdb::IODebugContext* debug) override;
  rocksdb::IOStatus NewDirectory(const std::string& path, const rocksdb::IOOptions& options,
                                 std::unique_ptr<rocksdb::FSDirectory>* result,
                                 rocksdb::IODebugContext* debug) override;
  rocksdb::IOStatus RenameFile(const std::string& from, const std::string& to,
                               const rocksdb::IOOptions& options,
                               rocksdb::IODebugContext* debug) override;
  rocksdb::IOStatus DeleteFile(const std::string& path, const rocksdb::IOOptions& options,
                               rocksdb::IODebugContext* debug) override;

  // For the files and directories that it made.
  rocksdb::IOStatus judge(std::string_view name, const std::string& path);
  void done(std::string_view name, const std::string& path);
  /// Held by each operation; a power cut waits for all.
  std::shared_lock<std::shared_mutex> running() {
    return std::shared_lock<std::shared_mutex>(running_);
  }
  void appended(const std::string& path, uint64_t bytes);
  void synced(const std::string& path);
  void directory_synced();

 private:
  struct FileState {
    uint64_t size = 0;
    uint64_t synced = 0;
  };
  /// A change to the directory that a power cut may undo.
  struct DirectoryChange {
    std::string made;                     // a path to remove again
    std::string lost;                     // a path to bring back
    std::optional<std::string> contents;  // of `lost`
    std::optional<std::string> replaced;  // what `made` held before
  };

  void lose(Loss loss, std::mt19937_64& random);
  void lose_data(const std::string& path, const FileState& state, Loss loss,
                 std::mt19937_64& random);

  std::shared_mutex running_;
  mutable std::mutex mutex_;  // guards all below
  Watch watch_;
  Loss loss_ = Loss::nothing;
  bool lying_ = false;
  std::mt19937_64 random_;
  uint64_t operations_ = 0;
  bool power_is_off_ = false;
  std::map<std::string, FileState> files_;
  std::vector<DirectoryChange> changes_;  // since the directory was synced
  std::unique_ptr<rocksdb::Env> env_;
};

}  // namespace mesh
