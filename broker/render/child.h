// A child process with one socket to it, or with its output. Ended and reaped with its owner.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "eventstore/model/result.h"

namespace mesh {

/// Milliseconds of the clock that only goes forward.
int64_t monotonic_ms();

class Child {
 public:
  /// Starts `arguments[0]`, a path, with an empty environment and no other descriptor; standard input and output are a
  /// socket, standard error too when `with_errors`, else nothing. Errors: unavailable.
  static Result<std::unique_ptr<Child>> start(const std::vector<std::string>& arguments, bool with_errors,
                                              const std::filesystem::path& directory = "/");
  ~Child();
  Child(const Child&) = delete;
  Child& operator=(const Child&) = delete;

  /// From now on: at most so much memory, no file written, no core left.
  void limit(uint64_t memory_bytes);
  /// Errors: unavailable (it is gone), timeout.
  Status write(std::string_view data, int64_t deadline_ms);
  /// Some bytes; none when it has closed its end. Errors: timeout, unavailable.
  Result<std::string> read(int64_t deadline_ms);
  /// Waits for the end. The exit code, 128 + N after a signal. Errors: timeout.
  Result<int> wait(int64_t deadline_ms);

 private:
  Child(pid_t pid, int fd) : pid_(pid), fd_(fd) {}
  pid_t pid_;
  int fd_;
};

}  // namespace mesh
