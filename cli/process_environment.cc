#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <iostream>
#include <utility>

#include "broker/bus/keys.h"
#include "cli/environment.h"

extern char** environ;

namespace mesh::cli {

namespace {

volatile sig_atomic_t interrupted_flag = 0;
void on_interrupt(int) { interrupted_flag = 1; }

std::filesystem::path own_folder() {
  std::error_code error;
  const auto self = std::filesystem::read_symlink("/proc/self/exe", error);
  return error ? std::filesystem::path(".") : self.parent_path();
}

/// A pipe whose ends close by themselves.
struct Pipe {
  int ends[2] = {-1, -1};
  Pipe() = default;
  Pipe(const Pipe&) = delete;
  Pipe& operator=(const Pipe&) = delete;
  ~Pipe() {
    close_end(0);
    close_end(1);
  }
  bool open() { return ::pipe2(ends, O_CLOEXEC) == 0; }
  void close_end(int which) {
    if (ends[which] >= 0) ::close(std::exchange(ends[which], -1));
  }
};

/// Reads both until both are closed: a child that fills one while we wait for the other would hang.
void drain(Pipe& first, std::string& first_text, Pipe& second, std::string& second_text) {
  pollfd watched[2] = {{first.ends[0], POLLIN, 0}, {second.ends[0], POLLIN, 0}};
  std::string* texts[2] = {&first_text, &second_text};
  while (watched[0].fd >= 0 || watched[1].fd >= 0) {
    if (::poll(watched, 2, -1) < 0 && errno != EINTR) return;
    for (int i = 0; i < 2; ++i) {
      if (watched[i].fd < 0 || watched[i].revents == 0) continue;
      char buffer[4096];
      const ssize_t count = ::read(watched[i].fd, buffer, sizeof buffer);
      if (count > 0) texts[i]->append(buffer, static_cast<size_t>(count));
      if (count == 0 || (count < 0 && errno != EINTR)) watched[i].fd = -1;
    }
  }
}

/// File actions and attributes of a child, with what was opened for it.
struct Spawning {
  posix_spawn_file_actions_t actions;
  posix_spawnattr_t attributes;
  Pipe out, err;
  Spawning() {
    posix_spawn_file_actions_init(&actions);
    posix_spawnattr_init(&attributes);
  }
  Spawning(const Spawning&) = delete;
  Spawning& operator=(const Spawning&) = delete;
  ~Spawning() {
    posix_spawn_file_actions_destroy(&actions);
    posix_spawnattr_destroy(&attributes);
  }

  Status capture() {
    if (!out.open() || !err.open()) return fail(Errc::io, "cannot make a pipe");
    posix_spawn_file_actions_adddup2(&actions, out.ends[1], STDOUT_FILENO);
    posix_spawn_file_actions_adddup2(&actions, err.ends[1], STDERR_FILENO);
    return {};
  }
};

/// While a child has the terminal, Ctrl-C is meant for it.
class IgnoredInterrupts {
 public:
  IgnoredInterrupts() {
    struct sigaction ignore {};
    ignore.sa_handler = SIG_IGN;
    ::sigaction(SIGINT, &ignore, &interrupt_);
    ::sigaction(SIGQUIT, &ignore, &quit_);
  }
  IgnoredInterrupts(const IgnoredInterrupts&) = delete;
  IgnoredInterrupts& operator=(const IgnoredInterrupts&) = delete;
  ~IgnoredInterrupts() {
    ::sigaction(SIGINT, &interrupt_, nullptr);
    ::sigaction(SIGQUIT, &quit_, nullptr);
  }

