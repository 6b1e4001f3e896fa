// Runs a helper program: own session, working directory "/", no descriptor but the three standard
// ones, default signals, and nothing of our environment but PATH. A daemon that such a program
// leaves behind outlives us.
#pragma once

#include <chrono>
#include <string>
#include <string_view>
#include <vector>

#include "eventstore/model/result.h"
#include "nodes/dataplane/secret.h"

namespace mesh {

struct ProcessOutput {
  int code = 0;  // exit code; 128 + signal when it was killed
  SecretString out;
  std::string err;
};

/// Ends when the program has ended and nobody holds its output open, or kills it at the deadline.
/// `input` is its standard input; more than the machine's fs.pipe-max-size needs root. Errors: unavailable (it cannot
/// be started), exhausted (more than 16 MiB of input), timeout, io.
Result<ProcessOutput> run_program(const std::vector<std::string>& arguments, std::string_view input,
                                  std::chrono::milliseconds deadline);

/// The path of `program` in PATH and the usual places for administration.
/// Errors: unavailable, with the Debian package to install.
Result<std::string> find_program(std::string_view program, std::string_view package);

}  // namespace mesh
