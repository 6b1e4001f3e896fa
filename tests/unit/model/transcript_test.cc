// Claim: a script of commands gives exactly the recorded facts. Method: every file of
// tests/golden/transcripts is a list of "who: command" lines, each followed by what it gave: "+
// event" lines as JSON, "= nothing", or
// "! code: message" and "  fix: ...". MESH_GOLDEN_UPDATE=1 records anew; read the change before you
// keep it.
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <sstream>

#include "schemas/json.h"
#include "tests/support/world.h"

namespace mesh {
namespace {

using test::World;

std::vector<std::string> words_of(const std::string& line) {
  std::istringstream in(line);
  std::vector<std::string> words;
  for (std::string word; in >> word;) words.push_back(word);
  return words;
}

Target target_of(const std::vector<std::string>& words, size_t at) {
  if (words[at] == "site") return {Level::site, words[at + 1]};
  if (words[at] == "node") return {Level::node, words[at + 1]};
  return {};
}

/// The commands that the transcripts use.
Command command_of(const std::vector<std::string>& w) {
  const std::string& verb = w[0];
  bool force = w.back() == "--force";
  if (verb == "add" && w[1] == "site") return AddSite{w[2]};
  if (verb == "add" && w[1] == "node") return AddNode{w[2]};
  if (verb == "del" && w[1] == "site") return RemoveSite{w[2], force};
  if (verb == "del" && w[1] == "node") return RemoveNode{w[2], force};
  if (verb == "rename" && w[1] == "site") return RenameSite{w[2], w[3]};
  if (verb == "rename" && w[1] == "node") return RenameNode{w[2], w[3]};
  if (verb == "discard") return Discard{target_of(w, 1)};
  if (verb == "revoke") return RevokeNode{w[2]};
  if (verb == "ban") return BanOperator{w[1]};
  if (verb == "operator")
    return AddOperator{w[1],
                       w[2] == "admin"    ? Role::admin
                       : w[2] == "viewer" ? Role::viewer
                                          : Role::operator_,
                       std::vector<std::string>(w.begin() + 3, w.end()),
                       test::sign_secret(w[1]).public_key(), test::box_secret(w[1]).public_key()};
  if (verb == "activate") {
    Version version(w.back()[0] == 'v' ? static_cast<uint32_t>(std::stoul(w.back().substr(1))) : 0);
    return Activate{target_of(w, 1), version};
  }
  MESH_ASSERT(verb == "set");
  Target target = target_of(w, 1);
  size_t at = target.level == Level::global ? 2 : 3;
  std::string value = w[at + 1];
  for (size_t i = at + 2; i < w.size(); ++i) value += " " + w[i];
  if (value == "empty") return UnsetAttribute{target, w[at]};
  return SetAttribute{target, w[at], *parse_attribute_value(value)};
}

std::string outcome_of(const Result<std::vector<Event>>& result) {
  if (!result) {
    std::string out =
        "! " + std::string(errc_name(result.error().code)) + ": " + result.error().message + "\n";
    return result.error().fix.empty() ? out : out + "  fix: " + result.error().fix + "\n";
  }
  std::string out;
  for (const Event& event : *result) out += "+ " + event_json(event) + "\n";
  return out.empty() ? "= nothing\n" : out;
}

std::string run(const std::string& text) {
  World world;
  std::string out;
  std::istringstream in(text);
  for (std::string line; std::getline(in, line);) {
    if (line.starts_with("+ ") || line.starts_with("! ") || line.starts_with("= ") ||
        line.starts_with("  fix: "))
      continue;
    out += line + "\n";
    if (line.empty() || line[0] == '#') continue;
    auto colon = line.find(": ");
    Principal who = Principal::human(line.substr(0, colon));
    auto words = words_of(line.substr(colon + 2));
    if (words[0] == "enrol") {
      size_t before = world.entries().size();
      world.enrol(words[1]);
      out += "= enrolled with " + std::to_string(world.entries().size() - before) + " entries\n";
    } else if (words[0] == "commit") {
      out += outcome_of(world.commit(who, target_of(words, 1), words.back() == "--include-others"));
    } else {
      out += outcome_of(world.submit(who, {command_of(words)}));
    }
  }
  return out;
}

TEST(Transcripts, GiveWhatIsRecorded) {
  size_t files = 0;
  for (const auto& file :
       std::filesystem::directory_iterator(MESH_SOURCE_DIR "/tests/golden/transcripts")) {
    SCOPED_TRACE(file.path().filename().string());
    std::stringstream recorded;
    recorded << std::ifstream(file.path()).rdbuf();
    std::string now = run(recorded.str());
    if (std::getenv("MESH_GOLDEN_UPDATE")) std::ofstream(file.path()) << now;
    EXPECT_EQ(now, recorded.str());
    ++files;
  }
  EXPECT_GE(files, 4u);
}

}  // namespace
}  // namespace mesh
