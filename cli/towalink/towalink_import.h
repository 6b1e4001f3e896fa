// From a Towalink folder to commands: which names, values and files a log takes over, what is set in addition so that
// addresses, ports and links stay as they were, and everything that will be different.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "cli/towalink/towalink_tree.h"
#include "eventstore/model/command.h"
#include "eventstore/model/state.h"

namespace mesh::cli {

/// What an operator should know. differs: it will behave otherwise; set: added, so that it does not; renamed;
/// dropped: not taken over; unknown: only templates can use it; commit: a commit will refuse it as it is; check: what
/// is still to be looked at.
enum class ImportTopic : uint8_t { differs, commit, set, renamed, dropped, unknown, check };
std::string_view topic_name(ImportTopic topic);

struct ImportNote {
  ImportTopic topic{};
  std::string where, text;  // where: as in TowalinkNote; may be empty
};

/// Where a file's content goes: what the log's file of that name holds already, if any, keeps its blob.
using PutFile = std::function<Result<FileRef>(const std::string& content, const FileRef* stored)>;

struct TowalinkImport {
  std::vector<Command> commands;  // sites, then nodes by number, each with its attributes and files
  std::vector<ImportNote> notes;
  std::vector<TowalinkProblem> problems;  // when there are some, nothing may be submitted
  size_t sites = 0, nodes = 0, attributes = 0, files = 0;
};

/// Node numbers are kept, names become ones that are allowed here, keys and what only Towalink's own programs use
/// stay behind. What the log has already is left alone; sites, global attributes and files of other content that are
/// there are problems, and so is everything global as soon as the log has nodes. Errors: unsupported (a log of older
/// rules), those of `put`.
Result<TowalinkImport> import_towalink(const TowalinkTree& tree, const MeshState& now, const PutFile& put);

/// What can be said only of the state after the commands: nodes without links, links that cannot be, what a commit
/// will refuse. Of the nodes that `now` lacks.
std::vector<ImportNote> judge_import(const MeshState& now, const MeshState& after);

}  // namespace mesh::cli
