// Claim: any two of working, committed, active, a version and an instant are compared in attributes, structure, links,
// reachability and files. Method: a small mesh with a committed change and an uncommitted one; documents read as JSON.
// (tests/property/history holds instants against full replays.)
#include <nlohmann/json.hpp>

#include "tests/unit/broker/desk.h"

namespace mesh {
namespace {

using nlohmann::json;
using test::Desk;

class Comparing : public testing::Test {
 protected:
  Comparing() {
    desk.submit({AddSite{"ams"}, AddSite{"lab"}, AddNode{"r1.ams"}, AddNode{"r1.lab"},
                 SetAttribute{{Level::node, "r1.ams"}, "endpoint", {"192.0.2.1"}},
                 SetAttribute{{Level::node, "r1.ams"}, "lans", {"10.1.0.0/24"}},
                 SetAttribute{{Level::node, "r1.lab"}, "lans", {"10.2.0.0/24"}}});
    commit();                                                                       // v1 is entry 3
    desk.submit({Activate{Target{}, {}}});                                          // 4
    desk.submit({SetAttribute{{Level::global, ""}, "wg_keepalive", {int64_t{20}}}});  // 5
    commit();                                                                       // v2 is entry 6
    desk.submit({RenameNode{"r1.lab", "edge"}, RemoveNode{"r1.ams", true}});        // 7
  }
  void commit() {
    auto prepared = std::get<Prepared>(desk.ask(desk.alice, Prepare{Target{}, false, false}));
    desk.submit({Commit{Target{}, prepared.sequence, prepared.root, false, false}});
  }
  json compare(const std::string& a, const std::string& b, const std::string& node = "", uint64_t at = 0) {
    std::map<std::string, std::string> arguments{{"a", a}, {"b", b}};
    if (!node.empty()) arguments["node"] = node;
    Body body = desk.ask(desk.alice, Query{"compare", std::move(arguments), Sequence(at)});
    if (!std::holds_alternative<QueryResult>(body)) return {{"error", desk.error_of(body).message}};
    return json::parse(std::get<QueryResult>(body).json);
  }
  Desk desk;
};

TEST_F(Comparing, TwoInstants) {
  json document = compare("#4", "#5");
  EXPECT_EQ(document["kind"], "Comparison");
  EXPECT_EQ(document["a"]["at"], 4);
  EXPECT_EQ(document["b"]["means"], "entry 5");
  EXPECT_EQ(document["attributes"],
            json::parse(R"([{"scope":"global","name":"wg_keepalive","before":null,"now":20}])"));
  EXPECT_EQ(document["items"].size(), 2u);
  const std::string text = document["items"][0]["text"];
  EXPECT_NE(text.find("--- #4/r1.ams/tlwg_12.conf\n+++ #5/r1.ams/tlwg_12.conf\n"), std::string::npos) << text;
  EXPECT_NE(text.find("+PersistentKeepalive = 20"), std::string::npos) << text;
  EXPECT_TRUE(document["structure"].empty());
  EXPECT_TRUE(document["links"]["removed"].empty());
}

TEST_F(Comparing, WhatIsCommittedWithWhatIsWorkedOn) {
  json document = compare("committed", "working");
  EXPECT_EQ(document["structure"],
            json::parse(R"(["node r1.ams (11) removed","node r1.lab (12) renamed to edge.lab"])"));
  EXPECT_EQ(document["links"]["removed"], json::parse(R"([{"a":"r1.ams","b":"r1.lab"}])"));
  EXPECT_EQ(document["reachability"]["lost"],
            json::parse(R"([{"from":"10.1.0.0/24","to":"10.2.0.0/24","family":"ipv4"}])"));
  EXPECT_EQ(document["totals"]["reachability_lost"], 1);
  ASSERT_EQ(document["items"].size(), 2u);
  EXPECT_EQ(document["items"][0]["changes"], json::parse(R"(["- no configuration any more"])"));
  EXPECT_EQ(document["items"][1]["fullname"], "edge.lab");
}

TEST_F(Comparing, WhatNodesRunWithWhatIsCommitted) {
  json document = compare("active", "committed");
  EXPECT_TRUE(document["attributes"].empty());
  EXPECT_EQ(document["notes"].size(), 1u) << document["notes"];
  EXPECT_EQ(document["items"].size(), 2u) << "nothing was reported, so nothing runs";
}

TEST_F(Comparing, TwoVersionsOfANodeThatIsGone) {
  json document = compare("v1", "v2", "r1.ams");
  EXPECT_EQ(document["a"]["version"], 1);
  EXPECT_EQ(document["a"]["at"], 3);
  EXPECT_EQ(document["attributes"].size(), 1u);
  ASSERT_EQ(document["items"].size(), 1u);
  EXPECT_EQ(document["items"][0]["changes"], json::parse(R"(["~ link to r1.lab: keepalive 25 -> 20"])"));
  EXPECT_TRUE(document["reachability"].is_null());
  EXPECT_EQ(compare("v2", "#5", "11")["items"].size(), 0u);
}

TEST_F(Comparing, OneNodeAlone) {
  json document = compare("#1", "#2", "r1.ams");
  EXPECT_EQ(document["structure"], json::parse(R"(["site ams added","node r1.ams (11) added"])"));
  EXPECT_EQ(document["items"].size(), 1u);
  EXPECT_EQ(document["links"]["added"].size(), 1u);
  EXPECT_EQ(document["reachability"]["gained"].size(), 1u);
  EXPECT_EQ(compare("#4", "#5", "r1.lab")["items"][0]["node"], 12) << "a name of then";
}

TEST_F(Comparing, SitesAreFollowedThroughRenames) {
  desk.submit({AddSite{"new"}, SetAttribute{{Level::site, "new"}, "note", {"x"}}});  // 8
  desk.submit({RenameSite{"new", "newer"}, SetAttribute{{Level::site, "newer"}, "note", {"y"}}});
  json document = compare("8", "9");
  EXPECT_EQ(document["structure"], json::parse(R"(["site new renamed to newer"])"));
  EXPECT_EQ(document["attributes"],
            json::parse(R"([{"scope":"site newer","name":"note","before":"x","now":"y"}])"));
}

TEST_F(Comparing, AnInstantThatMakesNoConfigurationSaysWhy) {
  desk.submit({AddNode{"r2.lab"}, SetAttribute{{Level::node, "12"}, "endpoint", {"192.0.2.9"}},
               SetAttribute{{Level::node, "r2.lab"}, "endpoint", {"192.0.2.9"}}});
  json document = compare("7", "8", "12");
  ASSERT_EQ(document["items"].size(), 1u);
  EXPECT_EQ(document["items"][0]["effect"], "unknown");
  const std::string why = document["items"][0]["changes"][0];
  EXPECT_TRUE(why.starts_with("8 makes no configuration: ")) << why;
}

TEST_F(Comparing, AtAnInstantWorkingMeansThen) {
  json document = compare("committed", "working", "", 5);
  EXPECT_EQ(document["at"], 5);
  EXPECT_EQ(document["attributes"].size(), 1u);
  EXPECT_EQ(compare("committed", "working", "", 6)["items"].size(), 0u);
}

TEST_F(Comparing, ErrorsNameTheThing) {
  EXPECT_EQ(compare("v1", "working")["error"], "v1 is a version of a node, and no node is named");
  EXPECT_EQ(compare("v7", "working", "12")["error"], "node edge.lab has no version v7");
  EXPECT_EQ(compare("nonsense", "working")["error"], "there is no tag \"nonsense\"");
  EXPECT_EQ(compare("77", "working")["error"], "there is no entry 77, the log ends at 7");
  EXPECT_EQ(compare("1", "2", "r9.ams")["error"], "node \"r9.ams\" does not exist");
}

}  // namespace
}  // namespace mesh
