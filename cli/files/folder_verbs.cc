// files pull and push: the files of all levels as a folder to work in.
#include <fmt/format.h>

#include <filesystem>
#include <nlohmann/json.hpp>
#include <set>

#include "cli/files/file_contents.h"
#include "cli/files/file_tree.h"
#include "cli/handlers.h"
#include "cli/intent_source.h"
#include "cli/propose.h"
#include "cli/scope.h"
#include "eventstore/model/attribute_table.h"
#include "eventstore/model/crypto.h"

namespace mesh::cli {

namespace {

namespace fs = std::filesystem;

Digest digest_of(std::string_view content) { return sha256(as_bytes(content)); }

const FileRef* find_file(const FileTree& tree, const std::string& path) {
  const auto found = tree.find(path);
  return found != tree.end() && found->second.file ? &*found->second.file : nullptr;
}

std::unexpected<Error> conflicts(const std::vector<std::string>& paths, std::string_view what, std::string fix) {
  constexpr size_t kShown = 5;
  std::string names;
  for (size_t i = 0; i < paths.size() && i < kShown; ++i) names += (i ? ", " : "") + paths[i];
  if (paths.size() > kShown) names += fmt::format(" and {} more", paths.size() - kShown);
  return fail(Errc::conflict, fmt::format("{}: {}", what, names), std::move(fix));
}

/// The marker of `folder`, when it belongs to this log. Errors: those of read_pulled, conflict.
Result<std::optional<Pulled>> pulled_from(const fs::path& folder, const LogId& log) {
  auto pulled = read_pulled(folder);
  if (!pulled || !*pulled || (*pulled)->log == log) return pulled;
  return fail(Errc::conflict, fmt::format("{} was pulled from another network", folder.string()),
              "use another folder, or remove .meshlog from it");
}

/// Brings a folder to what a state says.
class Pull {
 public:
  Pull(Client& client, const MeshState& state, fs::path folder, bool force)
      : state_(state), folder_(std::move(folder)), force_(force), contents_(client) {}

  Result<Json> run() {
    auto pulled = pulled_from(folder_, state_.log);
    if (!pulled) return std::unexpected(std::move(pulled).error());
    if (*pulled) base_ = std::move((*pulled)->files);
    std::error_code error;
    fs::create_directories(folder_, error);
    if (error) return fail(Errc::io, fmt::format("cannot make {}: {}", folder_.string(), error.message()));
    auto found = read_folder(folder_);
    if (!found) return std::unexpected(std::move(found).error());
    here_ = std::move(found->files);
    here_.merge(found->levels);
    tree_ = file_tree(state_);
    MESH_TRY(look());
    if (!in_the_way_.empty())
      return conflicts(in_the_way_, "what is there is no file or directory of a pull", "move it away");
    if (!edited_.empty() && !force_)
      return conflicts(edited_, "edited here and not pushed",
                       fmt::format("meshcli files push {}, or --force to lose it", folder_.string()));
    MESH_TRY(write());
    return Json{{"kind", "Pulled"},
                {"sequence", state_.sequence.value()},
                {"files", files_},
                {"written", written_},
                {"removed", removed_}};
  }

 private:
  struct Wanted {
    std::string content;
    PulledFile mark;
    bool write = false;
  };

  /// Whether what is here was made here, and not by a pull.
  bool edited(const std::string& path) const {
    const auto base = base_.find(path);
    return base == base_.end() || base->second.content != digest_of(here_.at(path));
  }

  /// Nothing is written through a link, and nothing else than a file is replaced.
  bool is_blocked(const std::string& path) const {
    std::error_code ignored;
    for (fs::path above = fs::path(path).parent_path(); !above.empty(); above = above.parent_path()) {
      const auto kind = fs::symlink_status(folder_ / above, ignored).type();
      if (kind != fs::file_type::directory && kind != fs::file_type::not_found) return true;
    }
    return !here_.contains(path) &&
           fs::symlink_status(folder_ / path, ignored).type() != fs::file_type::not_found;
  }

  /// The state is the controller's word.
  static Status check_path(const std::string& path) {
    for (const std::string& part : split(path, '/'))
      if (!check_file_name(part)) return fail(Errc::corrupt, fmt::format("the log names a file \"{}\"", path));
    return {};
  }

