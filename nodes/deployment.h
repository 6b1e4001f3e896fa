// Deployment: what this router runs. Brings it to what the log wants at a settled head, and keeps it there.
//
// The active version is applied at boot from the disk alone. An activation is applied as a whole or taken back; the
// pointer `active` moves only after it stands. Each activation is answered by one signed outcome, kept until the log
// has it. The overlay (keys, revocations) acts at once, on whatever version runs.
// A version is applied when this node compiled it itself, or when it has the digest that the log pins and this node
// has not compiled it (committed before its replica begins, pruned since, or for a newer program to compile), or only
// its files are the controller's (version_fetch.h). One that this node compiled differently is refused for good: a
// digest alone is the controller's word.
// What a version wants of the machine beside the router (services.h) is asked before anything is touched, done when the
// router stands, and taken back with it. Start-up scripts run before the router; what one says is a problem, and no
// reason to go back.
//
// An activation that has to be confirmed is a Trial (trial.h): its version runs and is repaired like any other, and
// takes the overlay, but `active` stays. What waits is on disk before the router is touched, so this node goes back by
// itself, whatever happens to the controller, the connection or the program:
//   the deadline passed           also while the program did not run, or while an apply took its time
//   the machine was rebooted      `active` is applied; another boot id is not confirmed, whatever the clock says
//   the log closed it             without this node's confirmation: cancelled, expired, confirmed for others only
//   a gate of health was lost
// Each is an outcome `reverted`, and that activation is not begun again: a confirmation that comes later leaves this
// node diverged, until something newer is activated. An apply that fails goes back at once and ends it (`failed`).
//
// A node that came from another log (adoption.h) runs that log's active version, bound to that log's overlay, until one
// of this log is active: what the others' new keys are, the version of the old log cannot be asked. Only a revocation
// of this node acts on it.
// Time: milliseconds since the machine booted, also while it slept; only grows.
// Thread: one at a time; calls block for as long as the data plane takes, up to seconds.
#pragma once

#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "nodes/dataplane/dataplane.h"
#include "nodes/drift.h"
#include "nodes/replica/replica_store.h"
#include "nodes/services/services.h"
#include "nodes/trial.h"
#include "nodes/version_binding.h"
#include "nodes/version_fetch.h"

namespace mesh {

struct DeploymentOptions {
  LogId log;
  NodeId node;
  SignKey sign_key;                           // what the log must name as this node's, or it is not this node
  std::map<uint32_t, WireGuardKey> own_keys;  // public halves by generation
  std::function<Signature(std::string_view domain, ByteView bytes)> sign;
  std::string boot_id;  // another one after each boot of the machine
  Services* services = nullptr;  // borrowed; without it a version that wants something of them is refused
};

/// What was done on the box.
struct WentBack {
  Version from, to;
};

class Deployment {
 public:
  /// Borrows both.
  Deployment(DeploymentOptions options, ReplicaStore& store, Dataplane& dataplane)
      : options_(std::move(options)), store_(store), dataplane_(dataplane), fetch_(options_.node, store) {}

  /// Applies the active version with the overlay of last time, from the disk alone; or the one that waits for its
  /// confirmation, when it still may.
  void boot(int64_t now);
  /// Remembers what was active and bound, without applying it.
  void restore();
  /// Brings the router to what `state` wants. Precondition: it is a settled head's. True when something changed
  /// that is worth telling the controller.
  bool act(const MeshState& state, int64_t now);
  /// Looks at what waits for its confirmation, several times a second. `heard_ms`: when the controller spoke last;
  /// nothing without a connection. True as act().
  bool tick(int64_t now, std::optional<int64_t> heard_ms);
  /// Looks whether the router still is as it shall be: brings back what died, names what was edited, and sets that
  /// back where the policy says so (drift.h). `now` in ms. True as act().
  bool reconcile_again(int64_t now);

  /// Makes a version that is on this disk the active one; 0 = the previous one, or the active one when another waits
  /// for its confirmation, which ends then. The log's activation is not followed from then on, until it names a newer
  /// one, and an outcome tells the log. `node`: this node at a settled head; nullptr when there is none. Errors:
  /// not_found (no such version here), conflict (it runs already), invalid (refused for good), not_permitted (revoked):
  /// then all is as before; exhausted, io, and what the router said: then the active version runs as before.
  Result<WentBack> roll_back(Version version, const Node* node);

  /// Looks up peers' names again where a tunnel is silent. Every half minute or so.
  void refresh_endpoints();

  /// Measures the links (dataplane.h). A few times a second.
  void probe_links() { dataplane_.probe_links(); }

  /// A version that has to be fetched before act() can go on.
  const std::optional<VersionRow>& wanted() const { return wanted_; }
  /// The blobs of it to ask for now.
  std::vector<Digest> missing() const { return wanted_ ? fetch_.missing() : std::vector<Digest>(); }
  bool wants(const Digest& blob) const { return wanted_ && fetch_.wants(blob); }
  /// Takes one of them. True when act() can go on. Errors: as VersionFetch::take.
  Result<bool> take_blob(const Digest& digest, ByteView bytes);

  /// The log has this node's outcomes up to `serial`. One beyond what this disk counted means that it was lost since:
  /// what still waits is numbered anew behind it. Errors: exhausted, io.
  Status acknowledge(uint64_t serial);

