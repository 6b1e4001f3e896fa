#include "nodes/services/command_runner.h"

#include <fcntl.h>
#include <fmt/core.h>
#include <spawn.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstring>
#include <thread>

#include "nodes/dataplane/files.h"

namespace mesh {

namespace {

using Clock = std::chrono::steady_clock;
constexpr std::string_view kPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
constexpr off_t kPrintedMax = 1024 * 1024;
constexpr off_t kKept = 64 * 1024;
constexpr auto kPoll = std::chrono::milliseconds(10);

Result<std::string> find(const std::string& program) {
  if (program.starts_with('/')) return program;
  if (program.contains('/'))
    return fail(Errc::invalid, fmt::format("{} is neither a path from / nor a name", program));
  for (size_t begin = 0; begin < kPath.size();) {
    const size_t end = std::min(kPath.find(':', begin), kPath.size());
    const auto candidate = fmt::format("{}/{}", kPath.substr(begin, end - begin), program);
    if (::access(candidate.c_str(), X_OK) == 0) return candidate;
    begin = end + 1;
  }
  return fail(Errc::unavailable, fmt::format("the program {} is not on this router", program));
}

/// What others make is to be read by others, also when our own files are not. It is the process's, and is set for no
/// longer than it takes to start one; no other thread of this program makes files.
class OrdinaryUmask {
 public:
  OrdinaryUmask() : before_(::umask(022)) {}
  ~OrdinaryUmask() { ::umask(before_); }
  OrdinaryUmask(const OrdinaryUmask&) = delete;
  OrdinaryUmask& operator=(const OrdinaryUmask&) = delete;

 private:
  mode_t before_;
};

int spawn(pid_t& pid, const std::string& program, const std::vector<std::string>& words, int in, int out) {
  posix_spawn_file_actions_t files;
  posix_spawn_file_actions_init(&files);
  posix_spawn_file_actions_adddup2(&files, in, 0);
  posix_spawn_file_actions_adddup2(&files, out, 1);
  posix_spawn_file_actions_adddup2(&files, out, 2);
  posix_spawn_file_actions_addclosefrom_np(&files, 3);
  posix_spawn_file_actions_addchdir_np(&files, "/");
  posix_spawnattr_t attributes;
  posix_spawnattr_init(&attributes);
  sigset_t none, all;
  sigemptyset(&none);
  sigfillset(&all);
  posix_spawnattr_setsigmask(&attributes, &none);
  posix_spawnattr_setsigdefault(&attributes, &all);
  posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSID | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
  std::vector<char*> argv;
  for (const auto& word : words) argv.push_back(const_cast<char*>(word.c_str()));
  argv.push_back(nullptr);
  auto path = fmt::format("PATH={}", kPath);
  char* environment[] = {path.data(), nullptr};
  const OrdinaryUmask ordinary;
  const int error = posix_spawn(&pid, program.c_str(), &files, &attributes, argv.data(), environment);
  posix_spawn_file_actions_destroy(&files);
  posix_spawnattr_destroy(&attributes);
  return error;
}

off_t printed(int out) {
  struct stat info {};
  return ::fstat(out, &info) == 0 ? info.st_size : 0;
}

std::string end_of(int out) {
  const off_t size = printed(out), from = std::max<off_t>(0, size - kKept);
  std::string text(static_cast<size_t>(size - from), '\0');
  const auto got = ::pread(out, text.data(), text.size(), from);
  text.resize(got < 0 ? 0 : static_cast<size_t>(got));
  return text;
}

}  // namespace

Result<CommandResult> run_command(const std::vector<std::string>& words, std::chrono::milliseconds limit) {
  MESH_ASSERT(!words.empty());
  auto program = find(words.front());
  if (!program) return std::unexpected(program.error());
  // In memory: a full disk hides nobody's last words, and nobody fills a disk with them.
  Fd out(::memfd_create("output", MFD_CLOEXEC | MFD_ALLOW_SEALING)), in(::open("/dev/null", O_RDONLY | O_CLOEXEC));
  if (!out || !in) return fail_errno("opening the output of a command", errno);
  pid_t pid = 0;
  if (const int error = spawn(pid, *program, words, in.get(), out.get()); error != 0)
    return fail(Errc::unavailable, fmt::format("starting {}: {}", *program, std::strerror(error)));
  const auto deadline = Clock::now() + limit;
  int status = 0;
  for (;;) {
    const pid_t ended = ::waitpid(pid, &status, WNOHANG);
    if (ended == pid) break;
    if (ended < 0 && errno != EINTR) return fail_errno("waiting for " + *program, errno);
    if (Clock::now() > deadline || printed(out.get()) > kPrintedMax) {
      ::kill(-pid, SIGKILL);
      while (::waitpid(pid, &status, 0) < 0 && errno == EINTR) continue;
      return fail(Errc::timeout, printed(out.get()) > kPrintedMax
                                     ? fmt::format("{} printed more than {} bytes", *program, kPrintedMax)
                                     : fmt::format("{} did not end within {} s", *program, limit.count() / 1000));
    }
    std::this_thread::sleep_for(kPoll);
  }
  // What a daemon that was left says from now on nobody reads, and it would be memory for ever.
  (void)::fcntl(out.get(), F_ADD_SEALS, F_SEAL_GROW);
  return CommandResult{WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status), end_of(out.get())};
}

}  // namespace mesh
