// meshd verify: replays a log directory from its first entry, without a running controller.
#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "broker/meshd.h"
#include "eventstore/log/rocks_event_log.h"
#include "eventstore/model/checkpoint.h"
#include "eventstore/model/replay.h"
#include "schemas/codec.h"

namespace mesh::meshd {

namespace {

struct Verdict {
  Replica replica;
  std::optional<uint64_t> first_bad;
  std::vector<std::string> problems;
};

void blame(Verdict& verdict, uint64_t sequence, std::string problem) {
  if (!verdict.first_bad) verdict.first_bad = sequence;
  // What opening found damaged is met again on the way.
  if (std::ranges::find(verdict.problems, problem) == verdict.problems.end())
    verdict.problems.push_back(std::move(problem));
}

Status replay_one(Replica& replica, const EncodedEntry& encoded, const LogId& log) {
  auto entry = decode_entry(encoded);
  if (!entry) return fail_in(fmt::format("entry {}", replica.head().value() + 1), entry.error());
  return replay(replica, *entry, log);
}

/// Replays until the head or the first entry that does not hold. Damaged records further on are
/// named too.
void replay_all(const EventLog& log, Verdict& verdict) {
  Replica& replica = verdict.replica;
  while (replica.head() < log.head()) {
    uint64_t at = replica.head().value() + 1;
    auto entries = log.read(Sequence(at), 1 << 20, SIZE_MAX);
    if (!entries || entries->empty()) {
      blame(verdict, at,
            entries ? fmt::format("entry {}: it is missing", at) : entries.error().message);
      break;
    }
    for (const EncodedEntry& encoded : *entries)
      if (auto good = replay_one(replica, encoded, log.id()); !good) {
        blame(verdict, replica.head().value() + 1, good.error().message);
        break;
      }
    if (verdict.first_bad) break;
  }
  if (!verdict.first_bad) return;
  for (uint64_t at = *verdict.first_bad + 1;
       at <= log.head().value() && verdict.problems.size() < 100; ++at)
    if (auto entry = log.read(Sequence(at), 1, 1); !entry)
      verdict.problems.push_back(entry.error().message);
}

void check_note(const EventLog& log, Verdict& verdict) {
  const MeshState& state = verdict.replica.state;
  uint64_t size = verdict.replica.frontier.size();
  if (log.checkpoint().empty()) return blame(verdict, size, "the log has no checkpoint");
  auto checkpoint = open_checkpoint(log.checkpoint(), checkpoint_origin(state.log, state.epoch),
                                    state.genesis.log_key);
  if (!checkpoint) return blame(verdict, size, "the checkpoint: " + checkpoint.error().message);
  if (auto same = matches(verdict.replica, *checkpoint); !same)
    blame(verdict, size, same.error().message);
}

}  // namespace

int verify(const std::filesystem::path& data, const std::string& output) {
  std::error_code ignored;
  auto directory = std::filesystem::exists(log_path(data), ignored) ? log_path(data) : data;
  auto log = RocksEventLog::open_read_only(directory);
  if (!log) return report(log.error(), output);
  Verdict verdict;
  if ((*log)->damage()) verdict.problems.push_back((*log)->damage()->message);
  replay_all(**log, verdict);
  if (!verdict.first_bad) check_note(**log, verdict);
  bool ok = verdict.problems.empty();
  std::string root = to_hex(verdict.replica.frontier.root().view());
  if (output == "json") {
    nlohmann::json out = {
        {"ok", ok},
        {"entries", verdict.replica.head().value()},
        {"root", root},
        {"first_bad", verdict.first_bad ? nlohmann::json(*verdict.first_bad) : nlohmann::json()},
        {"problems", verdict.problems}};
    fmt::print("{}\n", out.dump());
  } else if (ok) {
    fmt::print("ok: {} entries, root {}\n", verdict.replica.head().value(), root);
  } else {
    fmt::print("FAILED after {} good entries\n", verdict.replica.head().value());
    for (const std::string& problem : verdict.problems) fmt::print("  {}\n", problem);
  }
  return ok ? 0 : 12;
}

}  // namespace mesh::meshd
