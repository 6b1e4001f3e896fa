// The process that dies: opens a log, runs the workload, says on standard output what was
// acknowledged, and ends itself with SIGKILL at the chosen file operation or step.
//
// log_crash_writer DIRECTORY (operation|step) NUMBER
#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "tests/crash/log/fault_fs.h"
#include "tests/crash/log/workload.h"

int main(int count, char** arguments) {
  using namespace mesh;
  if (count != 4) return 2;
  const bool at_operation = std::strcmp(arguments[2], "operation") == 0;
  const uint64_t fatal = std::strtoull(arguments[3], nullptr, 10);

  FaultFs disk;
  uint64_t steps = 0;
  RocksSeams seams{disk.env(), {}, kSmallWriteBuffer};
  if (at_operation) {
    disk.set_judge([=](uint64_t number) {
      return number == fatal ? FaultFs::Fate::kill : FaultFs::Fate::happen;
    });
  } else {
    seams.at_step = [&](std::string_view) {
      if (++steps == fatal) std::raise(SIGKILL);
    };
  }
  auto log = RocksEventLog::open_with(arguments[1], seams);
  if (!log) {
    std::fprintf(stderr, "%s\n", log.error().message.c_str());
    return 1;
  }
  Acknowledged acknowledged;
  const Status ended = run_workload(**log, Workload::with_flushes(), acknowledged, [&] {
    const std::string line = std::to_string(acknowledged.head) + "\n";
    if (::write(STDOUT_FILENO, line.data(), line.size()) < 0) std::abort();
  });
  return ended ? 0 : 1;
}
