// Claim: whatever happened, a rollback brings the intent of the whole network back to any instant, byte
// for byte in what every node compiles; of a site or a node it does so or says what stands in its way.
// An export applied is no change, an old export applied with pruning is that rollback, and undoing the
// newest entry gives the intent before it. All of it is decided, appended and replayed like any other
// entry. Method: seeded random histories of sensible and wrong commands; each seed is one history, and
// a failure names it.
#include <gtest/gtest.h>

#include <array>
#include <iostream>
#include <random>
#include <set>

#include "eventstore/model/compile.h"
#include "eventstore/model/difference.h"
#include "eventstore/model/evolve.h"
#include "eventstore/model/intent_digest.h"
#include "eventstore/model/node_config.h"
#include "schemas/codec.h"
#include "tests/support/world.h"

namespace mesh {
namespace {

using test::World;
const Principal kAlice = Principal::human("alice");

class History {
 public:
  explicit History(uint64_t seed) : random_(seed) {}

  void live(size_t steps) {
    for (const char* each : {"ax", "bx", "cx"})
      world.must({AddSite{each}, AddNode{"r0." + std::string(each)},
                  AddNode{"r1." + std::string(each)}});
    keep();
    for (size_t i = 0; i < steps; ++i) step();
  }
  size_t pick(size_t below) { return static_cast<size_t>(random_() % below); }
  /// The state after each entry; 0 is before the first.
  const std::vector<MeshState>& states() const { return states_; }
  const MeshState& now() const { return world.state(); }
  const MeshState& some_state() { return states_[1 + pick(states_.size() - 1)]; }

  Result<std::vector<Event>> submit(std::vector<Command> commands) {
    auto done = world.submit(kAlice, std::move(commands));
    keep();
    return done;
  }
  Target target() {
    switch (pick(3)) {
      case 0:
        return {};
      case 1:
        return {Level::site, site()};
    }
    return {Level::node, node()};
  }

  World world;

 private:
  void keep() {
    while (states_.size() <= world.entries().size()) {
      MeshState state = states_.back();
      auto entry = decode_entry(world.entries()[states_.size() - 1]);
      evolve(state, entry->header, *entry->body);
      states_.push_back(std::move(state));
    }
  }

  void step() {
    switch (pick(12)) {
      case 0: {
        auto ignored = world.commit(kAlice, pick(2) ? Target{} : target(), true, true);
        break;
      }
      case 1: {
        const std::string name = node();
        const Node* found = now().find_node(name);
        // Its keys follow from its name, and nobody's keys are taken twice.
        if (found && found->enrolment == Enrolment::none && enrolled_.insert(name).second)
          world.enrol(name);
        break;
      }
      case 2: {
        auto back = roll_back(now(), some_state(), target());
        if (back && !back->commands.empty()) {
          auto ignored = world.submit(kAlice, back->commands);
        }
        break;
      }
      case 3: {  // a circle of names
        const std::string a = site(), b = site(), node_a = node(), node_b = node();
        auto ignored = world.submit(
            kAlice, {RenameSite{a, "aside"}, RenameSite{b, a}, RenameSite{"aside", b}});
        ignored = world.submit(kAlice, {RenameNode{node_a, "aside"},
                                        RenameNode{node_b, node_a.substr(0, 2)},
                                        RenameNode{"aside" + node_a.substr(2), node_b.substr(0, 2)}});
        break;
      }
      default: {
        std::vector<Command> commands;
        for (size_t n = pick(4) == 0 ? 2 + pick(4) : 1; n > 0; --n) commands.push_back(command());
        auto ignored = world.submit(kAlice, std::move(commands));
      }
    }
    keep();
  }

