// Kills a process that writes to a log, again and again, and compares what is left with what it had
// acknowledged. Claim: whatever moment it dies at, nothing acknowledged is lost, nothing else is there
// half, and the log opens and carries on. README.md in the folder above says how.
//
// mesh_crash [--cycles N] [--seed S] [--verbose] [--lying-disk]
//                                       defaults: MESH_CRASH_CYCLES or 40, MESH_SEED or 1
// mesh_crash --writer DIRECTORY PLAN... the process that dies
#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <map>

#include "eventstore/log/recovery_check.h"
#include "tests/crash/cycles/plan.h"
#include "tests/crash/cycles/witness.h"
#include "tests/crash/cycles/writer.h"
#include "tests/support/world.h"

namespace mesh::crash {
namespace {

namespace fs = std::filesystem;
using Clock = std::chrono::steady_clock;

constexpr uint64_t kLivesPerLog = 20;
constexpr int kHangMs = 60'000;

/// In memory where the machine has that: a power cut is ours, and waiting for a disk shows nothing.
class Folder {
 public:
  Folder() {
    const bool in_memory = ::access("/dev/shm", W_OK) == 0;
    std::string name = ((in_memory ? "/dev/shm" : fs::temp_directory_path()) / "mesh-crash-XXXXXX").string();
    if (!::mkdtemp(name.data())) std::abort();
    path_ = name;
  }
  ~Folder() {
    std::error_code ignored;
    if (!kept_) fs::remove_all(path_, ignored);
  }
  Folder(const Folder&) = delete;
  Folder& operator=(const Folder&) = delete;
  const fs::path& path() const { return path_; }
  void keep() { kept_ = true; }

