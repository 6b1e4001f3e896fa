// Claim: what died comes back whatever the policy; what was edited is named, kept in mind after it is over, and touched
// only with `heal` or by a planned change; an untouched router shows nothing.
// Method: an Agent on a simulated disk and router reads logs that were decided and signed for real; edits are planted
// past it; time is a number.
#include <algorithm>

#include "agent_fixture.h"
#include "eventstore/model/crypto.h"
#include "nodes/drift.h"

namespace mesh::test {
namespace {

constexpr int64_t kLookMs = 5'000;

struct DriftTest : AgentTest {
  /// What the newest status says, after another look.
  std::vector<DriftItem> look() {
    node.pass(kLookMs);
    return status().drift;
  }
  void edit(const std::function<void(DryRunState&)>& by_hand) { node.router().edit(by_hand); }
  void heal() {
    log.set("drift", "heal");
    log.commit();
    log.activate();
    node.follow();
    ASSERT_EQ(status().drift_policy, "heal");
  }
};

Route route(const char* to, const char* via) {
  Route out;
  out.to = *parse_prefix(to);
  out.via = *parse_address(via);
  out.interface = "tlwg_12";
  return out;
}

TEST_F(DriftTest, AnUntouchedRouterShowsNothing) {
  node.follow();
  EXPECT_TRUE(look().empty());
  const auto observed = status().observed;
  EXPECT_NE(observed, Digest());
  node.pass(60'000);
  EXPECT_TRUE(status().drift.empty());
  EXPECT_EQ(status().observed, observed);
  EXPECT_EQ(status().drift_policy, "report");
  log.set("wg_keepalive", int64_t{33});
  log.commit();
  log.activate();
  node.follow();
  EXPECT_TRUE(look().empty());
  EXPECT_NE(status().observed, observed) << "another configuration is another router";
}

TEST_F(DriftTest, NamesEditsAndTouchesNothing) {
  node.follow();
  EXPECT_TRUE(look().empty());
  edit([](DryRunState& state) {
    state.edits["tlwg_12"].no_peer = true;
    state.tunnels.at("tlwg_13").mtu = 1300;
    state.sysctls.at("net.ipv4.ip_forward") = "0";
    state.tunnels["tlwg_99"] = state.tunnels.at("tlwg_13");
    state.bird += "# more\n";
    state.disabled = {"peer_13"};
  });
  const auto edited = node.router().state();
  const auto drift = look();
  std::vector<std::string> seen;
  for (const auto& item : drift) seen.push_back(item.aspect + " " + item.name);
  EXPECT_EQ(seen, (std::vector<std::string>{"configuration bird.conf", "interface tlwg_99", "mtu tlwg_13",
                                            "peer tlwg_12", "protocol peer_13", "sysctl net.ipv4.ip_forward"}));
  EXPECT_EQ(drift[0].found, "# more");
  EXPECT_EQ(drift[2].expected, "1420");
  EXPECT_EQ(drift[2].found, "1300");
  EXPECT_EQ(drift[3].found, "");
  EXPECT_FALSE(drift[3].expected.empty());
  node.pass(30'000);
  EXPECT_EQ(node.router().state(), edited);
  EXPECT_GE(status().drift[0].since_s, 30u);
  EXPECT_EQ(status().problem, "") << "drift is not what keeps a version from running";
  const auto told = node.sent_of<NodeStatus>();
  ASSERT_FALSE(told.empty());
  EXPECT_EQ(told.back().drift_count, 6u);
  EXPECT_EQ(told.back().drift.size(), 6u);
  EXPECT_EQ(told.back().observed, status().observed);
}

TEST_F(DriftTest, WhatWasUndoneStaysVisibleForAWhile) {
  node.follow();
  const auto before = node.router().state();
  edit([](DryRunState& state) { state.tunnels.at("tlwg_12").keepalive = 5; });
  ASSERT_EQ(look().size(), 1u);
  edit([&](DryRunState& state) { state = before; });
  auto drift = look();
  ASSERT_EQ(drift.size(), 1u);
  EXPECT_GE(drift[0].over_s, 0);
  EXPECT_EQ(drift[0].healed, "");
  (void)node.sent();
  node.pass(kLookMs);
  EXPECT_EQ(node.sent_of<NodeStatus>().back().drift_count, 0u);
  node.pass(DriftWatch::kRememberMs);
  EXPECT_TRUE(look().empty());
}

TEST_F(DriftTest, WithHealItIsSetBack) {
  node.follow();
  heal();
  const auto before = node.router().state();
  edit([](DryRunState& state) {
    state.edits["tlwg_12"].no_peer = true;
    state.tunnels["tlwg_99"] = state.tunnels.at("tlwg_13");
    state.route_edits = {{*parse_prefix("10.2.0.0/24"), route("10.2.0.0/24", "fe80::c"), {}, false}};
    state.disabled = {"peer_13"};
  });
  const auto drift = look();
  EXPECT_EQ(drift.size(), 4u);
  EXPECT_EQ(node.router().state(), before) << "at the look that saw it";
  const auto over = look();
  ASSERT_EQ(over.size(), 4u);
  for (const auto& item : over) {
    EXPECT_GE(item.over_s, 0) << item.name;
    EXPECT_EQ(item.healed, "meshnode") << item.name;
  }
}

TEST_F(DriftTest, WhatDiesComesBackWhateverThePolicy) {
  node.follow();
  const auto before = node.router().state();
  edit([](DryRunState& state) {
    state.tunnels.erase("tlwg_12");
    state.edits["tlwg_13"].no_address = true;
    state.loopbacks.pop_back();
    state.bird_running = false;
  });
  EXPECT_TRUE(look().empty());
  EXPECT_EQ(node.router().state(), before);
}

TEST_F(DriftTest, ATunnelThatCannotComeBackIsAProblem) {
  node.follow();
  edit([](DryRunState& state) {
    state.tunnels.erase("tlwg_12");
    state.tunnels.at("tlwg_13").mtu = 1300;
  });
  node.router().set_fault([](const Action& action) -> Status {
    return std::holds_alternative<CreateTunnel>(action) ? fail(Errc::io, "no more interfaces") : Status();
  });
  EXPECT_EQ(look().size(), 1u);
  EXPECT_NE(status().problem.find("no more interfaces"), std::string::npos) << status().problem;
  EXPECT_EQ(node.router().state().tunnels.at("tlwg_13").mtu, 1300) << "still nobody's to touch";
  node.router().set_fault({});
  EXPECT_EQ(look().size(), 1u);
  EXPECT_EQ(status().problem, "");
}

TEST_F(DriftTest, APlannedChangeBringsTheWholeRouterBack) {
  node.follow();
  edit([](DryRunState& state) { state.tunnels.at("tlwg_12").mtu = 1300; });
  ASSERT_EQ(look().size(), 1u);
  log.set("wg_keepalive", int64_t{33});
  log.commit();
  log.activate();
  node.follow();
  EXPECT_EQ(node.router().state().tunnels.at("tlwg_12").mtu, 1420);
  const auto drift = look();
  ASSERT_EQ(drift.size(), 1u);
  EXPECT_EQ(drift[0].healed, "meshnode");
  edit([](DryRunState& state) { state.tunnels.at("tlwg_12").mtu = 1300; });
  node.start();
  EXPECT_EQ(node.router().state().tunnels.at("tlwg_12").mtu, 1420) << "so does a boot";
}

TEST_F(DriftTest, RoutesAreNamedAlsoWhenBirdWasFaster) {
  node.follow();
  const auto lost = route("10.2.0.0/24", "fe80::c");
  edit([&](DryRunState& state) {
    state.route_edits = {{lost.to, lost, {}, true},
                         {*parse_prefix("10.9.0.0/24"), {}, route("10.9.0.0/24", "fe80::9"), false}};
  });
  auto drift = look();
  ASSERT_EQ(drift.size(), 2u);
  EXPECT_EQ(drift[0].name, "10.9.0.0/24");
  EXPECT_EQ(drift[0].expected, "");
  EXPECT_EQ(drift[0].over_s, -1);
  EXPECT_EQ(drift[1].expected, to_text(lost));
  EXPECT_EQ(drift[1].found, "");
  EXPECT_GE(drift[1].over_s, 0);
  EXPECT_EQ(drift[1].healed, "bird");
}

TEST_F(DriftTest, EditedFilesOfTheVersionThatRuns) {
  node.follow();
  const auto names = node.disk().list("versions/v1").value();
  for (const auto& name : names) {
    if (name == "digest" || name == "sums") continue;
    const auto path = "versions/v1/" + name;
    const auto before = node.disk().read(path).value();
    auto edited = before;
    for (const char c : std::string("# a note\n")) edited.push_back(static_cast<uint8_t>(c));
    ASSERT_TRUE(node.disk().write(path, edited, 0600));
    const auto drift = look();
    const auto open = std::ranges::count(drift, -1, &DriftItem::over_s);
    ASSERT_EQ(open, 1) << name;
    EXPECT_EQ(drift[0].name, path);
    EXPECT_EQ(drift[0].found, "# a note");
    EXPECT_EQ(node.disk().read(path).value(), edited) << "policy report";
    ASSERT_TRUE(node.disk().write(path, before, 0600));
    (void)look();
  }
  heal();
  ASSERT_TRUE(node.disk().write("versions/v2/bird.conf", as_bytes(std::string_view("x")), 0600));
  ASSERT_TRUE(node.disk().remove("versions/v2/config.json"));
  (void)look();
  const auto drift = look();
  EXPECT_EQ(std::ranges::count(drift, -1, &DriftItem::over_s), 0);
  EXPECT_TRUE(node.store().get_version(Version(2)));
}

TEST_F(DriftTest, ManyEditsAreCountedAndTheStatusStaysSmall) {
  node.follow();
  edit([](DryRunState& state) {
    for (uint32_t i = 0; i < 2 * kDriftItemsMax; ++i) {
      const IpPrefix to{parse_address("10.100.0.0")->plus(i), 32};
      state.route_edits.push_back({to, {}, route(to_text(to).c_str(), "fe80::9"), false});
    }
  });
  EXPECT_EQ(look().size(), kDriftItemsMax);
  node.pass(kLookMs);
  EXPECT_EQ(node.sent_of<NodeStatus>().back().drift_count, 2 * kDriftItemsMax);
}

// Claim: however much is edited and undone, also by BIRD and also twice the same, one look says few lines.
TEST(DriftWatch, OneLookSaysFewLines) {
  TunnelKeys keys;
  DryRunDataplane router(keys);
  const auto plant = [&](bool passed) {
    router.edit([&](DryRunState& state) {
      state.bird_running = true;
      state.route_edits.clear();
      for (uint32_t i = 0; i < 1'000; ++i) {
        const IpPrefix to{parse_address("10.100.0.0")->plus(i), 32};
        const auto wanted = route(to_text(to).c_str(), "fe80::9");
        state.route_edits.insert(state.route_edits.end(), 2, {to, wanted, {}, passed});
      }
    });
  };
  DriftWatch watch;
  const auto look = [&](int64_t now) {
    auto seen = watch.look(router, {}, {}, DriftPolicy::report, {}, now);
    EXPECT_TRUE(seen) << seen.error().message;
    EXPECT_LE(seen->steps.size(), 2 * 33u) << "what is new and what is over";
    EXPECT_FALSE(seen->steps.empty());
  };
  plant(false);
  look(1'000);
  EXPECT_EQ(watch.count(), 1'000u);
  router.edit([](DryRunState& state) { state.route_edits.clear(); });
  look(2'000);
  EXPECT_EQ(watch.count(), 0u);
  plant(true);
  look(3'000);
  EXPECT_EQ(watch.count(), 0u);
  EXPECT_EQ(watch.items(3'000).size(), DriftWatch::kOverMax);
}

TEST(FindDrift, NamesThePeersOfTheManagementInterface) {
  Desired wanted;
  ManagementTunnel& hub = wanted.management.emplace();
  hub.own_generation = 1, hub.keepalive = 25;
  hub.address = *parse_address("fd00::b"), hub.link_local = *parse_address("fe80::b");
  for (const uint8_t peer : {uint8_t{12}, uint8_t{13}}) {
    ManagementTunnelPeer& each = hub.peers.emplace_back();
    each.node = NodeId(peer), each.key.bytes[0] = peer;
    each.address = hub.address.plus(peer), each.link_local = hub.link_local.plus(peer);
  }
  const std::map<uint32_t, WireGuardKey> keys{{1, WireGuardKey{}}};
  DryRunState state = apply_action({}, SetManagement{hub, {}});
  state.bird_running = true;
  EXPECT_TRUE(find_drift(observe_state(state, wanted, keys), wanted, keys).empty());
  state.management->peers[0].key.bytes[1] = 9;
  state.management->peers[1].address = hub.address;
  const auto observed = observe_state(state, wanted, keys);
  const auto found = find_drift(observed, wanted, keys);
  ASSERT_EQ(found.size(), 3u);
  for (const Drift& drift : found) EXPECT_EQ(drift.aspect + " " + drift.name, "peer tlwg_mgmt");
  const auto actions = plan(observed, wanted, keys);
  ASSERT_EQ(actions.size(), 1u);
  EXPECT_EQ(to_text(actions[0]), "tunnel tlwg_mgmt: set peer 12, peer 13, other peers");
  EXPECT_TRUE(repairs(actions, observed, wanted).empty()) << "an edit, nothing died";
  EXPECT_EQ(repairs(plan({}, wanted, keys), {}, wanted).size(), 2u) << "the interface and BIRD";
}

TEST(FindDrift, SaysNothingOfWhatDied) {
  Desired wanted;
  Tunnel tunnel;
  tunnel.name = "tlwg_12";
  tunnel.own_generation = 1;
  tunnel.address = *parse_address("fe80::b");
  wanted.tunnels = {tunnel};
  Observed observed;
  observed.tunnels["tlwg_12"].name = "tlwg_12";
  observed.tunnels["tlwg_12"].answers = false;
  const std::map<uint32_t, WireGuardKey> keys{{1, WireGuardKey{}}};
  EXPECT_TRUE(find_drift(observed, wanted, keys).empty());
  EXPECT_EQ(repairs(plan(observed, wanted, keys), observed, wanted).size(), 2u) << "the tunnel and BIRD";
}

}  // namespace
}  // namespace mesh::test
