// level_files: the files of the log, where they were put and by whom; below them the program's own.
#include <algorithm>
#include <map>
#include <set>

#include "broker/queries/queries_internal.h"
#include "broker/render/renderer.h"
#include "eventstore/model/attribute_table.h"
#include "eventstore/model/crypto.h"

namespace mesh::answering {

namespace {

constexpr size_t kFilesPerPage = 5'000;
constexpr std::string_view kBuiltIn = "built-in";  // the level of the program's own templates

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

/// Of the attributes of a level, or of those in force there.
template <class Values>
bool is_loopback(const Values& attributes) {
  const auto style = attributes.find("routing_style");
  return style != attributes.end() && style->second.value == AttributeValue(std::string("loopback"));
}

/// Whether templates of the program stand below the files of `scope`; without one, of any level.
bool has_built_in(const MeshState& state, const std::optional<Scope>& scope) {
  if (scope) return is_loopback(effective_attributes(state, *scope));
  return is_loopback(state.global) ||
         std::ranges::any_of(state.sites, [](const auto& each) { return is_loopback(each.second->attributes); }) ||
         std::ranges::any_of(state.nodes, [](const auto& each) { return is_loopback(each.second->attributes); });
}

json built_in_json(const DefaultTemplate& file) {
  return {{"scope", kBuiltIn},       {"name", file.name},   {"bytes", file.text.size()},
          {"sha256", to_hex(sha256(as_bytes(file.text)).view())}, {"sequence", 0},
          {"time", nullptr},         {"by", ""},            {"message", ""}};
}

/// Those that nothing in `files` replaces: neither a file of that name nor one of the name that it makes.
void add_built_in(const std::vector<LevelFile>& files, json& items) {
  for (const DefaultTemplate& each : default_templates()) {
    const std::string_view made = each.name.substr(0, each.name.rfind('.'));
    const bool replaced = std::ranges::any_of(
        files, [&](const LevelFile& file) { return file.name == each.name || file.name == made; });
    if (!replaced) items.push_back(built_in_json(each));
  }
}

/// With their texts: they are no blobs that could be fetched.
QueryResult built_in_files(const QueryFacts& facts) {
  json items = json::array();
  for (const DefaultTemplate& each : default_templates()) {
    items.push_back(built_in_json(each));
    items.back()["text"] = each.text;
  }
  return {list_document(facts, "FileList", std::move(items)).dump(), false, {}};
}

}  // namespace

Result<QueryResult> level_files(const QueryFacts& facts) {
  auto first = number_argument(facts, "cursor", 0);
  if (!first) return std::unexpected(first.error());
  std::vector<LevelFile> files;
  std::optional<Scope> level;
  if (argument(facts, "scope") == kBuiltIn) return built_in_files(facts);
  if (argument(facts, "scope")) {
    auto scope = scope_argument(facts);
    if (!scope) return std::unexpected(scope.error());
    level = *scope;
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
  if (!more && has_built_in(facts.state, level)) add_built_in(level ? files : std::vector<LevelFile>(), items);
  return QueryResult{list_document(facts, "FileList", std::move(items)).dump(), more,
                     more ? std::to_string(at) : std::string()};
}

}  // namespace mesh::answering
