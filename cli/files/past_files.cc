#include "cli/files/past_files.h"

#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iterator>
#include <set>
#include <utility>

#include "eventstore/model/compile.h"
#include "eventstore/model/overlay.h"
#include "schemas/config_text.h"

namespace mesh::cli {

namespace fs = std::filesystem;

namespace {

/// The versions of a node that count: what it runs and what it would run next.
std::vector<const VersionRecord*> versions_of(const Node& node) {
  std::vector<const VersionRecord*> out;
  for (const Version version : {node.active, node.latest()})
    if (const VersionRecord* record = node.find_version(version))
      if (out.empty() || out.front() != record) out.push_back(record);
  return out;
}

std::set<Sequence> commits_of(const MeshState& state) {
  std::set<Sequence> out;
  for (const auto& [id, node] : state.nodes)
    for (const VersionRecord* record : versions_of(*node)) out.insert(record->sequence);
  return out;
}

std::unexpected<Error> io_error(const std::string& what, const fs::path& path,
                                const std::string& why) {
  return fail(Errc::io, fmt::format("cannot {} {}: {}", what, path.string(), why));
}

/// What stands beside "then/" is not inside it.
fs::path without_slash(const fs::path& directory) {
  return directory.has_filename() ? directory : directory.parent_path();
}

/// A directory beside the wanted one, gone again unless it took its place.
class Staging {
 public:
  static Result<Staging> beside(const fs::path& target) {
    std::string pattern = target.string() + ".XXXXXX";
    if (!::mkdtemp(pattern.data()))
      return io_error("make a directory beside", target, std::strerror(errno));
    return Staging(pattern);
  }
  Staging(Staging&& other) noexcept : path_(std::exchange(other.path_, {})) {}
  Staging& operator=(Staging&&) = delete;
  ~Staging() {
    std::error_code ignored;
    if (!path_.empty()) fs::remove_all(path_, ignored);
  }

  const fs::path& path() const { return path_; }
  Status take_place_of(const fs::path& target) {
    std::error_code error;
    fs::permissions(path_, fs::perms(0755), error);
    if (!error) fs::rename(path_, target, error);  // an empty directory is replaced, no other is
    if (error) return io_error("write", target, error.message());
    path_.clear();
    return {};
  }

 private:
  explicit Staging(fs::path path) : path_(std::move(path)) {}
  fs::path path_;
};

class Writer {
 public:
  Writer(const MeshState& now, const CommittedStates& committed, fs::path root, const FetchBlob& fetch)
      : now_(now),
        committed_(committed),
        fetch_(fetch),
        root_(std::move(root)),
        overlay_(make_overlay(now, NodeId())) {}

  Result<WrittenFiles> run() {
    out_.nodes = now_.nodes.size();
    std::map<Sequence, std::vector<NodeId>> by_commit;
    for (const auto& [id, node] : now_.nodes)
      for (const VersionRecord* record : versions_of(*node))
        by_commit[record->sequence].push_back(id);
    for (const auto& [commit, nodes] : by_commit) MESH_TRY(write_commit(commit, nodes));
    const Compilation working(now_);
    for (const auto& [id, node] : now_.nodes) MESH_TRY(write_working(id, working.node(id)));
    return std::move(out_);
  }

 private:
  Status write_commit(Sequence commit, const std::vector<NodeId>& nodes) {
    const MeshState* then = committed_.find(commit);
    MESH_ASSERT(then != nullptr);
    const Compilation configs(*then);
    for (const NodeId id : nodes)
      for (const VersionRecord* record : versions_of(*now_.find_node(id)))
        if (record->sequence == commit) MESH_TRY(write_version(id, *record, configs.node(id)));
    return {};
  }

  Status write_version(NodeId id, const VersionRecord& record, const Result<NodeConfig>& config) {
    const std::string version = fmt::format("v{}", record.version.value());
    const std::string name = now_.find_node(id)->fullname();
    if (config && has_rendered_files(*config)) {
      auto rendered = fetch_rendered(*config, record.digest);
      if (!rendered) return problem(name + " " + version, rendered.error());
      return write(fs::path(name) / version, *rendered);
    }
    if (!config || config_digest(*config) != record.digest) {
      out_.problems.push_back(fmt::format("{} {}: {}", name, version,
                                          config ? "what was committed at #" +
                                                       std::to_string(record.sequence.value()) +
                                                       " does not follow from the state then"
                                                 : config.error().message));
      return {};
    }
    return write(fs::path(name) / version, *config);
  }

  Status problem(const std::string& what, const Error& error) {
    const bool lost = error.code == Errc::not_found || error.code == Errc::corrupt;
    if (!lost) return std::unexpected(error);
    out_.problems.push_back(fmt::format("{}: {}", what, error.message));
    return {};
  }

  /// All but the rendered files follows from the state: only those are believed, by their digests.
  Result<NodeConfig> fetch_rendered(const NodeConfig& compiled, const Digest& digest) {
    auto text = fetch_(digest);
    if (!text) return std::unexpected(std::move(text).error());
    auto config = parse_config_text(as_text(*text));
    if (!config) return config;
    NodeConfig bare = *config;
    bare.files.clear();
    if (bare != compiled) return fail(Errc::corrupt, "what was committed does not follow from the state then");
    return config;
  }

