// Claim: every query of queries/README.md answers with its document, unknown names are not_found with the nearest name,
// and proofs verify. Method: a small mesh, every kind once, documents read as JSON.
#include <nlohmann/json.hpp>

#include "eventstore/model/crypto.h"
#include "eventstore/model/merkle.h"
#include "tests/unit/broker/desk.h"

namespace mesh {
namespace {

using nlohmann::json;
using test::Desk;

class Queries : public testing::Test {
 protected:
  Queries() {
    desk.submit({AddSite{"ams"}, AddSite{"lab"}, AddNode{"r1.ams"}, AddNode{"r1.lab"},
                 SetAttribute{{Level::node, "r1.ams"}, "endpoint", {"192.0.2.1"}},
                 SetAttribute{{Level::site, "ams"}, "lans", {"10.1.0.0/24"}}});
    auto prepared = std::get<Prepared>(desk.ask(desk.alice, Prepare{Target{}, false, false}));
    Request commit = desk.request({Commit{Target{}, prepared.sequence, prepared.root, false, false}});
    commit.message = "first";
    desk.ask(desk.alice, Submit{Desk::sign(commit), false});
    desk.submit({Activate{Target{}, {}}});
    desk.submit({SetAttribute{{Level::global, ""}, "wg_keepalive", {int64_t{20}}}});
  }
  json ask(const std::string& kind, std::map<std::string, std::string> arguments = {}) {
    Body body = desk.ask(desk.alice, Query{kind, std::move(arguments), {}});
    if (!std::holds_alternative<QueryResult>(body)) return {{"error", desk.error_of(body).message}};
    return json::parse(std::get<QueryResult>(body).json);
  }
  Desk desk;
};

TEST_F(Queries, EveryKindAnswers) {
  const std::pair<std::string, std::string> kinds[] = {{"sites", "SiteList"},
                                                       {"nodes", "NodeList"},
                                                       {"changed", "ChangedList"},
                                                       {"changes", "ChangeList"},
                                                       {"links", "LinkList"},
                                                       {"tokens", "TokenList"},
                                                       {"operators", "OperatorList"},
                                                       {"pending", "PendingList"},
                                                       {"show", "Attributes"},
                                                       {"show_all", "EffectiveAttributes"},
                                                       {"diff", "Diff"},
                                                       {"status", "Status"},
                                                       {"activation", "Activation"},
                                                       {"log", "Log"},
                                                       {"controller", "ControllerStatus"},
                                                       {"checkpoint", "Checkpoint"},
                                                       {"state", "StateDigest"},
                                                       {"enrolment", "Enrolment"},
                                                       {"export", "Export"},
                                                       {"inventory", "Inventory"},
                                                       {"whoami", "Principal"},
                                                       {"nodes_roots", "CosignatureList"}};
  for (const auto& [kind, name] : kinds) EXPECT_EQ(ask(kind).value("kind", ""), name) << kind;
  EXPECT_EQ(ask("versions", {{"node", "11"}})["items"].size(), 1u);
  EXPECT_EQ(ask("versions", {{"node", "11"}})["items"][0]["message"], "first");
  EXPECT_EQ(ask("files", {{"node", "r1.ams"}})["items"].size(), 2u);
  EXPECT_EQ(ask("entry", {{"sequence", "2"}})["item"]["events"][0]["type"], "SiteAdded");
}

TEST_F(Queries, ErrorsNameTheThing) {
  EXPECT_EQ(ask("nodes", {{"site", "asm"}})["error"], "site \"asm\" does not exist");
  EXPECT_EQ(ask("versions")["error"], "query versions needs the argument node");
  EXPECT_EQ(ask("frobnicate")["error"], "query \"frobnicate\" is unknown to this controller");
  EXPECT_EQ(ask("prove", {{"sequence", "999"}})["error"], "there is no entry 999, the log ends at 5");
  EXPECT_EQ(ask("prove", {{"sequence", "x"}})["error"], "sequence has to be a number, not \"x\"");
  EXPECT_EQ(ask("diff", {{"node", "11"}, {"a", "v7"}})["error"], "node r1.ams has no version v7");
}

TEST_F(Queries, ADiffShowsWhatWouldChange) {
  json diff = ask("diff", {{"node", "r1.ams"}, {"a", "committed"}, {"b", "working"}});
  ASSERT_EQ(diff["items"].size(), 1u);
  std::string text = diff["items"][0]["text"];
  EXPECT_NE(text.find("-PersistentKeepalive = 25"), std::string::npos) << text;
  EXPECT_NE(text.find("+PersistentKeepalive = 20"), std::string::npos) << text;
  EXPECT_EQ(ask("changed")["items"].size(), 2u);
}

TEST_F(Queries, AttributesComeWithTheLevelThatSetThem) {
  json all = ask("show_all", {{"scope", "node r1.ams"}});
  EXPECT_EQ(all["attributes"]["wg_keepalive"]["scope"], "global");
  EXPECT_EQ(all["attributes"]["lans"]["scope"], "site ams");
  EXPECT_EQ(all["attributes"]["endpoint"]["scope"], "node r1.ams");
  EXPECT_EQ(all["attributes"]["wg_mtu"]["scope"], "default");
  EXPECT_EQ(all["effective"]["links"][0]["keepalive"], 20);
}

TEST_F(Queries, TheInventoryHasWhatAnsibleNeedsOfEnrolledNodes) {
  const json inventory = ask("inventory");
  EXPECT_EQ(inventory["management"], false);
  for (const json& item : inventory["items"]) {
    const json node = ask("show_all", {{"scope", "node " + item["fullname"].get<std::string>()}});
    EXPECT_EQ(item.contains("address"), item["enrolled"].get<bool>()) << item;
    if (!item["enrolled"].get<bool>()) continue;
    EXPECT_EQ(item["address"], node["effective"]["loopback4"]) << "there is no management network";
    EXPECT_EQ(item["attributes"]["wg_keepalive"], 20);
    EXPECT_EQ(item["version_latest"], 1);
  }
  EXPECT_EQ(inventory["items"][0]["fullname"], "r1.ams");
}

TEST_F(Queries, AProofVerifiesAgainstTheCheckpoint) {
  json proof = ask("prove", {{"sequence", "3"}});
  std::vector<Digest> path;
  for (const auto& hash : proof["proof"]) path.push_back(*array_from_hex<Digest>(hash.get<std::string>()));
  Digest leaf = leaf_hash(*from_base64(proof["header"].get<std::string>()));
  EXPECT_EQ(to_hex(leaf.view()), proof["leaf"]);
  auto root = array_from_hex<Digest>(proof["root"].get<std::string>());
  EXPECT_TRUE(verify_inclusion(leaf, 2, proof["size"], path, *root).has_value());
}

TEST_F(Queries, TheLogIsFilteredAndPaged) {
  json page = ask("log", {{"limit", "2"}});
  EXPECT_EQ(page["items"].size(), 2u);
  EXPECT_EQ(ask("log", {{"after", "2"}, {"limit", "1"}})["items"][0]["sequence"], 3);
  EXPECT_EQ(ask("log", {{"type", "VersionsCommitted"}})["items"].size(), 1u);
  EXPECT_EQ(ask("log", {{"actor", "alice"}})["items"].size(), 4u);
  EXPECT_EQ(ask("log", {{"node", "r1.lab"}})["items"].size(), 3u);
  EXPECT_EQ(ask("log", {{"site", "lab"}})["items"].size(), 3u);
  EXPECT_EQ(ask("log", {{"grep", "wg_keepalive"}})["items"].size(), 1u);
}

}  // namespace
}  // namespace mesh
