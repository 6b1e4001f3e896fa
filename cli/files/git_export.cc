#include "cli/files/git_export.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <fstream>
#include <map>
#include <nlohmann/json.hpp>
#include <set>

#include "cli/files/file_contents.h"
#include "cli/files/file_tree.h"
#include "cli/replayer.h"
#include "eventstore/model/committed.h"
#include "eventstore/model/crypto.h"
#include "eventstore/model/overlay.h"
#include "eventstore/model/replay.h"
#include "schemas/config_text.h"

namespace mesh::cli {

namespace fs = std::filesystem;

namespace {

constexpr std::string_view kRef = "refs/meshlog/main", kBranch = "refs/heads/main";

/// A commit of the log that git does not have yet.
struct NewCommit {
  MeshState state;  // after it
  EntryHeader header;
  std::string message, reference;
};

/// What a git tree holds for us: files of levels, and for each node the digest of its latest version.
struct Snapshot {
  FileTree files;
  std::map<NodeId, Digest> effective;
};

Snapshot snapshot_of(const MeshState& state) {
  Snapshot out{file_tree(committed_state(state)), {}};
  for (const auto& [id, node] : state.nodes)
    if (const VersionRecord* latest = node->find_version(node->latest())) out.effective[id] = latest->digest;
  return out;
}

/// One exporter at a time works in a tree.
class Lock {
 public:
  Lock() = default;
  Lock(const Lock&) = delete;
  Lock& operator=(const Lock&) = delete;
  ~Lock() {
    if (file_ >= 0) ::close(file_);
  }
  Status take(const fs::path& path) {
    file_ = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (file_ < 0) return fail(Errc::not_permitted, fmt::format("cannot write {}", path.string()), "--tree DIR");
    if (::flock(file_, LOCK_EX | LOCK_NB) == 0) return {};
    return fail(Errc::conflict, "another meshcli git is adding to this tree", "wait for it");
  }

 private:
  int file_ = -1;
};

/// Writes what git fast-import reads.
class Stream {
 public:
  Stream(Client& client, const fs::path& path, std::vector<std::string>& warnings)
      : client_(client), contents_(client), out_(path, std::ios::binary), warnings_(warnings) {}

  /// `parent`: nothing for the first commit there is.
  Status add(const NewCommit& commit, const Snapshot& before, const Snapshot& now, std::string_view parent) {
    changes_.clear();
    MESH_TRY(add_files(before, now));
    MESH_TRY(add_effective(before, now));
    const std::string who = to_text(commit.header.principal), log = to_hex(commit.header.log.view());
    const std::string credit = fmt::format("{} <{}@{}> {} +0000", who, who, log.substr(0, 8),
                                           commit.header.time.value() / 1'000'000);
    std::string message = commit.message.empty() ? "New config version" : commit.message;
    while (message.ends_with('\n')) message.pop_back();
    message += fmt::format("\n\nMeshlog-Sequence: {}\nMeshlog-Log: {}\n", commit.header.sequence.value(), log);
    if (!commit.reference.empty()) message += fmt::format("Meshlog-Reference: {}\n", commit.reference);
    out_ << "commit " << kRef << "\nauthor " << credit << "\ncommitter " << credit << "\n";
    data(message);
    if (!parent.empty()) out_ << "from " << parent << "\n";
    for (const std::string& change : changes_) out_ << change << "\n";
    out_ << "\n";
    return {};
  }

  Status finish() {
    out_.close();
    return out_ ? Status() : fail(Errc::io, "cannot write what git shall import");
  }

 private:
  void data(std::string_view bytes) { out_ << "data " << bytes.size() << "\n" << bytes << "\n"; }

  /// Each content once in a stream.
  void put(const std::string& path, const std::string& content) {
    auto [known, fresh] = marks_.try_emplace(sha256(as_bytes(content)), marks_.size() + 1);
    if (fresh) {
      out_ << "blob\nmark :" << known->second << "\n";
      data(content);
    }
    changes_.push_back(fmt::format("M 100644 :{} {}", known->second, path));
  }

  Status add_files(const Snapshot& before, const Snapshot& now) {
    for (const auto& [path, item] : before.files)
      if (!now.files.contains(path)) changes_.push_back("D " + path);
    for (const auto& [path, item] : now.files) {
      const auto was = before.files.find(path);
      if (was != before.files.end() && was->second == item) continue;
      if (!item.file) {
        put(path, item.text);
        continue;
      }
      auto content = contents_.get(*item.file);
      if (content)
        put(path, *content);
      else
        MESH_TRY(leave_out(path, content.error()));
    }
    return {};
  }

