// Intent as files in Towalink's layout: DIR/NAME, DIR/site_S/NAME, DIR/site_S/node_N/NAME, with the attributes of each
// level in its config.toml. And a folder that holds it.
//
// A folder remembers in .meshlog what it was pulled from: the log, the sequence and, for each file, the blob in the log
// and the SHA-256 of its content. So it is known on both sides who changed what since.
#pragma once

#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "eventstore/model/attribute_value.h"
#include "eventstore/model/principal.h"
#include "eventstore/model/state.h"

namespace mesh::cli {

inline constexpr std::string_view kLevelFile = "config.toml";

/// A file of the log, or the text of a config.toml.
struct TreeItem {
  std::optional<FileRef> file;
  std::string text;
  bool operator==(const TreeItem&) const = default;
};
using FileTree = std::map<std::string, TreeItem>;  // by path

/// The working intent of `state`. The same state always gives the same bytes.
FileTree file_tree(const MeshState& state);

/// A file's place: its level and its name.
struct FilePlace {
  Target level;
  std::string name;
};
/// The inverse of the layout; nothing for other paths.
std::optional<FilePlace> place_of(const std::string& path);
std::string path_of(const FilePlace& place);

/// What a folder was pulled from.
struct PulledFile {
  FileRef file;    // zero for a config.toml
  Digest content;  // SHA-256 of what was written
};
struct Pulled {
  LogId log;
  Sequence at;
  std::map<std::string, PulledFile> files;
};
/// Nothing when there is no .meshlog. Errors: io, invalid (damaged; with the fix).
Result<std::optional<Pulled>> read_pulled(const std::filesystem::path& folder);
Status write_pulled(const std::filesystem::path& folder, const Pulled& pulled);

/// What a folder holds now. Hidden files, those that Towalink generates (generated, effective, certs) and what is no
/// regular file are left out, the last with a warning.
struct Folder {
  std::map<std::string, std::string> files;   // path -> content
  std::map<std::string, std::string> levels;  // path of a config.toml -> content
  std::vector<std::string> warnings;
};
/// Errors: not_found, io, exhausted (kFileBytesMax), invalid (a name that no file can have).
Result<Folder> read_folder(const std::filesystem::path& folder);

/// Puts `content` under its name when it is whole, and makes the directories above. Errors: io.
Status write_whole(const std::filesystem::path& path, std::string_view content, bool secret = false);

}  // namespace mesh::cli