  Status look() {
    for (const auto& [path, item] : tree_) {
      MESH_TRY(check_path(path));
      files_ += item.file.has_value();
      const auto here = here_.find(path), none = here_.end();
      const auto base = base_.find(path);
      // What was written by a pull of the same blob need not be fetched.
      if (item.file && here != none && base != base_.end() && base->second.file == *item.file && !edited(path)) {
        wanted_[path].mark = base->second;
        continue;
      }
      Wanted& wanted = wanted_[path];
      wanted.content = item.text;
      if (item.file) {
        auto content = contents_.get(*item.file);
        if (!content) return fail_in(path, content.error());
        wanted.content = std::move(*content);
      }
      wanted.mark = {item.file.value_or(FileRef()), digest_of(wanted.content)};
      wanted.write = here == none || here->second != wanted.content;
      if (wanted.write && here != none && edited(path)) edited_.push_back(path);
      if (wanted.write && is_blocked(path)) in_the_way_.push_back(path);
    }
    for (const auto& [path, mark] : base_)
      if (!tree_.contains(path) && here_.contains(path)) (edited(path) ? edited_ : removed_).push_back(path);
    return {};
  }

  Status write() {
    for (const std::string& path : edited_)
      if (!tree_.contains(path)) removed_.push_back(path);
    Pulled marker{state_.log, state_.sequence, {}};
    for (const auto& [path, wanted] : wanted_) {
      marker.files[path] = wanted.mark;
      if (!wanted.write) continue;
      MESH_TRY(write_whole(folder_ / path, wanted.content));
      written_.push_back(path);
    }
    for (const std::string& path : removed_) {
      std::error_code ignored;
      fs::remove(folder_ / path, ignored);
      // Only when they are empty.
      for (fs::path above = fs::path(path).parent_path(); !above.empty(); above = above.parent_path())
        fs::remove(folder_ / above, ignored);
    }
    return write_pulled(folder_, marker);
  }

  const MeshState& state_;
  fs::path folder_;
  bool force_;
  FileContents contents_;
  std::map<std::string, PulledFile> base_;
  std::map<std::string, std::string> here_;
  FileTree tree_;
  std::map<std::string, Wanted> wanted_;
  size_t files_ = 0;
  std::vector<std::string> edited_, in_the_way_, written_, removed_;
};

/// What a folder says against what the log says now, each against what the folder was pulled from.
class Push {
 public:
  Push(Session& session, Client& client, const MeshState& now, fs::path folder)
      : session_(session), client_(client), now_(now), folder_(std::move(folder)), contents_(client) {}

  Result<int> run() {
    auto pulled = pulled_from(folder_, now_.log);
    if (!pulled) return std::unexpected(std::move(pulled).error());
    base_ = std::move(*pulled);
    auto found = read_folder(folder_);
    if (!found) return std::unexpected(std::move(found).error());
    here_ = std::move(*found);
    tree_ = file_tree(now_);
    MESH_TRY(check_levels());
    MESH_TRY(compare());
    if (!conflicts_.empty() && !session_.has("force"))
      return conflicts(
          conflicts_,
          fmt::format("changed in the log since #{}, when the folder was pulled, and here, too", base_->at.value()),
          "pull into another folder and compare, or --force to write over it");
    return submit();
  }

 private:
  /// The levels that the folder names, and the attributes in it, which are only for reading.
  Status check_levels() {
    std::set<std::string> checked;
    std::map<std::string, std::string> all = here_.files;
    all.insert(here_.levels.begin(), here_.levels.end());
    for (const auto& [path, content] : all) {
      const FilePlace place = *place_of(path);
      if (!checked.insert(to_text(place.level)).second) continue;
      if (auto scope = resolve(now_, place.level); !scope)
        return fail(scope.error().code, fmt::format("{}: {}", path, scope.error().message),
                    fmt::format("meshcli add {}, or move the directory away", to_text(place.level)));
    }
    std::vector<std::string> edited;
    for (const auto& [path, content] : here_.levels) {
      const PulledFile* base = find_base(path);
      const auto known = tree_.find(path);
      const bool same = known != tree_.end() && known->second.text == content;
      if (!same && (!base || base->content != digest_of(content))) edited.push_back(path);
    }
    if (!edited.empty())
      here_.warnings.push_back(fmt::format(
          "{} of the folder is not read: change attributes with set or apply",
          edited.size() == 1 ? edited[0]
                             : fmt::format("{} and {} other {}", edited[0], edited.size() - 1, kLevelFile)));
    return {};
  }

  const PulledFile* find_base(const std::string& path) const {
    if (!base_) return nullptr;
    const auto found = base_->files.find(path);
    return found == base_->files.end() ? nullptr : &found->second;
  }

