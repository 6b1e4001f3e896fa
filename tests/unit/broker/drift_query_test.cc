// Claim: the query `drift` tells of each enrolled node what it said last, with its age; who said nothing, or whose
// program does not look, is told apart from who has no drift; the past knows nothing of it.
// Method: statuses on the board of a World; documents read back.
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "broker/queries/queries.h"
#include "eventstore/model/limits.h"
#include "tests/support/world.h"

namespace mesh::test {
namespace {

using nlohmann::json;

struct DriftQuery : ::testing::Test {
  DriftQuery() {
    world.must(AddSite{"ams"});
    for (const char* name : {"r1.ams", "r2.ams", "r3.ams", "r4.ams"}) world.must(AddNode{name});
    for (const char* name : {"r1.ams", "r2.ams", "r3.ams"}) world.enrol(name);
  }
  Result<QueryResult> ask(const std::string& kind, std::map<std::string, std::string> arguments, Sequence at = {}) {
    QueryFacts facts;
    facts.state = world.state();
    facts.board = board;
    facts.now = {Timestamp(5'000'000), 100'000};
    facts.query = {kind, std::move(arguments), at};
    return answer_query(std::move(facts));
  }
  World world;
  Board board;
};

TEST_F(DriftQuery, TellsWhatWasSaidAndHowOldItIs) {
  NodeStatus status;
  status.active = Version(3);
  status.drift_policy = "report";
  status.drift_count = 1;
  status.drift = {{"peer", "tlwg_12", "KEY", "", 7, -1, ""}, {"route", "10.2.0.0/24", "A", "B", 60, 10, "bird"}};
  status.observed.bytes[0] = 0xab;
  board[NodeId(11)] = {status, 97'000};
  board[NodeId(12)] = {NodeStatus{}, 10'000};
  auto answer = ask("drift", {});
  ASSERT_TRUE(answer) << answer.error().message;
  const json all = json::parse(answer->json);
  EXPECT_EQ(all["kind"], "Drift");
  ASSERT_EQ(all["items"].size(), 3u) << "r4 never joined";
  const json& one = all["items"][0];
  EXPECT_EQ(one["fullname"], "r1.ams");
  EXPECT_EQ(one["connected"], true);
  EXPECT_EQ(one["age_s"], 3);
  EXPECT_EQ(one["version"], 3);
  EXPECT_EQ(one["policy"], "report");
  EXPECT_EQ(one["count"], 1);
  EXPECT_TRUE(one["observed"].get<std::string>().starts_with("ab00"));
  EXPECT_EQ(one["drift"][0], json({{"aspect", "peer"}, {"name", "tlwg_12"}, {"expected", "KEY"}, {"found", ""},
                                   {"since_s", 10}, {"over_s", nullptr}, {"healed", ""}}));
  EXPECT_EQ(one["drift"][1]["over_s"], 13);
  EXPECT_EQ(one["drift"][1]["healed"], "bird");
  const json& older = all["items"][1];
  EXPECT_EQ(older["connected"], false);
  EXPECT_EQ(older["age_s"], 90);
  EXPECT_TRUE(older["policy"].is_null() && older["count"].is_null()) << "its program does not look";
  EXPECT_TRUE(all["items"][2]["age_s"].is_null());
}

TEST_F(DriftQuery, WhatAWholeFleetSaysFitsAnAnswer) {
  NodeStatus status;
  status.drift_policy = "report";
  status.drift_count = kDriftItemsMax;
  const std::string longest(kDriftTextMax, 'a');
  status.drift.assign(kDriftItemsMax, {"route", "10.2.0.0/24", longest, longest, 7, -1, ""});
  for (int i = 5; i < 40; ++i) {
    world.must(AddNode{"r" + std::to_string(i) + ".ams"});
    world.enrol("r" + std::to_string(i) + ".ams");
  }
  for (const auto& [id, node] : world.state().nodes) board[id] = {status, 97'000};
  auto answer = ask("drift", {});
  ASSERT_TRUE(answer) << answer.error().message;
  EXPECT_LT(answer->json.size(), kFrameBytesMax / 2);
  const json all = json::parse(answer->json);
  EXPECT_EQ(all["items"][0]["drift"].size(), kDriftItemsMax);
  size_t cut = 0;
  for (const json& item : all["items"]) {
    EXPECT_EQ(item["count"], kDriftItemsMax);
    cut += item["drift"].empty();
  }
  EXPECT_GT(cut, 0u);
  EXPECT_EQ(all["shortened"], cut);
  const json last = json::parse(ask("drift", {{"node", "r39.ams"}})->json);
  EXPECT_EQ(last["items"][0]["drift"].size(), kDriftItemsMax);
  EXPECT_EQ(last["shortened"], 0);
}

TEST_F(DriftQuery, OfOneNodeAndOnlyNow) {
  auto one = ask("drift", {{"node", "r2.ams"}});
  ASSERT_TRUE(one) << one.error().message;
  EXPECT_EQ(json::parse(one->json)["items"].size(), 1u);
  EXPECT_EQ(ask("drift", {{"node", "r9.ams"}}).error().code, Errc::not_found);
  EXPECT_EQ(ask("drift", {}, Sequence(3)).error().code, Errc::unsupported);
}

}  // namespace
}  // namespace mesh::test