 private:
  fs::path path_;
  bool kept_ = false;
};

struct Options {
  uint64_t cycles = 0;
  uint64_t seed = 0;
  bool verbose = false;
  bool lying_disk = false;
};

struct Counts {
  uint64_t cycles = 0, opened = 0, killed = 0, power = 0, outlived = 0, torn = 0, full = 0, io = 0;
  uint64_t entries = 0, blobs = 0, snapshots = 0, backups = 0;
  std::map<std::string, uint64_t> points;
};

struct Death {
  bool killed = false;
  int exit_code = 0;
};

pid_t start_writer(const fs::path& directory, const Plan& plan, int output) {
  std::vector<std::string> words{fs::read_symlink("/proc/self/exe").string(), "--writer", directory.string()};
  for (std::string& word : plan.arguments()) words.push_back(std::move(word));
  std::vector<char*> arguments;
  for (std::string& word : words) arguments.push_back(word.data());
  arguments.push_back(nullptr);
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_adddup2(&actions, output, STDOUT_FILENO);
  pid_t child = 0;
  if (::posix_spawn(&child, words[0].c_str(), &actions, nullptr, arguments.data(), environ) != 0) std::abort();
  posix_spawn_file_actions_destroy(&actions);
  return child;
}

/// Gives the witness every line until the writer's end, and kills it at its moment.
void listen(int input, pid_t child, const Plan& plan, Witness& witness) {
  const auto moment = Clock::now() + std::chrono::microseconds(plan.delay_us);
  bool to_kill = plan.ending == Ending::kill;
  std::string pending;
  char buffer[65536];
  for (;;) {
    pollfd ready{input, POLLIN, 0};
    timespec wait{kHangMs / 1000, 0};
    if (to_kill) {
      const auto left = std::max<int64_t>(0, std::chrono::nanoseconds(moment - Clock::now()).count());
      wait = {left / 1'000'000'000, left % 1'000'000'000};
    }
    const int count = ::ppoll(&ready, 1, &wait, nullptr);
    if (to_kill && Clock::now() >= moment) {
      ::kill(child, SIGKILL);
      to_kill = false;
    } else if (count == 0) {
      std::fprintf(stderr, "the writer hangs\n");
      ::kill(child, SIGABRT);
      return;
    }
    if (count <= 0) continue;
    const ssize_t size = ::read(input, buffer, sizeof buffer);
    if (size <= 0) return;
    pending.append(buffer, static_cast<size_t>(size));
    for (size_t end; (end = pending.find('\n')) != std::string::npos; pending.erase(0, end + 1))
      witness.hear(pending.substr(0, end));
  }
}

Death run_writer(const fs::path& directory, const Plan& plan, Witness& witness) {
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) std::abort();
  const pid_t child = start_writer(directory, plan, ends[1]);
  ::close(ends[1]);
  listen(ends[0], child, plan, witness);
  ::close(ends[0]);
  int status = 0;
  if (::waitpid(child, &status, 0) != child) std::abort();
  return {WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL, WIFEXITED(status) ? WEXITSTATUS(status) : -1};
}

void count_death(const Plan& plan, const Death& death, const Witness& witness, Counts& counts) {
  ++counts.cycles;
  if (plan.ending == Ending::full_disk || plan.ending == Ending::io_error) {
    if (witness.refused() || witness.failure()) ++(plan.ending == Ending::full_disk ? counts.full : counts.io);
    return;
  }
  if (!death.killed) {
    ++counts.outlived;
    return;
  }
  const bool power = plan.ending == Ending::power || (plan.ending == Ending::point && plan.power_cut);
  ++(power ? counts.power : counts.killed);
  if (plan.ending == Ending::point) ++counts.points[(plan.after ? "after " : "before ") + plan.point];
}

/// One life, one death, one look at what is left: at a copy, so that the next life finds the directory
/// as this one left it, and recovers it by itself.
void cycle(const fs::path& directory, const Plan& plan, Witness& witness, Counts& counts, Findings& findings) {
  witness.begin_life();
  const Death death = run_writer(directory, plan, witness);
  const bool may_fail = plan.ending == Ending::full_disk || plan.ending == Ending::io_error;
  if ((witness.failure() && !(may_fail && death.exit_code == 3)) ||
      (!death.killed && death.exit_code != 0 && death.exit_code != 3)) {
    ++findings.wrong;
    findings.texts.push_back(witness.failure().value_or(fmt::format("the writer ended with {}", death.exit_code)));
  }
  count_death(plan, death, witness, counts);
  const fs::path copy = directory.string() + ".copy";
  fs::remove_all(copy);
  fs::copy(directory, copy, fs::copy_options::recursive);
  const auto torn = check_recovery_files(copy);
  if (torn && !torn->empty()) ++counts.torn;
  const auto log = RocksEventLog::open(copy);
  if (!log) {
    ++findings.wrong;
    findings.texts.push_back(log.error().message);
    return;
  }
  ++counts.opened;
  witness.check(**log, findings);
  if (findings.clean()) witness.check_backup(backup_of(directory), findings);
}

/// The lives of one log. Returns whether all was well.
bool run_log(const Options& options, std::mt19937_64& random, Counts& counts, Findings& findings) {
  Folder folder;
  const fs::path directory = folder.path() / "log";
  const LogId id = derive_log_id(test::genesis(kWorld));
  if (!RocksEventLog::create(directory, id)) std::abort();
  Witness witness(id);
  const uint64_t lives = std::min(kLivesPerLog, options.cycles - counts.cycles);
  for (uint64_t life = 0; life < lives && findings.clean(); ++life) {
    Plan plan = Plan::random(random);
    plan.lying_disk = options.lying_disk;
    cycle(directory, plan, witness, counts, findings);
    if (options.verbose) std::printf("%4lu %s\n", counts.cycles, plan.text().c_str());
    if (!findings.clean() && !options.lying_disk) {
      folder.keep();
      std::printf("cycle %lu, %s; the directory is kept: %s\n", counts.cycles, plan.text().c_str(),
                  directory.c_str());
    }
  }
  counts.entries += witness.acknowledged_entries();
  counts.blobs += witness.blobs();
  counts.snapshots += witness.snapshots();
  counts.backups += witness.backups();
  if (findings.clean())
    if (const auto log = RocksEventLog::open(directory)) witness.check_from_the_beginning(**log, findings);
  return findings.clean();
}

int run(const Options& options) {
  std::printf("seed %lu\n", options.seed);
  std::mt19937_64 random(options.seed);
  Counts counts;
  Findings findings;
  while (counts.cycles < options.cycles && run_log(options, random, counts, findings)) continue;
  for (const std::string& text : findings.texts) std::printf("  %s\n", text.c_str());
  std::string points;
  for (const auto& [point, count] : counts.points) points += fmt::format(" {} {},", point, count);
  if (!points.empty()) points.pop_back();
  std::printf("points:%s\n", points.c_str());
  std::printf("%lu cycles: %lu opened, %lu acknowledged entries, %lu blobs, %lu snapshots, %lu backups; "
              "%lu lost, %lu half, %lu gaps, %lu duplicates, %lu otherwise wrong; "
              "killed %lu, power cut %lu (torn %lu), full %lu, eio %lu, outlived %lu\n",
              counts.cycles, counts.opened, counts.entries, counts.blobs, counts.snapshots, counts.backups,
              findings.lost, findings.half, findings.gaps, findings.duplicates, findings.wrong, counts.killed,
              counts.power, counts.torn, counts.full, counts.io, counts.outlived);
  return findings.clean() ? 0 : 1;
}

uint64_t from_environment(const char* name, uint64_t otherwise) {
  const char* text = std::getenv(name);
  return text && *text ? std::strtoull(text, nullptr, 10) : otherwise;
}

}  // namespace
}  // namespace mesh::crash

int main(int count, char** arguments) {
  using namespace mesh::crash;
  const std::vector<std::string> words(arguments + 1, arguments + count);
  if (words.size() > 2 && words[0] == "--writer")
    return write_until_death(words[1], Plan::parse({words.begin() + 2, words.end()}));
  Options options{from_environment("MESH_CRASH_CYCLES", 40), from_environment("MESH_SEED", 1)};
  for (size_t i = 0; i < words.size(); ++i) {
    if (words[i] == "--verbose") {
      options.verbose = true;
    } else if (words[i] == "--lying-disk") {
      options.lying_disk = true;
    } else if (i + 1 < words.size() && (words[i] == "--cycles" || words[i] == "--seed")) {
      (words[i] == "--cycles" ? options.cycles : options.seed) = std::strtoull(words[i + 1].c_str(), nullptr, 10);
      ++i;
    } else {
      std::fprintf(stderr, "usage: mesh_crash [--cycles N] [--seed S] [--verbose] [--lying-disk]\n");
      return 2;
    }
  }
  return run(options);
}
