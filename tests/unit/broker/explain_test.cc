// Claim: an entry tells what it rests on and what came of it, blame names the entry that set a value or made a line
// of a file, and bisect the first one with which a test fails. Method: a short history whose answers are known, asked
// through the controller; then random histories (the seed is printed) against linear scans.
#include <algorithm>
#include <nlohmann/json.hpp>
#include <random>

#include "broker/queries/queries.h"
#include "eventstore/model/compile.h"
#include "eventstore/model/crypto.h"
#include "eventstore/model/overlay.h"
#include "tests/unit/broker/desk.h"

namespace mesh {
namespace {

using nlohmann::json;
using test::Desk;

class Explanation : public testing::Test {
 protected:
  Explanation() {
    desk.submit({AddSite{"ams"}, AddSite{"lab"}, AddNode{"r1.ams"}, AddNode{"r1.lab"},
                 SetAttribute{{Level::node, "r1.ams"}, "endpoint", {"192.0.2.1"}},
                 SetAttribute{{Level::site, "ams"}, "lans", {"10.1.0.0/24"}}});   // #2
    set({Level::global, ""}, "wg_keepalive", int64_t{20});                       // #3
    commit("first");                                                              // #4
    desk.submit({Activate{Target{}, {}}});                                        // #5
    set({Level::site, "lab"}, "wg_keepalive", int64_t{25});                       // #6
    set({Level::site, "lab"}, "wg_keepalive", int64_t{30});                       // #7
    commit("second");                                                             // #8
  }
  void set(const Target& target, const std::string& name, const AttributeValue& value) {
    desk.submit({SetAttribute{target, name, value}});
  }
  void commit(const std::string& message) {
    auto prepared = std::get<Prepared>(desk.ask(desk.alice, Prepare{Target{}, false, false}));
    Request commit = desk.request({Commit{Target{}, prepared.sequence, prepared.root, false, false}});
    commit.message = message;
    desk.ask(desk.alice, Submit{Desk::sign(commit), false});
  }
  json ask(const std::string& kind, std::map<std::string, std::string> arguments = {}, uint64_t at = 0) {
    Body body = desk.ask(desk.alice, Query{kind, std::move(arguments), Sequence(at)});
    if (!std::holds_alternative<QueryResult>(body)) return {{"error", desk.error_of(body).message}};
    return json::parse(std::get<QueryResult>(body).json);
  }
  /// "relation #sequence text" of each.
  static std::vector<std::string> links(const json& document, const std::string& key) {
    std::vector<std::string> out;
    for (const json& link : document[key])
      out.push_back(link["relation"].get<std::string>() + " #" + link["sequence"].dump() + " " +
                    link["text"].get<std::string>());
    return out;
  }
  Desk desk;
};

using Texts = std::vector<std::string>;

TEST_F(Explanation, AnEntryNamesWhatItReplacedAndWhatReplacedIt) {
  const json second = ask("entry", {{"sequence", "7"}});
  EXPECT_EQ(links(second, "causes"), (Texts{"replaces #6 site lab: wg_keepalive was 25"}));
  EXPECT_EQ(links(second, "effects"), Texts{});
  EXPECT_EQ(links(ask("entry", {{"sequence", "6"}}), "effects"),
            (Texts{"replaced_by #7 site lab: wg_keepalive is 30"}));
}

TEST_F(Explanation, ACommitNamesWhatItPinnedAndAnActivationItsCommit) {
  EXPECT_EQ(links(ask("entry", {{"sequence", "8"}}), "causes"),
            (Texts{"prepared_at #7 the state that was compiled and shown", "pins #7 site lab: wg_keepalive"}));
  const json activation = ask("entry", {{"sequence", "5"}});
  EXPECT_EQ(links(activation, "causes"),
            (Texts{"activates #4 the commit of r1.ams v1", "activates #4 the commit of r1.lab v1"}));
  EXPECT_EQ(activation["causes"][0]["message"], "first");
  EXPECT_EQ(activation["causes"][0]["by"], "alice");
  EXPECT_EQ(activation["names"], json({{"11", "r1.ams"}, {"12", "r1.lab"}}));
}

TEST_F(Explanation, TheSignatureComesWithItsKeyAndWithTheBytesThatWereSigned) {
  const json document = ask("entry", {{"sequence", "7"}});
  const json& signature = document["signature"];
  EXPECT_EQ(signature["signer"], "alice");
  EXPECT_EQ(signature["valid"], true);
  EXPECT_EQ(signature["since"], 1);
  EXPECT_EQ(signature["key"], to_hex(test::sign_secret("alice").public_key().view()));
  auto entry = decode_entry({*from_base64(document["item"]["header"].get<std::string>()),
                             *from_base64(document["body"].get<std::string>())});
  ASSERT_TRUE(entry.has_value());
  const SignedRequest& request = entry->body->signed_request;
  const SignKey alice = test::sign_secret("alice").public_key();
  EXPECT_TRUE(verify_signature(alice, kRequestDomain, request.bytes, request.signature));
}

TEST_F(Explanation, AnUndoneEntryNamesTheOneThatTookItBack) {
  desk.submit({SetAttribute{{Level::site, "lab"}, "wg_keepalive", {int64_t{25}}}, Undo{Sequence(7)}});
  const json undo = ask("entry", {{"sequence", "9"}});
  ASSERT_TRUE(undo.contains("item")) << undo.dump();
  const Texts causes = links(undo, "causes");
  EXPECT_NE(std::find(causes.begin(), causes.end(), "takes_back #7 it was undone"), causes.end());
  const Texts effects = links(ask("entry", {{"sequence", "7"}}), "effects");
  EXPECT_NE(std::find(effects.begin(), effects.end(), "undone_by #9 it was taken back"), effects.end());
}

TEST_F(Explanation, BlameNamesWhoSetWhatIsInForceAndWhoRemovedIt) {
  const json one = ask("blame", {{"scope", "node r1.lab"}, {"name", "wg_keepalive"}})["items"];
  ASSERT_EQ(one.size(), 1u);
  EXPECT_EQ(one[0]["sequence"], 7);
  EXPECT_EQ(one[0]["scope"], "site lab");
  EXPECT_EQ(one[0]["value"], 30);
  EXPECT_EQ(one[0]["before"], 25);
  EXPECT_EQ(one[0]["by"], "alice");
  EXPECT_EQ(ask("blame", {{"scope", "node r1.ams"}, {"name", "wg_keepalive"}})["items"][0]["sequence"], 3);
  EXPECT_EQ(ask("blame", {{"scope", "node r1.lab"}, {"name", "wg_keepalive"}}, 6)["items"][0]["sequence"], 6);
  EXPECT_GT(ask("blame", {{"scope", "node r1.lab"}})["items"].size(), 5u);
  EXPECT_EQ(ask("blame", {{"scope", "node r1.lab"}, {"name", "nobody_set_it"}})["error"],
            "nobody_set_it was never set for node r1.lab");
  desk.submit({UnsetAttribute{{Level::site, "lab"}, "wg_keepalive"},
               UnsetAttribute{{Level::global, ""}, "wg_keepalive"}});
  const json gone = ask("blame", {{"scope", "node r1.lab"}, {"name", "wg_keepalive"}})["items"][0];
  EXPECT_EQ(gone["sequence"], 9);
  EXPECT_EQ(gone["removed"], true);
  EXPECT_EQ(gone["scope"], "default");
}

TEST_F(Explanation, BlameNamesTheEntryOfEveryLineOfAFile) {
  const json document = ask("blame", {{"node", "r1.lab"}, {"file", "all"}});
  std::map<std::string, int> entries;
  for (const json& item : document["items"]) entries[item["text"]] = item["sequence"];
  EXPECT_EQ(entries["PersistentKeepalive = 30"], 7) << document.dump(1);
  EXPECT_EQ(entries["  10.1.0.0/24"] + entries["  10.1.0.0/24,"], 2);
  EXPECT_EQ(ask("blame", {{"node", "r1.lab"}, {"file", "tlwg_99.conf"}})["error"],
            "node r1.lab has no file tlwg_99.conf");
  const json then = ask("blame", {{"node", "r1.lab"}, {"file", "tlwg_11.conf"}}, 6);
  std::vector<int> then_by;
  for (const json& item : then["items"])
    if (item["text"] == "PersistentKeepalive = 25") then_by.push_back(item["sequence"].get<int>());
  EXPECT_EQ(then_by, std::vector<int>{6}) << then.dump(1);
}

TEST_F(Explanation, BisectChecksItsEndsAndItsTest) {
  const auto bisect = [&](const char* good, const char* bad, const char* test) {
    return ask("bisect", {{"good", good}, {"bad", bad}, {"test", test}})["error"];
  };
  EXPECT_EQ(bisect("2", "8", "attribute site lab wg_keepalive 30"),
            "the test does not hold at #2 either, which shall be good");
  EXPECT_EQ(bisect("3", "8", "valid"), "the test still holds at #8, which shall be bad");
  EXPECT_EQ(bisect("8", "3", "valid"), "the good instant (#8) is not before the bad one (#3)");
  EXPECT_EQ(bisect("3", "8", "frobnicate"), "\"frobnicate\" is no test");
}

/// Sets, removals, nodes and sites that come and go, commits in between.
class RandomHistory : public testing::Test {
 protected:
  RandomHistory() : seed(std::random_device()()), random(seed) {
    desk.submit({AddSite{"s0"}, AddSite{"s1"}, AddNode{"r0.s0"}, AddNode{"r1.s0"}, AddNode{"r0.s1"},
                 SetAttribute{{Level::node, "r0.s0"}, "endpoint", {"192.0.2.1"}},
                 SetAttribute{{Level::site, "s1"}, "lans", {"10.1.0.0/24"}}});
    for (int i = 0; i < 120; ++i) step();
    past = std::make_unique<Past>(*desk.disk);
  }
  void step() {
    const Target targets[] = {{Level::global, ""}, {Level::site, "s0"}, {Level::site, "s1"},
                              {Level::node, "r0.s0"}, {Level::node, "r1.s0"}, {Level::node, "r0.s1"}};
    const Target& target = targets[random() % 6];
    const std::string name = random() % 2 ? "wg_keepalive" : "wg_mtu";
    const auto value = static_cast<int64_t>(name == "wg_mtu" ? 1300 + random() % 4 : 10 + random() % 4);
    switch (random() % 8) {
      case 0: desk.submit({UnsetAttribute{target, name}}); break;
      case 1: desk.submit({AddNode{"x" + std::to_string(random() % 3) + ".s1"}}); break;
      case 2: desk.submit({RemoveNode{"x" + std::to_string(random() % 3) + ".s1", true}}); break;
      case 3: desk.submit({SetAttribute{{Level::site, "s1"}, "lans",
                                        {"10." + std::to_string(1 + random() % 2) + ".0.0/24"}}}); break;
      case 4: commit(); break;
      default: desk.submit({SetAttribute{target, name, {value}}});
    }
  }
  void commit() {
    Body answer = desk.ask(desk.alice, Prepare{Target{}, false, false});
    const auto* prepared = std::get_if<Prepared>(&answer);
    if (prepared && !prepared->rows.empty())
      desk.submit({Commit{Target{}, prepared->sequence, prepared->root, false, false, true}});
  }
  /// All pages; the last one's document.
  json ask(const std::string& kind, std::map<std::string, std::string> arguments) {
    for (;;) {
      Body body = desk.ask(desk.alice, Query{kind, arguments, {}});
      if (!std::holds_alternative<QueryResult>(body)) return {{"error", desk.error_of(body).message}};
      const auto& page = std::get<QueryResult>(body);
      if (!page.more) return json::parse(page.json);
      arguments["cursor"] = page.cursor;
    }
  }
  uint64_t head() const { return desk.disk->head().value(); }

