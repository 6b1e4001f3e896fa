#include "nodes/dataplane/bird_processes.h"

#include <poll.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <csignal>
#include <filesystem>

#include "nodes/dataplane/files.h"

namespace mesh {
namespace {

std::string network_namespace(const std::string& process) {
  std::error_code error;
  return std::filesystem::read_symlink("/proc/" + process + "/ns/net", error).string();
}

bool is_number(const std::string& text) {
  return std::ranges::all_of(text, [](char c) { return c >= '0' && c <= '9'; });
}

}  // namespace

std::vector<BirdProcess> find_bird_processes(const std::string& control_path) {
  std::vector<BirdProcess> out;
  const std::string here = network_namespace("thread-self");
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator("/proc", error)) {
    std::string name = entry.path().filename().string();
    if (!is_number(name)) continue;
    auto command = read_file(entry.path() / "comm");  // fails when the process ended meanwhile
    if (!command || *command != "bird\n" || network_namespace(name) != here) continue;
    auto line = read_file(entry.path() / "cmdline");
    if (!line || line->empty()) continue;  // a zombie
    BirdProcess process;
    std::from_chars(name.data(), name.data() + name.size(), process.pid);
    process.ours = line->contains(std::string(1, '\0') + control_path + std::string(1, '\0'));
    out.push_back(process);
  }
  return out;
}

void end_process(pid_t pid, std::chrono::milliseconds patience) {
  // A pidfd becomes readable when the process ends, and cannot come to mean another one.
  Fd process(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)));
  if (!process) return;
  pollfd ended{process.get(), POLLIN, 0};
  ::kill(pid, SIGTERM);
  if (::poll(&ended, 1, static_cast<int>(patience.count())) > 0) return;
  ::syscall(SYS_pidfd_send_signal, process.get(), SIGKILL, nullptr, 0);
  ::poll(&ended, 1, static_cast<int>(patience.count()));
}

}  // namespace mesh
