// git: history in a working tree.
#include <fmt/format.h>
#include <unistd.h>

#include <filesystem>

#include "cli/files/git_export.h"
#include "cli/handlers.h"

namespace mesh::cli {

namespace {

namespace fs = std::filesystem;

bool can_write(const fs::path& directory) {
  std::error_code ignored;
  fs::path there = directory;
  while (!fs::exists(there, ignored) && there.has_relative_path()) there = there.parent_path();
  return ::access(there.c_str(), W_OK | X_OK) == 0;
}

Result<fs::path> tree_of(Session& session) {
  if (const std::string named = session.option("tree"); !named.empty()) return fs::path(named);
  auto context = session.context();
  if (!context) return std::unexpected(std::move(context).error());
  if (!(*context)->git_tree.empty()) return (*context)->git_tree;
  const fs::path shared = "/var/lib/meshlog/git";
  if (can_write(shared)) return shared;
  const Variable& variable = session.environment().variable;
  if (const auto data = variable("XDG_DATA_HOME"); data && !data->empty()) return fs::path(*data) / "meshlog/git";
  if (const auto home = variable("HOME"); home && !home->empty()) return fs::path(*home) / ".local/share/meshlog/git";
  return fail(Errc::not_found, fmt::format("{} cannot be written", shared.string()),
              "--tree DIR, or git_tree in the context");
}

/// What was exported before can be read without a controller.
Status bring_up_to_date(Session& session, const fs::path& tree) {
  auto client = session.client();
  auto done = client ? export_to_git(session, **client, tree) : std::unexpected(client.error());
  std::error_code ignored;
  if (!done && done.error().code == Errc::unavailable && fs::exists(tree / ".git", ignored)) {
    session.warn(fmt::format("{}: {} is as it was", done.error().message, tree.string()));
    return {};
  }
  if (!done) return std::unexpected(std::move(done).error());
  for (const std::string& warning : done->warnings) session.warn(warning);
  if (done->added > 0)
    session.note(
        fmt::format("{}: {} added, up to #{}", tree.string(), count_text(done->added, "commit"), done->last.value()));
  return {};
}

}  // namespace

Result<int> run_git(Session& session) {
  auto tree = tree_of(session);
  if (!tree) return std::unexpected(std::move(tree).error());
  MESH_TRY(bring_up_to_date(session, *tree));
  auto done = session.environment().run_program(git_in(*tree, session.invocation().rest));
  if (!done) return std::unexpected(std::move(done).error());
  return done->status;
}

}  // namespace mesh::cli
