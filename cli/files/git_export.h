// History as a git repository: each entry that committed versions becomes a git commit.
//
//   tree      config.toml and files of each level, as committed (file_tree.h); effective/node_N/: config.json of the
//             node's latest version with its files, keys as placeholders
//   author    the operator, NAME <NAME@first 8 digits of the log's id>; date = the entry's time
//   message   the commit's message, "New config version" without one; trailers Meshlog-Sequence, Meshlog-Log, and
//             Meshlog-Reference when there is one
//
// The same log gives the same commits: what is written follows from verified entries and from blobs that they name.
// They are added to refs/meshlog/main, which tells where to go on; `main` follows it when nothing else is on it.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "cli/session.h"

namespace mesh::cli {

struct GitExport {
  size_t added = 0;      // commits
  Sequence last;         // of the newest; 0 = none
  std::vector<std::string> warnings;
};

/// Makes the working tree `tree` when there is none, and adds what is new since the last time. One at a time. Runs no
/// hooks, pushes nothing. Errors: not_found (git is not installed), conflict (the tree of another log, or somebody else
/// is at it), corrupt (the log does not verify: nothing is added), io, those of the controller.
Result<GitExport> export_to_git(Session& session, Client& client, const std::filesystem::path& tree);

/// Words of a call of git in `tree` without hooks, and with nothing of the environment that would lead it elsewhere.
Environment::Program git_in(const std::filesystem::path& tree, std::vector<std::string> arguments);

}  // namespace mesh::cli