  Command command() {
    switch (pick(24)) {
      case 0:
      case 1:
        return AddSite{name_of_site()};
      case 2:
      case 3:
      case 4:
      case 5:
        return AddNode{"r" + std::to_string(pick(3)) + "." + site()};
      case 6:
        return RemoveSite{site(), pick(2) > 0};
      case 7:
      case 8:
        return RemoveNode{node(), pick(4) > 0};
      case 9:
      case 10:
        return RenameSite{site(), name_of_site()};
      case 11:
      case 12:
        return RenameNode{node(), "r" + std::to_string(pick(3))};
      case 13:
        return UnsetAttribute{target(), name()};
      case 14:
        return Discard{target()};
      case 15:
        return RevokeNode{node()};
      case 16:
        return SetAttribute{
            {Level::node, node()}, "endpoint", {"192.0.2." + std::to_string(pick(200) + 1)}};
      case 17:
        return RestoreNode{NodeId(11 + static_cast<uint32_t>(pick(12))),
                           pick(2) ? "r" + std::to_string(pick(3)) + "." + site() : ""};
      case 18:
        return Activate{target(), Version(static_cast<uint32_t>(pick(3))), false};
      default:
        return SetAttribute{target(), name(), {static_cast<int64_t>(pick(3) + 20)}};
    }
  }
  /// One that exists, if any does.
  std::string node() {
    if (now().nodes.empty()) return "r0.ax";
    return std::next(now().nodes.begin(), static_cast<long>(pick(now().nodes.size())))
        ->second->fullname();
  }
  std::string site() {
    if (now().sites.empty()) return "ax";
    return std::next(now().sites.begin(), static_cast<long>(pick(now().sites.size())))->first;
  }
  std::string name_of_site() { return std::string(1, static_cast<char>('a' + pick(5))) + "x"; }
  std::string name() { return std::array{"wg_keepalive", "note", "bfd_multiplier"}[pick(3)]; }

