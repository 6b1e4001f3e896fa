#include "tests/sim/faults.h"

namespace mesh::sim {

void Faults::begin() {
  active_ = true;
  mesh_.controller.set_fragile(true);
  mesh_.network.set_hostile(mesh_.options.node.hostile);
  next();
  start_what_is_down();
}

void Faults::end() {
  active_ = false;
  mesh_.trace.add("no more faults");
  mesh_.network.calm();
  mesh_.controller.set_fragile(false);
  mesh_.controller.repair_wall_clock();
  mesh_.controller.disk().full = false;
  mesh_.controller.disk().fault.reset();
  for (auto& host : mesh_.nodes) {
    host->die_at(0, false);
    host->die_applying(0, false, false);
    host->set_disk_full(false);
    host->set_router_faulty(false);
    host->set_links(true);
  }
}

void Faults::later(int64_t low, int64_t high, std::function<void()> action) {
  mesh_.clock.after(random_.between(low, high), [this, action = std::move(action)] {
    if (active_) action();
  });
}

void Faults::next() {
  later(200, 4'000, [this] {
    strike();
    next();
  });
}

/// Whatever died is started again; by a service manager, or by somebody who pushes a button.
void Faults::start_what_is_down() {
  mesh_.clock.after(250, [this] { start_what_is_down(); });
  const int64_t now = mesh_.clock.now();
  if (mesh_.controller.running()) {
    controller_up_at_ = now + random_.between(100, random_.one_in(4) ? 15'000 : 2'000);
  } else if (!active_ || now >= controller_up_at_) {
    mesh_.controller.start();
  }
  for (auto& host : mesh_.nodes) {
    if (host->gave_up()) continue;
    int64_t& up_at = up_at_[host.get()];
    if (host->running()) {
      up_at = now + random_.between(100, random_.one_in(4) ? 30'000 : 3'000);
    } else if (!active_ || now >= up_at) {
      host->start();
    }
  }
}

void Faults::strike() {
  ++count_;
  const uint64_t dice = random_.below(100);
  if (dice < 20) return controller_fault();
  if (dice < 60 || mesh_.nodes.empty()) return network_fault();
  node_fault(*random_.pick(mesh_.nodes));
}

void Faults::controller_fault() {
  auto& controller = mesh_.controller;
  auto& disk = controller.disk();
  if (!controller.running()) return;
  switch (random_.below(9)) {
    case 0:
      return controller.kill("at any moment");
    case 1:
      return controller.die_before_publishing();
    case 2:
    case 3:
      disk.fault = WriteFault{WriteFault::Kind::dies, random_.below(6), random_.one_in(2)};
      return;
    case 4:
      disk.fault = WriteFault{WriteFault::Kind::fails, random_.below(6), random_.one_in(2)};
      return;
    case 5:
      mesh_.trace.add("the controller's disk is full");
      disk.full = true;
      return later(100, 8'000, [&disk] { disk.full = false; });
    case 6:
      return controller.stall(random_.between(100, random_.one_in(4) ? 20'000 : 3'000));
    case 7: {
      const auto snapshots = disk.log.snapshots();
      if (snapshots.empty()) return;
      const Sequence sequence = random_.pick(snapshots);
      mesh_.trace.add("a bit flips in the controller's snapshot of #" + std::to_string(sequence.value()));
      disk.damaged.insert(sequence);
      return;
    }
    default:
      mesh_.trace.add("somebody sets the controller's clock");
      return controller.shift_wall_clock(random_.between(-60, 60) * (random_.one_in(4) ? 3'600 : 1) * 1'000'000);
  }
}

void Faults::network_fault() {
  auto& network = mesh_.network;
  if (random_.one_in(15)) return clog();
  const LineId line = random_.below(network.lines());
  const uint64_t dice = random_.below(10);
  if (dice < 4) return network.break_connection(line);
  if (dice < 8) {
    const bool up = random_.percent(70), down = !up || random_.percent(60);
    mesh_.trace.add(network.name(line) + (up && down ? " is cut off"
                                          : up       ? " is not heard"
                                                     : " hears nothing"));
    network.partition(line, up, down);
    return later(500, 30'000, [&network, line] { network.partition(line, false, false); });
  }
  mesh_.trace.add(network.name(line) + " is slow");
  network.slow(line, random_.between(50, 3'000));
  later(1'000, 30'000, [&network, line] { network.slow(line, 0); });
}

/// Nothing gets through, soon enough nobody gives up, and then everything comes at once.
void Faults::clog() {
  auto& network = mesh_.network;
  mesh_.trace.add("the network stands still");
  for (LineId line = 0; line < network.lines(); ++line) network.partition(line, true, true);
  later(200, 9'500, [this, &network] {
    mesh_.trace.add("the network moves again");
    for (LineId line = 0; line < network.lines(); ++line) network.partition(line, false, false);
  });
}

void Faults::node_fault(NodeHost& host) {
  if (!host.running()) return;
  const auto number =
      static_cast<size_t>(std::find_if(mesh_.nodes.begin(), mesh_.nodes.end(),
                                       [&](auto& each) { return each.get() == &host; }) -
                          mesh_.nodes.begin());
  switch (random_.below(13)) {
    case 0:
      return host.kill();
    case 1:
      return host.crash(random_.one_in(2));
    case 2:
    case 3:
    case 4:
      return host.die_at(random_.below(25) + 1, random_.one_in(2));
    case 5:
      host.set_disk_full(true);
      return later(500, 20'000, [this, number] { mesh_.nodes[number]->set_disk_full(false); });
    case 6:
      host.set_router_faulty(true);
      return later(500, 10'000, [this, number] { mesh_.nodes[number]->set_router_faulty(false); });
    case 7:
    case 8:
      return host.die_applying(random_.below(12) + 1, random_.one_in(2), random_.one_in(3));
    case 9:
      if (random_.one_in(3)) host.flip_bit();
      return;
    case 10:
      host.set_links(false);
      return later(1'000, 20'000, [this, number] { mesh_.nodes[number]->set_links(true); });
    default:
      return host.stall(random_.between(100, random_.one_in(3) ? 60'000 : 3'000));
  }
}

}  // namespace mesh::sim