  /// The router's links and sessions. Empty when they cannot be read.
  Health health();
  const Overlay& overlay() const { return overlay_; }
  const DriftWatch& drift() const { return drift_; }
  /// Of the configuration that runs; nothing when none does.
  std::optional<DriftPolicy> drift_policy() const { return active_ ? std::optional(active_->drift) : std::nullopt; }
  /// This node's keys are dead by the log, or another has its place.
  bool revoked() const { return overlay_.revoked; }
  /// The version that waits for its confirmation; nullptr when none does.
  const PendingVersion* waiting() const { return trial_ ? &trial_->kept() : nullptr; }
  /// The log confirmed what this node had gone back from.
  bool diverged() const { return diverged_; }
  /// Of what runs: where it comes from, when it was decided in another log; nullptr else.
  const TakenOver* taken_over() const { return active_ && active_->taken_over ? &*active_->taken_over : nullptr; }
  /// What keeps the router from being as it shall be; empty when nothing does.
  const std::string& problem() const;
  /// As far as is known, the router is what the version that runs and the overlay say.
  bool stands() const { return router_problem_.empty(); }
  /// Start-up scripts that ran, and what became of them.
  std::vector<CommandReport> scripts() const {
    return options_.services ? options_.services->reports() : std::vector<CommandReport>();
  }
  /// What was done since the last call, for people.
  std::vector<std::string> take_steps();

 private:
  /// An outcome of a trial that is not on disk yet. The newest one counts.
  struct Owed {
    OutcomeKind kind{};
    ActivationId activation;
    Version version;
    std::string message;
    TrialStage stage{};
  };
  /// When an activation, or its newest extension, was heard of: its version may have to be fetched first.
  struct Heard {
    ActivationId activation;
    uint32_t extensions = 0;
    int64_t at_ms = 0;
  };
  /// What is worth telling when it changes.
  struct Told;
  Told told() const;

  void bind_overlay(const MeshState& state);
  Result<BoundVersion> bound_to_now(const StoredVersion& version) const;
  /// What runs can be bound: to the overlay of this log, or to its own.
  bool bindable() const { return active_ && (overlay_known_ || active_->taken_over); }
  bool nothing_of_ours() const;
  bool held(const Node& node) const;
  std::string held_text() const;
  void forget_hold();
  Result<StoredVersion> version_to_go_back_to(Version& version);
  Status check_beside_trial(Version version);
  bool roll_back_trial(Version version, WentBack& went);
  void follow(const MeshState& state, const Node& node, int64_t now);
  void follow_active(const Node& node);
  void activate(const Node& node);
  void apply_active();
  void look_for_drift(int64_t now);
  bool look_at_services(const WantedServices& wanted, std::vector<Drift>& edited, int64_t now);
  std::vector<Drift> edited_files(Version& version);
  Status heal_files(Version version);
  /// As a whole, or back to what runs.
  Status switch_to(StoredVersion version);
  Result<StoredVersion> load_version(const Node& node, Version version);
  /// Whether the machine takes it; then its start-up scripts have run.
  Status prepare(const BoundVersion& bound);
  Status switch_router(const BoundVersion& bound, const BoundVersion* before, const NodeConfig& config);
  /// Of what stands beside the router: all that can be done.
  void apply_services(const WantedServices& wanted);
  /// There is nothing of ours any more.
  void remove_everything();
  void take_service_steps();
  Status keep_outcome(const Owed& what);
  void record(OutcomeKind kind, ActivationId activation, std::string message);
  SignedOutcome sign(Outcome outcome) const;
  static std::string text_of(const Error& error);

  // deployment_trial.cc
  bool resume(int64_t now);
  void hear(const PendingActivation& pending, int64_t now);
  void begin_trial(const MeshState& state, const Node& node, const PendingActivation& pending, int64_t now);
  Status keep_way_back(const Node& node);
  /// True while it waits on.
  bool follow_trial(const MeshState& state, const Node& node, const PendingActivation* pending, int64_t now);
  void watch(int64_t now, std::optional<int64_t> heard_ms);
  void go_back(OutcomeKind kind, const std::string& why);
  void give_up(ActivationId activation, OutcomeKind kind, std::string why);
  bool given_up(ActivationId activation) const;
  std::string running_text() const;
  static std::string late_text(ActivationId activation);
  bool is_diverged(const Node& node);
  void owe(Owed what);
  /// Writes what a full disk or a crash left to be written.
  void settle_disk();

  DeploymentOptions options_;
  ReplicaStore& store_;
  Dataplane& dataplane_;
  Overlay overlay_;
  bool overlay_saved_ = true;
  bool overlay_known_ = false;         // from the disk or the log
  std::optional<StoredVersion> active_;  // also what is on trial; nothing before the first activation
  bool dirty_ = false;                 // the router may not be what active_ and overlay_ say
  std::optional<ActivationId> tried_;  // and failed; not again before something changes
  std::optional<VersionRow> wanted_;
  VersionFetch fetch_;
  std::optional<Trial> trial_;
  bool kept_on_disk_ = true;  // trial_->kept()
  Gates gates_;
  std::optional<Heard> heard_;
  std::optional<Owed> owed_;
  bool diverged_ = false;
  int64_t next_look_ms_ = 0;
  std::string trial_problem_;       // what became of a version that waited
  std::string activation_problem_;  // why the version that the log wants does not run
  std::string router_problem_;      // why the router is not what active_ and overlay_ say
  std::string services_problem_;    // why what stands beside it is not
  int64_t next_services_ms_ = 0;    // when that is tried again
  std::vector<std::string> steps_;
  DriftWatch drift_;
};

}  // namespace mesh