  Status add_effective(const Snapshot& before, const Snapshot& now) {
    for (const auto& [id, digest] : before.effective)
      if (!now.effective.contains(id)) changes_.push_back(fmt::format("D effective/node_{}", id.value()));
    for (const auto& [id, digest] : now.effective) {
      const auto was = before.effective.find(id);
      if (was != before.effective.end() && was->second == digest) continue;
      const std::string folder = fmt::format("effective/node_{}", id.value());
      if (was != before.effective.end()) changes_.push_back("D " + folder);
      if (auto done = add_configuration(folder, digest); !done) MESH_TRY(leave_out(folder, done.error()));
    }
    return {};
  }

  Status add_configuration(const std::string& folder, const Digest& digest) {
    auto blob = client_.fetch(digest);
    if (!blob) return std::unexpected(std::move(blob).error());
    const std::string text(blob->begin(), blob->end());
    auto config = parse_config_text(text);
    if (!config) return std::unexpected(std::move(config).error());
    std::map<std::string, std::string> files = rendered_files(*config);
    for (const ConfigFile& file : config->files) {
      auto content = rendered(file.digest);
      if (!content) return fail_in(file.name, content.error());
      files[file.name] = std::move(*content);
    }
    files["config.json"] = text;
    for (const auto& [name, content] : files) put(folder + "/" + name, content);
    return {};
  }

  Result<std::string> rendered(const Digest& digest) {
    auto blob = client_.fetch(digest);
    if (!blob) return std::unexpected(std::move(blob).error());
    return std::string(blob->begin(), blob->end());
  }

  /// What is lost or redacted is left out and named; anything else ends the export.
  Status leave_out(const std::string& path, const Error& error) {
    if (error.code != Errc::not_found && error.code != Errc::corrupt) return std::unexpected(error);
    warnings_.push_back(fmt::format("{} is left out: {}", path, error.message));
    return {};
  }

  Client& client_;
  FileContents contents_;
  std::ofstream out_;
  std::vector<std::string>& warnings_;
  std::map<Digest, size_t> marks_;  // by content
  std::vector<std::string> changes_;
};

class Exporter {
 public:
  Exporter(Session& session, Client& client, fs::path tree)
      : session_(session), client_(client), tree_(std::move(tree)) {}

  Result<GitExport> run() {
    // First, so that nothing is made when there is no controller.
    auto newest = newest_commit();
    if (!newest) return std::unexpected(std::move(newest).error());
    MESH_TRY(prepare());
    MESH_TRY(read_last());
    if (*newest <= out_.last) return std::move(out_);
    MESH_TRY(replay());
    if (commits_.empty()) return std::move(out_);
    MESH_TRY(import());
    MESH_TRY(move_branch());
    return std::move(out_);
  }

 private:
  Result<Environment::Finished> git(std::vector<std::string> arguments, std::string input = {}) {
    auto program = git_in(tree_, std::move(arguments));
    program.captured = true;
    program.input = std::move(input);
    return session_.environment().run_program(program);
  }

  static Status succeeded(const Result<Environment::Finished>& done, std::string_view what) {
    if (!done) return std::unexpected(done.error());
    if (done->status == 0) return {};
    return fail(Errc::io, fmt::format("{}: {}", what, done->errors.substr(0, done->errors.find('\n'))));
  }

  Status prepare() {
    std::error_code error;
    fs::create_directories(tree_, error);
    if (error) return fail(Errc::io, fmt::format("cannot make {}: {}", tree_.string(), error.message()), "--tree DIR");
    // Without a template there are no hooks either. Half a repository of a crash is made whole.
    const fs::path git_directory = tree_ / ".git";
    if (!fs::exists(git_directory / "HEAD", error) || !fs::exists(git_directory / "objects", error))
      MESH_TRY(succeeded(git({"init", "-q", "-b", "main", "--template="}), "git init"));
    return lock_.take(tree_ / ".git" / "meshlog.lock");
  }

  Status read_last() {
    auto done =
        git({"log", "-1", "--format=%(trailers:key=Meshlog-Sequence,valueonly)%(trailers:key=Meshlog-Log,valueonly)",
             std::string(kRef)});
    if (!done) return std::unexpected(done.error());
    if (done->status != 0) {
      // No such ref: nothing was exported yet. Anything else that is wrong shows when it is written.
      auto known = git({"show-ref", "--verify", "-q", std::string(kRef)});
      if (known && known->status == 1) return {};
      return succeeded(done, "git log");
    }
    const auto lines = split(done->output, '\n');
    uint64_t number = 0;
    if (lines.size() < 2 ||
        std::from_chars(lines[0].data(), lines[0].data() + lines[0].size(), number).ec != std::errc())
      return fail(Errc::conflict, fmt::format("{} of {} was not written by meshcli git", kRef, tree_.string()),
                  "--tree DIR");
    if (lines[1] != to_hex(client_.context().connection.log.view()))
      return fail(Errc::conflict, fmt::format("{} holds the history of another network", tree_.string()), "--tree DIR");
    out_.last = Sequence(number);
    return {};
  }

