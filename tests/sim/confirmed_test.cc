// The traps of activations that wait for a confirmation, each on a whole mesh with production code: several routers,
// operators, a controller. The claims of README.md hold after every step of each.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <functional>

#include "tests/sim/mesh.h"
#include "tests/support/world.h"

namespace mesh::sim {
namespace {

constexpr int64_t kSecond = 1'000, kMinute = 60 * kSecond;
constexpr uint32_t kConfirmS = 30;
constexpr int64_t kBound = 2 * kSecond;  // from a deadline until it is gone back

Command keepalive(int64_t seconds) { return SetAttribute{{Level::global, {}}, "wg_keepalive", seconds}; }

/// Three sites that run v1, and v2 committed everywhere; bob may do what alice may.
struct Confirmed : testing::Test {
  void on_mesh(const std::function<void(Mesh&)>& body) {
    Mesh mesh({});
    try {
      mesh.build(3);
      ASSERT_FALSE(mesh.submit({AddOperator{"bob",
                                            Role::admin,
                                            {},
                                            test::sign_secret("bob").public_key(),
                                            test::box_secret("bob").public_key()},
                                keepalive(17)}));
      commit(mesh);
      mesh.run_until([&] { return mesh.unfinished().empty(); }, kMinute);
      ASSERT_EQ(mesh.unfinished(), "");
      body(mesh);
      mesh.run_until([&] { return mesh.unfinished().empty(); }, 10 * kMinute);
      EXPECT_EQ(mesh.unfinished(), "");
      mesh.check_end();
    } catch (const ClaimBroken& broken) {
      ADD_FAILURE() << broken.what() << "\nthe last steps:\n" << mesh.trace.tail();
    }
  }

  static void commit(Mesh& mesh) {
    Intention intention;
    intention.kind = Intention::Kind::prepare;
    intention.prepare.include_others = true;
    mesh.alice().ask(std::move(intention));
    mesh.run_until([&] { return !mesh.alice().busy(); }, kMinute);
    ASSERT_FALSE(mesh.alice().last_error());
  }

  /// Starts it everywhere; the activation's number.
  static ActivationId activate(Mesh& mesh, uint32_t seconds = kConfirmS, std::vector<std::string> health = {},
                               uint32_t for_s = 0) {
    const ActivationId id = mesh.book.state().next_activation;
    Activate start{{Level::global, {}}, {}, false, seconds, false, std::move(health), for_s};
    const auto error = mesh.submit({std::move(start)});
    EXPECT_FALSE(error) << error->message;
    EXPECT_TRUE(mesh.book.state().pending.contains(id));
    return id;
  }

  static NodeHost& host(Mesh& mesh, int site) { return *mesh.find_host(fmt::format("r1.s{}", site)); }

  /// What its tunnels are: 25 by v1's default, 17 by v2.
  static int keepalive_of(NodeHost& host) { return host.router().state().tunnels.begin()->second.keepalive; }
  static bool runs_v2(NodeHost& host) { return keepalive_of(host) == 17; }
  static bool all_run_v2(Mesh& mesh) {
    return runs_v2(host(mesh, 1)) && runs_v2(host(mesh, 2)) && runs_v2(host(mesh, 3));
  }
  static bool none_runs_v2(Mesh& mesh) {
    return !runs_v2(host(mesh, 1)) && !runs_v2(host(mesh, 2)) && !runs_v2(host(mesh, 3));
  }
  /// All three reported that they run it.
  static void expect_applied(Mesh& mesh, ActivationId id) {
    mesh.run_until(
        [&] {
          int said = 0;
          for (const auto& [node, report] : mesh.book.state().reports)
            said += report.activation == id && report.kind == OutcomeKind::applied;
          return said == 3 && all_run_v2(mesh);
        },
        10 * kSecond);
    EXPECT_TRUE(all_run_v2(mesh));
  }