 private:
  struct sigaction interrupt_ {}, quit_ {};
};

std::vector<char*> pointers(const std::vector<std::string>& texts) {
  std::vector<char*> out;
  for (const std::string& text : texts) out.push_back(const_cast<char*>(text.c_str()));
  out.push_back(nullptr);
  return out;
}

/// This program's environment with `changes`; an empty value takes a variable away.
std::vector<std::string> variables_with(const std::map<std::string, std::string>& changes) {
  std::vector<std::string> out;
  for (char** each = environ; *each != nullptr; ++each)
    if (const std::string text = *each; !changes.contains(text.substr(0, text.find('=')))) out.push_back(text);
  for (const auto& [name, value] : changes)
    if (!value.empty()) out.push_back(name + "=" + value);
  return out;
}

Result<Environment::Finished> spawn(const Environment::Program& program) {
  Spawning child;
  if (program.captured) MESH_TRY(child.capture());
  if (const char* input = program.captured && program.input.empty() ? "/dev/null" : program.input.c_str(); *input)
    posix_spawn_file_actions_addopen(&child.actions, STDIN_FILENO, input, O_RDONLY, 0);
  std::optional<IgnoredInterrupts> ignored;
  if (!program.captured) {
    sigset_t defaults;
    sigemptyset(&defaults);
    sigaddset(&defaults, SIGINT);
    sigaddset(&defaults, SIGQUIT);
    posix_spawnattr_setsigdefault(&child.attributes, &defaults);
    posix_spawnattr_setflags(&child.attributes, POSIX_SPAWN_SETSIGDEF);
    ignored.emplace();
  }
  const std::vector<std::string> variables = variables_with(program.variables);
  const std::string& name = program.words.front();
  pid_t id = 0;
  const int error = ::posix_spawnp(&id, name.c_str(), &child.actions, &child.attributes,
                                   pointers(program.words).data(), pointers(variables).data());
  if (error == ENOENT)
    return fail(Errc::not_found, fmt::format("{} is not installed", name), fmt::format("apt-get install {}", name));
  if (error != 0) return fail(Errc::io, fmt::format("cannot start {}: {}", name, std::strerror(error)));
  Environment::Finished finished;
  if (program.captured) {
    child.out.close_end(1);
    child.err.close_end(1);
    drain(child.out, finished.output, child.err, finished.errors);
  }
  int status = 0;
  while (::waitpid(id, &status, 0) < 0 && errno == EINTR) {
  }
  finished.status = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  return finished;
}

Result<Environment::Finished> run_beside(const std::string& program,
                                         const std::vector<std::string>& arguments) {
  const std::string path = (own_folder() / program).string();
  if (::access(path.c_str(), X_OK) != 0)
    return fail(Errc::not_found, fmt::format("{} is not there", path),
                fmt::format("install {} beside meshcli", program));
  Environment::Program child{.words = {path}, .captured = true};
  child.words.insert(child.words.end(), arguments.begin(), arguments.end());
  return spawn(child);
}

}  // namespace

Environment process_environment(const char* program) {
  Environment out;
  out.program = std::filesystem::path(program).filename().string();
  out.in = &std::cin;
  out.out = &std::cout;
  out.err = &std::cerr;
  out.in_terminal = ::isatty(STDIN_FILENO) == 1;
  out.out_terminal = ::isatty(STDOUT_FILENO) == 1;
  out.err_terminal = ::isatty(STDERR_FILENO) == 1;
  out.variable = [](std::string_view name) -> std::optional<std::string> {
    const char* value = std::getenv(std::string(name).c_str());
    return value ? std::optional<std::string>(value) : std::nullopt;
  };
  out.now = [] {
    const auto now = std::chrono::system_clock::now().time_since_epoch();
    return Timestamp(std::chrono::duration_cast<std::chrono::microseconds>(now).count());
  };
  out.monotonic_ms = [] {
    const auto now = std::chrono::steady_clock::now().time_since_epoch();
    return std::chrono::duration_cast<std::chrono::milliseconds>(now).count();
  };
  out.sleep = [](int ms) {
    const timespec time{ms / 1000, (ms % 1000) * 1'000'000L};
    ::nanosleep(&time, nullptr);
  };
  out.interrupted = [] { return interrupted_flag != 0; };
  out.catch_interrupts = [] {
    struct sigaction action {};
    action.sa_handler = on_interrupt;  // without SA_RESTART: waiting ends at once
    ::sigaction(SIGINT, &action, nullptr);
    ::sigaction(SIGTERM, &action, nullptr);
  };
  out.random = [](std::span<uint8_t> bytes) { fill_random(bytes); };
  out.connect = connect_bus;
  out.run_beside = run_beside;
  out.run_program = spawn;
  return out;
}

}  // namespace mesh::cli
