// Claim: a log that was ever written under some rules gives the same states, root and configurations for ever, and
// every reader accepts it. Method: whole logs are kept as text beside this file, each entry with the digest of the
// state after it. They are replayed with every check, commits compiled again, and everything compared. The histories
// that made them are in histories.cc and must still give the same bytes. A missing file is written when
// MESH_GOLDEN_UPDATE=1; an existing one never is: to change it, delete it, and know that logs in the field change
// their meaning.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <map>
#include <set>
#include <sstream>

#include "eventstore/model/canonical.h"
#include "eventstore/model/compile.h"
#include "eventstore/model/crypto.h"
#include "schemas/codec.h"
#include "tests/golden/logs/histories.h"

namespace mesh {
namespace {

namespace fs = std::filesystem;

/// The kept form: lines "entry HEADER BODY STATE", then "root", "state" (with reports) and "config NODE" digests, and
/// the whole "snapshot" of the end.
using Lines = std::vector<std::string>;

Digest whole_state(const MeshState& state) { return sha256(encode_state(state, true)); }

void add_end(const Replica& replica, Lines& lines) {
  lines.push_back("rules " + std::to_string(replica.state.rules));
  lines.push_back("root " + to_hex(replica.frontier.root().view()));
  lines.push_back("state " + to_hex(whole_state(replica.state).view()));
  for (const auto& [id, node] : replica.state.nodes) {
    const auto config = compile(replica.state, id);
    lines.push_back(fmt::format("config {} {}", node->fullname(),
                                config ? to_hex(config_digest(*config).view()) : config.error().message));
  }
  lines.push_back("snapshot " + to_hex(encode_snapshot(replica)));
}

/// What a commit pinned is what compile gives before it, now as then.
void expect_same_versions(const MeshState& before, const Entry& entry) {
  for (const Command& command : entry.body->request.commands) {
    const auto* commit = std::get_if<Commit>(&command);
    if (!commit) continue;
    const auto scope = resolve(before, commit->target);
    ASSERT_TRUE(scope);
    const auto candidates = compile_candidates(before, *scope, commit->with_neighbours, test::names_as_content);
    ASSERT_TRUE(candidates) << candidates.error().message;
    EXPECT_EQ(candidates->rows, entry.body->context.candidates) << "entry " << entry.header.sequence.value();
  }
}

/// Replays entries with every check; the lines that they give.
Lines replay_all(const std::vector<EncodedEntry>& entries, Replica& replica) {
  Lines lines;
  LogId log;
  for (const EncodedEntry& encoded : entries) {
    const auto entry = decode_entry(encoded);
    EXPECT_TRUE(entry) << (entry ? "" : entry.error().message);
    if (!entry) break;
    if (replica.head() == Sequence()) log = entry->header.log;
    expect_same_versions(replica.state, *entry);
    const Status taken = replay(replica, *entry, log);
    EXPECT_TRUE(taken) << (taken ? "" : taken.error().message);
    if (!taken) break;
    lines.push_back(fmt::format("entry {} {} {}", to_hex(encoded.header), to_hex(encoded.body),
                                to_hex(state_digest(replica.state).view())));
  }
  add_end(replica, lines);
  return lines;
}

Lines read_lines(const fs::path& path) {
  std::ifstream in(path);
  Lines lines;
  for (std::string line; std::getline(in, line);) lines.push_back(line);
  return lines;
}

std::vector<EncodedEntry> entries_of(const Lines& lines) {
  std::vector<EncodedEntry> out;
  for (const std::string& line : lines) {
    std::istringstream in(line);
    std::string word, header, body;
    in >> word >> header >> body;
    if (word == "entry") out.push_back({from_hex(header).value(), from_hex(body).value()});
  }
  return out;
}

void write_if_missing(const fs::path& path, const Lines& lines) {
  const char* update = std::getenv("MESH_GOLDEN_UPDATE");
  if (fs::exists(path) || !update || std::string_view(update) != "1") return;
  std::ofstream out(path);
  for (const std::string& line : lines) out << line << '\n';
}

Replica check_golden(const std::string& name, const test::World& world) {
  const fs::path path = fs::path(MESH_SOURCE_DIR) / "tests/golden/logs" / (name + ".txt");
  Replica fresh, replica;
  const Lines made = replay_all(world.entries(), fresh);
  EXPECT_EQ(fresh, world.replica());
  write_if_missing(path, made);
  const Lines kept = read_lines(path);
  EXPECT_GT(kept.size(), 10u) << path << ": run with MESH_GOLDEN_UPDATE=1 to write a missing one";
  const Lines now = replay_all(entries_of(kept), replica);
  EXPECT_EQ(now.size(), kept.size());
  for (size_t i = 0; i < std::min(now.size(), kept.size()); ++i) EXPECT_EQ(now[i], kept[i]) << "line " << i + 1;
  const std::string snapshot = kept.empty() ? "" : kept.back().substr(kept.back().find(' ') + 1);
  const auto read_back = decode_snapshot(from_hex(snapshot).value_or(Bytes()));
  EXPECT_TRUE(read_back && *read_back == replica) << "the kept snapshot";
  EXPECT_EQ(made, kept) << "the history decides or encodes otherwise";
  return replica;
}

std::set<std::string_view> commands_of(const test::World& world) {
  std::set<std::string_view> out;
  for (const EncodedEntry& encoded : world.entries()) {
    const auto entry = decode_entry(encoded);
    for (const Command& command : entry->body->request.commands) out.insert(command_name(command));
  }
  return out;
}

TEST(GoldenLog, Rules1) { EXPECT_EQ(check_golden("rules_1", test::history_of_rules_1()).state.rules, 1u); }
TEST(GoldenLog, Rules2) { EXPECT_EQ(check_golden("rules_2", test::history_of_rules_2()).state.rules, 2u); }
TEST(GoldenLog, Rules3) { EXPECT_EQ(check_golden("rules_3", test::history_of_rules_3()).state.rules, 3u); }
TEST(GoldenLog, Rules4) { EXPECT_EQ(check_golden("rules_4", test::history_of_rules_4()).state.rules, 4u); }
TEST(GoldenLog, RulesRaisedThrice) {
  EXPECT_EQ(check_golden("rules_raised_thrice", test::history_of_three_raises()).state.rules, 4u);
}
TEST(GoldenLog, RulesRaisedTwice) {
  EXPECT_EQ(check_golden("rules_raised_twice", test::history_of_two_raises()).state.rules, 3u);
}
TEST(GoldenLog, RulesRaisedInTheMiddle) {
  EXPECT_EQ(check_golden("rules_raised", test::history_of_a_raise()).state.rules, 2u);
}

// So that nobody raises kRulesNewest without a golden log: two kinds of log for each rules, and all commands but those
// that need a second machine's keys are in them.
TEST(GoldenLog, CoversTheNewestRules) {
  EXPECT_EQ(kRulesNewest, 4u) << "keep these logs, add one that begins with the new rules and one that raises to them";
  const auto commands = commands_of(test::history_of_three_raises());
  EXPECT_EQ(commands.size(), std::variant_size_v<Command> - 1) << "all but ApproveNode";
}

// Raised or begun with: history under rules 2 is the same; only how it came to them differs.
TEST(GoldenLog, ARaisedLogDoesWhatANewOneDoes) {
  const auto begun = test::history_of_rules_2(), raised = test::history_of_a_raise();
  ASSERT_EQ(raised.entries().size(), begun.entries().size() + 1);
  const auto& one = begun.state();
  const auto& other = raised.state();
  EXPECT_EQ(one.tags.size(), other.tags.size());
  for (const auto& [id, node] : one.nodes) {
    const auto config = compile(one, id), same = compile(other, id);
    ASSERT_TRUE(config && same);
    EXPECT_EQ(config->name, same->name);
    EXPECT_EQ(config->rules, same->rules);
    EXPECT_EQ(node->versions.size(), other.nodes.find(id)->second->versions.size());
  }
}

}  // namespace
}  // namespace mesh