  static std::optional<Error> as_bob(Mesh& mesh, Command command) {
    OperatorHost& bob = *mesh.operators[1];
    mesh.run_until([&] { return bob.replica().head() == mesh.book.head(); }, kMinute);
    Intention intention;
    intention.commands = {std::move(command)};
    bob.ask(std::move(intention));
    mesh.run_until([&] { return !bob.busy(); }, kMinute);
    return bob.last_error();
  }
};

TEST_F(Confirmed, AConfirmationKeepsIt) {
  on_mesh([](Mesh& mesh) {
    const ActivationId id = activate(mesh);
    expect_applied(mesh, id);
    EXPECT_EQ(mesh.book.state().find_node("r1.s1")->active, Version(1)) << "not before it is confirmed";
    EXPECT_FALSE(mesh.submit({ConfirmActivation{id, false, {}}}));
    mesh.run_for(2 * kConfirmS * kSecond);
    EXPECT_TRUE(all_run_v2(mesh));
    EXPECT_EQ(host(mesh, 1).store().pointers().active, Version(2));
  });
}

TEST_F(Confirmed, NobodySaysAnythingAndEverybodyGoesBack) {
  on_mesh([](Mesh& mesh) {
    const ActivationId id = activate(mesh);
    expect_applied(mesh, id);
    mesh.run_for(kConfirmS * kSecond + kBound);
    EXPECT_TRUE(none_runs_v2(mesh));
    mesh.run_until([&] { return mesh.book.state().pending.empty(); }, kMinute);
    ASSERT_FALSE(mesh.book.state().closed.empty());
    EXPECT_EQ(mesh.book.state().closed.back().how, ActivationEnd::expired);
  });
}

// Nobody is left who could tell them.
TEST_F(Confirmed, TheControllerDiesAndEverybodyGoesBack) {
  on_mesh([](Mesh& mesh) {
    activate(mesh);
    mesh.run_until([&] { return all_run_v2(mesh); }, 5 * kSecond);
    mesh.controller.kill("for good");
    ASSERT_TRUE(all_run_v2(mesh));
    mesh.run_for(kConfirmS * kSecond + kBound);
    EXPECT_TRUE(none_runs_v2(mesh));
    mesh.controller.start();
  });
}

TEST_F(Confirmed, ASecondOperatorMeanwhile) {
  on_mesh([](Mesh& mesh) {
    const ActivationId id = activate(mesh);
    expect_applied(mesh, id);
    const auto refused = as_bob(mesh, Activate{{Level::node, "r1.s2"}, {}, false, kConfirmS});
    ASSERT_TRUE(refused);
    EXPECT_EQ(refused->code, Errc::conflict);
    EXPECT_NE(refused->fix.find(fmt::format("meshcli confirm {}", id.value())), std::string::npos) << refused->fix;
    EXPECT_FALSE(as_bob(mesh, CancelActivation{id, {}}));
    mesh.run_for(5 * kSecond);
    EXPECT_TRUE(none_runs_v2(mesh));
    const auto over = mesh.submit({ConfirmActivation{id, false, {}}});
    ASSERT_TRUE(over) << "alice comes too late";
    EXPECT_NE(over->message.find("cancelled"), std::string::npos) << over->message;
  });
}

TEST_F(Confirmed, AWrongIdAndALateOneChangeNothing) {
  on_mesh([](Mesh& mesh) {
    const ActivationId id = activate(mesh, 120);
    expect_applied(mesh, id);
    EXPECT_EQ(mesh.submit({ConfirmActivation{ActivationId(id.value() + 5), false, {}}})->code, Errc::not_found);
    EXPECT_EQ(mesh.submit({ConfirmActivation{ActivationId(id.value() - 1), false, {}}})->code, Errc::conflict);
    mesh.run_for((120 - kConfirmMarginSeconds) * kSecond);
    ASSERT_TRUE(mesh.book.state().pending.contains(id));
    EXPECT_EQ(mesh.submit({ConfirmActivation{id, false, {}}})->code, Errc::conflict);
    EXPECT_EQ(mesh.submit({ExtendActivation{id, 60}})->code, Errc::conflict);
    mesh.run_for(kConfirmMarginSeconds * kSecond + kBound);
    EXPECT_TRUE(none_runs_v2(mesh));
  });
}

// It goes back at its deadline, and stays so although the log says otherwise: nobody saw whether it could be reached.
TEST_F(Confirmed, AConfirmThatOneTargetNeverHears) {
  on_mesh([](Mesh& mesh) {
    const ActivationId id = activate(mesh);
    expect_applied(mesh, id);
    NodeHost& deaf = host(mesh, 1);
    mesh.network.partition(deaf.line(), true, true);
    EXPECT_FALSE(mesh.submit({ConfirmActivation{id, false, {}}}));
    mesh.run_for(kConfirmS * kSecond + kBound);
    EXPECT_FALSE(runs_v2(deaf));
    EXPECT_TRUE(runs_v2(host(mesh, 2)) && runs_v2(host(mesh, 3)));
    mesh.network.partition(deaf.line(), false, false);
    mesh.run_for(kMinute);
    EXPECT_FALSE(runs_v2(deaf)) << "a late confirmation is not followed";
    EXPECT_EQ(deaf.agent().status().state.find("diverged"), 0u) << deaf.agent().status().state;
    EXPECT_FALSE(mesh.submit({Activate{{Level::node, "r1.s1"}, {}, true, 0, true}}));
    mesh.run_for(5 * kSecond);
    EXPECT_TRUE(runs_v2(deaf)) << "a newer activation is";
  });
}

TEST_F(Confirmed, AnActivationThatWasClosedBeforeANodeSawIt) {
  on_mesh([](Mesh& mesh) {
    NodeHost& late = host(mesh, 1);
    mesh.network.partition(late.line(), true, true);
    mesh.run_for(15 * kSecond);
    const auto before = late.applied().size();
    const ActivationId id = activate(mesh);
    mesh.run_for(5 * kSecond);
    EXPECT_FALSE(mesh.submit({CancelActivation{id, {}}}));
    mesh.network.partition(late.line(), false, false);
    mesh.run_for(kMinute);
    EXPECT_EQ(late.applied().size(), before) << "it was never begun";
    EXPECT_TRUE(none_runs_v2(mesh));
  });
}

TEST_F(Confirmed, AnActivationThatWasConfirmedBeforeANodeSawItIsFollowedAsUsual) {
  on_mesh([](Mesh& mesh) {
    const ActivationId id = activate(mesh);
    expect_applied(mesh, id);
    NodeHost& late = host(mesh, 1);
    late.kill();
    EXPECT_FALSE(mesh.submit({ConfirmActivation{id, false, {}}}));
    mesh.run_for(5 * kSecond);
    late.start();
    mesh.run_for(10 * kSecond);
    EXPECT_TRUE(all_run_v2(mesh));
    mesh.run_for(kMinute);
    EXPECT_TRUE(all_run_v2(mesh));
  });
}

TEST_F(Confirmed, ARebootWhileItWaits) {
  on_mesh([](Mesh& mesh) {
    const ActivationId id = activate(mesh, 120);
    expect_applied(mesh, id);
    host(mesh, 1).crash(true);
    mesh.run_for(2 * kSecond);
    host(mesh, 1).start();
    mesh.run_for(5 * kSecond);
    EXPECT_FALSE(runs_v2(host(mesh, 1)));
    const auto refused = mesh.submit({ConfirmActivation{id, false, {}}});
    ASSERT_TRUE(refused) << "one went back";
    EXPECT_NE(refused->message.find("r1.s1"), std::string::npos) << refused->message;
    EXPECT_FALSE(mesh.submit({ConfirmActivation{id, true, {}}}));
    mesh.run_for(2 * kMinute);
    EXPECT_FALSE(runs_v2(host(mesh, 1)));
    EXPECT_TRUE(runs_v2(host(mesh, 2)) && runs_v2(host(mesh, 3)));
  });
}

TEST_F(Confirmed, ARestartedProgramKeepsTheDeadline) {
  on_mesh([](Mesh& mesh) {
    const ActivationId id = activate(mesh);
    expect_applied(mesh, id);
    NodeHost& restarted = host(mesh, 1);
    mesh.network.partition(restarted.line(), true, true);
    mesh.run_for(10 * kSecond);
    restarted.kill();
    mesh.run_for(2 * kSecond);
    restarted.start();
    mesh.run_for(kSecond);
    EXPECT_TRUE(runs_v2(restarted)) << "the program is not the machine";
    mesh.run_for((kConfirmS - 13) * kSecond + kBound);
    EXPECT_FALSE(runs_v2(restarted)) << "it counts from when it heard of it, not from its start";
    mesh.network.partition(restarted.line(), false, false);
  });
}

TEST_F(Confirmed, TheDeadlinePassesWhileTheProgramIsDown) {
  on_mesh([](Mesh& mesh) {
    const ActivationId id = activate(mesh);
    expect_applied(mesh, id);
    NodeHost& down = host(mesh, 1);
    mesh.network.partition(down.line(), true, true);
    down.kill();
    mesh.run_for(2 * kConfirmS * kSecond);
    EXPECT_TRUE(runs_v2(down)) << "nobody is there to undo it";
    down.start();
    EXPECT_FALSE(runs_v2(down)) << "at once, without asking anybody";
    mesh.network.partition(down.line(), false, false);
  });
}

// Before its first version there was nothing: that is what it goes back to.
TEST_F(Confirmed, AFirstVersionIsUndoneByAProgramThatStartsAfterTheDeadline) {
  on_mesh([](Mesh& mesh) {
    ASSERT_FALSE(mesh.submit({AddSite{"s9"}, AddNode{"r1.s9"},
                              SetAttribute{{Level::node, "r1.s9"}, "endpoint", "192.0.2.9"}}));
    const std::string secret = "token of r1.s9";
    ASSERT_FALSE(mesh.submit(
        {CreateToken{test::sign_secret(secret).public_key(), {Level::node, "r1.s9"}, 1, {}, false}}));
    const TokenId token(mesh.book.state().next_token.value() - 1);
    NodeHost& fresh = mesh.invite({"r1.s9", token, secret, {}});
    commit(mesh);
    mesh.run_until([&] { return mesh.unfinished().empty(); }, kMinute);
    ASSERT_FALSE(mesh.submit({Activate{{Level::node, "r1.s9"}, {}, false, kConfirmS}}));
    mesh.run_for(5 * kSecond);
    ASSERT_FALSE(fresh.router().state().tunnels.empty());
    fresh.kill();
    mesh.run_for(2 * kConfirmS * kSecond);
    EXPECT_FALSE(fresh.router().state().tunnels.empty());
    fresh.start();
    EXPECT_TRUE(fresh.router().state().tunnels.empty());
  });
}

TEST_F(Confirmed, AnExtensionCountsFromItsReceipt) {
  on_mesh([](Mesh& mesh) {
    const ActivationId id = activate(mesh);
    expect_applied(mesh, id);
    mesh.run_for(10 * kSecond);
    EXPECT_FALSE(mesh.submit({ExtendActivation{id, 60}}));
    mesh.run_for(kConfirmS * kSecond);
    EXPECT_TRUE(all_run_v2(mesh));
    EXPECT_FALSE(mesh.submit({ConfirmActivation{id, false, {}}}));
    mesh.run_for(2 * kMinute);
    EXPECT_TRUE(all_run_v2(mesh));
  });
}

TEST_F(Confirmed, AnExtensionThatOneTargetNeverHears) {
  on_mesh([](Mesh& mesh) {
    const ActivationId id = activate(mesh);
    expect_applied(mesh, id);
    mesh.network.partition(host(mesh, 1).line(), true, true);
    EXPECT_FALSE(mesh.submit({ExtendActivation{id, 300}}));
    mesh.run_for(kConfirmS * kSecond + kBound);
    EXPECT_FALSE(runs_v2(host(mesh, 1)));
    EXPECT_TRUE(runs_v2(host(mesh, 2)) && runs_v2(host(mesh, 3)));
    mesh.network.partition(host(mesh, 1).line(), false, false);
    mesh.run_for(10 * kSecond);
    EXPECT_FALSE(runs_v2(host(mesh, 1))) << "it is over there";
    EXPECT_FALSE(mesh.submit({CancelActivation{id, {}}}));
  });
}

// A router that refuses goes back at once and for good; the others wait for a decision.
TEST_F(Confirmed, AFailedApplyDisarmsItsTimer) {
  on_mesh([](Mesh& mesh) {
    NodeHost& broken = host(mesh, 1);
    broken.router().set_fault([](const Action& action) -> Status {
      if (to_text(action).find("keepalive") == std::string::npos) return {};
      return fail(Errc::io, "the kernel refused");
    });
    const ActivationId id = activate(mesh, 120);
    mesh.run_for(10 * kSecond);
    broken.router().set_fault({});
    EXPECT_FALSE(runs_v2(broken));
    mesh.run_for(30 * kSecond);
    EXPECT_FALSE(runs_v2(broken)) << "not tried again";
    EXPECT_TRUE(runs_v2(host(mesh, 2)) && runs_v2(host(mesh, 3)));
    EXPECT_TRUE(mesh.submit({ConfirmActivation{id, false, {}}})) << "one did not apply it";
    EXPECT_FALSE(mesh.submit({ConfirmActivation{id, true, {}}}));
    mesh.run_for(3 * kMinute);
    EXPECT_FALSE(runs_v2(broken));
    EXPECT_EQ(mesh.book.state().find_node("r1.s1")->active, Version(1));
    EXPECT_TRUE(runs_v2(host(mesh, 2)) && runs_v2(host(mesh, 3)));
  });
}

// What the log wants is v2, which failed; v3 came and went meanwhile.
TEST_F(Confirmed, AVersionThatFailedIsTriedAgainWhenAnotherHasGoneBack) {
  on_mesh([](Mesh& mesh) {
    NodeHost& broken = host(mesh, 1);
    broken.router().set_fault([](const Action& action) -> Status {
      if (to_text(action).find("keepalive") == std::string::npos) return {};
      return fail(Errc::io, "the kernel refused");
    });
    ASSERT_FALSE(mesh.submit({Activate{{Level::global, {}}, {}, false, 0, true}}));
    mesh.run_for(10 * kSecond);
    broken.router().set_fault({});
    ASSERT_FALSE(runs_v2(broken));
    ASSERT_FALSE(mesh.submit({keepalive(19)}));
    commit(mesh);
    mesh.run_until([&] { return !mesh.alice().busy(); }, kMinute);
    ASSERT_FALSE(mesh.submit({Activate{{Level::node, "r1.s1"}, {}, false, kConfirmS}}));
    mesh.run_for(5 * kSecond);
    EXPECT_EQ(keepalive_of(broken), 19);
    mesh.run_for(kConfirmS * kSecond + kBound);
    EXPECT_TRUE(runs_v2(broken));
  });
}

TEST_F(Confirmed, GatesThatHoldConfirmByThemselves) {
  on_mesh([](Mesh& mesh) {
    activate(mesh, 60, {"controller", "bgp", "bfd", "reach:s2"}, 10);
    mesh.run_until([&] { return mesh.book.state().pending.empty(); }, 40 * kSecond);
    ASSERT_FALSE(mesh.book.state().closed.empty());
    EXPECT_EQ(mesh.book.state().closed.back().how, ActivationEnd::confirmed);
    mesh.run_for(2 * kMinute);
    EXPECT_TRUE(all_run_v2(mesh));
  });
}

TEST_F(Confirmed, AGateThatIsLostOnOneTargetTakesAllBack) {
  on_mesh([](Mesh& mesh) {
    activate(mesh, 120, {"bgp"}, 20);
    mesh.run_until([&] { return all_run_v2(mesh); }, 5 * kSecond);
    mesh.run_for(3 * kSecond);
    host(mesh, 2).set_links(false);
    mesh.run_for(30 * kSecond);
    EXPECT_TRUE(none_runs_v2(mesh));
    ASSERT_FALSE(mesh.book.state().closed.empty());
    EXPECT_EQ(mesh.book.state().closed.back().how, ActivationEnd::failed);
    host(mesh, 2).set_links(true);
  });
}

// The machine sleeps beyond the deadline: the time counts all the same.
TEST_F(Confirmed, AMachineThatSleepsThroughTheDeadlineGoesBackWhenItWakes) {
  on_mesh([](Mesh& mesh) {
    const ActivationId id = activate(mesh);
    expect_applied(mesh, id);
    NodeHost& asleep = host(mesh, 1);
    mesh.network.partition(asleep.line(), true, true);
    asleep.stall(3 * kConfirmS * kSecond);
    mesh.run_for(3 * kConfirmS * kSecond + kBound);
    EXPECT_FALSE(runs_v2(asleep));
    mesh.network.partition(asleep.line(), false, false);
  });
}

// The time of entries stands still, and the controller ends it late; the nodes count for themselves.
TEST_F(Confirmed, TheControllersClockJumpsBack) {
  on_mesh([](Mesh& mesh) {
    const ActivationId id = activate(mesh);
    expect_applied(mesh, id);
    mesh.controller.shift_wall_clock(-3'600'000'000);
    mesh.run_for(kConfirmS * kSecond + kBound);
    EXPECT_TRUE(none_runs_v2(mesh));
    mesh.controller.repair_wall_clock();
  });
}

}  // namespace
}  // namespace mesh::sim
