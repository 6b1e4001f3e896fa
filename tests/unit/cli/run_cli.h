// meshcli in a test: a command line in, what it printed and its exit code out. The clock stands
// still and moves only when the program sleeps.
#pragma once

#include <functional>
#include <map>
#include <string>
#include <vector>

#include "cli/environment.h"
#include "tests/unit/cli/fake_controller.h"

namespace mesh::cli::test {

struct Ran {
  int exit = 0;
  std::string out, err;
};

struct Setting {
  std::string program = "meshcli";
  std::string typed{};    // standard input
  bool terminal = false;  // all three
  std::function<void(int64_t now_ms)> while_sleeping{};
  int interrupt_after_sleeps = -1;
  std::map<std::string, std::string> variables{};  // of the environment
  /// Instead of programs that are started; nothing = none is installed.
  std::function<Result<Environment::Finished>(const Environment::Program&)> run_program{};
};

/// The words of a command line; single and double quotes keep words together.
std::vector<std::string> words_of(const std::string& line);

/// Runs `line` (without the program's name) against `controller`, with its administrator's context
/// in a file.
Ran run_cli(FakeController& controller, const std::string& line, const Setting& setting = {});

}  // namespace mesh::cli::test
