// Claim: kill -9 between any two steps of the writer, also while it recovers from the one before,
// loses no acknowledged batch, leaves no part of one, and makes no entry twice. Method: a process
// of its own runs the workload and kills itself at the n-th file operation of RocksDB, or at the
// n-th step of a write; a second one is killed early, in recovery; then this process opens the log.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>

#include "tests/crash/log/fault_fs.h"
#include "tests/crash/log/workload.h"

namespace mesh {
namespace {

struct Death {
  bool killed = false;
  int exit_code = 0;
  uint64_t acknowledged_head = 0;  // 0: nothing was acknowledged
};

std::string read_all(int fd) {
  std::string out;
  char buffer[4096];
  for (ssize_t count; (count = ::read(fd, buffer, sizeof buffer)) > 0;)
    out.append(buffer, static_cast<size_t>(count));
  return out;
}

Death run_writer(const std::filesystem::path& directory, const char* kind, uint64_t number) {
  int pipe_ends[2];
  if (::pipe2(pipe_ends, O_CLOEXEC) != 0) std::abort();
  std::string program = MESH_BIN_DIR "/log_crash_writer", path = directory.string(),
              kind_text = kind, number_text = std::to_string(number);
  char* arguments[] = {program.data(), path.data(), kind_text.data(), number_text.data(), nullptr};
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_adddup2(&actions, pipe_ends[1], STDOUT_FILENO);
  pid_t child = 0;
  const int spawned = ::posix_spawn(&child, program.c_str(), &actions, nullptr, arguments, environ);
  posix_spawn_file_actions_destroy(&actions);
  ::close(pipe_ends[1]);
  EXPECT_EQ(spawned, 0);
  const std::string said = read_all(pipe_ends[0]);
  ::close(pipe_ends[0]);
  int status = 0;
  if (spawned != 0 || ::waitpid(child, &status, 0) != child) return {false, -1, 0};
  Death out{WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL,
            WIFEXITED(status) ? WEXITSTATUS(status) : 0, 0};
  const size_t line = said.size() < 2 ? std::string::npos : said.rfind('\n', said.size() - 2);
  if (!said.empty())
    out.acknowledged_head = std::stoull(said.substr(line == std::string::npos ? 0 : line + 1));
  return out;
}

class KillTest : public testing::Test {
 protected:
  const Workload workload_ = Workload::with_flushes();
  TempDir empty_;
  FaultFs disk_;

  void SetUp() override {
    ASSERT_TRUE(RocksEventLog::create(empty_.path() / "log", test_log_id()));
  }

  /// Returns whether the process was killed, and did not end first.
  bool survives_death_at(const char* kind, uint64_t number, uint64_t second_number) {
    SCOPED_TRACE(testing::Message()
                 << kind << " " << number << ", then operation " << second_number);
    TempDir dir;
    const auto path = dir.path() / "log";
    std::filesystem::copy(empty_.path() / "log", path);
    const Death first = run_writer(path, kind, number);
    EXPECT_TRUE(first.killed || first.exit_code == 0) << first.exit_code;
    const Death second = run_writer(path, "operation", second_number);
    EXPECT_TRUE(second.killed || second.exit_code == 0) << second.exit_code;
    const uint64_t head = std::max(first.acknowledged_head, second.acknowledged_head);
    Acknowledged acknowledged = acknowledged_at(workload_, head);

    const auto log = RocksEventLog::open_with(path, {disk_.env(), {}, kSmallWriteBuffer});
    EXPECT_TRUE(log) << log.error().message;
    if (!log) return false;
    expect_nothing_lost(**log, workload_, acknowledged);
    const Status ended = run_workload(**log, workload_, acknowledged);
    EXPECT_TRUE(ended) << ended.error().message;
    expect_nothing_lost(**log, workload_, acknowledged);
    return first.killed;
  }

  /// One death at each `stride`th point until the writer outlives them all. Returns how many died.
  uint64_t kill_at_each(const char* kind, uint64_t stride) {
    uint64_t killed = 0;
    for (uint64_t number = 1; !HasFailure(); number += stride, ++killed)
      if (!survives_death_at(kind, number, 1 + number * 7 % 23)) break;
    return killed;
  }
};

// Strides that share no factor with the three steps of a write, or with what a flush does.
TEST_F(KillTest, BetweenAnyTwoStepsOfAWrite) {
  EXPECT_GT(2 * kill_at_each("step", 2), 3 * workload_.batches.size());
}

TEST_F(KillTest, BetweenAnyTwoFileOperations) { EXPECT_GT(kill_at_each("operation", 3), 20u); }

}  // namespace
}  // namespace mesh
