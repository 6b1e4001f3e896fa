// A Towalink configuration folder (/etc/towalink), as it is: attributes and files of the global level, of each site_S
// and of each site_S/node_N. What cannot be read is a problem with its place; whether it makes sense is
// towalink_import.h's question.
#pragma once

#include <filesystem>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "eventstore/model/attribute_value.h"
#include "eventstore/model/result.h"

namespace mesh::cli {

/// Something to be told about a place: "site_ams/config.toml:7", relative to the folder.
struct TowalinkNote {
  std::string where, text;
  bool operator==(const TowalinkNote&) const = default;
};
/// Something because of which nothing can be imported.
struct TowalinkProblem {
  std::string where;
  Error error;
};

struct TowalinkAttribute {
  AttributeValue value;
  std::string where;
};
struct TowalinkFile {
  std::string where, content;
};
struct TowalinkLevel {
  std::string folder;                                   // "", "site_ams", "site_ams/node_r1"
  std::map<std::string, TowalinkAttribute> attributes;  // nested tables as dotted names
  std::map<std::string, TowalinkFile> files;            // *.conf and *.jinja
};
struct TowalinkNode {
  std::string name;  // as the folder says; without the site
  TowalinkLevel level;
};
struct TowalinkSite {
  std::string name;
  TowalinkLevel level;
  std::vector<TowalinkNode> nodes;  // by folder name
};

struct TowalinkTree {
  TowalinkLevel global;
  std::vector<TowalinkSite> sites;          // by folder name
  size_t generated_keys = 0;                // private, public and shared keys and passwords in generated/config.toml
  std::vector<std::string> without_tunnel;  // links that are active there but for wg_active: "11-13"
  std::vector<std::string> ignored;         // paths that Towalink does not collect either
  std::vector<TowalinkNote> changed;        // values that had to become others: fractions, dates
  std::vector<TowalinkProblem> problems;    // malformed TOML, lists in lists, files that are too long, ...
};

/// Reads nothing but regular files below the folder: a link that leads out of it is a problem, since it could bring a
/// secret of this machine into the log. Of each file at most kFileBytesMax (generated: 64 MiB). Errors: not_found (no
/// folder, or none of Towalink), io.
Result<TowalinkTree> read_towalink(const std::filesystem::path& folder);

}  // namespace mesh::cli
