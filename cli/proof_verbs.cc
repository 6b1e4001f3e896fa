// verify, prove, checkpoint: nothing here believes the controller.
#include <fmt/format.h>

#include <fstream>
#include <nlohmann/json.hpp>
#include <sstream>

#include "cli/handlers.h"
#include "cli/mutate.h"
#include "cli/replayer.h"
#include "eventstore/model/canonical.h"

namespace mesh::cli {

namespace {

/// What one node signed, for the comparison with our own replay.
struct Cosigned {
  std::string fullname;
  NodeId node;
  std::string note;
  Checkpoint checkpoint;
};

struct Verification {
  uint64_t entries = 0;
  std::string root;
  std::optional<uint64_t> first_bad;
  std::vector<std::string> problems;
  std::vector<std::string> warnings;
  std::optional<uint64_t> nodes_agree;

  bool ok() const { return !first_bad && problems.empty(); }
  Json document() const {
    Json out{{"kind", "Verification"},
             {"ok", ok()},
             {"entries", entries},
             {"root", root},
             {"first_bad", first_bad ? Json(*first_bad) : Json()},
             {"problems", problems}};
    if (nodes_agree) out["nodes_agree"] = *nodes_agree;
    return out;
  }
};

int print_verification(Session& session, const Json& document) {
  const bool ok = flag_at(document, "ok");
  if (!session.for_people()) {
    session.print(session.format() == Format::name ? text_at(document, "root") + "\n"
                                                   : document_text(document, session.format()));
    return ok ? kSuccess : kIntegrity;
  }
  const auto entries = static_cast<uint64_t>(number_at(document, "entries"));
  if (ok) {
    session.print(fmt::format(
        "ok  {} entries, root {}{}\n", entries, text_at(document, "root"),
        document.contains("nodes_agree")
            ? fmt::format(
                  ", {} agree",
                  count_text(static_cast<uint64_t>(number_at(document, "nodes_agree")), "node"))
            : ""));
    return kSuccess;
  }
  session.print(fmt::format(
      "NOT OK  {} good entries{}\n", entries,
      value_at(document, "first_bad").is_null()
          ? ""
          : fmt::format(", #{} is the first bad one", number_at(document, "first_bad"))));
  for (const Json& problem : value_at(document, "problems"))
    session.print("  " +
                  printable(problem.is_string() ? problem.get<std::string>() : json_text(problem)) +
                  "\n");
  return kIntegrity;
}

/// What a program said that was run with -o json and failed.
Error error_of_program(std::string_view name, const Environment::Finished& finished) {
  const Json document = Json::parse(finished.errors, nullptr, false);
  const Json& error = value_at(document, "error");
  const std::string code = text_at(error, "code");
  for (uint8_t i = 1; i <= static_cast<uint8_t>(Errc::unsupported); ++i)
    if (errc_name(static_cast<Errc>(i)) == code)
      return Error{static_cast<Errc>(i), text_at(error, "message"), text_at(error, "fix")};
  return Error{Errc::io, fmt::format("{} gave no result (exit {})", name, finished.status), {}};
}

/// RocksDB is not linked here: meshd, which stands beside, reads its own directory.
Result<int> verify_directory(Session& session) {
  if (session.has("against") || session.has("nodes"))
    return fail(Errc::usage, "--from reads a directory, without --against and --nodes");
  auto finished = session.environment().run_beside(
      "meshd", {"verify", "--data", session.option("from"), "-o", "json"});
  if (!finished) return std::unexpected(std::move(finished).error());
  const Json document = Json::parse(finished->output, nullptr, false);
  if (!document.is_object() || !document.contains("ok"))
    return std::unexpected(error_of_program("meshd verify", *finished));
  return print_verification(session, document);
}

Result<std::optional<Position>> kept_checkpoint(Session& session, const Connection& connection) {
  if (!session.has("against")) return std::nullopt;
  std::ifstream file(session.option("against"), std::ios::binary);
  if (!file) return fail(Errc::not_found, fmt::format("cannot read {}", session.option("against")));
  std::ostringstream text;
  text << file.rdbuf();
  auto position = open_position(connection, text.str());
  if (!position) return fail_in(session.option("against"), position.error());
  return *position;
}

Result<std::vector<Cosigned>> cosigned_by_nodes(Session& session, Client& client,
                                                Verification& out) {
  std::vector<Cosigned> notes;
  if (!session.has("nodes")) return notes;
  auto document = client.query("nodes_roots");
  if (!document) return std::unexpected(std::move(document).error());
  for (const Json& item : value_at(*document, "items")) {
    const std::string note = text_at(item, "cosignature"), name = text_at(item, "fullname");
    if (note.empty()) {
      out.warnings.push_back(fmt::format("{} has not cosigned a checkpoint yet", name));
      continue;
    }
    auto checkpoint = parse_checkpoint_text(note);
    if (!checkpoint) {
      out.problems.push_back(fmt::format("{}: {}", name, checkpoint.error().message));
      continue;
    }
    notes.push_back({name, NodeId(static_cast<uint32_t>(number_at(item, "node"))), note,
                     std::move(*checkpoint)});
  }
  return notes;
}

/// Names of the keys that signed a note: what stands after the dash of each line below the blank
/// one.
std::vector<std::string> signer_names(const std::string& note) {
  std::vector<std::string> out;
  const size_t blank = note.rfind("\n\n");
  if (blank == std::string::npos) return out;
  constexpr std::string_view kDash = "\u2014 ";
  for (const std::string& line : split(std::string_view(note).substr(blank + 2), '\n'))
    if (line.starts_with(kDash))
      out.push_back(line.substr(kDash.size(), line.find(' ', kDash.size()) - kDash.size()));
  return out;
}

bool signed_by(const std::string& note, const SignKey& key) {
  for (const std::string& name : signer_names(note))
    if (open_note(note, name, key)) return true;
  return false;
}

void compare_node(const Cosigned& cosigned, const ReplayedLog& log, Verification& out) {
  const Node* node = log.replica.state.find_node(cosigned.node);
  if (!node || !signed_by(cosigned.note, node->sign_key)) {
    out.problems.push_back(fmt::format("{}: its cosignature is not by its key", cosigned.fullname));
    return;
  }
  const auto root = log.roots.find(cosigned.checkpoint.size);
  if (root == log.roots.end())
    out.warnings.push_back(
        fmt::format("{} is ahead of us at #{}", cosigned.fullname, cosigned.checkpoint.size));
  else if (root->second != cosigned.checkpoint.root)
    out.problems.push_back(
        fmt::format("{} saw another history: at #{} it signed root {}, we replayed {}",
                    cosigned.fullname, cosigned.checkpoint.size,
                    to_hex(cosigned.checkpoint.root.view()), to_hex(root->second.view())));
  else
    ++*out.nodes_agree;
}

void compare_kept(const Position& kept, const ReplayedLog& log, Verification& out) {
  if (kept.checkpoint.size > log.replica.frontier.size()) {
    out.problems.push_back(
        fmt::format("the kept checkpoint is at #{}, the log ends at #{}: entries are gone",
                    kept.checkpoint.size, log.replica.frontier.size()));
    return;
  }
  const Digest& root = log.roots.at(kept.checkpoint.size);
  if (root != kept.checkpoint.root)
    out.problems.push_back(fmt::format(
        "at #{} the kept checkpoint has root {}, the log gives {}: history was rewritten",
        kept.checkpoint.size, to_hex(kept.checkpoint.root.view()), to_hex(root.view())));
}

Result<ReplayedLog> replay_to(Session& session, Client& client, uint64_t size,
                              const std::vector<uint64_t>& roots_at) {
  Progress progress(session);
  return replay_log(client, size, roots_at,
                    [&](uint64_t done) { progress.show("verify", done, size, "entries"); });
}

std::optional<Digest> digest_at(const Json& document, std::string_view key) {
  return array_from_hex<Digest>(text_at(document, key));
}

/// Whether the proof document shows entry `sequence` under a checkpoint of the pinned log.
Status check_proof(const Connection& connection, const Json& document, uint64_t sequence) {
  const auto corrupt = [](std::string_view what) {
    return fail(Errc::corrupt, fmt::format("the proof does not hold: {}", what));
  };
  auto position = open_position(connection, text_at(document, "checkpoint"));
  if (!position) return fail_in("the proof's checkpoint", position.error());
  const auto header = from_base64(text_at(document, "header"));
  const auto root = digest_at(document, "root");
  const auto leaf = digest_at(document, "leaf");
  if (!header || !root || !leaf) return corrupt("header, leaf or root is malformed");
  std::vector<Digest> path;
  for (const Json& hash : value_at(document, "proof")) {
    const auto digest =
        hash.is_string() ? array_from_hex<Digest>(hash.get<std::string>()) : std::nullopt;
    if (!digest) return corrupt("a hash is malformed");
    path.push_back(*digest);
  }
  const auto size = static_cast<uint64_t>(number_at(document, "size"));
  if (position->checkpoint.size != size || position->checkpoint.root != *root)
    return corrupt("it is not under its checkpoint");
  if (leaf_hash(*header) != *leaf) return corrupt("the leaf is not the header's hash");
  return verify_inclusion(*leaf, sequence - 1, size, path, *root);
}

}  // namespace

Result<int> verify(Session& session) {
  if (session.has("from")) return verify_directory(session);
  auto client = session.client();
  if (!client) return std::unexpected(std::move(client).error());
  auto kept = kept_checkpoint(session, (*client)->context().connection);
  if (!kept) return std::unexpected(std::move(kept).error());
  Verification out;
  if (session.has("nodes")) out.nodes_agree = 0;
  auto cosigned = cosigned_by_nodes(session, **client, out);
  if (!cosigned) return std::unexpected(std::move(cosigned).error());
  // After what the nodes signed: a checkpoint of then covers all of it.
  auto position = (*client)->position();
  if (!position) return std::unexpected(std::move(position).error());
  std::vector<uint64_t> sizes;
  if (*kept) sizes.push_back((*kept)->checkpoint.size);
  for (const Cosigned& one : *cosigned) sizes.push_back(one.checkpoint.size);
  auto log = replay_to(session, **client, position->checkpoint.size, sizes);
  if (!log) return std::unexpected(std::move(log).error());
  out.entries = log->replica.frontier.size();
  out.root = to_hex(log->replica.frontier.root().view());
  if (log->first_bad) {
    out.first_bad = log->first_bad->value();
    out.problems.push_back(log->problem);
  } else {
    if (auto status = matches(log->replica, position->checkpoint); !status)
      out.problems.push_back(status.error().message);
    if (*kept) compare_kept(**kept, *log, out);
    for (const Cosigned& one : *cosigned) compare_node(one, *log, out);
  }
  for (const std::string& warning : out.warnings) session.warn(warning);
  return print_verification(session, out.document());
}

Result<int> prove(Session& session) {
  std::string text = session.argument("SEQUENCE");
  if (text.starts_with('#')) text.erase(0, 1);
  auto sequence = parse_number("SEQUENCE", text);
  if (!sequence) return std::unexpected(std::move(sequence).error());
  auto client = session.client();
  if (!client) return std::unexpected(std::move(client).error());
  auto document = (*client)->query("prove", {{"sequence", std::to_string(*sequence)}});
  if (!document) return std::unexpected(std::move(document).error());
  MESH_TRY(check_proof((*client)->context().connection, *document, *sequence));
  (*document)["verified"] = true;
  if (session.for_people())
    session.print(fmt::format(
        "entry #{} is in the log: leaf {} under root {} of size {}, signed by the log key\n",
        *sequence, text_at(*document, "leaf"), text_at(*document, "root"),
        number_at(*document, "size")));
  else
    session.print(session.format() == Format::name ? text_at(*document, "leaf") + "\n"
                                                   : document_text(*document, session.format()));
  return int{kSuccess};
}

Result<int> show_checkpoint(Session& session) {
  auto client = session.client();
  if (!client) return std::unexpected(std::move(client).error());
  auto position = (*client)->position();
  if (!position) return std::unexpected(std::move(position).error());
  if (session.for_people() || session.format() == Format::name) {
    session.print(position->note);
  } else {
    session.print_document({{"kind", "Checkpoint"},
                            {"sequence", position->checkpoint.size},
                            {"note", position->note},
                            {"size", position->checkpoint.size},
                            {"root", to_hex(position->checkpoint.root.view())},
                            {"origin", position->checkpoint.origin},
                            {"log_key", to_hex((*client)->context().connection.log_key.view())}});
  }
  return int{kSuccess};
}

Result<int> sign_checkpoint(Session& session) {
  auto client = session.client();
  if (!client) return std::unexpected(std::move(client).error());
  auto position = (*client)->position();
  if (!position) return std::unexpected(std::move(position).error());
  // An anchor vouches for a state: only what was replayed here is signed, never what the controller
  // claims.
  auto log = replay_to(session, **client, position->checkpoint.size, {});
  if (!log) return std::unexpected(std::move(log).error());
  if (log->first_bad)
    return fail(Errc::corrupt,
                fmt::format("entry {} does not hold: {}", log->first_bad->value(), log->problem),
                "see `meshcli verify`");
  MESH_TRY(matches(log->replica, position->checkpoint));
  const SignAnchor anchor{log->replica.head(), state_digest(log->replica.state),
                          position->checkpoint.root};
  Mutation mutation;
  mutation.changes.push_back(
      {anchor, fmt::format("checkpoint at #{}: state {} signed", anchor.sequence.value(),
                           to_hex(anchor.state_digest.view()))});
  return mutate(session, std::move(mutation));
}

}  // namespace mesh::cli
