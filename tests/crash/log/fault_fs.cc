#include "tests/crash/log/fault_fs.h"

#include <rocksdb/system_clock.h>

#include <csignal>
#include <filesystem>
#include <fstream>
#include <iterator>

namespace mesh {

namespace {

using rocksdb::IOStatus;

constexpr uint64_t kSectorBytes = 512;

bool is_diary(const std::string& path) {
  return std::filesystem::path(path).filename().string().starts_with("LOG");
}

std::string contents_of(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

void write_contents(const std::string& path, const std::string& contents) {
  std::ofstream(path, std::ios::binary | std::ios::trunc) << contents;
}

class FaultFile final : public rocksdb::FSWritableFileOwnerWrapper {
 public:
  FaultFile(FaultFs& fs, std::string path, std::unique_ptr<rocksdb::FSWritableFile> file)
      : FSWritableFileOwnerWrapper(std::move(file)), fs_(fs), path_(std::move(path)) {}

  IOStatus Append(const rocksdb::Slice& data, const rocksdb::IOOptions& options,
                  rocksdb::IODebugContext* debug) override {
    const IOStatus fate = fs_.judge("append", path_);
    const rocksdb::Slice written(data.data(), fate.ok()          ? data.size()
                                              : fate.IsNoSpace() ? data.size() / 2
                                                                 : 0);
    IOStatus status;
    {
      const auto running = fs_.running();
      status = FSWritableFileOwnerWrapper::Append(written, options, debug);
      fs_.appended(path_, written.size());
    }
    if (!fate.ok()) return fate;
    fs_.done("append", path_);
    return status;
  }
  IOStatus Append(const rocksdb::Slice& data, const rocksdb::IOOptions& options,
                  const rocksdb::DataVerificationInfo&, rocksdb::IODebugContext* debug) override {
    return Append(data, options, debug);
  }
  IOStatus Sync(const rocksdb::IOOptions&, rocksdb::IODebugContext*) override {
    const IOStatus fate = fs_.judge("sync", path_);
    if (!fate.ok()) return fate;
    fs_.synced(path_);
    fs_.done("sync", path_);
    return fate;
  }
  IOStatus Fsync(const rocksdb::IOOptions& options, rocksdb::IODebugContext* debug) override {
    return Sync(options, debug);
  }

 private:
  FaultFs& fs_;
  std::string path_;
};

class FaultDirectory final : public rocksdb::FSDirectoryWrapper {
 public:
  FaultDirectory(FaultFs& fs, std::string path, std::unique_ptr<rocksdb::FSDirectory> directory)
      : FSDirectoryWrapper(std::move(directory)), fs_(fs), path_(std::move(path)) {}

  IOStatus Fsync(const rocksdb::IOOptions&, rocksdb::IODebugContext*) override {
    const IOStatus fate = fs_.judge("sync directory", path_);
    if (!fate.ok()) return fate;
    fs_.directory_synced();
    fs_.done("sync directory", path_);
    return fate;
  }
  IOStatus FsyncWithDirOptions(const rocksdb::IOOptions& options, rocksdb::IODebugContext* debug,
                               const rocksdb::DirFsyncOptions&) override {
    return Fsync(options, debug);
  }

 private:
  FaultFs& fs_;
  std::string path_;
};

class SleeplessClock final : public rocksdb::SystemClockWrapper {
 public:
  SleeplessClock() : SystemClockWrapper(rocksdb::SystemClock::Default()) {}
  const char* Name() const override { return "SleeplessClock"; }
  void SleepForMicroseconds(int) override {}
};

class FaultEnv final : public rocksdb::EnvWrapper {
 public:
  explicit FaultEnv(const std::shared_ptr<rocksdb::FileSystem>& fs)
      : EnvWrapper(rocksdb::NewCompositeEnv(fs)) {
    file_system_ = fs;
    system_clock_ = std::make_shared<SleeplessClock>();
  }
};

}  // namespace

FaultFs::FaultFs() : FileSystemWrapper(rocksdb::FileSystem::Default()) {
  // Shares without owning, because the Env is a member.
  env_ = std::make_unique<FaultEnv>(
      std::shared_ptr<rocksdb::FileSystem>(std::shared_ptr<void>(), this));
}

void FaultFs::set_judge(Judge judge) {
  set_watch([judge = std::move(judge)](const Operation& operation) {
    return operation.done || !judge ? Fate::happen : judge(operation.number);
  });
}

void FaultFs::set_watch(Watch watch) {
  const std::lock_guard lock(mutex_);
  watch_ = std::move(watch);
  operations_ = 0;
}

void FaultFs::set_loss(Loss loss, uint64_t seed, bool lying) {
  const std::lock_guard lock(mutex_);
  loss_ = loss;
  lying_ = lying;
  random_.seed(seed);
}

uint64_t FaultFs::operations() const {
  const std::lock_guard lock(mutex_);
  return operations_;
}

IOStatus FaultFs::judge(std::string_view name, const std::string& path) {
  Fate fate = Fate::happen;
  {
    const std::lock_guard lock(mutex_);
    ++operations_;
    if (watch_) fate = watch_({name, path, false, operations_});
    if (power_is_off_) fate = Fate::power_off;
    if (fate == Fate::power_off) power_is_off_ = true;
  }
  switch (fate) {
    case Fate::happen:
      return IOStatus::OK();
    case Fate::no_space:
      return IOStatus::NoSpace("simulated", "no space left on device");
    case Fate::io_error:
      return IOStatus::IOError("simulated", "input/output error");
    case Fate::power_off:
      return IOStatus::IOError("simulated", "the power is off");
    case Fate::kill:
      std::raise(SIGKILL);
      break;
    case Fate::power_cut:
      cut_power();
  }
  return IOStatus::OK();
}

void FaultFs::done(std::string_view name, const std::string& path) {
  Fate fate = Fate::happen;
  {
    const std::lock_guard lock(mutex_);
    if (watch_) fate = watch_({name, path, true, operations_});
  }
  if (fate == Fate::kill) std::raise(SIGKILL);
  if (fate == Fate::power_cut) cut_power();
}

void FaultFs::cut_power() {
  const std::unique_lock all(running_);
  const std::lock_guard lock(mutex_);
  lose(loss_, random_);
  std::raise(SIGKILL);
  std::abort();
}

void FaultFs::appended(const std::string& path, uint64_t bytes) {
  const std::lock_guard lock(mutex_);
  files_[path].size += bytes;
}

void FaultFs::synced(const std::string& path) {
  const std::lock_guard lock(mutex_);
  if (!lying_ || !path.ends_with(".log")) files_[path].synced = files_[path].size;
}

void FaultFs::directory_synced() {
  const std::lock_guard lock(mutex_);
  changes_.clear();
}

IOStatus FaultFs::NewWritableFile(const std::string& path, const rocksdb::FileOptions& options,
                                  std::unique_ptr<rocksdb::FSWritableFile>* result,
                                  rocksdb::IODebugContext* debug) {
  if (is_diary(path)) return FileSystemWrapper::NewWritableFile(path, options, result, debug);
  if (const IOStatus fate = judge("create", path); !fate.ok()) return fate;
  {
    const auto running = this->running();
    const bool existed = std::filesystem::exists(path);
    const std::string before = existed ? contents_of(path) : "";
    const IOStatus status = FileSystemWrapper::NewWritableFile(path, options, result, debug);
    if (!status.ok()) return status;
    const std::lock_guard lock(mutex_);
    files_[path] = {};
    changes_.push_back({path, {}, {}, existed ? std::optional(before) : std::nullopt});
  }
  *result = std::make_unique<FaultFile>(*this, path, std::move(*result));
  done("create", path);
  return IOStatus::OK();
}

IOStatus FaultFs::NewDirectory(const std::string& path, const rocksdb::IOOptions& options,
                               std::unique_ptr<rocksdb::FSDirectory>* result,
                               rocksdb::IODebugContext* debug) {
  const IOStatus status = FileSystemWrapper::NewDirectory(path, options, result, debug);
  if (status.ok()) *result = std::make_unique<FaultDirectory>(*this, path, std::move(*result));
  return status;
}

IOStatus FaultFs::RenameFile(const std::string& from, const std::string& to,
                             const rocksdb::IOOptions& options, rocksdb::IODebugContext* debug) {
  if (is_diary(from)) return FileSystemWrapper::RenameFile(from, to, options, debug);
  if (const IOStatus fate = judge("rename", to); !fate.ok()) return fate;
  IOStatus status;
  {
    const auto running = this->running();
    const std::lock_guard lock(mutex_);
    const bool replaces = std::filesystem::exists(to);
    changes_.push_back(
        {to, from, contents_of(from), replaces ? std::optional(contents_of(to)) : std::nullopt});
    files_[to] = files_[from];
    files_.erase(from);
    status = FileSystemWrapper::RenameFile(from, to, options, debug);
  }
  done("rename", to);
  return status;
}

IOStatus FaultFs::DeleteFile(const std::string& path, const rocksdb::IOOptions& options,
                             rocksdb::IODebugContext* debug) {
  if (is_diary(path)) return FileSystemWrapper::DeleteFile(path, options, debug);
  if (const IOStatus fate = judge("remove", path); !fate.ok()) return fate;
  IOStatus status;
  {
    const auto running = this->running();
    const std::lock_guard lock(mutex_);
    changes_.push_back({{}, path, contents_of(path), {}});
    status = FileSystemWrapper::DeleteFile(path, options, debug);
  }
  done("remove", path);
  return status;
}

void FaultFs::lose_data(const std::string& path, const FileState& state, Loss loss,
                        std::mt19937_64& random) {
  std::string contents = contents_of(path);
  if (loss == Loss::nothing || contents.size() <= state.synced) return;
  if (loss == Loss::everything) {
    contents.resize(state.synced);
  } else {
    const uint64_t unsynced = contents.size() - state.synced;
    contents.resize(state.synced + random() % (unsynced + 1));
    for (uint64_t at = state.synced; at < contents.size();
         at = at - at % kSectorBytes + kSectorBytes) {
      const uint64_t end =
          std::min<uint64_t>(contents.size(), at - at % kSectorBytes + kSectorBytes);
      if (random() % 3 == 0)
        std::fill(contents.begin() + static_cast<ptrdiff_t>(at),
                  contents.begin() + static_cast<ptrdiff_t>(end), '\0');
    }
  }
  write_contents(path, contents);
}

void FaultFs::lose(Loss loss, std::mt19937_64& random) {
  for (const auto& [path, state] : files_)
    if (std::filesystem::exists(path)) lose_data(path, state, loss, random);
  size_t kept = loss == Loss::nothing      ? changes_.size()
                : loss == Loss::everything ? 0
                                           : random() % (changes_.size() + 1);
  for (; changes_.size() > kept; changes_.pop_back()) {
    const DirectoryChange& change = changes_.back();
    if (!change.made.empty()) std::filesystem::remove(change.made);
    if (change.replaced) write_contents(change.made, *change.replaced);
    if (!change.lost.empty()) write_contents(change.lost, *change.contents);
  }
}

void FaultFs::power_on(Loss loss, std::mt19937_64& random) {
  const std::lock_guard lock(mutex_);
  lose(loss, random);
  changes_.clear();
  files_.clear();
  watch_ = {};
  operations_ = 0;
  power_is_off_ = false;
}

}  // namespace mesh
