// A router: the production Agent with the production ReplicaStore on a simulated disk, and the
// dry-run data plane as its kernel, which outlives the agent. It joins with a token, and checks
// after every step:
//   the replica is a verified prefix of the controller's log, state for state; what it acted on
//   survives every crash, its own and the controller's; the router is what the log says at the
//   overlay's entry with the active version, and never a mixture of versions, also while something
//   is wrong; it does not change while there is no controller, nor when only the program starts anew;
//   what waits for its confirmation is undone by its deadline, also without a controller, after a
//   crash, and at once after a reboot; what went back is not followed later;
//   the checkpoint that counts is one of the log's and never an older one; an outcome never changes
//   after it was sent; an honest controller is never refused; and a flipped bit on its disk is found
//   and repaired.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>

#include "broker/bus/keys.h"
#include "nodes/agent.h"
#include "nodes/memory_files.h"
#include "tests/sim/history_book.h"
#include "tests/sim/network.h"
#include "tests/sim/sim_router.h"

namespace mesh::sim {

/// What is on a token's paper.
struct Invitation {
  std::string node;          // full name, or empty: an operator decides
  TokenId token;             // 0 = without a token
  std::string token_secret;  // name of its key (tests/support/world.h)
  std::optional<Anchor> anchor;
};

struct NodeHostOptions {
  bool hostile = false;  // frames may be anything: refusals are expected
  uint64_t credit = kCreditBytesDefault;
  uint64_t tail_bytes_min = ReplicaStore::kTailBytesMin;
};

class NodeHost {
 public:
  NodeHost(Scheduler& clock, Trace& trace, Network& network, HistoryBook& book, Random random,
           std::string name, Invitation invitation, NodeHostOptions options);

  /// Powers the machine on: joins first when it has not yet.
  void start();
  /// kill -9 of the program; the router goes on.
  void kill();
  /// The machine loses power: its disk keeps what was synced, its kernel nothing.
  void crash(bool lucky);
  /// The program stands still, or the machine sleeps: the time is there at once when it wakes.
  void stall(int64_t milliseconds);
  /// The program dies in its `step`-th write from now; the machine too, when `machine`.
  void die_at(uint64_t step, bool machine);
  /// The program dies in its `call`-th change of the router from now; the machine too, when `machine`.
  void die_applying(uint64_t call, bool done, bool machine);
  /// The program ends, and one bit of one file on its disk flips.
  void flip_bit();
  /// The same with a bit that is told: of all files' bits, in the order of their names.
  void flip_bit(uint64_t bit);
  uint64_t bits();
  void set_disk_full(bool full);
  void set_router_faulty(bool faulty);
  /// Whether its neighbours are there: BGP, BFD and echoes.
  void set_links(bool up);

  bool running() const { return agent_ != nullptr || asking_; }
  bool joined() const { return id_ != NodeId(); }
  /// A final refusal: its token is worth nothing.
  bool gave_up() const { return gave_up_; }
  bool waiting_for_approval() const { return waiting_; }
  const SignedJoin& join() const { return join_; }
  const JoinStatement& statement() const { return statement_; }
  NodeId id() const { return id_; }
  const std::string& name() const { return name_; }
  const SignKey& sign_key() const { return sign_.public_key(); }
  const BoxKey& key() const { return box_.public_key(); }
  AgentOptions agent_options() const;
  /// The log still names it as that node.
  bool has_place() const;
  LineId line() const { return joined() ? main_line_ : enrol_line_; }
  Agent& agent() { return *agent_; }
  ReplicaStore& store() { return *store_; }
  MemoryFiles& files() { return files_; }
  SimRouter& router() { return router_; }
  /// Activations that this router applied, in order.
  const std::vector<ActivationId>& applied() const { return applied_; }
  /// Everybody is where the log wants it. Empty, or what is missing.
  std::string unfinished();

