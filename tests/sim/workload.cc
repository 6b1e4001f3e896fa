#include "tests/sim/workload.h"

#include <fmt/format.h>

#include <algorithm>

#include "eventstore/model/crypto.h"
#include "eventstore/model/difference.h"
#include "tests/support/world.h"

namespace mesh::sim {

namespace {

constexpr size_t kNodesWanted = 8;
constexpr size_t kSitesWanted = 5;

Intention submit(std::vector<Command> commands) {
  Intention out;
  out.kind = Intention::Kind::submit;
  out.commands = std::move(commands);
  return out;
}

SetAttribute endpoint_of(const std::string& fullname, uint64_t number) {
  return {{Level::node, fullname}, "endpoint", fmt::format("192.0.2.{}", number)};
}

}  // namespace

std::string Workload::any_site(const MeshState& state) {
  if (state.sites.empty() || random_.percent(3)) return "nowhere";
  return random_.pick(state.sites).first;
}

std::string Workload::any_node(const MeshState& state) {
  if (state.nodes.empty() || random_.percent(3)) return "r9.nowhere";
  return random_.pick(state.nodes).second->fullname();
}

Target Workload::any_target(const MeshState& state) {
  const uint64_t dice = random_.below(10);
  if (dice < 4) return {Level::global, {}};
  if (dice < 7) return {Level::site, any_site(state)};
  return {Level::node, any_node(state)};
}

Intention Workload::next(const MeshState& state, const Fleet& fleet) {
  if (state.sites.empty()) return bootstrap(state, fleet);
  if (auto wanted = enrol(state, fleet)) return *wanted;
  if (!state.pending.empty() && random_.percent(25)) return submit({close(state)});
  const uint64_t dice = random_.below(100);
  if (dice < 45)
    if (auto wanted = roll_out(state)) return *wanted;
  if (dice >= 95) return ask();
  if (dice < 52)
    if (auto wanted = time_travel(state)) return *wanted;
  std::vector<Command> commands;
  const uint64_t count = random_.one_in(4) ? random_.below(4) + 1 : 1;
  while (commands.size() < count) commands.push_back(change(state));
  Intention out = submit(std::move(commands));
  if (dice >= 90) out.tamper = static_cast<Tamper>(random_.below(6));
  if (dice == 89) out.kind = Intention::Kind::dry_run;
  return out;
}

Intention Workload::bootstrap(const MeshState& state, const Fleet& fleet) {
  std::vector<Command> commands;
  for (const auto* name : {"bob", "carol"})
    if (!state.find_operator(name))
      commands.push_back(AddOperator{name,
                                     Role::operator_,
                                     {},
                                     test::sign_secret(name).public_key(),
                                     test::box_secret(name).public_key()});
  for (size_t i = 1; i <= std::min(fleet.hosts_max, kSitesWanted); ++i) {
    const auto site = fmt::format("s{}", i), node = "r1." + site;
    commands.push_back(AddSite{site});
    commands.push_back(AddNode{node});
    commands.push_back(endpoint_of(node, i));
    commands.push_back(SetAttribute{
        {Level::site, site}, "lans", std::vector<Scalar>{fmt::format("10.{}.0.0/16", i)}});
  }
  return submit(std::move(commands));
}

// --- enrolment ---

std::optional<Intention> Workload::enrol(const MeshState& state, const Fleet& fleet) {
  if (!fleet.waiting.empty() && random_.percent(40))
    return approve(state, *fleet.waiting[random_.below(fleet.waiting.size())]);
  if (fleet.hosts >= fleet.hosts_max || !random_.percent(50)) return std::nullopt;
  std::vector<const Node*> absent;
  for (const auto& [id, node] : state.nodes)
    if (node->enrolment != Enrolment::enrolled &&
        std::ranges::find(fleet.expected, node->fullname()) == fleet.expected.end())
      absent.push_back(&*node);
  if (absent.empty()) return std::nullopt;
  return invite(state, *random_.pick(absent));
}

Intention Workload::invite(const MeshState& state, const Node& node) {
  Invitation invitation;
  invitation.node = node.fullname();
  invitation.anchor = state.anchor;
  if (random_.one_in(8)) {
    // A stranger who only knows the controller's key; nothing to sign now.
    Intention out;
    out.kind = Intention::Kind::query;
    out.query = "pending";
    out.invitation = invitation;
    return out;
  }
  invitation.token_secret = fmt::format("token {} of {}", ++tokens_made_, name_);
  const bool by_site = random_.one_in(5);
  Timestamp expires;
  if (random_.one_in(6))
    expires = Timestamp(state.time.value() + random_.between(1, 60) * 1'000'000);
  CreateToken create{
      test::sign_secret(invitation.token_secret).public_key(),
      by_site ? Target{Level::site, node.site} : Target{Level::node, node.fullname()},
      by_site ? 3u : 1u, expires, random_.one_in(6)};
  Intention out = submit({create});
  out.invitation = invitation;
  return out;
}

Intention Workload::approve(const MeshState& state, const NodeHost& newcomer) {
  if (random_.one_in(10)) return submit({RejectNode{fingerprint(newcomer.sign_key().view())}});
  const std::string asked = newcomer.statement().node;
  return submit({ApproveNode{asked.empty() ? any_node(state) : asked, newcomer.join(),
                             newcomer.statement()}});
}

// --- versions ---

std::optional<Intention> Workload::roll_out(const MeshState& state) {
  std::vector<const Node*> behind;
  for (const auto& [id, node] : state.nodes)
    if (node->active != node->latest()) behind.push_back(&*node);
  if (!behind.empty() && random_.percent(60)) {
    if (random_.percent(60)) return submit({activate({Level::global, {}}, state)});
    return submit({activate({Level::node, random_.pick(behind)->fullname()}, state)});
  }
  if (random_.one_in(8))
    return submit(
        {Activate{any_target(state), Version(static_cast<uint32_t>(random_.between(1, 3))),
                  random_.one_in(4)}});
  if (state.changes.empty()) return std::nullopt;
  if (random_.one_in(10)) return submit({Discard{any_target(state)}});
  Intention out;
  out.kind = Intention::Kind::prepare;
  out.prepare.target = random_.percent(75) ? Target{Level::global, {}} : any_target(state);
  out.prepare.include_others = random_.percent(85);
  out.prepare.with_neighbours = random_.one_in(3);
  out.allow_loss = random_.percent(85);
  return out;
}

/// Half of them wait for somebody's word, some for what the nodes see.
Activate Workload::activate(Target target, const MeshState& state) {
  Activate out{std::move(target), {}, false};
  if (state.rules < 3 || random_.one_in(2)) {
    out.unconfirmed = random_.one_in(10);
    return out;
  }
  out.confirm_s = static_cast<uint32_t>(random_.between(random_.one_in(20) ? 1 : 5, random_.one_in(3) ? 60 : 25));
  if (!random_.one_in(3)) return out;
  const std::vector<std::string> gates{"controller", "bgp", "bfd", "reach:" + any_site(state), "no gate"};
  for (uint64_t i = random_.below(3) + 1; i > 0; --i)
    out.health.push_back(gates[random_.below(random_.one_in(10) ? gates.size() : gates.size() - 1)]);
  out.for_s = static_cast<uint32_t>(random_.below(out.confirm_s / 2 + 2));
  return out;
}

/// Of one that waits: by whoever comes along; also a wrong one.
Command Workload::close(const MeshState& state) {
  ActivationId id = random_.pick(state.pending).first;
  if (random_.one_in(12)) id = ActivationId(random_.below(state.next_activation.value() + 2));
  const uint64_t dice = random_.below(10);
  if (dice < 6) return ConfirmActivation{id, random_.one_in(3), {}};
  if (dice < 8) return ExtendActivation{id, static_cast<uint32_t>(random_.between(5, 60))};
  return CancelActivation{id, {}};
}

Intention Workload::ask() {
  static constexpr std::string_view kQueries[] = {"status", "nodes",      "sites",     "changes",
                                                  "tokens", "controller", "links",     "log",
                                                  "state",  "whoami",     "enrolment", "nonsense"};
  Intention out;
  out.kind =
      name_ == "alice" && random_.one_in(3) ? Intention::Kind::anchor : Intention::Kind::query;
  out.query = out.kind == Intention::Kind::anchor ? "state" : std::string(random_.pick(kQueries));
  return out;
}

// --- changes ---

// --- the past ---

/// Back to what was, or without one thing that was done.
std::optional<Intention> Workload::time_travel(const MeshState& state) {
  const uint64_t head = state.sequence.value();
  if (head < 3 || head > book_.head().value() || random_.one_in(3)) return std::nullopt;
  const Sequence at(static_cast<uint64_t>(random_.between(2, static_cast<int64_t>(head - 1))));
  auto compensation = random_.one_in(2) ? roll_back(state, book_.state(at), any_target(state))
                                        : undo(state, book_.state(Sequence(at.value() - 1)), book_.entry(at));
  if (!compensation || compensation->commands.empty()) return std::nullopt;
  return submit(std::move(compensation->commands));
}

std::optional<Command> Workload::restore(const MeshState& state) {
  if (!state.removed_nodes.empty() && random_.percent(70))
    return RestoreNode{random_.pick(state.removed_nodes).first,
                       random_.one_in(4) ? fmt::format("r{}", random_.below(4) + 1) : ""};
  if (state.removed_sites.empty()) return std::nullopt;
  return RestoreSite{random_.pick(state.removed_sites).first};
}

Command Workload::change_tags(const MeshState& state) {
  if (!state.tags.empty() && random_.one_in(3)) return RemoveTag{random_.pick(state.tags).first};
  return AddTag{fmt::format("tag{}", random_.below(6)), Sequence(random_.below(state.sequence.value() + 2))};
}

Command Workload::set_attribute(const MeshState& state) {
  const uint64_t dice = random_.below(20);
  const std::string node = any_node(state), site = any_site(state);
  const Target of_node{Level::node, node}, of_site{Level::site, site};
  const auto number = [&](int64_t low, int64_t high) {
    return AttributeValue(random_.between(low, high));
  };
  if (dice < 5) return endpoint_of(node, random_.below(20) + 1);
  if (dice < 8) return SetAttribute{any_target(state), "wg_keepalive", number(0, 60)};
  if (dice < 11) return SetAttribute{any_target(state), "wg_mtu", number(1'280, 1'500)};
  if (dice < 13) return SetAttribute{any_target(state), "bfd_interval_ms", number(100, 500)};
  if (dice < 15) {
    const auto lan = fmt::format("10.{}.{}.0/24", random_.between(20, 60), random_.below(250));
    return SetAttribute{of_site, "lans", std::vector<Scalar>{lan}};
  }
  if (dice == 15) return SetAttribute{of_node, "endpoint", "none"};
  if (dice == 16) return SetAttribute{{Level::global, {}}, "topology_seed", number(0, 9)};
  if (dice == 17)
    return SetAttribute{any_target(state), "rack", fmt::format("rack {}", random_.below(5))};
  if (dice == 18 && random_.one_in(2)) return SetAttribute{any_target(state), "activation_confirm", number(5, 40)};
  if (dice == 18) return SetAttribute{any_target(state), "wg_mtu", number(0, 100)};
  return SetAttribute{any_target(state), random_.one_in(2) ? "psk" : "not a name", "x"};
}

Command Workload::change_people(const MeshState& state) {
  const std::string node = any_node(state);
  const uint64_t dice = random_.below(10);
  if (dice < 4) return RevokeNode{node};
  if (dice < 6 && !state.tokens.empty()) return RevokeToken{random_.pick(state.tokens).first};
  if (dice == 6) return SetRole{"carol", random_.one_in(3) ? Role::viewer : Role::operator_, {}};
  if (dice == 7 && random_.one_in(3)) return BanOperator{random_.one_in(2) ? "carol" : "alice"};
  if (dice == 8)
    return CreateToken{
        test::sign_secret(fmt::format("spare {} {}", name_, random_.below(1'000))).public_key(),
        {Level::node, node},
        1,
        {},
        false};
  return RemoveNode{node, random_.one_in(2)};
}

Command Workload::change(const MeshState& state) {
  const uint64_t dice = random_.below(100);
  const std::string site = any_site(state), node = any_node(state);
  if (dice < 54) return set_attribute(state);
  if (dice < 57) return change_tags(state);
  if (dice == 57) return RaiseRules{kRulesNewest + (random_.one_in(5) ? 1 : 0)};
  if (dice < 60)
    if (auto wanted = restore(state)) return *wanted;
  if (dice < 66) {
    const char* names[] = {"endpoint", "wg_mtu", "wg_keepalive", "lans", "rack"};
    return UnsetAttribute{any_target(state), random_.pick(names)};
  }
  if (dice < 74) return change_people(state);
  if (dice < 78) return RenameNode{node, fmt::format("r{}", random_.below(4) + 1)};
  if (dice < 81) return RenameSite{site, fmt::format("s{}", random_.below(8) + 1)};
  if (dice < 84) return RemoveSite{site, random_.one_in(3)};
  if (dice < 90 || state.nodes.size() >= kNodesWanted)
    return AddSite{random_.one_in(10) ? std::string("Not A Name")
                                      : fmt::format("s{}", random_.below(8) + 1)};
  return AddNode{fmt::format("r{}.{}", random_.below(4) + 1, site)};
}

}  // namespace mesh::sim
