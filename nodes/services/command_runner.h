// Runs commands that an operator chose: services' checks and reloads, start-up scripts.
#pragma once

#include "nodes/services/services.h"

namespace mesh {

/// Without a shell, in a session of its own, at "/", with umask 022, standard input at its end and nothing of our
/// environment but a fixed PATH, in which a first word without a slash is looked up. Ends when the program has ended,
/// whoever still holds its output; a daemon that it leaves lives on, and can print no more. At `limit`, or when it
/// printed more than a MiB, it is killed with its process group. The output is the end of what it printed. Errors:
/// unavailable (it cannot be started), timeout, invalid (a relative path), io.
Result<CommandResult> run_command(const std::vector<std::string>& words, std::chrono::milliseconds limit);

}  // namespace mesh