  Result<Sequence> newest_commit() {
    std::string cursor;
    // A page looks at a part of the log only.
    do {
      auto page = client_.query_page("log", {{"type", "VersionsCommitted"}, {"newest", "1"}, {"limit", "1"}}, cursor);
      if (!page) return std::unexpected(std::move(page).error());
      for (const Json& item : value_at(*page, "items"))
        return Sequence(static_cast<uint64_t>(number_at(item, "sequence")));
    } while (!cursor.empty());
    return Sequence();
  }

  Status replay() {
    auto position = client_.position();
    if (!position) return std::unexpected(std::move(position).error());
    const uint64_t size = position->sequence.value();
    Progress progress(session_);
    auto log = replay_log(
        client_, size, {}, [&](uint64_t done) { progress.show("verify", done, size, "entries"); },
        [&](const MeshState& state, const Entry& entry) { note(state, entry); });
    if (!log) return std::unexpected(std::move(log).error());
    if (log->first_bad)
      return fail(Errc::corrupt, fmt::format("entry {} does not hold: {}", log->first_bad->value(), log->problem),
                  "see meshcli verify");
    if (auto same = matches(log->replica(), position->checkpoint); !same) return same;
    if (out_.last == Sequence() || base_) return {};
    return fail(Errc::conflict,
                fmt::format("{} has #{}, which this log never committed", tree_.string(), out_.last.value()),
                "the log was restored from a backup: export to another --tree");
  }

  void note(const MeshState& state, const Entry& entry) {
    const auto committed = [](const Event& event) { return std::holds_alternative<VersionsCommitted>(event); };
    if (!entry.body || std::ranges::none_of(entry.body->events, committed)) return;
    if (entry.header.sequence == out_.last) base_ = state;
    if (entry.header.sequence > out_.last)
      commits_.push_back({state, entry.header, entry.body->request.message, entry.body->request.reference});
  }

  Status import() {
    const fs::path file = tree_ / ".git" / "meshlog.import";
    std::error_code ignored;
    const auto write = [&]() -> Status {
      Stream stream(client_, file, out_.warnings);
      Snapshot before = base_ ? snapshot_of(*base_) : Snapshot();
      std::string parent = base_ ? std::string(kRef) + "^0" : "";
      Progress progress(session_);
      for (const NewCommit& commit : commits_) {
        Snapshot now = snapshot_of(commit.state);
        MESH_TRY(stream.add(commit, before, now, parent));
        before = std::move(now);
        parent.clear();  // the one before it in the stream
        progress.show("git", ++out_.added, commits_.size(), "commits");
      }
      return stream.finish();
    };
    Status done = write();
    if (done) done = succeeded(git({"fast-import", "--quiet"}, file.string()), "git fast-import");
    fs::remove(file, ignored);
    if (done) out_.last = commits_.back().header.sequence;
    return done;
  }

  /// `main` follows, as long as nobody put something else on it.
  Status move_branch() {
    auto head = git({"symbolic-ref", "-q", "HEAD"});
    if (!head) return std::unexpected(head.error());
    const bool on_it = head->output == std::string(kBranch) + "\n";
    auto moved = on_it ? git({"merge", "-q", "--ff-only", std::string(kRef)})
                       : git({"fetch", "-q", ".", fmt::format("{}:{}", kRef, kBranch)});
    if (auto good = succeeded(moved, "main was not moved on"); !good)
      out_.warnings.push_back(fmt::format("{}; the commits are on {}", good.error().message, kRef));
    return {};
  }

  Session& session_;
  Client& client_;
  fs::path tree_;
  Lock lock_;
  GitExport out_;
  std::optional<MeshState> base_;  // after the last commit that git has
  std::vector<NewCommit> commits_;
};

}  // namespace

Environment::Program git_in(const fs::path& tree, std::vector<std::string> arguments) {
  Environment::Program out;
  out.words = {"git", "-C", tree.string(), "-c", "core.hooksPath=/dev/null"};
  out.words.insert(out.words.end(), arguments.begin(), arguments.end());
  for (const char* name : {"GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_OBJECT_DIRECTORY", "GIT_COMMON_DIR",
                           "GIT_NAMESPACE", "GIT_ALTERNATE_OBJECT_DIRECTORIES"})
    out.variables[name] = "";
  // What is no repository is none: never one that the tree happens to lie in.
  std::error_code ignored;
  fs::path here = fs::absolute(tree, ignored).lexically_normal();
  if (!here.has_filename()) here = here.parent_path();  // "tree/"
  out.variables["GIT_CEILING_DIRECTORIES"] = here.parent_path().string();
  return out;
}

Result<GitExport> export_to_git(Session& session, Client& client, const fs::path& tree) {
  return Exporter(session, client, tree).run();
}

}  // namespace mesh::cli
