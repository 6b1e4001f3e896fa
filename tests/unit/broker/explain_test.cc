// Claim: an entry tells what it rests on and what came of it. Method: a short history whose links are known, asked through
// the controller.
#include <algorithm>
#include <nlohmann/json.hpp>

#include "eventstore/model/crypto.h"
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
  EXPECT_TRUE(verify_signature(test::sign_secret("alice").public_key(), kRequestDomain, request.bytes, request.signature));
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

}  // namespace
}  // namespace mesh
