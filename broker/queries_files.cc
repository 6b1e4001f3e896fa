// level_files: the files of the log, where they were put and by whom.
#include <map>
#include <set>

#include "broker/queries_internal.h"
#include "eventstore/model/attribute_table.h"

namespace mesh::answering {

namespace {

constexpr size_t kFilesPerPage = 5'000;

struct LevelFile {
  Scope scope;
  std::string name;
  FileRef file;
  Sequence sequence;
};

void add_level(const Scope& scope, const Attributes& attributes, std::vector<LevelFile>& out) {
  for (auto at = attributes.lower_bound(kFilePrefix); at != attributes.end() && at->first.starts_with(kFilePrefix);
       ++at)
    if (const FileRef* file = at->second.value.file())
      out.push_back({scope, std::string(*file_of(at->first)), *file, at->second.sequence});
}

std::vector<LevelFile> all_files(const MeshState& state) {
  std::vector<LevelFile> out;
  add_level({}, state.global, out);
  for (const auto& [name, site] : state.sites) add_level({Level::site, name, {}}, site->attributes, out);
  for (const auto& [id, node] : state.nodes) add_level({Level::node, {}, id}, node->attributes, out);
  return out;
}

/// Those that `scope` has, each from the nearest level.
std::vector<LevelFile> files_of(const MeshState& state, const Scope& scope) {
  std::vector<LevelFile> layers, out;
  std::string site = scope.site;
  if (scope.level == Level::node) {
    const Node& node = *state.find_node(scope.node);
    site = node.site;
    add_level(scope, node.attributes, layers);
  }
  if (scope.level != Level::global)
    if (const Site* known = state.find_site(site)) add_level({Level::site, site, {}}, known->attributes, layers);
  add_level({}, state.global, layers);
  std::map<std::string, const LevelFile*> nearest;
  for (const LevelFile& file : layers) nearest.emplace(file.name, &file);
  for (const auto& each : nearest) out.push_back(*each.second);
  return out;
}

}  // namespace

Result<QueryResult> level_files(const QueryFacts& facts) {
  auto first = number_argument(facts, "cursor", 0);
  if (!first) return std::unexpected(first.error());
  std::vector<LevelFile> files;
  if (argument(facts, "scope")) {
    auto scope = scope_argument(facts);
    if (!scope) return std::unexpected(scope.error());
    files = files_of(facts.state, *scope);
  } else {
    files = all_files(facts.state);
  }
  json items = json::array();
  std::map<Sequence, json> credits;  // many files come in one entry
  size_t at = *first;
  for (; at < files.size() && items.size() < kFilesPerPage; ++at) {
    const LevelFile& file = files[at];
    auto known = credits.find(file.sequence);
    if (known == credits.end()) known = credits.emplace(file.sequence, credit_json(facts, file.sequence)).first;
    json item = known->second;
    item["scope"] = to_text(facts.state, file.scope);
    item["name"] = file.name;
    item["bytes"] = file.file.size;
    item["sha256"] = to_hex(file.file.digest.view());
    items.push_back(std::move(item));
  }
  const bool more = at < files.size();
  return QueryResult{list_document(facts, "FileList", std::move(items)).dump(), more,
                     more ? std::to_string(at) : std::string()};
}

}  // namespace mesh::answering
