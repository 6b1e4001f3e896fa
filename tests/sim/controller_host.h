// meshd's machine: the production Controller on a simulated disk, killed and started at any moment.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "broker/bus/keys.h"
#include "broker/controller.h"
#include "tests/sim/controller_disk.h"
#include "tests/sim/network.h"
#include "tests/sim/output_checks.h"

namespace mesh::sim {

struct ControllerHostOptions {
  uint64_t snapshot_every = 1'000;
  uint64_t snapshot_threshold = kSnapshotReplayThreshold;
  int64_t heartbeat_ms = 3'000;
};

class ControllerHost final : public ServerEnd {
 public:
  /// Creates the log. `genesis.log_key` belongs to `log_key`.
  ControllerHost(Scheduler& clock, Trace& trace, Network& network, HistoryBook& book, Random random,
                 const CreateLog& genesis, SignSecret log_key, ControllerHostOptions options);

  void start();
  /// kill -9. What was not delivered is lost.
  void kill(const std::string& why);
  bool running() const { return controller_ != nullptr; }
  /// The process stands still; frames wait for it.
  void stall(int64_t milliseconds);
  /// Dies in the next turn, after its append and before anything of it is heard.
  void die_before_publishing() { die_before_publishing_ = true; }
  /// Whether it also dies by itself, anywhere.
  void set_fragile(bool fragile) { fragile_ = fragile; }
  /// Somebody sets the clock.
  void shift_wall_clock(int64_t microseconds) { wall_offset_ += microseconds; }
  /// What a time service does in the end: the clock is not before what is in the log.
  void repair_wall_clock();
  /// Kills the process and puts an older or another history in place of the log.
  void restore(const MemoryEventLog& backup);

  ControllerDisk& disk() { return disk_; }
  Controller& controller() { return *controller_; }
  Timestamp wall() const { return Timestamp(kEpoch + wall_offset_ + clock_.now() * 1'000); }
  const ControllerOptions& options() const { return options_; }

  bool admits(const BoxKey& key) override { return running() && controller_->admits(key); }
  bool enrolment_open() override { return running() && controller_->enrolment_wanted(now()); }
  void arrived(const SessionId& session, const Bytes& frame) override;

 private:
  static constexpr int64_t kEpoch = 1'750'000'000'000'000;
  static constexpr int64_t kTickMs = 200;

  Now now() const { return {wall(), clock_.now()}; }
  void make_options(ControllerHostOptions options);
  void schedule_turn();
  void turn();
  void tick(uint64_t incarnation);
  /// True when the process is still there.
  bool survived();
  /// Checks and delivers what the controller has to say.
  void emit();
  void run(Job job);

  Scheduler& clock_;
  Trace& trace_;
  Network& network_;
  HistoryBook& book_;
  OutputChecks checks_;
  Random random_;
  SignSecret log_key_;
  ControllerDisk disk_;
  ControllerOptions options_;
  std::unique_ptr<Controller> controller_;
  bool died_ = false, die_before_publishing_ = false, turn_scheduled_ = false, fragile_ = false;
  std::string broken_;
  int64_t stalled_until_ = 0, wall_offset_ = 0;
  uint64_t incarnation_ = 0;
  std::vector<std::pair<SessionId, Bytes>> inbox_;
};

}  // namespace mesh::sim