  Status write_working(NodeId id, const Result<NodeConfig>& config) {
    const Node& node = *now_.find_node(id);
    if (!config) {
      out_.warnings.push_back(fmt::format("{}: {}", node.fullname(), config.error().message));
      return {};
    }
    const VersionRecord* latest = node.find_version(node.latest());
    // Templates may use any attribute: with one that is not committed their files may be others.
    const bool same = latest && !is_changed(node) && has_rendered_files(*config);
    if (same && fetch_rendered(*config, latest->digest)) return {};
    if (has_rendered_files(*config))
      out_.warnings.push_back(fmt::format("{}: what is not committed was not rendered", node.fullname()));
    const Digest digest = config_digest(*config);
    for (const VersionRecord* record : versions_of(node))
      if (record->version == node.latest() && record->digest == digest) return {};
    return write(fs::path(node.fullname()) / "working", *config);
  }

  bool is_changed(const Node& node) const {
    return std::ranges::any_of(now_.changes, [&](const auto& change) {
      const Scope& scope = change.scope;
      return scope.level == Level::global || (scope.level == Level::site && scope.site == node.site) ||
             (scope.level == Level::node && scope.node == node.id);
    });
  }

  Status write(const fs::path& where, const NodeConfig& config) {
    const fs::path directory = root_ / where;
    std::error_code error;
    fs::create_directories(directory, error);
    if (error) return io_error("make", directory, error.message());
    ++out_.configurations;
    MESH_TRY(write_file(directory / "config.json", config_text(config)));
    std::map<std::string, std::string> files = rendered_files(config, overlay_of(config.node));
    for (const ConfigFile& file : config.files) {
      auto content = fetch_(file.digest);
      if (!content) return problem(fmt::format("{} of {}", file.name, where.string()), content.error());
      files[file.name] = std::string(content->begin(), content->end());
    }
    for (const auto& [name, text] : files) MESH_TRY(write_file(directory / name, text));
    return {};
  }

  /// The keys of all nodes are read once: a fleet's own overlays would be as many times as many.
  const Overlay& overlay_of(NodeId id) {
    const Node& node = *now_.find_node(id);
    overlay_.node = id;
    overlay_.revoked = node.enrolment == Enrolment::revoked;
    overlay_.generations.clear();
    for (const KeyGeneration& key : node.keys) overlay_.generations.push_back(key.generation);
    return overlay_;
  }

  Status write_file(const fs::path& path, const std::string& text) {
    std::ofstream file(path, std::ios::binary);
    file << text;
    file.close();
    if (!file) return io_error("write", path, std::strerror(errno));
    ++out_.files;
    return {};
  }

  const MeshState& now_;
  const CommittedStates& committed_;
  const FetchBlob& fetch_;
  fs::path root_;
  Overlay overlay_;  // of the node whose files are being rendered
  WrittenFiles out_;
};

}  // namespace

void CommittedStates::note(const MeshState& state, const Entry& entry) {
  const bool commits =
      entry.body && std::ranges::any_of(entry.body->events, [](const Event& event) {
        return std::holds_alternative<VersionsCommitted>(event);
      });
  if (!commits) return;
  if (!only_.empty() && !std::ranges::binary_search(only_, state.sequence)) return;
  states_.emplace(state.sequence, state);
  if (only_.empty() && states_.size() > limit_) drop_unused(state);
}

void CommittedStates::drop_unused(const MeshState& now) {
  const std::set<Sequence> used = commits_of(now);
  std::erase_if(states_, [&](const auto& kept) { return !used.contains(kept.first); });
  limit_ = std::max<size_t>(64, 2 * states_.size());
}

void CommittedStates::keep_only(std::vector<Sequence> wanted) {
  std::ranges::sort(wanted);
  only_ = std::move(wanted);
}

const MeshState* CommittedStates::find(Sequence commit) const {
  const auto found = states_.find(commit);
  return found == states_.end() ? nullptr : &found->second;
}

std::vector<Sequence> CommittedStates::missing(const MeshState& now) const {
  std::vector<Sequence> out;
  for (const Sequence commit : commits_of(now))
    if (!states_.contains(commit)) out.push_back(commit);
  return out;
}

Status check_target(const fs::path& directory) {
  std::error_code error;
  const fs::path parent = fs::absolute(without_slash(directory), error).parent_path();
  if (!fs::is_directory(parent, error))
    return fail(Errc::not_found, fmt::format("{} is no directory", parent.string()));
  const auto kind = fs::symlink_status(directory, error).type();
  if (kind == fs::file_type::not_found) return {};
  if (kind != fs::file_type::directory)
    return fail(Errc::conflict, fmt::format("{} is no directory", directory.string()),
                "name a new or an empty one");
  const bool empty = fs::is_empty(directory, error);
  if (error) return io_error("read", directory, error.message());
  if (!empty)
    return fail(Errc::conflict, fmt::format("{} is not empty", directory.string()),
                "name a new or an empty directory; nothing is written over");
  return {};
}

Result<WrittenFiles> write_past_files(const MeshState& now, const CommittedStates& committed,
                                      const fs::path& directory, const FetchBlob& fetch) {
  MESH_TRY(check_target(directory));
  const fs::path target = without_slash(directory);
  auto staging = Staging::beside(target);
  if (!staging) return std::unexpected(std::move(staging).error());
  auto written = Writer(now, committed, staging->path(), fetch).run();
  if (!written || !written->problems.empty()) return written;
  MESH_TRY(staging->take_place_of(target));
  return written;
}

}  // namespace mesh::cli
