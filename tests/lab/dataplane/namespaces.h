// Network namespaces for tests, each held by a thread. They have no name anywhere: they end with
// the test, also with one that is killed, because main() puts the whole test into a process
// namespace of its own.
#pragma once

#include <sys/types.h>

#include <condition_variable>
#include <functional>
#include <future>
#include <mutex>
#include <queue>
#include <string>
#include <thread>
#include <vector>

namespace mesh::test {

/// Runs `body` as the first process of new process and mount namespaces and returns its exit code.
/// Where that cannot be done (no root, say) `body` runs here, and why_no_lab() says why.
int run_contained(const std::function<int()>& body);
/// Empty when network namespaces, TUN and the programs of a router are there.
const std::string& why_no_lab();

/// A network namespace with a /run/wireguard of its own. What still runs in it at the end is
/// killed.
class Namespace {
 public:
  Namespace();
  ~Namespace();
  Namespace(const Namespace&) = delete;

  /// Runs `work` inside, and waits for it.
  template <class Work>
  auto run(Work work) -> decltype(work()) {
    std::packaged_task<decltype(work())()> task(std::move(work));
    auto result = task.get_future();
    post([&task] { task(); });
    return result.get();
  }
  struct Output {
    int code = 0;
    std::string out, err;
  };
  Output sh(const std::string& script);
  /// The same, and fails the test when the script does.
  std::string must(const std::string& script);
  /// Living processes of this namespace whose command line, joined by spaces, contains `text`.
  std::vector<pid_t> processes(const std::string& text);
  /// Moves the interface `name` of this namespace into `other`.
  void give(const std::string& name, Namespace& other);

 private:
  void post(std::function<void()> work);
  void serve();

  std::mutex mutex_;
  std::condition_variable wake_;
  std::queue<std::function<void()>> queue_;
  bool ended_ = false;
  std::string path_;  // of the namespace, for ip(8)
  std::thread thread_;
};

/// Waits for a state; only a failure waits for the whole minute.
bool eventually(const std::function<bool()>& state);

}  // namespace mesh::test
