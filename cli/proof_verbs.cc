// verify, prove, checkpoint: nothing here believes the controller.
#include <fmt/format.h>

#include <fstream>
#include <map>
#include <nlohmann/json.hpp>
#include <sstream>

#include "cli/event_text.h"
#include "cli/files/blob_download.h"
#include "cli/handlers.h"
#include "cli/mutate.h"
#include "cli/replayer.h"
#include "cli/views.h"
#include "eventstore/model/canonical.h"
#include "schemas/blob_names.h"

namespace mesh::cli {

namespace {

/// What one node said, for the comparison with our own replay.
struct NodeWord {
  std::string fullname;
  NodeId node;
  std::optional<KeptCheckpoint> cosigned;     // nothing before its first checkpoint
  std::optional<KeptCheckpoint> contradiction;  // a checkpoint that it was given and refused
  std::string problem;
};

struct Verification {
  uint64_t entries = 0;
  std::string root;
  uint32_t epoch = 0;
  std::optional<uint64_t> first_bad;
  std::vector<std::string> problems;
  std::vector<std::string> warnings;
  Json checkpoints = Json::array();
  std::optional<uint64_t> nodes_agree;

  bool ok() const { return !first_bad && problems.empty(); }
  void judged(const KeptCheckpoint& kept, const Judgement& judgement) {
    checkpoints.push_back({{"name", kept.name},
                           {"origin", kept.checkpoint.origin},
                           {"size", kept.checkpoint.size},
                           {"root", to_hex(kept.checkpoint.root.view())},
                           {"standing", standing_name(judgement.standing)},
                           {"text", judgement.text}});
    if (judgement.text.empty()) return;
    (judgement.bad() ? problems : warnings).push_back(fmt::format("{}: {}", kept.name, judgement.text));
  }
  Json document() const {
    Json out{{"kind", "Verification"},
             {"ok", ok()},
             {"entries", entries},
             {"root", root},
             {"epoch", epoch},
             {"first_bad", first_bad ? Json(*first_bad) : Json()},
             {"problems", problems},
             {"warnings", warnings},
             {"checkpoints", checkpoints}};
    if (nodes_agree) out["nodes_agree"] = *nodes_agree;
    return out;
  }
};

int print_verification(Session& session, const Json& document) {
  const bool ok = flag_at(document, "ok");
  for (const Json& warning : value_at(document, "warnings"))
    if (warning.is_string()) session.warn(printable(warning.get<std::string>()));
  if (!session.for_people()) {
    session.print(session.format() == Format::name ? text_at(document, "root") + "\n"
                                                   : document_text(document, session.format()));
    return ok ? kSuccess : kIntegrity;
  }
  const auto entries = static_cast<uint64_t>(number_at(document, "entries"));
  if (ok) {
    const auto kept = value_at(document, "checkpoints").size();
    session.print(fmt::format(
        "ok  {} entries, root {}{}{}\n", entries, text_at(document, "root"),
        kept > 0 ? fmt::format(", {} compared", count_text(kept, "checkpoint")) : "",
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

std::vector<std::string> all_of(const Session& session, std::string_view option) {
  const auto& options = session.invocation().options;
  const auto found = options.find(option);
  return found == options.end() ? std::vector<std::string>() : found->second;
}

/// RocksDB is not linked here: meshd, which stands beside, reads directories and backups.
Result<int> verify_offline(Session& session) {
  if (session.has("nodes")) return fail(Errc::usage, "--nodes asks a controller, --from reads a disk", "leave one out");
  std::vector<std::string> arguments{"verify", "--data", session.option("from"), "-o", "json"};
  for (const std::string& file : all_of(session, "against"))
    arguments.insert(arguments.end(), {"--against", file});
  auto finished = session.environment().run_beside("meshd", arguments);
  if (!finished) return std::unexpected(std::move(finished).error());
  const Json document = Json::parse(finished->output, nullptr, false);
  if (!document.is_object() || !document.contains("ok"))
    return std::unexpected(error_of_program("meshd verify", *finished));
  return print_verification(session, document);
}

/// The notes that --against names, all signed by the log key that the context pins.
Result<std::vector<KeptCheckpoint>> kept_checkpoints(Session& session, const Connection& connection) {
  std::vector<KeptCheckpoint> out;
  for (const std::string& name : all_of(session, "against")) {
    std::ifstream file(name, std::ios::binary);
    if (!file) return fail(Errc::not_found, fmt::format("cannot read {}", name));
    std::ostringstream text;
    text << file.rdbuf();
    auto kept = read_kept_checkpoints(name, text.str());
    if (!kept) return kept;
    for (KeptCheckpoint& one : *kept) {
      auto opened = open_checkpoint(one.note, connection.log, connection.log_key);
      if (!opened) return fail_in(one.name, opened.error());
      out.push_back(std::move(one));
    }
  }
  return out;
}

Result<std::vector<NodeWord>> words_of_nodes(Session& session, Client& client, Verification& out) {
  std::vector<NodeWord> words;
  if (!session.has("nodes")) return words;
  auto document = client.query("nodes_roots");
  if (!document) return std::unexpected(std::move(document).error());
  for (const Json& item : value_at(*document, "items")) {
    NodeWord word{text_at(item, "fullname"), NodeId(static_cast<uint32_t>(number_at(item, "node"))),
                  {}, {}, text_at(item, "problem")};
    const auto read = [&](const char* key) -> std::optional<KeptCheckpoint> {
      const std::string note = text_at(item, key);
      if (note.empty()) return std::nullopt;
      auto checkpoint = parse_checkpoint_text(note);
      if (checkpoint) return KeptCheckpoint{word.fullname, note, std::move(*checkpoint)};
      out.problems.push_back(fmt::format("{}: {}", word.fullname, checkpoint.error().message));
      return std::nullopt;
    };
    word.cosigned = read("cosignature");
    word.contradiction = read("contradiction");
    words.push_back(std::move(word));
  }
  return words;
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

/// Says what is wrong with what a node cosigned. True when it agrees with this log.
bool compare_cosigned(const NodeWord& word, const Connection& connection, const Audit& audit,
                      Verification& out) {
  const auto problem = [&](std::string_view what) {
    out.problems.push_back(fmt::format("{}: {}", word.fullname, what));
    return false;
  };
  const Node* node = audit.replica().state.find_node(word.node);
  if (!node || !signed_by(word.cosigned->note, node->sign_key))
    return problem("its cosignature is not by its key");
  if (auto opened = open_checkpoint(word.cosigned->note, connection.log, connection.log_key); !opened)
    return problem(opened.error().message);
  auto judgement = audit.judge(word.cosigned->checkpoint, true);
  if (!judgement) return problem(judgement.error().message);
  switch (judgement->standing) {
    case Standing::agrees:
      return true;
    case Standing::contradicts:
      out.problems.push_back(fmt::format("{} saw another history: {}", word.fullname, judgement->text));
      return false;
    case Standing::ahead:  // the head was asked for after the nodes' words
      out.problems.push_back(fmt::format("{} is ahead: {}", word.fullname, judgement->text));
      return false;
    default:
      out.warnings.push_back(fmt::format("{}: {}", word.fullname, judgement->text));
      return false;
  }
}

/// A checkpoint that a node refused is evidence when the log key signed it and this log is not it.
void compare_contradiction(const NodeWord& word, const Connection& connection, const Audit& audit,
                           Verification& out) {
  const KeptCheckpoint& shown = *word.contradiction;
  if (!open_checkpoint(shown.note, connection.log, connection.log_key)) return;  // not the log key's: proves nothing
  const auto judgement = audit.judge(shown.checkpoint, true);
  if (judgement && judgement->standing == Standing::agrees) return;
  if (judgement && !judgement->bad()) {
    out.warnings.push_back(fmt::format("{} refused a checkpoint: {}", word.fullname, judgement->text));
    return;
  }
  out.problems.push_back(fmt::format(
      "equivocation: {} was given a checkpoint of #{} with root {}, signed by the log key: {}",
      word.fullname, shown.checkpoint.size, to_hex(shown.checkpoint.root.view()),
      judgement ? judgement->text : judgement.error().message));
}

void compare_node(const NodeWord& word, const Connection& connection, const Audit& audit, Verification& out) {
  if (!word.cosigned)
    out.warnings.push_back(fmt::format("{} has not cosigned a checkpoint yet", word.fullname));
  else if (compare_cosigned(word, connection, audit, out))
    ++*out.nodes_agree;
  if (word.contradiction) compare_contradiction(word, connection, audit, out);
  if (!word.problem.empty())
    out.warnings.push_back(fmt::format("{} says: {}", word.fullname, word.problem));
}

Result<ReplayedLog> replay_to(Session& session, Client& client, uint64_t size,
                              const std::vector<uint64_t>& roots_at,
                              std::map<Digest, std::string>* files = nullptr) {
  Progress progress(session);
  return replay_log(
      client, size, roots_at, [&](uint64_t done) { progress.show("verify", done, size, "entries"); },
      [&](const MeshState&, const Entry& entry) {
        if (files == nullptr) return;
        for (const BlobName& blob : blobs_of(entry))
          if (!blob.config)
            files->try_emplace(blob.digest, fmt::format("{} of #{}", blob.name, entry.header.sequence.value()));
      });
}

/// What the log says of files is worth nothing without their contents.
Status check_files(Session& session, Client& client, const std::map<Digest, std::string>& files, Verification& out) {
  Progress progress(session);
  std::vector<Digest> wanted;
  for (const auto& each : files) wanted.push_back(each.first);
  return download_blobs(
      client.transport(), wanted, [](const Blob&) -> Status { return {}; },
      [&](const Digest& digest, const Error& error) {
        out.problems.push_back(fmt::format("{}: {}", files.at(digest), error.message));
      },
      [&](size_t left) -> Status {
        progress.show("verify", files.size() - left, files.size(), "files");
        return {};
      });
}

std::optional<Digest> digest_at(const Json& document, std::string_view key) {
  return array_from_hex<Digest>(text_at(document, key));
}

std::optional<std::vector<Digest>> hashes_at(const Json& document, std::string_view key) {
  std::vector<Digest> out;
  for (const Json& hash : value_at(document, key)) {
    const auto digest =
        hash.is_string() ? array_from_hex<Digest>(hash.get<std::string>()) : std::nullopt;
    if (!digest) return std::nullopt;
    out.push_back(*digest);
  }
  return out;
}

std::unexpected<Error> no_proof(std::string_view what) {
  return fail(Errc::corrupt, fmt::format("the proof does not hold: {}", what));
}

/// Whether the proof document shows entry `sequence` under a checkpoint of the pinned log. Adds the proof in the form
/// of C2SP, which carries all that it takes to check it.
Status check_proof(const Connection& connection, Json& document, uint64_t sequence) {
  const std::string note = text_at(document, "checkpoint");
  auto position = open_position(connection, note);
  if (!position) return fail_in("the proof's checkpoint", position.error());
  const auto header = from_base64(text_at(document, "header"));
  const auto root = digest_at(document, "root");
  const auto leaf = digest_at(document, "leaf");
  const auto path = hashes_at(document, "proof");
  if (!header || !root || !leaf || !path) return no_proof("header, leaf, root or a hash is malformed");
  const auto size = static_cast<uint64_t>(number_at(document, "size"));
  if (position->checkpoint.size != size || position->checkpoint.root != *root)
    return no_proof("it is not under its checkpoint");
  if (leaf_hash(*header) != *leaf) return no_proof("the leaf is not the header's hash");
  MESH_TRY(verify_inclusion(*leaf, sequence - 1, size, *path, *root));
  document["verified"] = true;
  document["tlog_proof"] = inclusion_proof_text(sequence - 1, *path, *header, note);
  return {};
}

/// Whether the document shows that the first `from` entries are a prefix of the first `to` (0 = all), and these of
/// what the pinned log's checkpoint covers.
Status check_consistency(const Connection& connection, const Json& document, uint64_t from, uint64_t to) {
  auto position = open_position(connection, text_at(document, "checkpoint"));
  if (!position) return fail_in("the proof's checkpoint", position.error());
  const Checkpoint& head = position->checkpoint;
  if (to == 0) to = head.size;
  const auto from_root = digest_at(document, "from_root"), to_root = digest_at(document, "to_root");
  const auto proof = hashes_at(document, "proof"), head_proof = hashes_at(document, "head_proof");
  if (!from_root || !to_root || !proof || !head_proof) return no_proof("a root or a hash is malformed");
  if (number_at(document, "from") != static_cast<int64_t>(from) ||
      number_at(document, "to") != static_cast<int64_t>(to))
    return no_proof("it is about other sizes");
  MESH_TRY(verify_consistency(from, *from_root, to, *to_root, *proof));
  return verify_consistency(to, *to_root, head.size, head.root, *head_proof);
}

Result<uint64_t> sequence_argument(Session& session, std::string_view name) {
  std::string text = session.argument(name);
  if (text.starts_with('#')) text.erase(0, 1);
  return parse_number(name, text);
}

/// A size, or a file with a checkpoint that was kept.
struct OldSize {
  uint64_t size = 0;
  std::optional<KeptCheckpoint> kept;
};
Result<OldSize> old_size_argument(Session& session, const Connection& connection) {
  if (auto size = sequence_argument(session, "OLD")) return OldSize{*size, {}};
  const std::string name = session.argument("OLD");
  std::ifstream file(name, std::ios::binary);
  if (!file)
    return fail(Errc::usage, fmt::format("\"{}\" is neither a size nor a file with a checkpoint", name),
                "give a number of entries, or what `meshcli checkpoint` printed");
  std::ostringstream text;
  text << file.rdbuf();
  auto kept = read_kept_checkpoints(name, text.str());
  if (!kept) return std::unexpected(std::move(kept).error());
  auto opened = open_checkpoint(kept->front().note, connection.log, connection.log_key);
  if (!opened) return fail_in(name, opened.error());
  return OldSize{opened->size, std::move(kept->front())};
}

Status write_proof(Session& session, const std::string& text) {
  if (!session.has("out")) return {};
  const std::string name = session.option("out");
  std::ofstream file(name, std::ios::binary | std::ios::trunc);
  file << text;
  file.close();
  if (!file) return fail(Errc::io, fmt::format("cannot write {}", name));
  return {};
}

}  // namespace

Result<int> verify(Session& session) {
  if (session.has("from")) return verify_offline(session);
  auto client = session.client();
  if (!client) return std::unexpected(std::move(client).error());
  const Connection& connection = (*client)->context().connection;
  auto kept = kept_checkpoints(session, connection);
  if (!kept) return std::unexpected(std::move(kept).error());
  Verification out;
  if (session.has("nodes")) out.nodes_agree = 0;
  auto words = words_of_nodes(session, **client, out);
  if (!words) return std::unexpected(std::move(words).error());
  // After what the nodes signed: a checkpoint of then covers all of it.
  auto position = (*client)->position();
  if (!position) return std::unexpected(std::move(position).error());
  std::vector<uint64_t> sizes;
  for (const KeptCheckpoint& one : *kept) sizes.push_back(one.checkpoint.size);
  for (const NodeWord& word : *words)
    for (const auto* note : {&word.cosigned, &word.contradiction})
      if (*note) sizes.push_back((*note)->checkpoint.size);
  std::map<Digest, std::string> files;
  auto log = replay_to(session, **client, position->checkpoint.size, sizes, &files);
  if (!log) return std::unexpected(std::move(log).error());
  out.entries = log->replica().frontier.size();
  out.root = to_hex(log->replica().frontier.root().view());
  out.epoch = log->replica().state.epoch;
  if (log->first_bad) {
    out.first_bad = log->first_bad->value();
    out.problems.push_back(log->problem);
  } else if (auto status = matches(log->replica(), position->checkpoint); !status) {
    out.problems.push_back(status.error().message);
  }
  for (const KeptCheckpoint& one : *kept) {
    auto judgement = log->audit.judge(one.checkpoint, !log->first_bad);
    if (!judgement) return std::unexpected(std::move(judgement).error());
    out.judged(one, *judgement);
  }
  if (!log->first_bad) {
    for (const NodeWord& word : *words) compare_node(word, connection, log->audit, out);
    MESH_TRY(check_files(session, **client, files, out));
  }
  return print_verification(session, out.document());
}

Result<int> prove(Session& session) {
  auto sequence = sequence_argument(session, "SEQUENCE");
  if (!sequence) return std::unexpected(std::move(sequence).error());
  auto client = session.client();
  if (!client) return std::unexpected(std::move(client).error());
  auto document = (*client)->query("prove", {{"sequence", std::to_string(*sequence)}});
  if (!document) return std::unexpected(std::move(document).error());
  MESH_TRY(check_proof((*client)->context().connection, *document, *sequence));
  MESH_TRY(write_proof(session, text_at(*document, "tlog_proof")));
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

Result<int> prove_consistency(Session& session) {
  uint64_t to = 0;
  if (!session.argument("NEW").empty()) {
    auto size = sequence_argument(session, "NEW");
    if (!size) return std::unexpected(std::move(size).error());
    to = *size;
  }
  auto client = session.client();
  if (!client) return std::unexpected(std::move(client).error());
  const Connection& connection = (*client)->context().connection;
  auto old = old_size_argument(session, connection);
  if (!old) return std::unexpected(std::move(old).error());
  auto document = (*client)->query(
      "consistency", {{"from", std::to_string(old->size)}, {"to", std::to_string(to)}});
  if (!document) return std::unexpected(std::move(document).error());
  MESH_TRY(check_consistency(connection, *document, old->size, to));
  if (old->kept) {
    if (digest_at(*document, "from_root") != old->kept->checkpoint.root)
      return fail(Errc::corrupt,
                  fmt::format("equivocation: {} has root {} at #{}, and the log gives {}", old->kept->name,
                              to_hex(old->kept->checkpoint.root.view()), old->size,
                              text_at(*document, "from_root")),
                  "see `meshcli verify --against`");
    (*document)["old_checkpoint"] = old->kept->note;
  }
  (*document)["verified"] = true;
  if (session.for_people())
    session.print(fmt::format("the first {} entries are a prefix of the first {}: root {} led to {}\n", old->size,
                              number_at(*document, "to"), text_at(*document, "from_root"),
                              text_at(*document, "to_root")));
  else
    session.print(session.format() == Format::name ? text_at(*document, "to_root") + "\n"
                                                   : document_text(*document, session.format()));
  return int{kSuccess};
}

Result<int> show_checkpoint(Session& session) {
  auto client = session.client();
  if (!client) return std::unexpected(std::move(client).error());
  auto position = (*client)->position();
  if (!position) return std::unexpected(std::move(position).error());
  const SignKey& log_key = (*client)->context().connection.log_key;
  if (session.for_people() || session.format() == Format::name) {
    session.print(position->note);
  } else {
    session.print_document({{"kind", "Checkpoint"},
                            {"sequence", position->checkpoint.size},
                            {"note", position->note},
                            {"size", position->checkpoint.size},
                            {"root", to_hex(position->checkpoint.root.view())},
                            {"origin", position->checkpoint.origin},
                            {"epoch", position->epoch},
                            {"log_key", to_hex(log_key.view())},
                            {"verifier_key", verifier_key(position->checkpoint.origin, log_key)}});
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
  MESH_TRY(matches(log->replica(), position->checkpoint));
  const SignAnchor anchor{log->replica().head(), state_digest(log->replica().state),
                          position->checkpoint.root};
  Mutation mutation;
  mutation.changes.push_back(
      {anchor, fmt::format("checkpoint at #{}: state {} signed", anchor.sequence.value(),
                           to_hex(anchor.state_digest.view()))});
  return mutate(session, std::move(mutation));
}

Result<int> list_orphans(Session& session) {
  QueryArguments arguments;
  if (!session.argument("SEQUENCE").empty()) {
    auto sequence = sequence_argument(session, "SEQUENCE");
    if (!sequence) return std::unexpected(std::move(sequence).error());
    arguments["sequence"] = std::to_string(*sequence);
  }
  auto client = session.client();
  if (!client) return std::unexpected(std::move(client).error());
  auto document = (*client)->query("orphans", arguments);
  if (!document) return std::unexpected(std::move(document).error());
  const bool everything = session.format() == Format::wide || !arguments.empty();
  for (Json& item : (*document)["items"])
    item["what"] = events_text(value_at(item, "events"), {}, everything ? SIZE_MAX : 3);
  session.print_list(*document, kOrphansView);
  return int{kSuccess};
}

}  // namespace mesh::cli