 private:
  struct BusEvent {
    enum class Kind : uint8_t { connected, disconnected, frame } kind{};
    Bytes frame;
  };
  struct MainEnd final : ClientEnd {
    explicit MainEnd(NodeHost& h) : host(h) {}
    void connected() override { host.take({BusEvent::Kind::connected, {}}); }
    void disconnected() override { host.take({BusEvent::Kind::disconnected, {}}); }
    void refused() override {}
    void arrived(const Bytes& frame) override { host.take({BusEvent::Kind::frame, frame}); }
    NodeHost& host;
  };
  struct EnrolEnd final : ClientEnd {
    explicit EnrolEnd(NodeHost& h) : host(h) {}
    void connected() override { host.ask(); }
    void disconnected() override {}
    void refused() override {}
    void arrived(const Bytes& frame) override { host.answered(frame); }
    NodeHost& host;
  };

  void make_join();
  void ask();
  void answered(const Bytes& frame);
  void run_agent();
  /// What the bus tells the program; a program that stands still hears it when it wakes.
  void take(BusEvent event);
  void tick(uint64_t incarnation);
  /// Since the machine was started, asleep or not.
  int64_t boot_ms() const { return clock_.now() - booted_at_; }
  bool stalled() const { return clock_.now() < stalled_until_; }
  /// After every call of the agent: death, claims, frames.
  void settle();
  void check_replica();
  void check_checkpoint();
  void check_unmixed();
  void look_at_outcomes();
  void watch_trial(const AgentStatus& status);
  void check_trial(const AgentStatus& status);
  std::vector<std::string> paths();
  void watch_bird_timer();
  void check_router();
  void check_outcome(const Bytes& frame);
  void tell_notes();
  /// It has done what the head that it has wants, as far as that is proved.
  bool followed(const AgentStatus& status);
  /// The router then and now, for people.
  std::string difference(const DryRunState& before) const;
  [[noreturn]] void broken(const std::string& claim, const std::string& detail) const;

  Scheduler& clock_;
  Trace& trace_;
  Network& network_;
  HistoryBook& book_;
  Random random_;
  std::string name_;
  Invitation invitation_;
  NodeHostOptions options_;
  SignSecret sign_;
  BoxSecret box_;
  TunnelKeys tunnels_;
  MemoryFiles files_;
  SimRouter router_{tunnels_, files_};
  MainEnd main_end_{*this};
  EnrolEnd enrol_end_{*this};
  LineId main_line_ = 0, enrol_line_ = 0;
  SignedJoin join_;
  JoinStatement statement_;
  NodeId id_;
  bool asking_ = false, waiting_ = false, gave_up_ = false;

  std::unique_ptr<ReplicaStore> store_;
  std::unique_ptr<Agent> agent_;
  uint64_t incarnation_ = 0;
  int64_t stalled_until_ = 0, booted_at_ = 0;
  bool machine_dies_ = false, links_up_ = true;
  bool damaged_ = false;  // a bit flipped once: problems may be named from then on
  std::vector<BusEvent> inbox_;  // while it stands still

  // What the checks remember.
  Sequence checked_head_, acted_;
  Version checked_active_;
  uint64_t checked_executed_ = 0;
  bool router_unchecked_ = true;
  std::optional<DryRunState> frozen_;   // the router when the controller was lost
  ActivationId frozen_trial_;           // what waited then
  std::optional<DryRunState> rests_;    // the router when everything was as it shall be
  /// An activation that waits for its confirmation, as a bystander counts.
  struct Watch {
    ActivationId id;
    int64_t deadline = 0;  // simulated, not the node's
    uint32_t extensions = 0;
    bool begun = false;  // its version was applied
  };
  std::optional<Watch> watch_;
  ActivationId rebooted_;                       // waited when the machine went down
  std::map<ActivationId, Version> gone_back_;  // and what came instead
  std::set<ActivationId> once_back_;             // also what flipped bits may have made it forget
  uint64_t looked_at_ = 0;                      // outcomes
  std::vector<Outcome> kept_;                   // at the last look
  int64_t excused_until_ = 0;                   // it did not run, or could not do what it wanted
  uint64_t boots_ = 1;
  std::string noted_;                   // the newest checkpoint that it believes
  Sequence noted_size_;
  std::set<std::string> known_birds_;   // routing configurations that a version has
  std::map<std::string, std::vector<Tunnel>> known_tunnels_;
  std::map<uint64_t, Bytes> outcomes_;  // sent, by serial
  std::vector<ActivationId> applied_;
};

}  // namespace mesh::sim
