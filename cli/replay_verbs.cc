// replay: the log folded again from its first entry, and what followed from it at any instant.
#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "cli/files/past_files.h"
#include "cli/handlers.h"
#include "cli/moment.h"
#include "cli/replayer.h"
#include "eventstore/model/canonical.h"

namespace mesh::cli {

namespace {

struct Replay {
  Moment until;
  ReplayedLog log;
  CommittedStates committed;
  int64_t milliseconds = 0;
  std::string digest, controllers_digest;
  std::vector<std::string> problems;
  std::optional<WrittenFiles> written;

  bool ok() const { return problems.empty(); }
};

/// The newest entry is the one that the log key signed, whatever the controller says.
Result<Moment> end_of_replay(Session& session, Client& client, const Position& position) {
  if (!session.has("until")) return Moment{position.sequence, {}, {}};
  return resolve_moment(client, session.option("until"), {}, session.environment().now());
}

Result<ReplayedLog> fold(Session& session, Client& client, uint64_t size,
                         CommittedStates* committed) {
  Progress progress(session);
  AfterEntry after;
  if (committed)
    after = [committed](const MeshState& state, const Entry& entry) {
      committed->note(state, entry);
    };
  return replay_log(
      client, size, {}, [&](uint64_t done) { progress.show("replay", done, size, "entries"); },
      after);
}

/// The controller's own way to that state: its nearest snapshot, and the entries behind it.
Status compare_with_controller(Client& client, const Position& position, Replay& out) {
  const Replica& replica = out.log.replica();
  if (out.until.at == position.sequence)
    if (auto status = matches(replica, position.checkpoint); !status)
      out.problems.push_back(status.error().message);
  auto state = client.query_at(out.until.at, "state");
  if (!state) return std::unexpected(std::move(state).error());
  out.controllers_digest = text_at(*state, "digest");
  if (out.controllers_digest != out.digest)
    out.problems.push_back(fmt::format("the controller's state at #{} has digest {}, not {}",
                                       out.until.at.value(), out.controllers_digest, out.digest));
  const std::string root = to_hex(replica.frontier.root().view());
  if (text_at(*state, "root") != root)
    out.problems.push_back(fmt::format("the controller's tree at #{} has root {}, not {}",
                                       out.until.at.value(), text_at(*state, "root"), root));
  return {};
}

/// Writes only what verified. An older version that was activated again needs a state that was
/// dropped on the way: then once more.
Status write_files(Session& session, Client& client, Replay& out) {
  const MeshState& state = out.log.replica().state;
  if (auto missing = out.committed.missing(state); !missing.empty()) {
    const uint64_t last = missing.back().value();
    out.committed.keep_only(std::move(missing));
    if (auto again = fold(session, client, last, &out.committed); !again)
      return std::unexpected(std::move(again).error());
  }
  if (!out.committed.missing(state).empty())
    return fail(Errc::corrupt, "the log that was sent again is not the one of before");
  auto written = write_past_files(state, out.committed, session.option("to"),
                                  [&](const Digest& digest) { return client.fetch(digest); });
  if (!written) return std::unexpected(std::move(written).error());
  for (const std::string& warning : written->warnings) session.warn(warning);
  for (const std::string& problem : written->problems) out.problems.push_back(problem);
  if (written->problems.empty()) out.written = std::move(*written);
  return {};
}

Json document_of(const Replay& replay) {
  const Replica& replica = replay.log.replica();
  Json out{{"kind", "Replay"},
           {"ok", replay.ok()},
           {"entries", replica.frontier.size()},
           {"at", replay.until.at.value()},
           {"seconds", static_cast<double>(replay.milliseconds) / 1000.0},
           {"root", to_hex(replica.frontier.root().view())},
           {"digest", replay.digest},
           {"controller_digest", replay.controllers_digest},
           {"equal", replay.digest == replay.controllers_digest},
           {"first_bad", replay.log.first_bad ? Json(replay.log.first_bad->value()) : Json()},
           {"problems", replay.problems}};
  if (replay.written)
    out["written"] = {{"nodes", replay.written->nodes},
                      {"configurations", replay.written->configurations},
                      {"files", replay.written->files}};
  return out;
}

std::string entries_text(uint64_t count) {
  return fmt::format("{} {}", count, count == 1 ? "entry" : "entries");
}

std::string text_of(const Replay& replay, const std::string& directory) {
  std::string out;
  if (replay.log.first_bad) {
    out = fmt::format("NOT OK  {} held, #{} is the first bad one\n",
                      entries_text(replay.log.replica().frontier.size()),
                      replay.log.first_bad->value());
  } else {
    const bool equal = replay.digest == replay.controllers_digest;
    out =
        fmt::format("{}  {} replayed in {:.1f} s, state {} {} the controller's\n",
                    replay.ok() ? "ok" : "NOT OK", entries_text(replay.log.replica().frontier.size()),
                    static_cast<double>(replay.milliseconds) / 1000.0, replay.digest,
                    equal ? "equals" : "is not");
  }
  for (const std::string& problem : replay.problems) out += "  " + printable(problem) + "\n";
  if (replay.written)
    out += fmt::format("{}: {} of {} in {}\n", directory,
                       count_text(replay.written->configurations, "configuration"),
                       count_text(replay.written->nodes, "node"),
                       count_text(replay.written->files, "file"));
  return out;
}

void print_replay(Session& session, const Replay& replay) {
  if (session.for_people())
    session.print(text_of(replay, session.option("to")));
  else if (session.format() == Format::name)
    session.print(replay.digest + "\n");
  else
    session.print_document(document_of(replay));
}

}  // namespace

Result<int> replay_history(Session& session) {
  const bool writes = session.has("to");
  // Before minutes of work.
  if (writes) MESH_TRY(check_target(session.option("to")));
  auto client = session.client();
  if (!client) return std::unexpected(std::move(client).error());
  auto position = (*client)->position();
  if (!position) return std::unexpected(std::move(position).error());
  auto until = end_of_replay(session, **client, *position);
  if (!until) return std::unexpected(std::move(until).error());
  if (!until->time.empty()) session.note(to_text(*until));
  Replay replay;
  replay.until = std::move(*until);
  const int64_t since = session.environment().monotonic_ms();
  auto log = fold(session, **client, replay.until.at.value(), writes ? &replay.committed : nullptr);
  if (!log) return std::unexpected(std::move(log).error());
  replay.log = std::move(*log);
  replay.milliseconds = session.environment().monotonic_ms() - since;
  if (replay.log.first_bad) {
    replay.problems.push_back(replay.log.problem);
  } else {
    replay.digest = to_hex(state_digest(replay.log.replica().state).view());
    MESH_TRY(compare_with_controller(**client, *position, replay));
    if (writes && replay.ok()) MESH_TRY(write_files(session, **client, replay));
  }
  print_replay(session, replay);
  return int{replay.ok() ? kSuccess : kIntegrity};
}

}  // namespace mesh::cli
