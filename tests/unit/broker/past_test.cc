// Claim: the state after any entry is what folding the log from its first entry gives, whichever
// snapshots there are and however damaged; instants are found by time; every query that reads intent
// answers at an instant. Method: a world's entries in a memory log, compared with states recorded
// while they were made; a Desk for the queries.
#include "broker/past.h"

#include <nlohmann/json.hpp>

#include <thread>

#include "tests/unit/broker/desk.h"

namespace mesh {
namespace {

using nlohmann::json;
using test::Desk;

/// A history of forty entries with the state after each: states[n] is the one after entry n.
struct History {
  History() {
    states.emplace_back();
    states.push_back(world.state());
    auto made = [&](Command command) {
      world.must(std::move(command));
      states.push_back(world.state());
    };
    made(AddSite{"ams"});
    for (int i = 0; states.size() <= 40; ++i) {
      // Three entries of one instant, then a second passes.
      if (i % 3 != 0) world.now = world.state().time;
      made(SetAttribute{{Level::site, "ams"}, "note" + std::to_string(i), {int64_t{i}}});
    }
  }
  std::unique_ptr<MemoryEventLog> log(uint64_t damaged_entry = 0) const {
    auto out = std::make_unique<MemoryEventLog>(world.state().log);
    for (size_t i = 0; i < world.entries().size(); ++i) {
      EncodedEntry entry = world.entries()[i];
      if (i + 1 == damaged_entry) entry.body[entry.body.size() / 2] ^= 1;
      RequestId id = test::request_id(i + 1);
      EXPECT_TRUE(out->append(Sequence(i), 1, {&entry, 1}, {&id, 1}, {}).has_value());
    }
    return out;
  }
  void keep(MemoryEventLog& log, uint64_t sequence, bool damaged = false) const {
    MerkleFrontier frontier;
    for (uint64_t i = 0; i < sequence; ++i) frontier.append(leaf_hash(world.entries()[i].header));
    Bytes bytes = encode_snapshot({states[sequence], frontier});
    if (damaged) bytes[bytes.size() / 2] ^= 1;
    EXPECT_TRUE(log.put_snapshot(Sequence(sequence), bytes).has_value());
  }
  Timestamp time_of(uint64_t sequence) const { return states[sequence].time; }
  uint64_t head() const { return states.size() - 1; }

