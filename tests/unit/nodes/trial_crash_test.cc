// Claim: whenever the program or the machine dies while a version that has to be confirmed begins, is gone back from
// or is confirmed, the router runs exactly one of the two versions after the restart; the deadline is the one from
// before; and what became of it is told once.
// Method: the story is played once to count its changes of the disk and its actions on the router. Then it dies at
// each of them, by kill (what was written is there, the router goes on) and by power loss (names that were not synced
// are there or lost, the router and the clock start anew). It lives on alone, and, again from the start, with the
// controller.
#include <algorithm>
#include <functional>

#include "trial_fixture.h"

namespace mesh::test {
namespace {

enum class Story : uint8_t { start, expiry, confirmation };
enum class Death : uint8_t { killed, power_lost, power_lost_names_kept };

struct TrialCrash : TrialTest {
  TrialCrash() {
    before = log.size();
    log.activate_confirmed(20);
    started = log.size();
    log.confirm();
    TestNode shown(log, node);
    prepare(shown, Story::expiry);
    second = shown.router().state();
  }

  /// Up to where the story begins.
  void prepare(TestNode& it, Story story) const {
    it.connect();
    it.follow(story == Story::start ? before : started);
    it.give(Ack{it.store().serial()});
  }
  void play(TestNode& it, Story story) const {
    if (story == Story::start) it.follow(started);
    if (story == Story::confirmation) it.follow();
    if (story != Story::expiry) return;
    it.disconnect();
    it.pass(20'500);
  }
  void come_back(TestNode& it, Death death) {
    it.router().set_fault({});
    it.sleep(5'000);
    it.disk().crash(death != Death::power_lost);
    begun = it.disk().read("pending").has_value();
    death == Death::killed ? it.restart() : it.reboot(death == Death::power_lost_names_kept);
  }
  bool on_one_version(TestNode& it) const { return it.router().state() == routed || it.router().state() == second; }

  static size_t ends(TestNode& it, ActivationId activation) {
    return static_cast<size_t>(std::ranges::count_if(it.store().outcomes(), [&](const SignedOutcome& each) {
      const auto kind = each.outcome.kind;
      return each.outcome.activation == activation && (kind == OutcomeKind::reverted || kind == OutcomeKind::failed);
    }));
  }

  /// What must be so at once after the restart.
  void check_restarted(TestNode& it, Death death, const std::string& where) {
    ASSERT_TRUE(on_one_version(it)) << where;
    ASSERT_TRUE(it.store().problems().empty()) << where << ": " << it.store().problems().front();
    const auto at = it.agent().status();
    if (it.router().state() == routed) {
      ASSERT_EQ(at.active, Version(1)) << where;
      ASSERT_EQ(at.pending, Version(0)) << where;
      return;
    }
    if (at.active == Version(2)) {
      ASSERT_EQ(at.pending, Version(0)) << where;
      return;
    }
    ASSERT_EQ(at.pending, Version(2)) << where;
    if (!begun) return;  // it was heard of, and nothing was touched: it begins with the start of the program
    ASSERT_EQ(death, Death::killed) << where << ": another boot is no confirmation";
    ASSERT_LE(at.pending_left_s, 15) << where << ": the deadline is the one from before";
  }

  void live_alone(TestNode& it, const std::string& where) {
    const bool active = it.agent().status().active == Version(2);
    it.pass(begun ? 15'000 : 20'000);
    ASSERT_TRUE(active ? it.router().state() == second : it.router().state() == routed) << where;
    ASSERT_FALSE(it.store().waiting()) << where;
    ASSERT_LE(ends(it, log.newest()), 1u) << where;
  }

  void live_on(TestNode& it, Story story, const std::string& where) {
    it.connect();
    const auto end = story == Story::confirmation ? log.size() : started;
    it.follow(end);
    it.give(Head{Sequence(end), log.note(end)});
    it.pass(1'000);
    ASSERT_TRUE(on_one_version(it)) << where;
    if (story != Story::confirmation) {
      it.disconnect();
      it.pass(20'000);
      ASSERT_EQ(it.router().state(), routed) << where;
      ASSERT_EQ(ends(it, log.newest()), 1u) << where;
      return;
    }
    const auto at = it.agent().status();
    const bool followed = at.active == Version(2) && it.router().state() == second && at.state == "ok";
    const bool diverged = at.active == Version(1) && it.router().state() == routed && at.state.starts_with("diverged");
    ASSERT_TRUE(followed || diverged) << where << ": " << at.state;
    ASSERT_EQ(ends(it, log.newest()), diverged ? 1u : 0u) << where;
  }

  /// Arms the death, plays, dies, comes back.
  void die_and_check(Story story, Death death, const std::function<void(TestNode&)>& arm, const std::string& where) {
    for (const bool alone : {true, false}) {
      TestNode it(log, node);
      prepare(it, story);
      arm(it);
      play(it, story);
      come_back(it, death);
      check_restarted(it, death, where);
      if (HasFatalFailure()) return;
      alone ? live_alone(it, where) : live_on(it, story, where);
      if (HasFatalFailure()) return;
    }
  }

  uint64_t before = 0, started = 0;
  bool begun = false;  // what waits was on disk when it died
  DryRunState second;
};

std::string text(Story story, Death death, std::string_view what, uint64_t step) {
  constexpr const char* kStories[] = {"start", "expiry", "confirmation"};
  constexpr const char* kDeaths[] = {"killed", "power lost", "power lost, names kept"};
  return std::string(kStories[static_cast<size_t>(story)]) + ", " + kDeaths[static_cast<size_t>(death)] + " at " +
         std::string(what) + " " + std::to_string(step);
}

class TrialCrashIn : public TrialCrash, public ::testing::WithParamInterface<std::tuple<Story, Death>> {};

TEST_P(TrialCrashIn, AnyChangeOfTheDisk) {
  const auto [story, death] = GetParam();
  TestNode whole(log, node);
  prepare(whole, story);
  const auto begin = whole.disk().changes();
  play(whole, story);
  const auto steps = whole.disk().changes() - begin;
  ASSERT_GE(steps, 5u);
  for (uint64_t step = 1; step <= steps; ++step) {
    die_and_check(story, death, [step](TestNode& it) { it.disk().die_at(step); }, text(story, death, "change", step));
    if (HasFatalFailure()) return;
  }
}

TEST_P(TrialCrashIn, AnyActionOnTheRouter) {
  const auto [story, death] = GetParam();
  TestNode whole(log, node);
  prepare(whole, story);
  const auto begin = whole.router().executed();
  play(whole, story);
  const auto actions = whole.router().executed() - begin;
  ASSERT_EQ(actions == 0, story == Story::confirmation) << "a confirmation touches nothing";
  for (uint64_t action = 1; action <= actions; ++action) {
    const auto arm = [action](TestNode& it) {
      it.router().set_fault([&it, left = action](const Action&) mutable -> Status {
        if (left > 1) {
          --left;
          return {};
        }
        it.disk().die_at(1);  // nothing that comes after it happens
        return fail(Errc::io, "dead");
      });
    };
    die_and_check(story, death, arm, text(story, death, "action", action));
    if (HasFatalFailure()) return;
  }
}

INSTANTIATE_TEST_SUITE_P(Each, TrialCrashIn,
                         ::testing::Combine(::testing::Values(Story::start, Story::expiry, Story::confirmation),
                                            ::testing::Values(Death::killed, Death::power_lost,
                                                              Death::power_lost_names_kept)));

}  // namespace
}  // namespace mesh::test
