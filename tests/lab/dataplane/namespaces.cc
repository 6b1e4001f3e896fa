#include "tests/lab/dataplane/namespaces.h"

#include <fmt/format.h>
#include <gtest/gtest.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <filesystem>

#include "eventstore/model/result.h"
#include "nodes/dataplane/files.h"
#include "nodes/dataplane/process.h"

namespace mesh::test {
namespace {

using namespace std::chrono_literals;

std::string g_why;

std::string find_reason() {
  if (::geteuid() != 0) return "needs root";
  if (::access("/dev/net/tun", R_OK | W_OK) != 0) return "needs /dev/net/tun";
  for (auto [program, package] : {std::pair{"wireguard-go", "wireguard-go"},
                                  {"wg", "wireguard-tools"},
                                  {"bird", "bird2"},
                                  {"ip", "iproute2"},
                                  {"ping", "iputils-ping"}})
    if (!find_program(program, package)) return std::string("needs the package ") + package;
  return {};
}

int run_as_first_process(const std::function<int()>& body) {
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);  // and with us everything in this process namespace
  if (::mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0 ||
      ::mount("proc", "/proc", "proc", 0, nullptr) != 0)
    g_why = fmt::format("cannot mount /proc: {}", std::strerror(errno));
  return body();
}

}  // namespace

const std::string& why_no_lab() { return g_why; }

int run_contained(const std::function<int()>& body) {
  g_why = find_reason();
  if (!g_why.empty()) return body();
  if (::unshare(CLONE_NEWPID | CLONE_NEWNS) != 0) {
    g_why = fmt::format("needs namespaces: {}", std::strerror(errno));
    return body();
  }
  pid_t child = ::fork();
  if (child == 0) {
    int code = run_as_first_process(body);
    std::fflush(nullptr);
    ::_exit(code);
  }
  int status = 0;
  ::waitpid(child, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : 1;
}

Namespace::Namespace() : thread_([this] { serve(); }) {
  path_ = run([] {
    MESH_ASSERT(::unshare(CLONE_FS | CLONE_NEWNET | CLONE_NEWNS) == 0);
    ::mkdir("/run/wireguard", 0755);
    MESH_ASSERT(::mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) == 0);
    MESH_ASSERT(::mount("tmpfs", "/run/wireguard", "tmpfs", 0, nullptr) == 0);
    return fmt::format("/proc/{}/task/{}/ns/net", ::getpid(), ::syscall(SYS_gettid));
  });
  must("ip link set lo up");
}

Namespace::~Namespace() {
  for (pid_t pid : processes("")) ::kill(pid, SIGKILL);
  {
    std::lock_guard lock(mutex_);
    ended_ = true;
  }
  wake_.notify_one();
  thread_.join();
}

void Namespace::serve() {
  for (;;) {
    std::unique_lock lock(mutex_);
    wake_.wait(lock, [this] { return ended_ || !queue_.empty(); });
    if (queue_.empty()) return;
    auto work = std::move(queue_.front());
    queue_.pop();
    lock.unlock();
    work();
  }
}

void Namespace::post(std::function<void()> work) {
  {
    std::lock_guard lock(mutex_);
    queue_.push(std::move(work));
  }
  wake_.notify_one();
}

Namespace::Output Namespace::sh(const std::string& script) {
  return run([&]() -> Output {
    auto done = run_program({"/bin/sh", "-ec", script}, {}, 60s);
    if (!done) return {-1, {}, done.error().message};
    return {done->code, std::string(done->out.data(), done->out.size()), done->err};
  });
}

std::string Namespace::must(const std::string& script) {
  Output done = sh(script);
  EXPECT_EQ(done.code, 0) << script << "\n" << done.out << done.err;
  return done.out;
}

std::vector<pid_t> Namespace::processes(const std::string& text) {
  std::vector<pid_t> out;
  std::error_code error;
  const std::string here = std::filesystem::read_symlink(path_, error).string();
  for (const auto& entry : std::filesystem::directory_iterator("/proc", error)) {
    const pid_t pid = std::atoi(entry.path().filename().c_str());
    if (pid <= 1 || std::filesystem::read_symlink(entry.path() / "ns/net", error).string() != here)
      continue;
    auto line = read_file(entry.path() / "cmdline");
    if (!line || line->empty()) continue;  // a zombie: nobody waits for orphans here
    std::ranges::replace(*line, '\0', ' ');
    if (line->contains(text)) out.push_back(pid);
  }
  return out;
}

void Namespace::give(const std::string& name, Namespace& other) {
  must(fmt::format("ip link set {} netns {}", name, other.path_));
}

bool eventually(const std::function<bool()>& state) {
  const auto deadline = std::chrono::steady_clock::now() + 60s;
  while (!state()) {
    if (std::chrono::steady_clock::now() > deadline) return false;
    std::this_thread::sleep_for(20ms);
  }
  return true;
}

}  // namespace mesh::test
