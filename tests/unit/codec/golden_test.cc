// Claim: what was ever written is read for ever, and written again it is the same bytes.
// Method: tests/golden/entries holds an entry with every command and every event as hexadecimal text, with the
// JSON that it means. Each is decoded, encoded again and compared; its JSON may only have gained keys. A missing
// file is written when MESH_GOLDEN_UPDATE=1; an existing one never is: to change it, delete it, and know that
// logs become unreadable.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <set>

#include "schemas/codec.h"
#include "schemas/json.h"
#include "tests/unit/codec/examples.h"

namespace mesh {
namespace {

namespace fs = std::filesystem;

const fs::path kGolden = fs::path(MESH_SOURCE_DIR) / "tests" / "golden";

bool update_wanted() {
  const char* value = std::getenv("MESH_GOLDEN_UPDATE");
  return value && std::string_view(value) == "1";
}

/// The lines of a golden file; `fresh` is written when there is none and that is wanted.
std::vector<std::string> golden_lines(const fs::path& path, const std::vector<std::string>& fresh) {
  if (!fs::exists(path) && update_wanted()) {
    fs::create_directories(path.parent_path());
    std::ofstream out(path);
    for (const std::string& line : fresh) out << line << '\n';
  }
  std::ifstream in(path);
  std::vector<std::string> lines;
  for (std::string line; std::getline(in, line);) lines.push_back(line);
  EXPECT_EQ(lines.size(), fresh.size()) << path << ": run with MESH_GOLDEN_UPDATE=1 to write a missing one";
  lines.resize(fresh.size());
  return lines;
}

/// Whether everything in `old` is in `now`: keys are added, never removed, and values stay.
bool still_says(const nlohmann::json& now, const nlohmann::json& old) {
  if (old.is_object()) {
    return std::ranges::all_of(old.items(), [&](const auto& member) {
      return now.contains(member.key()) && still_says(now[member.key()], member.value());
    });
  }
  if (old.is_array() && now.is_array() && old.size() == now.size())
    return std::ranges::equal(now, old, still_says);
  return now == old;
}

void check_entry(std::string_view name, const EncodedEntry& fresh) {
  SCOPED_TRACE(name);
  const auto fresh_entry = decode_entry(fresh);
  ASSERT_TRUE(fresh_entry) << fresh_entry.error().message;
  const auto lines = golden_lines(kGolden / "entries" / (std::string(name) + ".hex"),
                                  {to_hex(fresh.header), to_hex(fresh.body), entry_json(*fresh_entry)});
  const auto header = from_hex(lines[0]), body = from_hex(lines[1]);
  ASSERT_TRUE(header && body);
  const EncodedEntry kept{*header, *body};
  const auto entry = decode_entry(kept);
  ASSERT_TRUE(entry) << entry.error().message;
  ASSERT_TRUE(entry->body);
  const auto now = nlohmann::json::parse(entry_json(*entry)), old = nlohmann::json::parse(lines[2]);
  EXPECT_TRUE(still_says(now, old)) << now << "\n" << old;
  EXPECT_EQ(encode_entry(entry->header, *entry->body), kept);
  EXPECT_EQ(encode_request(entry->body->request), entry->body->signed_request.bytes);
  EXPECT_EQ(fresh, kept) << "the example changed, or how it is written";
}

void check_command(std::string_view name, const Command& command) {
  check_entry(name, encode_entry(testing::example_header(42), testing::example_body({command}, {})));
}

void check_event(std::string_view name, const Event& event) {
  check_entry(name, encode_entry(testing::example_header(42), testing::example_body({Discard{}}, {event})));
}

TEST(Golden, EveryCommand) {
  const auto commands = testing::example_commands();
  ASSERT_EQ(commands.size(), std::variant_size_v<Command>);
  for (size_t i = 0; i < commands.size(); ++i) {
    ASSERT_EQ(commands[i].index(), i);
    check_command(command_name(commands[i]), commands[i]);
  }
}

TEST(Golden, EveryEvent) {
  const auto events = testing::example_events();
  ASSERT_EQ(events.size(), std::variant_size_v<Event>);
  for (size_t i = 0; i < events.size(); ++i) {
    ASSERT_EQ(events[i].index(), i);
    check_event(event_name(events[i]), events[i]);
  }
}

TEST(Golden, EveryLaterField) {
  for (const auto& [name, command] : testing::example_later_commands()) check_command(name, command);
  for (const auto& [name, event] : testing::example_later_events()) check_event(name, event);
}

TEST(Golden, NoFileIsWithoutItsExample) {
  std::set<std::string> known;
  for (const auto& command : testing::example_commands()) known.emplace(command_name(command));
  for (const auto& event : testing::example_events()) known.emplace(event_name(event));
  for (const auto& [name, command] : testing::example_later_commands()) known.insert(name);
  for (const auto& [name, event] : testing::example_later_events()) known.insert(name);
  for (const auto& file : fs::directory_iterator(kGolden / "entries")) {
    if (file.path().extension() == ".hex") {
      EXPECT_TRUE(known.contains(file.path().stem())) << file.path();
    }
  }
}

TEST(Golden, Snapshot) {
  const Bytes fresh = encode_snapshot(testing::example_replica());
  const auto lines = golden_lines(kGolden / "snapshots" / "0.1.0.hex", {to_hex(fresh)});
  const auto bytes = from_hex(lines[0]);
  ASSERT_TRUE(bytes);
  const auto replica = decode_snapshot(*bytes);
  ASSERT_TRUE(replica) << replica.error().message;
  EXPECT_EQ(encode_snapshot(*replica), *bytes);
  EXPECT_EQ(*replica, testing::example_replica());
}

/// A FlatBuffer may end in padding, and without it says the same.
constexpr size_t kPaddingMax = 7;

TEST(Golden, EveryEntryCutShortIsRefused) {
  for (const auto& event : testing::example_events()) {
    const EncodedEntry whole = encode_entry(testing::example_header(42), testing::example_body({Discard{}}, {event}));
    for (Bytes EncodedEntry::* part : {&EncodedEntry::header, &EncodedEntry::body}) {
      for (size_t size = part == &EncodedEntry::body ? 1 : 0; size < (whole.*part).size(); ++size) {
        SCOPED_TRACE(::testing::Message() << event_name(event) << " cut to " << size);
        EncodedEntry cut = whole;
        (cut.*part).resize(size);
        const auto entry = decode_entry(cut);
        if (!entry) continue;
        EXPECT_GE(size + kPaddingMax, (whole.*part).size());
        EXPECT_EQ(entry->body, decode_entry(whole)->body);
      }
    }
  }
}

}  // namespace
}  // namespace mesh
