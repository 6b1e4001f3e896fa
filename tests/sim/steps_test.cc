// Claim: there is no moment at which a crash does harm. Method: the same small mesh again and again, and each time one
// router or the controller dies in the next of its steps: every write of its disk, every change of its router; and once
// for many bits of a router's disk, one of them flips. The claims of README.md hold after every step, and everybody
// gets there.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <functional>

#include "tests/sim/mesh.h"

namespace mesh::sim {
namespace {

constexpr int64_t kSettleMs = 120'000;

Command keepalive(int64_t seconds) { return SetAttribute{{Level::global, {}}, "wg_keepalive", seconds}; }

/// A controller that dies between plan and commit has forgotten the plan: another is made.
void roll_out(Mesh& mesh) {
  for (int tries = 0; tries < 5; ++tries) {
    Intention intention;
    intention.kind = Intention::Kind::prepare;
    intention.prepare.include_others = true;
    mesh.alice().ask(std::move(intention));
    mesh.run_until([&] { return !mesh.alice().busy(); }, kSettleMs);
    if (!mesh.alice().last_error()) break;
  }
  mesh.submit({Activate{{Level::global, {}}, {}, false}});
}

/// A change of everybody's tunnels, a new peer's keys, and somebody who is gone.
void live(Mesh& mesh) {
  mesh.submit({keepalive(17)});
  roll_out(mesh);
  mesh.submit({RevokeNode{"r1.s3"}});
}

/// Runs it with whoever died being started again, as a service manager does.
void finish(Mesh& mesh) {
  const int64_t until = mesh.clock.now() + kSettleMs;
  while (mesh.clock.now() < until && !mesh.unfinished().empty()) {
    mesh.run_for(250);
    if (!mesh.controller.running()) mesh.controller.start();
    for (auto& host : mesh.nodes) host->start();
  }
  if (const auto missing = mesh.unfinished(); !missing.empty())
    throw ClaimBroken("when faults stop, everybody gets there", missing);
  mesh.check_end();
}

/// The questions of `live` need a controller: somebody starts it as soon as it is gone.
void keep_controller(Mesh& mesh) {
  mesh.clock.after(100, [&mesh] {
    if (!mesh.controller.running()) mesh.controller.start();
    keep_controller(mesh);
  });
}

/// False when a claim broke.
bool holds(const std::string& what, const std::function<void(Mesh&)>& arm) {
  MeshOptions options;
  options.node.tail_bytes_min = 2'000;  // snapshots are made, too
  options.controller.snapshot_every = 3;
  Mesh mesh(options);
  try {
    mesh.build(3);
    keep_controller(mesh);
    arm(mesh);
    live(mesh);
    finish(mesh);
  } catch (const ClaimBroken& broken) {
    ADD_FAILURE() << what << ": " << broken.what() << "\nthe last steps:\n" << mesh.trace.tail();
    return false;
  }
  return true;
}

NodeHost& victim(Mesh& mesh) { return *mesh.find_host("r1.s1"); }

/// How many steps of a kind the victim makes when nothing goes wrong.
uint64_t steps_of(const std::function<uint64_t(Mesh&)>& count) {
  uint64_t steps = 0;
  MeshOptions options;
  options.node.tail_bytes_min = 2'000;
  options.controller.snapshot_every = 3;
  Mesh mesh(options);
  mesh.build(3);
  const uint64_t before = count(mesh);
  live(mesh);
  finish(mesh);
  steps = count(mesh) - before;
  EXPECT_GT(steps, 5u);
  return steps;
}

TEST(EveryStep, ARouterDiesInAnyWrite) {
  const uint64_t steps = steps_of([](Mesh& mesh) { return victim(mesh).files().changes(); });
  for (uint64_t step = 1; step <= steps; ++step)
    for (const bool machine : {false, true})
      if (!holds(fmt::format("write {} of {}{}", step, steps, machine ? ", the machine" : ""),
                 [&](Mesh& mesh) { victim(mesh).die_at(step, machine); }))
        return;
}

TEST(EveryStep, ARouterDiesInAnyChangeOfItsKernel) {
  const uint64_t steps = steps_of([](Mesh& mesh) { return victim(mesh).router().calls(); });
  for (uint64_t step = 1; step <= steps; ++step)
    for (const bool done : {false, true})
      for (const bool machine : {false, true})
        if (!holds(fmt::format("change {} of {}, done {}, the machine {}", step, steps, done, machine),
                   [&](Mesh& mesh) { victim(mesh).die_applying(step, done, machine); }))
          return;
}

TEST(EveryStep, TheControllerDiesInAnyWrite) {
  for (uint64_t writes = 0; writes < 30; ++writes)
    for (const bool stored : {false, true})
      for (const auto kind : {WriteFault::Kind::dies, WriteFault::Kind::fails})
        if (!holds(fmt::format("after {} writes{}", writes, stored ? ", stored" : ""),
                   [&](Mesh& mesh) { mesh.controller.disk().fault = WriteFault{kind, writes, stored}; }))
          return;
}

TEST(EveryStep, ABitFlipsAnywhereOnARoutersDisk) {
  uint64_t bits = 0;
  MeshOptions options;
  options.node.tail_bytes_min = 2'000;
  options.controller.snapshot_every = 3;
  Mesh mesh(options);
  mesh.build(3);
  bits = victim(mesh).bits();
  constexpr uint64_t kFlips = 60;
  for (uint64_t i = 0; i < kFlips; ++i) {
    const uint64_t bit = bits * i / kFlips + i % 8;
    if (!holds(fmt::format("bit {} of {}", bit, bits), [&](Mesh& other) {
          // It starts without a controller, from what the disk holds.
          NodeHost& host = victim(other);
          host.flip_bit(bit);
          other.network.partition(host.line(), true, true);
          host.start();
          other.run_for(3'000);
          other.network.partition(host.line(), false, false);
        }))
      return;
  }
}

}  // namespace
}  // namespace mesh::sim
