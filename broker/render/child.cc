#include "broker/render/child.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <ctime>

namespace mesh {

namespace {

/// Errors: timeout.
Status wait_for(int fd, short events, int64_t deadline_ms) {
  for (;;) {
    const int64_t left = deadline_ms - monotonic_ms();
    pollfd entry{fd, events, 0};
    const int ready = left > 0 ? poll(&entry, 1, static_cast<int>(left)) : 0;
    if (ready > 0) return {};
    if (ready == 0) return fail(Errc::timeout, "no answer in time");
    if (errno != EINTR) return fail(Errc::unavailable, fmt::format("poll: {}", std::strerror(errno)));
  }
}

class Actions {
 public:
  Actions() { posix_spawn_file_actions_init(&actions_); }
  ~Actions() { posix_spawn_file_actions_destroy(&actions_); }
  Actions(const Actions&) = delete;
  Actions& operator=(const Actions&) = delete;
  posix_spawn_file_actions_t* get() { return &actions_; }

 private:
  posix_spawn_file_actions_t actions_;
};

class Attributes {
 public:
  Attributes() {
    posix_spawnattr_init(&attributes_);
    sigset_t none, all;
    sigemptyset(&none);
    sigfillset(&all);
    posix_spawnattr_setsigmask(&attributes_, &none);
    posix_spawnattr_setsigdefault(&attributes_, &all);
    posix_spawnattr_setpgroup(&attributes_, 0);
    posix_spawnattr_setflags(&attributes_, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETPGROUP);
  }
  ~Attributes() { posix_spawnattr_destroy(&attributes_); }
  Attributes(const Attributes&) = delete;
  Attributes& operator=(const Attributes&) = delete;
  const posix_spawnattr_t* get() const { return &attributes_; }

 private:
  posix_spawnattr_t attributes_;
};

}  // namespace

int64_t monotonic_ms() {
  timespec now{};
  clock_gettime(CLOCK_MONOTONIC, &now);
  return int64_t{now.tv_sec} * 1'000 + now.tv_nsec / 1'000'000;
}

Result<std::unique_ptr<Child>> Child::start(const std::vector<std::string>& arguments, bool with_errors,
                                            const std::filesystem::path& directory) {
  int pair[2];
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) != 0)
    return fail(Errc::unavailable, fmt::format("no socket for {}: {}", arguments[0], std::strerror(errno)));
  Actions actions;
  posix_spawn_file_actions_addchdir_np(actions.get(), directory.c_str());
  posix_spawn_file_actions_adddup2(actions.get(), pair[1], 0);
  posix_spawn_file_actions_adddup2(actions.get(), pair[1], 1);
  if (with_errors)
    posix_spawn_file_actions_adddup2(actions.get(), pair[1], 2);
  else
    posix_spawn_file_actions_addopen(actions.get(), 2, "/dev/null", O_WRONLY, 0);
  posix_spawn_file_actions_addclosefrom_np(actions.get(), 3);
  std::vector<char*> argv;
  for (const std::string& each : arguments) argv.push_back(const_cast<char*>(each.c_str()));
  argv.push_back(nullptr);
  char* environment[] = {nullptr};
  pid_t pid = 0;
  const int error = posix_spawn(&pid, argv[0], actions.get(), Attributes().get(), argv.data(), environment);
  close(pair[1]);
  if (error != 0) {
    close(pair[0]);
    return fail(Errc::unavailable, fmt::format("{} cannot be started: {}", arguments[0], std::strerror(error)));
  }
  fcntl(pair[0], F_SETFL, O_NONBLOCK);
  return std::unique_ptr<Child>(new Child(pid, pair[0]));
}

Child::~Child() {
  close(fd_);
  if (pid_ == 0) return;
  kill(pid_, SIGKILL);
  while (waitpid(pid_, nullptr, 0) < 0 && errno == EINTR) {
  }
}

void Child::limit(uint64_t memory_bytes) {
  const rlimit memory{memory_bytes, memory_bytes}, none{0, 0};
  prlimit(pid_, RLIMIT_AS, &memory, nullptr);
  prlimit(pid_, RLIMIT_FSIZE, &none, nullptr);
  prlimit(pid_, RLIMIT_CORE, &none, nullptr);
}

Status Child::write(std::string_view data, int64_t deadline_ms) {
  while (!data.empty()) {
    const ssize_t sent = send(fd_, data.data(), data.size(), MSG_NOSIGNAL);
    if (sent > 0) {
      data.remove_prefix(static_cast<size_t>(sent));
    } else if (errno == EAGAIN) {
      MESH_TRY(wait_for(fd_, POLLOUT, deadline_ms));
    } else if (errno != EINTR) {
      return fail(Errc::unavailable, fmt::format("the process ended: {}", std::strerror(errno)));
    }
  }
  return {};
}

Result<std::string> Child::read(int64_t deadline_ms) {
  std::string out(64 * 1024, '\0');
  for (;;) {
    MESH_TRY(wait_for(fd_, POLLIN, deadline_ms));
    const ssize_t got = recv(fd_, out.data(), out.size(), 0);
    if (got >= 0) {
      out.resize(static_cast<size_t>(got));
      return out;
    }
    if (errno == ECONNRESET) return std::string();
    if (errno != EINTR && errno != EAGAIN)
      return fail(Errc::unavailable, fmt::format("reading from a process: {}", std::strerror(errno)));
  }
}

Result<int> Child::wait(int64_t deadline_ms) {
  // It has closed its end, so that it ends at once or never.
  for (int status = 0;;) {
    const pid_t done = waitpid(pid_, &status, WNOHANG);
    if (done == pid_) {
      pid_ = 0;
      return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
    }
    const int64_t left = deadline_ms - monotonic_ms();
    if (left <= 0) return fail(Errc::timeout, "it does not end");
    // Woken when it ends; a kernel without that is asked again every millisecond.
    pollfd entry{static_cast<int>(syscall(SYS_pidfd_open, pid_, 0)), POLLIN, 0};
    poll(&entry, 1, entry.fd < 0 ? 1 : static_cast<int>(left));
    if (entry.fd >= 0) close(entry.fd);
  }
}

}  // namespace mesh
