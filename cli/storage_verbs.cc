// controller backup, restore, start-epoch, optimise.
#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "cli/backup.h"
#include "cli/handlers.h"
#include "cli/mutate.h"

namespace mesh::cli {

namespace {

constexpr uint64_t kLeftOut = 1'000;  // numbers that a lost history may have used
constexpr int kPollMs = 200;

/// A round number that leaves at least kLeftOut out.
uint32_t floor_after(uint64_t next) {
  return static_cast<uint32_t>((next + kLeftOut + 99) / 100 * 100);
}

Result<uint32_t> floor_option(Session& session, std::string_view option, uint64_t next) {
  if (!session.has(option)) return floor_after(next);
  auto number = parse_number(option, session.option(option));
  if (!number) return std::unexpected(std::move(number).error());
  if (*number > UINT32_MAX)
    return fail(Errc::usage, fmt::format("{}: {} is too large", option, *number));
  return static_cast<uint32_t>(*number);
}

/// Nodes that have seen more than this log: "r1.ams has seen #1250, 16 entries more than this log".
Result<std::vector<std::string>> ahead_of(Client& client, uint64_t base) {
  auto document = client.query("nodes_roots");
  if (!document) return std::unexpected(std::move(document).error());
  std::vector<std::string> out;
  for (const Json& item : value_at(*document, "items")) {
    const auto head = static_cast<uint64_t>(std::max<int64_t>(0, number_at(item, "head")));
    if (head > base)
      out.push_back(
          fmt::format("{} has seen #{}: {} that this log does not have", text_at(item, "fullname"),
                      head, head - base == 1 ? "1 entry" : fmt::format("{} entries", head - base)));
  }
  return out;
}

}  // namespace

Result<int> controller_backup(Session& session) {
  auto client = session.client();
  if (!client) return std::unexpected(std::move(client).error());
  const std::string file = session.argument("FILE");
  auto backup = write_backup(session, **client, file, session.has("force"));
  if (!backup && session.environment().interrupted()) return int{kInterrupted};
  if (!backup) return std::unexpected(std::move(backup).error());
  for (const std::string& missing : backup->missing) session.warn("not in the backup: " + missing);
  const std::string root = to_hex(backup->root.view());
  if (session.for_people()) {
    session.print(fmt::format("{}: {} entries, {} configurations and files, {}, root {}\n", file,
                              backup->entries, backup->blobs, bytes_text(backup->bytes), root));
    session.hint(
        "No keys are in it: keep log.key, controller.key and meshd.toml of the controller's "
        "directory apart from it.");
  } else if (session.format() == Format::name) {
    session.print(file + "\n");
  } else {
    session.print_document({{"kind", "Backup"},
                            {"sequence", backup->entries},
                            {"file", file},
                            {"entries", backup->entries},
                            {"blobs", backup->blobs},
                            {"bytes", backup->bytes},
                            {"root", root},
                            {"epoch", backup->epoch},
                            {"missing", backup->missing}});
  }
  return int{backup->missing.empty() ? kSuccess : kPartlyFailed};
}

Result<int> controller_restore(Session& session) {
  std::vector<std::string> arguments{"restore", session.argument("FILE"), "-o", "json"};
  for (const std::string_view option : {"data", "keys", "listen", "enrol"})
    if (session.has(option)) {
      arguments.push_back("--" + std::string(option));
      arguments.push_back(session.option(option));
    }
  for (const std::string_view option : {"data", "keys"})
    if (!session.has(option))
      return fail(Errc::usage, fmt::format("--{} is missing", option),
                  "controller restore FILE --data DIR --keys DIR");
  auto finished = session.environment().run_beside("meshd", arguments);
  if (!finished) return std::unexpected(std::move(finished).error());
  const Json document = Json::parse(finished->output, nullptr, false);
  if (finished->status != 0 || !document.is_object())
    return std::unexpected(error_of_program("meshd restore", *finished));
  for (const Json& missing : value_at(document, "missing"))
    session.warn("the backup has no configuration for " + missing.get<std::string>());
  if (!session.for_people()) {
    session.print(session.format() == Format::name ? text_at(document, "data") + "\n"
                                                   : document_text(document, session.format()));
    return int{kSuccess};
  }
  session.print(fmt::format("{}: {} entries, {} configurations, epoch {}, root {}\n",
                            text_at(document, "data"), number_at(document, "entries"),
                            number_at(document, "blobs"), number_at(document, "epoch"),
                            text_at(document, "root")));
  session.hint(
      fmt::format("It is read-only until an administrator decides that this history counts: "
                  "meshd run --data {}, then meshcli controller start-epoch",
                  text_at(document, "data")));
  return int{kSuccess};
}

Result<int> controller_start_epoch(Session& session) {
  auto client = session.client();
  if (!client) return std::unexpected(std::move(client).error());
  auto status = (*client)->query("controller");
  if (!status) return std::unexpected(std::move(status).error());
  // What is signed is what the log key signed: not what the status says.
  auto position = (*client)->position();
  if (!position) return std::unexpected(std::move(position).error());
  auto node_floor =
      floor_option(session, "node-floor", static_cast<uint64_t>(number_at(*status, "next_node")));
  auto version_floor =
      floor_option(session, "version-floor",
                   static_cast<uint64_t>(std::max(number_at(*status, "newest_version"),
                                                  number_at(*status, "version_floor"))));
  auto ahead = ahead_of(**client, position->checkpoint.size);
  if (!node_floor) return std::unexpected(std::move(node_floor).error());
  if (!version_floor) return std::unexpected(std::move(version_floor).error());
  if (!ahead) return std::unexpected(std::move(ahead).error());
  const StartEpoch start{position->epoch + 1, position->sequence, position->checkpoint.root,
                         NodeId(*node_floor), Version(*version_floor)};
  std::vector<std::string> blast{fmt::format(
      "Epoch {} makes this log's #{} the end of epoch {}: what came after it elsewhere is void for "
      "ever.",
      start.epoch, start.base.value(), position->epoch)};
  if (!flag_at(*status, "read_only"))
    blast.push_back("This controller is not restored from a backup: it needs no new epoch.");
  blast.insert(blast.end(), ahead->begin(), ahead->end());
  blast.push_back(fmt::format("New nodes get numbers from {}, new versions are v{} or higher.",
                              start.node_floor.value(), start.version_floor.value()));
  if (session.has("dry-run"))
    for (const std::string& line : blast) session.note(line);
  else
    MESH_TRY(session.confirm(blast, fmt::format("epoch {}", start.epoch)));
  Mutation mutation;
  mutation.changes.push_back(
      {start, fmt::format("epoch {} starts after #{}, root {}", start.epoch, start.base.value(),
                          to_hex(start.base_root.view()))});
  mutation.next = "next: meshcli verify --nodes";
  return mutate(session, std::move(mutation));
}

Result<int> controller_optimise(Session& session) {
  auto client = session.client();
  if (!client) return std::unexpected(std::move(client).error());
  session.environment().catch_interrupts();
  Json document;
  {
    Progress progress(session);
    for (bool start = true;; start = false) {
      auto answer =
          (*client)->query("optimise", start ? QueryArguments{{"start", "yes"}} : QueryArguments{});
      if (!answer) return std::unexpected(std::move(answer).error());
      document = std::move(*answer);
      if (!flag_at(document, "running")) break;
      progress.show("optimise", static_cast<uint64_t>(number_at(document, "done")),
                    static_cast<uint64_t>(number_at(document, "total")), "parts");
      if (session.environment().interrupted()) {
        session.note("the controller goes on by itself; the same command shows how far it is");
        return int{kInterrupted};
      }
      session.environment().sleep(kPollMs);
    }
  }
  if (const std::string problem = text_at(document, "problem"); !problem.empty())
    return fail(Errc::io, problem);
  if (session.for_people())
    session.print(
        fmt::format("{} before, {} after\n",
                    bytes_text(static_cast<uint64_t>(number_at(document, "bytes_before"))),
                    bytes_text(static_cast<uint64_t>(number_at(document, "bytes_after")))));
  else
    session.print(session.format() == Format::name
                      ? fmt::format("{}\n", number_at(document, "bytes_after"))
                      : document_text(document, session.format()));
  return int{kSuccess};
}

}  // namespace mesh::cli
