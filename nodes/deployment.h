// Deployment: what this router runs. Brings it to what the log wants at a settled head, and keeps it there.
//
// The active version is applied at boot from the disk alone. An activation is applied as a whole or taken back; the
// pointer `active` moves only after it stands. Each activation is answered by one signed outcome, kept until the log
// has it. The overlay (keys, revocations) acts at once, on whatever version runs.
// A version is applied when this node compiled it itself, or when it has the digest that the log pins and this node
// has not compiled it (committed before its replica begins, pruned since, or for a newer program to compile). One that
// this node compiled differently is refused for good: a digest alone is the controller's word.
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
#include "nodes/replica_store.h"

namespace mesh {

struct DeploymentOptions {
  LogId log;
  NodeId node;
  SignKey sign_key;                           // what the log must name as this node's, or it is not this node
  std::map<uint32_t, WireGuardKey> own_keys;  // public halves by generation
  std::function<Signature(std::string_view domain, ByteView bytes)> sign;
};

/// What was done on the box.
struct WentBack {
  Version from, to;
};

class Deployment {
 public:
  /// Borrows both.
  Deployment(DeploymentOptions options, ReplicaStore& store, Dataplane& dataplane)
      : options_(std::move(options)), store_(store), dataplane_(dataplane) {}

  /// Applies the active version with the overlay of last time, from the disk alone.
  void boot();
  /// Remembers what was active and bound, without applying it.
  void restore();
  /// Brings the router to what `state` wants. Precondition: it is a settled head's. True when something changed
  /// that is worth telling the controller.
  bool act(const MeshState& state);
  /// Looks whether the router still is as it shall be: brings back what died, names what was edited, and sets that
  /// back where the policy says so (drift.h). `now` in ms. True as act().
  bool reconcile_again(int64_t now);

  /// Makes a version that is on this disk the active one; 0 = the previous one. The log's activation is not followed
  /// from then on, until it names a newer one, and an outcome tells the log. `node`: this node at a settled head;
  /// nullptr when there is none. Errors: not_found (no such version here), conflict (it runs already), invalid
  /// (refused for good), not_permitted (revoked), exhausted, io, and what the router said: then it is as before.
  Result<WentBack> roll_back(Version version, const Node* node);

  /// Looks up peers' names again where a tunnel is silent. Every half minute or so.
  void refresh_endpoints();

  /// The digest of a configuration that has to be fetched before act() can go on.
  const std::optional<VersionRow>& wanted() const { return wanted_; }
  /// Takes a fetched configuration. Errors: corrupt (not that digest, not a configuration of this node), exhausted.
  Status take_config(std::string_view text);

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
  /// What keeps the router from being as it shall be; empty when nothing does.
  const std::string& problem() const { return activation_problem_.empty() ? router_problem_ : activation_problem_; }
  /// What was done since the last call, for people.
  std::vector<std::string> take_steps();

 private:
  void bind_overlay(const MeshState& state);
  bool held(const Node& node) const;
  std::string held_text() const;
  Result<NodeConfig> version_to_go_back_to(Version& version);
  void follow(const Node& node);
  void activate(const Node& node);
  void apply_active();
  void look_for_drift(int64_t now);
  std::vector<Drift> edited_files(Version& version);
  Status heal_files(Version version);
  Result<NodeConfig> load_version(const Node& node, Version version);
  void record(OutcomeKind kind, ActivationId activation, std::string message);
  SignedOutcome sign(Outcome outcome) const;

  DeploymentOptions options_;
  ReplicaStore& store_;
  Dataplane& dataplane_;
  Overlay overlay_;
  bool overlay_saved_ = true;
  bool overlay_known_ = false;  // from the disk or the log
  std::optional<NodeConfig> active_;   // what runs; nothing before the first activation
  bool dirty_ = false;                 // the router may not be what active_ and overlay_ say
  std::optional<ActivationId> tried_;  // and failed; not again before something changes
  std::optional<VersionRow> wanted_;
  std::string activation_problem_;  // why the version that the log wants does not run
  std::string router_problem_;      // why the router is not what active_ and overlay_ say
  std::vector<std::string> steps_;
  DriftWatch drift_;
};

}  // namespace mesh