  /// Whether the log says something else than when the folder was pulled.
  bool moved(const std::string& path) const {
    if (!base_) return false;
    const PulledFile* base = find_base(path);
    const FileRef* now = find_file(tree_, path);
    return base && now ? base->file != *now : (base != nullptr) != (now != nullptr);
  }

  Status compare() {
    for (const auto& [path, content] : here_.files) {
      const PulledFile* base = find_base(path);
      const Digest digest = digest_of(content);
      if (base && base->content == digest) {
        if (moved(path)) ++stale_;
        continue;
      }
      const FileRef* now = find_file(tree_, path);
      auto file = contents_.put(content, now);
      if (!file) return fail_in(path, file.error());
      marks_[path] = {*file, digest};
      if (now && *now == *file) continue;
      if (moved(path)) conflicts_.push_back(path);
      const FilePlace place = *place_of(path);
      commands_.push_back(SetAttribute{place.level, std::string(kFilePrefix) + place.name, AttributeValue(*file)});
    }
    for (const auto& [path, item] : tree_) {
      if (!item.file || here_.files.contains(path)) continue;
      // What came after the pull was never here.
      if (base_ && !find_base(path)) {
        ++stale_;
        continue;
      }
      if (!session_.has("prune")) {
        ++kept_;
        continue;
      }
      if (moved(path)) conflicts_.push_back(path);
      const FilePlace place = *place_of(path);
      commands_.push_back(UnsetAttribute{place.level, std::string(kFilePrefix) + place.name});
      gone_.push_back(path);
    }
    return {};
  }

  Result<int> submit() {
    if (kept_ > 0)
      here_.warnings.push_back(fmt::format("{} of the log {} not in the folder and {}: --prune removes what is missing",
                                           count_text(kept_, "file"), kept_ == 1 ? "is" : "are",
                                           kept_ == 1 ? "stays" : "stay"));
    if (stale_ > 0)
      here_.warnings.push_back(fmt::format("{} changed in the log since the folder was pulled: meshcli files pull {}",
                                           count_text(stale_, "file"), folder_.string()));
    for (const std::string& warning : here_.warnings) session_.warn(warning);
    Reply reply;
    auto exit = propose(session_, client_, now_,
                        {std::move(commands_), {}, fmt::format("all: pushed {}", folder_.string()), "all",
                         contents_.take_attachments()},
                        &reply);
    if (!exit || session_.has("dry-run")) return exit;
    Pulled marker{now_.log, reply.sequence == Sequence() ? now_.sequence : reply.sequence, {}};
    if (base_) marker.files = std::move(base_->files);
    for (const auto& [path, mark] : marks_) marker.files[path] = mark;
    for (const std::string& path : gone_) marker.files.erase(path);
    MESH_TRY(write_pulled(folder_, marker));
    return exit;
  }

  Session& session_;
  Client& client_;
  const MeshState& now_;
  fs::path folder_;
  FileContents contents_;
  std::optional<Pulled> base_;
  Folder here_;
  FileTree tree_;
  std::vector<Command> commands_;
  std::map<std::string, PulledFile> marks_;
  std::vector<std::string> conflicts_, gone_;
  size_t kept_ = 0, stale_ = 0;
};

}  // namespace

Result<int> pull_files(Session& session) {
  auto client = session.client();
  if (!client) return std::unexpected(std::move(client).error());
  auto state = fetch_state(**client, (*client)->at());
  if (!state) return std::unexpected(std::move(state).error());
  const std::string folder = session.argument("DIR");
  auto done = Pull(**client, *state, folder, session.has("force")).run();
  if (!done) return std::unexpected(std::move(done).error());
  if (session.for_people())
    session.print(fmt::format("{}: {} as of #{}  ({} written, {} removed)\n", printable(folder),
                              count_text(static_cast<uint64_t>(number_at(*done, "files")), "file"),
                              state->sequence.value(), value_at(*done, "written").size(),
                              value_at(*done, "removed").size()));
  else if (session.format() != Format::name)
    session.print_document(*done);
  return int{kSuccess};
}

Result<int> push_files(Session& session) {
  auto client = session.client();
  if (!client) return std::unexpected(std::move(client).error());
  auto now = fetch_state(**client, Sequence());
  if (!now) return std::unexpected(std::move(now).error());
  return Push(session, **client, *now, session.argument("DIR")).run();
}

}  // namespace mesh::cli
