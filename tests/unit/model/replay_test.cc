// Claim: a replica accepts exactly the history that follows from signed requests; whatever is
// changed in an entry, it is refused and the replica stays as it was. Method: a valid log, then one
// lie at a time in its last entry.
#include <gtest/gtest.h>

#include <functional>

#include "eventstore/model/crypto.h"
#include "eventstore/model/evolve.h"
#include "schemas/codec.h"
#include "tests/support/world.h"

namespace mesh {
namespace {

using test::World;

Replica replay_all(const World& world, size_t count) {
  Replica replica;
  for (size_t i = 0; i < count; ++i) {
    auto entry = decode_entry(world.entries()[i]);
    EXPECT_TRUE(entry.has_value()) << entry.error().message;
    auto taken = replay(replica, *entry, world.state().log);
    EXPECT_TRUE(taken.has_value()) << taken.error().message;
  }
  return replica;
}

void build(World& world) {
  world.must({AddSite{"ams"}, AddNode{"r1.ams"}, AddSite{"lab"}, AddNode{"r1.lab"}});
  world.must({SetAttribute{{Level::node, "11"}, "endpoint", {"192.0.2.1"}},
              SetAttribute{{Level::node, "12"}, "endpoint", {"192.0.2.2"}}});
  world.enrol("r1.ams");
  ASSERT_TRUE(world.commit(Principal::human("alice"), Target{}).has_value());
  world.must(Activate{Target{}, {}});
}

TEST(Replay, GivesTheSameStateAndRoot) {
  World world;
  build(world);
  Replica replica = replay_all(world, world.entries().size());
  EXPECT_EQ(replica, world.replica());
}

TEST(Replay, RefusesEveryLie) {
  World world;
  build(world);
  const Replica honest = replay_all(world, world.entries().size() - 1);
  auto last = decode_entry(world.entries().back());
  ASSERT_TRUE(last.has_value());
  Request request = last->body->request;
  auto encode = [&](const Request& r, const SignedRequest& s, const Context& c,
                    const std::vector<Event>& e, auto change) {
    EntryHeader header = last->header;
    change(header);
    return encode_entry(header, {s, r, c, e});
  };
  auto as_is = [](EntryHeader&) {};
  const EntryBody& body = *last->body;
  Request other = request;
  other.commands = {Activate{Target{}, Version(1)}, AddSite{"evil"}};
  SignedRequest unsigned_request{encode_request(other), body.signed_request.signature};
  SignedRequest by_controller{
      body.signed_request.bytes,
      test::sign_secret("test log").sign(kRequestDomain, body.signed_request.bytes)};
  std::vector<Event> more = body.events;
  more.push_back(SiteAdded{"evil"});
  struct Lie {
    const char* what;
    EncodedEntry entry;
    const char* says;
  };
  const Lie lies[] = {
      {"an event too many", encode(request, body.signed_request, body.context, more, as_is),
       "do not follow"},
      {"an event too few", encode(request, body.signed_request, body.context, {}, as_is),
       "do not follow"},
      {"another request under the signature",
       encode(other, unsigned_request, body.context, body.events, as_is), "signature"},
      {"signed by the controller", encode(request, by_controller, body.context, body.events, as_is),
       "signature"},
      {"another log",
       encode(request, body.signed_request, body.context, body.events,
              [](EntryHeader& h) { h.log.bytes[0] ^= 1; }),
       "another log"},
      {"another principal",
       encode(request, body.signed_request, body.context, body.events,
              [](EntryHeader& h) { h.principal = Principal::controller(); }),
       "different principals"},
      {"another time",
       encode(request, body.signed_request, body.context, body.events,
              [](EntryHeader& h) { h.time = Timestamp(h.time.value() + 1); }),
       "differ in time"},
      {"an earlier time",
       encode(request, body.signed_request, body.context, body.events,
              [](EntryHeader& h) { h.time = Timestamp(1); }),
       "before"},
      {"another class",
       encode(request, body.signed_request, body.context, body.events,
              [](EntryHeader& h) { h.entry_class = EntryClass::report; }),
       "class"},
      {"other rules",
       encode(request, body.signed_request, body.context, body.events,
              [](EntryHeader& h) { h.rules = 0; }),
       "rules"},
      {"another epoch",
       encode(request, body.signed_request, body.context, body.events,
              [](EntryHeader& h) { h.epoch = 2; }),
       "epoch"},
  };
  for (const Lie& lie : lies) {
    auto entry = decode_entry(lie.entry);
    ASSERT_TRUE(entry.has_value()) << lie.what << ": " << entry.error().message;
    Replica replica = honest;
    auto taken = replay(replica, *entry, world.state().log);
    ASSERT_FALSE(taken.has_value()) << lie.what;
    EXPECT_EQ(taken.error().code, Errc::corrupt) << lie.what;
    EXPECT_NE(taken.error().message.find(lie.says), std::string::npos)
        << lie.what << ": " << taken.error().message;
    EXPECT_EQ(replica, honest) << lie.what;
  }
}

TEST(Replay, NewerRulesStopTheFoldAndSayUpgrade) {
  World world;
  build(world);
  Replica replica = replay_all(world, world.entries().size() - 1);
  auto last = decode_entry(world.entries().back());
  last->header.rules = kRulesNewest + 1;
  auto taken = replay(replica, *last, world.state().log);
  ASSERT_FALSE(taken.has_value());
  EXPECT_EQ(taken.error().code, Errc::unsupported);
}

TEST(Replay, ABodyIsMissedOnlyInReports) {
  World world;
  build(world);
  Replica replica = replay_all(world, world.entries().size() - 1);
  auto last = decode_entry({world.entries().back().header, {}});
  ASSERT_TRUE(last.has_value());
  EXPECT_FALSE(replay(replica, *last, world.state().log).has_value());
  Outcome outcome{NodeId(11), 1, OutcomeKind::applied, ActivationId(1), Version(1), ""};
  SignedOutcome report{encode_outcome(outcome), {}, outcome};
  report.signature = test::sign_secret("r1.ams").sign(kOutcomeDomain, report.bytes);
  ASSERT_TRUE(world.submit(Principal::controller(), {ReportOutcomes{{report}}}).has_value());
  replica = replay_all(world, world.entries().size() - 1);
  auto header_only = decode_entry({world.entries().back().header, {}});
  ASSERT_TRUE(replay(replica, *header_only, world.state().log).has_value());
  EXPECT_EQ(replica.frontier, world.replica().frontier);
}

TEST(Replay, AGapAndARepeatAreConflicts) {
  World world;
  build(world);
  Replica replica = replay_all(world, 2);
  for (size_t index : {0u, 1u, 3u}) {
    auto taken = replay(replica, *decode_entry(world.entries()[index]), world.state().log);
    ASSERT_FALSE(taken.has_value());
    EXPECT_EQ(taken.error().code, Errc::conflict);
  }
}

}  // namespace
}  // namespace mesh
