#include "nodes/dataplane/process.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <cstring>

#include "nodes/dataplane/files.h"

namespace mesh {
namespace {

using Clock = std::chrono::steady_clock;
constexpr std::string_view kAdministrationPath =
    "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
constexpr size_t kPipeBytes = 64 * 1024;       // what a pipe holds unless it is asked to hold more
constexpr size_t kInputMax = 16 * 1024 * 1024;  // `wg syncconf` of 10,000 peers is 2 MB
constexpr size_t kOutputMax = 4 << 20;  // `wg show` of 10,000 peers is 2 MB

struct Pipe {
  Fd read, write;
};

Result<Pipe> make_pipe() {
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) return fail_errno("making a pipe", errno);
  return Pipe{Fd(ends[0]), Fd(ends[1])};
}

/// Filled before the program starts, so that nobody has to write while it reads.
Status fill(const Fd& pipe, std::string_view input) {
  if (input.size() > kInputMax)
    return fail(Errc::exhausted, fmt::format("{} bytes are too many for a program to be given", input.size()));
  if (input.size() > kPipeBytes && ::fcntl(pipe.get(), F_SETPIPE_SZ, static_cast<int>(input.size())) < 0)
    return fail_errno(fmt::format("making a pipe of {} bytes", input.size()), errno);
  if (!input.empty() && ::write(pipe.get(), input.data(), input.size()) != static_cast<ssize_t>(input.size()))
    return fail_errno("filling a pipe", errno);
  return {};
}

/// posix_spawn's two C structures, freed together.
class SpawnSetup {
 public:
  SpawnSetup(int in, int out, int err) {
    posix_spawn_file_actions_init(&files_);
    posix_spawn_file_actions_adddup2(&files_, in, 0);
    posix_spawn_file_actions_adddup2(&files_, out, 1);
    posix_spawn_file_actions_adddup2(&files_, err, 2);
    posix_spawn_file_actions_addclosefrom_np(&files_, 3);
    posix_spawn_file_actions_addchdir_np(&files_, "/");
    posix_spawnattr_init(&attributes_);
    sigset_t none, all;
    sigemptyset(&none);
    sigfillset(&all);
    posix_spawnattr_setsigmask(&attributes_, &none);
    posix_spawnattr_setsigdefault(&attributes_, &all);
    posix_spawnattr_setflags(&attributes_,
                             POSIX_SPAWN_SETSID | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
  }
  ~SpawnSetup() {
    posix_spawn_file_actions_destroy(&files_);
    posix_spawnattr_destroy(&attributes_);
  }
  SpawnSetup(const SpawnSetup&) = delete;
  SpawnSetup& operator=(const SpawnSetup&) = delete;

  int spawn(pid_t& pid, const std::vector<std::string>& arguments) const {
    std::vector<char*> argv;
    for (const std::string& argument : arguments)
      argv.push_back(const_cast<char*>(argument.c_str()));
    argv.push_back(nullptr);
    std::string path = fmt::format("PATH={}", kAdministrationPath);
    char* environment[] = {path.data(), nullptr};
    return posix_spawn(&pid, argv[0], &files_, &attributes_, argv.data(), environment);
  }

 private:
  posix_spawn_file_actions_t files_;
  posix_spawnattr_t attributes_;
};

/// Appends what can be read; closes `fd` at the end of the stream.
template <class Text>
void drain(Fd& fd, Text& text) {
  char chunk[16 * 1024];
  ssize_t n = ::read(fd.get(), chunk, sizeof chunk);
  if (n < 0 && errno == EINTR) return;
  if (n <= 0 || text.size() + static_cast<size_t>(n) > kOutputMax)
    fd.reset();
  else
    text.append(chunk, static_cast<size_t>(n));
  explicit_bzero(chunk, sizeof chunk);
}

/// False when the deadline passed first.
bool read_both(Fd& out, Fd& err, ProcessOutput& output, Clock::time_point deadline) {
  while (out || err) {
    auto left =
        std::chrono::duration_cast<std::chrono::milliseconds>(deadline - Clock::now()).count();
    if (left <= 0) return false;
    pollfd polls[2] = {{out.get(), POLLIN, 0},
                       {err.get(), POLLIN, 0}};  // poll ignores a negative descriptor
    if (::poll(polls, 2, static_cast<int>(left)) < 0 && errno != EINTR) return false;
    if (polls[0].revents != 0) drain(out, output.out);
    if (polls[1].revents != 0) drain(err, output.err);
  }
  return true;
}

int wait_for(pid_t pid) {
  int status = 0;
  while (::waitpid(pid, &status, 0) < 0)
    if (errno != EINTR) return 0;
  return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

}  // namespace

Result<ProcessOutput> run_program(const std::vector<std::string>& arguments, std::string_view input,
                                  std::chrono::milliseconds deadline) {
  MESH_ASSERT(!arguments.empty());
  auto in = make_pipe(), out = make_pipe(), err = make_pipe();
  if (!in || !out || !err)
    return fail(Errc::io, "no descriptor is left", "raise the limit of open files");
  MESH_TRY(fill(in->write, input));
  in->write.reset();

  pid_t pid = 0;
  SpawnSetup setup(in->read.get(), out->write.get(), err->write.get());
  if (int error = setup.spawn(pid, arguments); error != 0)
    return fail(Errc::unavailable,
                fmt::format("starting {}: {}", arguments[0], std::strerror(error)));
  in->read.reset();
  out->write.reset();
  err->write.reset();

  ProcessOutput output;
  output.out.reserve(8 * 1024);
  bool finished = read_both(out->read, err->read, output, Clock::now() + deadline);
  if (!finished) ::kill(pid, SIGKILL);
  output.code = wait_for(pid);
  if (!finished)
    return fail(Errc::timeout,
                fmt::format("{} did not finish within {} ms", arguments[0], deadline.count()));
  return output;
}

Result<std::string> find_program(std::string_view program, std::string_view package) {
  const char* own = std::getenv("PATH");
  std::string paths = fmt::format("{}:{}", own == nullptr ? "" : own, kAdministrationPath);
  for (size_t begin = 0; begin < paths.size();) {
    size_t end = std::min(paths.find(':', begin), paths.size());
    std::string candidate =
        fmt::format("{}/{}", std::string_view(paths).substr(begin, end - begin), program);
    if (candidate.starts_with('/') && ::access(candidate.c_str(), X_OK) == 0) return candidate;
    begin = end + 1;
  }
  return fail(Errc::unavailable, fmt::format("the program {} is not installed", program),
              fmt::format("apt-get install {}", package));
}

}  // namespace mesh
