#include "tests/sim/mesh.h"

#include <fmt/format.h>

#include <algorithm>

#include "eventstore/model/decide.h"
#include "tests/support/world.h"

namespace mesh::sim {

namespace {

constexpr auto kName = "simulated";
constexpr int64_t kScenarioMs = 60'000;  // far more than anything takes without faults

void require(bool holds, const std::string& what) {
  if (!holds) throw ClaimBroken("without faults everything comes to its end", what);
}

}  // namespace

Mesh::Mesh(MeshOptions o)
    : options(o),
      trace(clock, options.verbose),
      random(options.seed),
      network(clock, trace, random.fork()),
      book(derive_log_id(test::genesis(kName, o.rules))),
      controller(clock, trace, network, book, random.fork(), test::genesis(kName, o.rules),
                 test::sign_secret(std::string(kName) + " log"), options.controller) {
  for (const auto* name : {"alice", "bob", "carol"}) {
    operators.push_back(std::make_unique<OperatorHost>(
        clock, trace, network, book, random.fork(), name, options.people,
        OperatorHost::Town{[this] { return fleet(); },
                           [this](Invitation i) { invite(std::move(i)); }}));
    if (!options.busy) operators.back()->retire();
  }
  controller.start();
  for (auto& each : operators) each->start();
}

void Mesh::run_for(int64_t milliseconds) {
  const int64_t until = clock.now() + milliseconds;
  while (clock.step(until)) {
  }
}

Fleet Mesh::fleet() {
  Fleet out;
  out.hosts_max = options.nodes_max;
  for (const auto& host : nodes) {
    if (host->gave_up() || (host->joined() && !host->has_place())) continue;
    ++out.hosts;
    if (!host->joined()) out.expected.push_back(host->statement().node);
    if (host->waiting_for_approval()) out.waiting.push_back(host.get());
  }
  return out;
}

NodeHost& Mesh::invite(Invitation invitation) {
  const auto name = fmt::format("host {}", nodes.size() + 1);
  trace.add(fmt::format("{} is to be {}", name, invitation.node));
  nodes.push_back(std::make_unique<NodeHost>(clock, trace, network, book, random.fork(), name,
                                             std::move(invitation), options.node));
  nodes.back()->start();
  return *nodes.back();
}

NodeHost* Mesh::find_host(std::string_view fullname) {
  const Node* node = book.state().find_node(fullname);
  for (auto& host : nodes)
    if (node && host->id() == node->id && host->has_place()) return host.get();
  return nullptr;
}

std::string Mesh::unfinished() {
  if (!controller.running()) return "the controller is down";
  if (!controller.controller().broken().empty()) return "the log refuses writes";
  if (!book.state().pending.empty()) return "an activation waits for its confirmation, or for its end";
  for (auto& each : operators)
    if (auto missing = each->unfinished(); !missing.empty()) return missing;
  for (auto& each : nodes)
    if (auto missing = each->unfinished(); !missing.empty()) return missing;
  return {};
}

void Mesh::check_end() {
  for (auto& each : operators) each->check_acknowledged();
  if (controller.controller().state() != book.state())
    throw ClaimBroken("the controller's state is the fold of its log", "not at the end");
  for (auto& host : nodes) {
    if (!host->has_place()) continue;
    for (const auto& [name, tunnel] : host->router().state().tunnels) {
      const Node* peer = book.state().find_node(tunnel.peer);
      if (!peer || peer->enrolment != Enrolment::enrolled)
        throw ClaimBroken("a revoked node's tunnels are gone", host->name() + " has " + name);
    }
  }
}

// --- for scenarios ---

std::optional<Error> Mesh::submit(std::vector<Command> commands) {
  Intention intention;
  intention.commands = std::move(commands);
  alice().ask(std::move(intention));
  require(run_until([&] { return !alice().busy(); }, kScenarioMs), "alice waits for an answer");
  return alice().last_error();
}

void Mesh::roll_out() {
  Intention intention;
  intention.kind = Intention::Kind::prepare;
  intention.prepare.include_others = true;
  alice().ask(std::move(intention));
  require(run_until([&] { return !alice().busy(); }, kScenarioMs), "alice waits for a plan");
  require(!alice().last_error(), "the commit was refused");
  require(!submit({Activate{{Level::global, {}}, {}, false}}), "the activation was refused");
}

void Mesh::build(size_t sites) {
  std::vector<Command> commands;
  for (size_t i = 1; i <= sites; ++i) {
    const auto site = fmt::format("s{}", i), node = "r1." + site;
    commands.push_back(AddSite{site});
    commands.push_back(AddNode{node});
    commands.push_back(SetAttribute{{Level::node, node}, "endpoint", fmt::format("192.0.2.{}", i)});
    commands.push_back(SetAttribute{
        {Level::site, site}, "lans", std::vector<Scalar>{fmt::format("10.{}.0.0/16", i)}});
  }
  run_until([&] { return alice().replica().head() == book.head(); }, kScenarioMs);
  require(!submit(std::move(commands)), "the sites were refused");
  for (size_t i = 1; i <= sites; ++i) {
    Invitation invitation;
    invitation.node = fmt::format("r1.s{}", i);
    invitation.token_secret = "token of " + invitation.node;
    Intention create;
    create.commands = {CreateToken{test::sign_secret(invitation.token_secret).public_key(),
                                   {Level::node, invitation.node},
                                   1,
                                   {},
                                   false}};
    create.invitation = invitation;
    alice().ask(std::move(create));
    require(run_until([&] { return find_host(invitation.node) != nullptr; }, kScenarioMs),
            invitation.node + " did not join");
  }
  roll_out();
  require(run_until([&] { return unfinished().empty(); }, kScenarioMs), unfinished());
}

}  // namespace mesh::sim