  test::World world;
  std::vector<MeshState> states;
};

TEST(Past, EveryStateIsTheOneThatWas) {
  History history;
  for (int snapshots = 0; snapshots < 3; ++snapshots) {
    auto log = history.log();
    if (snapshots > 0)
      for (uint64_t at : {10, 11, 25, 40}) history.keep(*log, at, snapshots == 2);
    Past past(*log);
    for (uint64_t step : {1, 7, 39})
      for (uint64_t i = 0; i <= history.head(); ++i) {
        const uint64_t at = i * step % (history.head() + 1);
        auto state = past.at(Sequence(at));
        ASSERT_TRUE(state.has_value()) << at << ": " << state.error().message;
        EXPECT_EQ(*state, history.states[at]) << at;
      }
  }
}

// A newer program raised the rules, and an older one was put back: it stops at the raise, and serves no log.
TEST(Past, RulesThatThisProgramDoesNotKnowStopIt) {
  History history;
  auto log = history.log();
  const Request raise = history.world.request(Principal::human("alice"), {RaiseRules{kRulesNewest + 1}});
  const EncodedEntry entry = history.world.encode(raise, history.world.sign(raise), Context{history.world.now, {}},
                                                  {RulesRaised{kRulesNewest + 1}});
  const RequestId id = test::request_id(1'000);
  ASSERT_TRUE(log->append(Sequence(history.head()), 1, {&entry, 1}, {&id, 1}, {}));
  MeshState state;
  const Status folded = fold_to(*log, state, log->head());
  ASSERT_FALSE(folded);
  EXPECT_EQ(folded.error().code, Errc::unsupported);
  EXPECT_EQ(state, history.states.back());
  const auto controller = Controller::open(std::move(log), {});
  ASSERT_FALSE(controller);
  EXPECT_EQ(controller.error().code, Errc::unsupported);
  EXPECT_NE(controller.error().message.find("rules"), std::string::npos) << controller.error().message;
}

TEST(Past, BeyondTheHeadThereIsNothing) {
  History history;
  auto log = history.log();
  EXPECT_EQ(Past(*log).at(Sequence(history.head() + 1)).error().code, Errc::not_found);
}

TEST(Past, ADamagedEntryIsNamedAndASnapshotAfterItIsUsed) {
  History history;
  auto log = history.log(20);
  history.keep(*log, 25);
  Past past(*log);
  EXPECT_EQ(*past.at(Sequence(19)), history.states[19]);
  auto lost = past.at(Sequence(24));
  ASSERT_FALSE(lost.has_value());
  EXPECT_EQ(lost.error().code, Errc::corrupt);
  EXPECT_NE(lost.error().message.find("entry 20"), std::string::npos) << lost.error().message;
  auto later = past.at(Sequence(30));
  ASSERT_TRUE(later.has_value()) << later.error().message;
  EXPECT_EQ(*later, history.states[30]);
}

TEST(Past, AnInstantIsFoundByItsTime) {
  History history;
  auto log = history.log();
  Past past(*log);
  auto before = past.at_time(Timestamp(history.time_of(1).value() - 1));
  ASSERT_FALSE(before.has_value());
  EXPECT_EQ(before.error().code, Errc::not_found);
  EXPECT_EQ(*past.at_time(Timestamp(history.time_of(40).value() + 1'000'000)), Sequence(40));
  for (uint64_t at = 1; at <= history.head(); ++at) {
    uint64_t last = at;
    while (last < history.head() && history.time_of(last + 1) == history.time_of(at)) ++last;
    EXPECT_EQ(*past.at_time(history.time_of(at)), Sequence(last)) << at;
    if (at > 1 && history.time_of(at - 1) < history.time_of(at)) {
      EXPECT_EQ(*past.at_time(Timestamp(history.time_of(at).value() - 1)), Sequence(at - 1)) << at;
    }
  }
}

TEST(Past, AnEmptyLogHasNoInstant) {
  MemoryEventLog log(LogId{});
  EXPECT_EQ(Past(log).at_time(Timestamp(5)).error().code, Errc::not_found);
  EXPECT_EQ(*Past(log).at(Sequence()), MeshState{});
}

TEST(Past, ThreadsAskAtTheSameTime) {
  History history;
  auto log = history.log();
  for (uint64_t at : {10, 25}) history.keep(*log, at);
  Past past(*log);
  std::vector<std::thread> threads;
  std::vector<int> wrong(4);
  for (size_t t = 0; t < wrong.size(); ++t)
    threads.emplace_back([&, t] {
      for (uint64_t i = 0; i < 200; ++i) {
        const uint64_t at = (i * (7 + t) + t) % (history.head() + 1);
        auto state = past.at(Sequence(at));
        wrong[t] += !state || *state != history.states[at];
      }
    });
  for (auto& thread : threads) thread.join();
  EXPECT_EQ(wrong, std::vector<int>(4));
}

/// Entries in one flush, as a busy controller makes them.
void write_entries(Desk& desk, int count) {
  for (int i = 0; i < count; ++i)
    desk.give(desk.alice, Submit{Desk::sign(desk.request({SetAttribute{
                                     {Level::global, ""}, "note", {int64_t(desk.next_id)}}})),
                                 false});
  desk.answers();
}

TEST(Snapshots, AreSpacedAndNeverRemoved) {
  Desk desk(5);
  for (int i = 0; i < 60; ++i) write_entries(desk, 1);
  auto kept = desk.disk->snapshots();
  ASSERT_GE(kept.size(), 6u);
  Sequence before;
  for (Sequence at : kept) {
    EXPECT_GE(at.value() - before.value(), 5u);
    EXPECT_LE(at.value() - before.value(), 10u);
    before = at;
  }
  EXPECT_LE(desk.disk->head().value() - before.value(), 10u);
  desk.restart(5);
  write_entries(desk, 1);
  EXPECT_GE(desk.disk->snapshots().size(), kept.size());
}

TEST(Snapshots, ThatAreMissingAreMadeWhileNothingHappens) {
  Desk desk(1'000'000);
  while (desk.disk->head() < Sequence(4'500)) write_entries(desk, 500);
  ASSERT_TRUE(desk.disk->snapshots().empty());
  desk.restart(100);
  const Past past(*desk.disk);
  for (int i = 0; i < 10; ++i) {
    desk.controller->tick(desk.now);
    desk.answers();
  }
  EXPECT_EQ(desk.disk->snapshots(), (std::vector{Sequence(100), Sequence(200), Sequence(300)}));
  for (Sequence at : desk.disk->snapshots()) {
    auto replica = decode_snapshot(*desk.disk->get_snapshot(at));
    ASSERT_TRUE(replica.has_value());
    MeshState state;
    ASSERT_TRUE(fold_to(*desk.disk, state, at).has_value());
    EXPECT_EQ(replica->state, state);
    EXPECT_EQ(replica->frontier.root(), *root_at(at.value(), desk.disk->hash_reader()));
  }
  EXPECT_TRUE(desk.controller->broken().empty());
}

class Instants : public testing::Test {
 protected:
  Instants() {
    desk.submit({AddSite{"ams"}, AddNode{"r1.ams"}, AddNode{"r2.ams"}});
    desk.submit({SetAttribute{{Level::node, "r1.ams"}, "endpoint", {"192.0.2.1"}}});
    auto prepared = std::get<Prepared>(desk.ask(desk.alice, Prepare{Target{}, false, false}));
    desk.submit({Commit{Target{}, prepared.sequence, prepared.root, false, false}});
    desk.now.wall = Timestamp(desk.now.wall.value() + 1'000'000);
    desk.submit({AddTag{"before-the-move", {}}});
    desk.submit({RenameNode{"r2.ams", "r2"}, SetAttribute{{Level::global, ""}, "wg_mtu", {int64_t{1300}}}});
    desk.submit({RemoveNode{"r1.ams", true}});
  }
  json ask(const std::string& kind, std::map<std::string, std::string> arguments = {}, uint64_t at = 0) {
    Body body = desk.ask(desk.alice, Query{kind, std::move(arguments), Sequence(at)});
    if (!std::holds_alternative<QueryResult>(body)) return {{"error", desk.error_of(body).message}};
    return json::parse(std::get<QueryResult>(body).json);
  }
  Desk desk;
};

TEST_F(Instants, QueriesOfIntentAnswerAsOfThen) {
  EXPECT_EQ(ask("nodes", {}, 1)["items"].size(), 0u);
  json nodes = ask("nodes", {}, 4);
  EXPECT_EQ(nodes["at"], 4);
  EXPECT_EQ(nodes["items"].size(), 2u);
  EXPECT_TRUE(nodes["items"][0]["connected"].is_null());
  EXPECT_EQ(nodes["items"][0]["version_latest"], 1);
  EXPECT_EQ(ask("versions", {{"node", "r1.ams"}}, 3)["items"].size(), 0u);
  EXPECT_EQ(ask("versions", {{"node", "r1.ams"}}, 4)["items"].size(), 1u);
  EXPECT_EQ(ask("links", {}, 2)["items"].size(), 0u);
  EXPECT_EQ(ask("links", {}, 3)["items"].size(), 1u);
  EXPECT_EQ(ask("show", {{"scope", "node r1.ams"}}, 3)["attributes"]["endpoint"]["value"], "192.0.2.1");
  EXPECT_EQ(ask("show_all", {{"scope", "node r2.ams"}}, 4)["effective"]["links"].size(), 1u);
  EXPECT_EQ(ask("changes", {}, 3)["items"].size(), 4u);
  EXPECT_EQ(ask("changed", {}, 3)["items"].size(), 2u);
  EXPECT_EQ(ask("changed", {}, 4)["items"].size(), 0u);
  EXPECT_EQ(ask("files", {{"node", "r1.ams"}}, 3)["items"].size(), 2u);
  EXPECT_EQ(ask("log", {}, 3)["items"].size(), 3u);
  EXPECT_EQ(ask("tags", {}, 4)["items"].size(), 0u);
  json status = ask("status", {}, 4);
  EXPECT_TRUE(status["controller"].is_null());
  EXPECT_TRUE(status["items"][0]["lag"].is_null());
  EXPECT_EQ(status["items"][0]["version_latest"], 1);
  EXPECT_EQ(ask("nodes", {}, 99)["error"], "there is no entry 99, the log ends at 7");
  EXPECT_EQ(ask("pending", {}, 2)["error"], "query pending tells only what is now");
}

TEST_F(Instants, ADigestAtAnInstantIsTheOneThatTheHeadHad) {
  json then = ask("state");
  desk.submit({AddSite{"lab"}});
  json now = ask("state", {}, then["sequence"].get<uint64_t>());
  EXPECT_EQ(now["digest"], then["digest"]);
  EXPECT_EQ(now["root"], then["root"]);
  EXPECT_NE(ask("state")["digest"], then["digest"]);
}

TEST_F(Instants, AnInstantIsNamedInManyWays) {
  auto at = [&](const std::string& text, std::map<std::string, std::string> more = {}) {
    more["text"] = text;
    json moment = ask("moment", more);
    return moment.contains("error") ? moment["error"] : moment["at"];
  };
  EXPECT_EQ(at("3"), 3);
  EXPECT_EQ(at("#3"), 3);
  EXPECT_EQ(at("head"), 7);
  EXPECT_EQ(at("before-the-move"), 4);
  EXPECT_EQ(at("v1", {{"node", "11"}}), "node \"11\" does not exist");
  EXPECT_EQ(at("v1", {{"node", "r2.ams"}}), 4);
  EXPECT_EQ(at("1970-01-01T00:00:05Z"), 4);
  EXPECT_EQ(at("1970-01-01T00:00:05.5Z"), 4);
  EXPECT_EQ(at("1970-01-01T00:00:06.000000Z"), 7);
  EXPECT_EQ(at("1970-01-01T00:00:04.999999Z"), "1970-01-01T00:00:04.999999Z: the log begins after that time");
  EXPECT_EQ(at("1970-02-30T00:00:04Z"), "\"1970-02-30T00:00:04Z\" is no time");
  EXPECT_EQ(at("v1"), "v1 is a version of a node, and no node is named");
  EXPECT_EQ(at("v9", {{"node", "r2.ams"}}), "node r2.ams has no version v9");
  EXPECT_EQ(at("before-the-mode"), "there is no tag \"before-the-mode\"");
  EXPECT_EQ(at("0"), "there is no entry 0, the log ends at 7");
  EXPECT_EQ(at("99999999999999999999"), "there is no entry 99999999999999999999, the log ends at 7");
  json tags = ask("tags");
  ASSERT_EQ(tags["items"].size(), 1u);
  EXPECT_EQ(tags["items"][0]["at"], 4);
  EXPECT_EQ(tags["items"][0]["sequence"], 5);
  EXPECT_EQ(tags["items"][0]["by"], "alice");
  EXPECT_EQ(tags["items"][0]["time"], "1970-01-01T00:00:05.000000Z");
}

}  // namespace
}  // namespace mesh