  uint32_t seed;
  std::mt19937 random;
  Desk desk;
  std::unique_ptr<Past> past;
};

TEST_F(RandomHistory, BlameOfAnAttributeNamesTheEntryWhoseEventSetIt) {
  std::map<std::string, uint64_t> last;  // "scope name" -> entry
  for (uint64_t i = 1; i <= head(); ++i) {
    const Entry entry = *decode_entry(desk.disk->read(Sequence(i), 1, 1)->at(0));
    for (const Event& event : entry.body->events)
      if (const auto* set = std::get_if<AttributeSet>(&event))
        last[to_text(desk.controller->state(), set->scope) + " " + set->name] = i;
  }
  for (const char* scope : {"global", "site s0", "site s1", "node r0.s0", "node r1.s0", "node r0.s1"}) {
    const json document = ask("blame", {{"scope", scope}});
    for (const json& item : document["items"]) {
      const std::string where = item["scope"], name = item["name"];
      if (where == "default") continue;
      EXPECT_EQ(item["sequence"], last[where + " " + name]) << "seed " << seed << " " << scope << " " << item.dump();
    }
  }
}

TEST_F(RandomHistory, EveryLineAppearedWithTheEntryThatBlameNames) {
  const auto count = [&](uint64_t sequence, const std::string& file, const std::string& text) {
    auto state = past->at(Sequence(sequence));
    auto config = compile(*state, NodeId(13));
    if (!config) return size_t{0};
    const std::string all = "\n" + rendered_files(*config)[file];
    size_t found = 0;
    for (size_t at = 0; (at = all.find("\n" + text + "\n", at)) != std::string::npos; ++at) ++found;
    return found;
  };
  const json document = ask("blame", {{"node", "13"}, {"file", "all"}});
  ASSERT_TRUE(document.contains("items")) << document.dump();
  for (const json& item : document["items"]) {
    const std::string text = item["text"], file = item["file"];
    const uint64_t sequence = item["sequence"];
    // A list's member gets or loses its comma when others come and go.
    if (text.empty() || (text.starts_with("  ") && text.find('/') != std::string::npos)) continue;
    EXPECT_GT(count(sequence, file, text), count(sequence - 1, file, text)) << "seed " << seed << " " << item.dump();
  }
}

TEST_F(RandomHistory, BisectFindsWhatALinearScanFinds) {
  for (int round = 0; round < 20; ++round) {
    const std::string test = random() % 2 ? "attribute node r0.s1 wg_keepalive " + std::to_string(10 + random() % 4)
                             : random() % 2 ? "compiles x1.s1" : "reach s1 10.2.0.0/24";
    // The verdict of every entry, by asking for each pair of neighbours.
    std::vector<bool> holds{false};
    for (uint64_t i = 1; i <= head(); ++i) {
      auto state = *past->at(Sequence(i));
      const Node* x = state.find_node("x1.s1");
      const Site* s1 = state.find_site("s1");
      if (test.starts_with("compiles")) holds.push_back(x && compile(state, x->id).has_value());
      else if (test.starts_with("reach")) holds.push_back(s1 && s1->attributes.contains("lans") &&
                                                          to_text(s1->attributes.at("lans").value) == "10.2.0.0/24");
      else {
        const Node* node = state.find_node("r0.s1");
        auto value = node ? effective(state, *node, "wg_keepalive") : std::nullopt;
        holds.push_back(value && to_text(*value) == test.substr(test.rfind(' ') + 1));
      }
    }
    const uint64_t good = 1 + random() % head(), bad = 1 + random() % head();
    const json found = ask("bisect", {{"good", std::to_string(good)}, {"bad", std::to_string(bad)}, {"test", test}});
    if (good >= bad || !holds[good] || holds[bad]) {
      EXPECT_TRUE(found.contains("error")) << "seed " << seed << " " << test << " " << good << " " << bad;
      continue;
    }
    ASSERT_TRUE(found.contains("first_bad")) << "seed " << seed << " " << found.dump();
    const uint64_t first = found["first_bad"]["sequence"];
    // With several changes between the ends any of them may be found, but a change it is.
    EXPECT_TRUE(first > good && first <= bad && holds[first - 1] && !holds[first])
        << "seed " << seed << " " << test << " " << good << ".." << bad << " found " << first;
  }
}

}  // namespace
}  // namespace mesh
