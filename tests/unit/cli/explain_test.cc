// Claim: `show entry` checks an entry from its bytes and says so, and finds what a controller changed in it; log lines
// say what was before; drift is a line for each node. Method: meshcli against a controller in memory, which then lies.
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "cli/event_text.h"
#include "cli/json.h"
#include "schemas/codec.h"
#include "tests/unit/cli/run_cli.h"

namespace mesh::cli {
namespace {

using test::FakeController;
using test::Ran;
using test::run_cli;

class ShowEntry : public testing::Test {
 protected:
  ShowEntry() {
    controller.given({AddSite{"ams"}, AddNode{"r1.ams"}});
    controller.given({SetAttribute{{Level::site, "ams"}, "wg_keepalive", {int64_t{20}}}});
    controller.given({SetAttribute{{Level::site, "ams"}, "wg_keepalive", {int64_t{25}}}});
  }
  Json truth(const std::string& sequence) {
    auto body = controller.answer(Query{"entry", {{"sequence", sequence}}, {}});
    return Json::parse(std::get<QueryResult>(*body).json);
  }
  FakeController controller;
};

TEST_F(ShowEntry, SaysWhatWasCheckedAndByWhoseKey) {
  const Ran own = run_cli(controller, "show entry 4");
  EXPECT_EQ(own.exit, 0) << own.err;
  EXPECT_NE(own.out.find("valid, checked here; key your own"), std::string::npos) << own.out;
  EXPECT_NE(own.out.find("  site ams: wg_keepalive 20 -> 25\n"), std::string::npos) << own.out;
  EXPECT_NE(own.out.find("  SetAttribute  target=site ams name=wg_keepalive value=25\n"), std::string::npos) << own.out;
  const Ran first = run_cli(controller, "show entry '#1' -o json");
  const Json checked = Json::parse(first.out)["checked"];
  EXPECT_EQ(checked["hashes"], true);
  EXPECT_EQ(checked["signature"], true);
  EXPECT_EQ(checked["key"], "pinned by the context");
}

TEST_F(ShowEntry, AForgedSignatureIsFound) {
  Json lie = truth("4");
  Entry entry = *decode_entry({*from_base64(lie["item"]["header"].get<std::string>()),
                               *from_base64(lie["body"].get<std::string>())});
  entry.body->signed_request.signature.bytes[3] ^= 1;
  const EncodedEntry forged = encode_entry(entry.header, *entry.body);
  lie["item"]["header"] = to_base64(forged.header);
  lie["body"] = to_base64(forged.body);
  controller.documents["entry"] = lie.dump();
  const Ran ran = run_cli(controller, "show entry 4");
  EXPECT_EQ(ran.exit, 12);
  EXPECT_NE(ran.out.find("WRONG: the signature is not by the signer's key"), std::string::npos) << ran.out;
}

TEST_F(ShowEntry, AnotherEntryInItsPlaceIsFound) {
  controller.documents["entry"] = truth("3").dump();
  EXPECT_EQ(run_cli(controller, "show entry 4").exit, 12);
}

TEST_F(ShowEntry, WhatIsShownIsWhatWasSigned) {
  Json lie = truth("4");
  lie["item"]["events"][0]["value"] = 26;
  lie["item"]["principal"] = "bob";
  controller.documents["entry"] = lie.dump();
  const Ran ran = run_cli(controller, "show entry 4");
  EXPECT_NE(ran.out.find("wg_keepalive 20 -> 25"), std::string::npos) << ran.out;
  EXPECT_EQ(ran.out.find("bob"), std::string::npos) << ran.out;
}

TEST_F(ShowEntry, ChangedBytesAreFound) {
  Json lie = truth("4");
  Bytes body = *from_base64(lie["body"].get<std::string>());
  body[body.size() / 2] ^= 1;
  lie["body"] = to_base64(body);
  controller.documents["entry"] = lie.dump();
  EXPECT_EQ(run_cli(controller, "show entry 4").exit, 12);
}

/// Every kind of event has a sentence of its own: none falls back to listing its fields.
template <size_t Kind = 0>
void expect_phrases() {
  if constexpr (Kind < std::variant_size_v<Event>) {
    const std::string name(event_name(Event(std::in_place_index<Kind>)));
    EXPECT_NE(event_text({{"type", name}}, {}), name) << name;
    expect_phrases<Kind + 1>();
  }
}
TEST(Drift, IsALineForEachNodeAndSaysWhenSomeAreCut) {
  FakeController controller;
  controller.documents["drift"] = R"({"kind":"Drift","sequence":1,"shortened":1,"items":[)"
                                  R"({"fullname":"r1.ams","count":0,"drift":[]},)"
                                  R"({"fullname":"r1.lab","count":300,"drift":[]}]})";
  const Ran ran = run_cli(controller, "drift -o jsonl --detailed-exitcode");
  EXPECT_EQ(ran.exit, 2);
  EXPECT_EQ(ran.out, "{\"fullname\":\"r1.ams\",\"count\":0,\"drift\":[]}\n"
                     "{\"fullname\":\"r1.lab\",\"count\":300,\"drift\":[]}\n");
  EXPECT_NE(ran.err.find("the edits of 1 node are too many to be shown with the others: name a node"),
            std::string::npos)
      << ran.err;
}

TEST(EventText, EveryKindOfEventHasALine) { expect_phrases(); }

TEST(EventText, ManyEventsAreCountedByKindAndTheirPurposeComesFirst) {
  Json events = Json::array();
  for (const char* name : {"a", "b", "c"})
    events.push_back({{"type", "AttributeSet"}, {"scope", "node 11"}, {"name", name}, {"before", 1}, {"value", 2}});
  events.push_back({{"type", "SiteAdded"}, {"name", "lab"}});
  EXPECT_EQ(events_text(events, {{11, "r1.ams"}}, 1),
            "node r1.ams: a 1 -> 2; and 3 more (2 AttributeSet, 1 SiteAdded)");
  events.push_back({{"type", "RolledBack"}, {"scope", "global"}, {"to", 7}});
  EXPECT_EQ(events_text(events, {}, 1),
            "all rolled back to #7: node 11: a 1 -> 2; and 3 more (2 AttributeSet, 1 SiteAdded)");
}

}  // namespace
}  // namespace mesh::cli