  std::mt19937_64 random_;
  std::set<std::string> enrolled_;
  std::vector<MeshState> states_ = std::vector<MeshState>(1);
};

/// What every node would run, or why it cannot.
std::map<std::string, std::string> compiled(const MeshState& state) {
  std::map<std::string, std::string> out;
  for (const auto& [id, node] : state.nodes) {
    auto config = compile(state, id);
    out[node->fullname()] = config ? config_text(*config) : config.error().message;
  }
  return out;
}

void expect_replays(const World& world) {
  Replica verified;
  for (const EncodedEntry& encoded : world.entries()) {
    auto entry = decode_entry(encoded);
    ASSERT_TRUE(entry) << entry.error().message;
    auto taken = replay(verified, *entry, world.state().log);
    ASSERT_TRUE(taken) << taken.error().message;
  }
  EXPECT_EQ(verified, world.replica());
}

std::string error_text(const Error& error) { return error.message + " (" + error.fix + ")"; }

class Histories : public testing::TestWithParam<uint64_t> {
 protected:
  void SetUp() override { history_.live(70); }
  History history_{GetParam()};
  testing::ScopedTrace trace_{__FILE__, __LINE__, "seed " + std::to_string(GetParam())};
};

TEST_P(Histories, AreRolledBackAsAWholeToAnyInstant) {
  for (int round = 0; round < 3; ++round) {
    const MeshState then = history_.some_state();
    const MeshState before = history_.now();
    auto back = roll_back(before, then, Target{});
    ASSERT_TRUE(back) << error_text(back.error());
    if (!back->commands.empty()) {
      auto done = history_.submit(back->commands);
      ASSERT_TRUE(done) << error_text(done.error());
    }
    EXPECT_EQ(intent_digest(history_.now(), {}), intent_digest(then, {}));
    EXPECT_EQ(desired_intent(history_.now(), {}), desired_intent(then, {}));
    EXPECT_EQ(check_invariants(history_.now()), "");
    EXPECT_EQ(compiled(history_.now()), compiled(then));
    EXPECT_TRUE(roll_back(history_.now(), then, Target{})->commands.empty()) << "nothing is left";
    if (round > 0) continue;
    auto forth = roll_back(history_.now(), before, Target{});
    ASSERT_TRUE(forth) << error_text(forth.error());
    if (!forth->commands.empty()) {
      ASSERT_TRUE(history_.submit(forth->commands));
    }
    EXPECT_EQ(intent_digest(history_.now(), {}), intent_digest(before, {}));
  }
  expect_replays(history_.world);
}

TEST_P(Histories, AreRolledBackInOneSiteOrNodeOrSayWhyNot) {
  for (int round = 0; round < 8; ++round) {
    const MeshState then = history_.some_state();
    Target target = history_.target();
    auto back = roll_back(history_.now(), then, target);
    if (!back) {
      EXPECT_NE(target.level, Level::global);
      EXPECT_TRUE(back.error().code == Errc::not_found || back.error().code == Errc::conflict ||
                  back.error().code == Errc::unsupported)
          << error_text(back.error());
      EXPECT_FALSE(back.error().fix.empty()) << back.error().message;
      continue;
    }
    if (back->commands.empty()) continue;
    const auto mark = std::get<RollBack>(back->commands.back());
    auto done = history_.submit(back->commands);
    ASSERT_TRUE(done) << error_text(done.error());
    auto scope = resolve(history_.now(), mark.target);
    ASSERT_TRUE(scope);
    EXPECT_EQ(intent_digest(history_.now(), *scope), mark.digest);
    const Node* node = then.find_node(scope->node);
    if (!node || node->site == history_.now().find_node(scope->node)->site) {
      EXPECT_EQ(intent_digest(then, *scope), mark.digest);
    }
    EXPECT_EQ(check_invariants(history_.now()), "");
  }
  expect_replays(history_.world);
}

TEST_P(Histories, AnExportAppliedIsNoChangeAndAnOldOneIsARollback) {
  for (bool prune : {false, true}) {
    auto none = difference(history_.now(), desired_intent(history_.now(), {}), {}, {prune});
    ASSERT_TRUE(none) << error_text(none.error());
    EXPECT_TRUE(none->empty());
  }
  const MeshState then = history_.some_state();
  auto back = roll_back(history_.now(), then, Target{});
  auto apply = difference(history_.now(), desired_intent(then, {}), {}, {.prune = true});
  ASSERT_TRUE(back && apply);
  if (!back->commands.empty()) back->commands.pop_back();
  EXPECT_EQ(*apply, back->commands);
  if (apply->empty()) return;
  auto done = history_.submit(*apply);
  ASSERT_TRUE(done) << error_text(done.error());
  EXPECT_EQ(intent_digest(history_.now(), {}), intent_digest(then, {}));
}

TEST_P(Histories, AreUndoneEntryByEntryFromTheNewestBackwards) {
  size_t at = history_.world.entries().size();
  for (int round = 0; round < 12; ++round) {
    auto entry = decode_entry(history_.world.entries()[--at]);
    ASSERT_TRUE(entry);
    const MeshState before = history_.states()[at];
    auto back = undo(history_.now(), before, *entry);
    if (!back) {
      EXPECT_EQ(back.error().code, Errc::unsupported) << error_text(back.error());
      break;
    }
    if (back->commands.empty()) {
      EXPECT_EQ(intent_digest(history_.now(), {}), intent_digest(before, {}));
      continue;
    }
    auto done = history_.submit(back->commands);
    ASSERT_TRUE(done) << error_text(done.error());
    EXPECT_EQ(intent_digest(history_.now(), {}), intent_digest(before, {})) << "entry " << at + 1;
    EXPECT_EQ(check_invariants(history_.now()), "");
  }
  expect_replays(history_.world);
}

TEST_P(Histories, AnUndoIsUndone) {
  const MeshState now = history_.now();
  const size_t at = history_.world.entries().size() - 1;
  auto back = undo(now, history_.states()[at], *decode_entry(history_.world.entries()[at]));
  if (!back || back->commands.empty()) return;
  ASSERT_TRUE(history_.submit(back->commands));
  auto again = undo(history_.now(), now, *decode_entry(history_.world.entries().back()));
  ASSERT_TRUE(again) << error_text(again.error());
  if (!again->commands.empty()) {
    ASSERT_TRUE(history_.submit(again->commands));
  }
  EXPECT_EQ(intent_digest(history_.now(), {}), intent_digest(now, {}));
}

TEST_P(Histories, AnOldEntryIsUndoneWhereNothingRestsOnIt) {
  for (int round = 0; round < 10; ++round) {
    const size_t at = 1 + history_.pick(history_.world.entries().size() - 1);
    auto entry = decode_entry(history_.world.entries()[at]);
    ASSERT_TRUE(entry);
    auto back = undo(history_.now(), history_.states()[at], *entry);
    if (!back) {
      EXPECT_TRUE(back.error().code == Errc::unsupported || back.error().code == Errc::conflict)
          << error_text(back.error());
      continue;
    }
    if (back->commands.empty()) continue;
    auto done = history_.submit(back->commands);
    ASSERT_TRUE(done) << "#" << at + 1 << ": " << error_text(done.error());
    EXPECT_EQ(check_invariants(history_.now()), "");
  }
}

INSTANTIATE_TEST_SUITE_P(Seeds, Histories, testing::Range<uint64_t>(1, 101));

}  // namespace
}  // namespace mesh
