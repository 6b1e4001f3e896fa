// A log as a controller writes it, for nodes to read: real keys, real decisions, real proofs; and liars' variants.
#pragma once

#include <functional>
#include <map>
#include <string>
#include <vector>

#include "eventstore/model/compile.h"
#include "eventstore/model/decide.h"
#include "eventstore/model/replay.h"
#include "nodes/agent.h"
#include "nodes/dataplane/dry_run_dataplane.h"
#include "nodes/memory_files.h"
#include "schemas/message.h"

namespace mesh::test {

/// An Ed25519 pair from a number.
struct Signer {
  explicit Signer(uint8_t number);
  Signature sign(std::string_view domain, ByteView bytes) const;
  SignKey key;
  std::array<uint8_t, 64> secret{};
};

class WrittenLog {
 public:
  /// Created, with sites s1 to s<sites>, node r1.s1 (11) and so on, each with a LAN and an endpoint.
  explicit WrittenLog(unsigned sites, uint32_t rules = kRulesNewest);

  /// One entry of the administrator's; the commands must be accepted.
  void append(std::vector<Command> commands, const Context& context = {});
  /// The same, but with events that do not follow from the request.
  void forge(std::vector<Command> commands, std::vector<Event> events);
  /// One entry of a program with newer rules.
  void append_newer(std::vector<Command> commands);
  /// Raises the rules, also beyond what this program knows.
  void raise_rules(uint32_t rules) { forge({RaiseRules{rules}}, {RulesRaised{rules}}); }
  /// A token for the node, and its admission with `keys`.
  void admit(NodeId node, const Signer& signer, const WireGuardKey& wireguard);
  /// Prepares and commits everything. `change` may lie about the candidates.
  void commit(const std::function<void(std::vector<VersionRow>&)>& change = {});
  void activate(Version version = {});
  /// The latest versions, which wait for their confirmation for `seconds`.
  void activate_confirmed(uint32_t seconds, std::vector<std::string> health = {}, uint32_t for_s = 0);
  /// The newest activation. Without `nodes` every target reported it applied; with them these did, and the others are
  /// left where they were.
  void confirm(const std::vector<NodeId>& nodes = {});
  void cancel();
  void extend(uint32_t seconds);
  /// The controller's clock passes its deadline.
  void expire();
  ActivationId newest() const { return ActivationId(state().next_activation.value() - 1); }
  void set(const std::string& name, AttributeValue value);
  void revoke(NodeId node);
  /// Forgets everything after `size` entries: the controller that was restored, or lies.
  void cut(uint64_t size);
  /// The administrator goes on from the head in a new epoch.
  void start_epoch();

  uint64_t size() const { return entries_.size(); }
  const LogId& id() const { return replicas_.back().state.log; }
  const SignKey& log_key() const { return controller_.key; }
  const MeshState& state() const { return replicas_.back().state; }
  const Replica& at(uint64_t size) const { return replicas_[size]; }
  Digest root(uint64_t size) const { return replicas_[size].frontier.root(); }
  /// The signed checkpoint of the first `size` entries, in the epoch of then; another `root` is a lie.
  std::string note(uint64_t size) const { return note(size, root(size)); }
  std::string note(uint64_t size, const Digest& root) const;
  /// Entries `first` to `last`, with the checkpoint of `last` when asked.
  Entries range(uint64_t first, uint64_t last, bool checkpoint) const;
  const std::vector<EncodedEntry>& entries() const { return entries_; }
  FileRenderer render;            // of what is committed from now on
  std::map<Digest, Bytes> blobs;  // configurations that were committed, and their files

 private:
  Request request(const Principal& principal, std::vector<Command> commands) const;
  void write(const Request& request, const Signer& signer, Context context, std::vector<Event> events,
             uint32_t rules = 0);
  void decided(const Request& request, const Signer& signer, Context context);

  Timestamp time() const { return Timestamp(1'700'000'000'000'000 + late_us_ + static_cast<int64_t>(entries_.size())); }

  int64_t late_us_ = 0;
  Signer controller_{1}, admin_{2}, recovery_{3};
  std::vector<EncodedEntry> entries_;
  std::vector<Replica> replicas_{1};  // [n] = after n entries
};

/// Node 11 of a WrittenLog: its disk, its router, and an Agent that can be started again.
class TestNode {
 public:
  explicit TestNode(WrittenLog& log);
  /// The same node on a new disk and router.
  TestNode(WrittenLog& log, const TestNode& same);

  /// A new process on the same disk and router.
  void start();
  /// The same, for one that may die while it starts: false when its disk cannot even be opened.
  bool try_start();
  Agent& agent() { return *agent_; }
  MemoryFiles& disk() { return disk_; }
  DryRunDataplane& router() { return router_; }
  ReplicaStore& store() { return *store_; }
  const Signer& signer() const { return signer_; }
  void connect();
  void disconnect();
  void give(const Body& body);
  /// The whole log up to `last` (0 = all) with its checkpoint.
  void follow(uint64_t last = 0);
  /// The whole of another log, from where this node is.
  void follow(const WrittenLog& other);
  void pass(int64_t milliseconds);
  /// Time passes while the program does nothing, or does not run.
  void sleep(int64_t milliseconds) { now_ += milliseconds; }
  /// The machine starts anew, and the program with it. Names that were not synced are lost, unless `lucky`.
  void reboot(bool lucky = true);
  /// The program was killed and starts again; what it wrote is there.
  void restart();
  /// The log's blobs that are asked for, one by one until none is; how many came.
  size_t serve();
  /// What the agent sent since the last call.
  std::vector<Body> sent();
  template <class Kind>
  std::vector<Kind> sent_of() {
    std::vector<Kind> out;
    for (auto& body : sent()) {
      if (auto* found = std::get_if<Kind>(&body)) out.push_back(std::move(*found));
    }
    return out;
  }
  AgentOptions options;

 private:
  void prepare();
  WrittenLog& log_;
  Signer signer_{11};
  SecretKey wireguard_;
  TunnelKeys keys_;
  MemoryFiles disk_;
  DryRunDataplane router_{keys_};
  std::unique_ptr<ReplicaStore> store_;
  std::unique_ptr<Agent> agent_;
  int64_t now_ = 1'000;
};

}  // namespace mesh::test
