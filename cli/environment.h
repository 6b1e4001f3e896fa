// What meshcli takes from the world, so that tests can give their own.
#pragma once

#include <cstdint>
#include <functional>
#include <iosfwd>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "cli/context.h"
#include "cli/transport.h"
#include "eventstore/model/ids.h"

namespace mesh::cli {

struct Environment {
  std::string program = "meshcli";  // the last part of argv[0]; "tlm" changes exit codes
  std::istream* in = nullptr;
  std::ostream* out = nullptr;
  std::ostream* err = nullptr;
  bool in_terminal = false, out_terminal = false, err_terminal = false;
  Variable variable;  // getenv
  std::function<Timestamp()> now;
  std::function<int64_t()> monotonic_ms;
  std::function<void(int ms)> sleep;       // returns early when interrupted
  std::function<bool()> interrupted;       // Ctrl-C was pressed since catch_interrupts
  std::function<void()> catch_interrupts;  // from now on Ctrl-C sets interrupted()
  std::function<void(std::span<uint8_t>)> random;
  std::function<Result<std::unique_ptr<Transport>>(const OperatorContext&, Trace)> connect;
  /// Runs a program that stands beside this one and waits for it. Errors: not_found, io.
  struct Finished {
    int status = 0;
    std::string output, errors;
  };
  std::function<Result<Finished>(const std::string& program,
                                 const std::vector<std::string>& arguments)>
      run_beside;
  /// Runs a program and waits for it. Errors: not_found (it is not installed), io.
  struct Program {
    std::vector<std::string> words;  // the first one is looked for in PATH when it has no slash
    bool captured = false;           // its output is returned; else it has this program's terminal
    std::string input = {};          // a file that is its standard input; empty = ours, when captured nothing
    std::map<std::string, std::string> variables = {};  // more for its environment; an empty one is taken away
  };
  std::function<Result<Finished>(const Program&)> run_program;
};

/// The whole program: parses, runs, prints. The exit code (cli/README.md).
int run(Environment& environment, std::span<const std::string> arguments);

/// The real world. `program` is argv[0].
Environment process_environment(const char* program);

}  // namespace mesh::cli
