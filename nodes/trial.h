// Trial: a version that runs and waits for its confirmation: until when, and what has to be in order meanwhile.
//
// Pure: the time and what was seen are arguments. Time is the Agent's, in milliseconds since the machine booted.
//   gates      they have for_ms to come up after the first look, and may come and go while they do (sessions start
//              anew when a tunnel changes). Then they have to hold: up for for_ms in one piece is `healthy`, once; down
//              after the time to come up is `lost`.
//   healthy    is this node's word, which the controller may confirm by at any moment: from then on only the deadline
//              and the log end the trial.
//   bgp, bfd   each peer needs one session that is up (two stand beside each other while keys rotate), except a peer
//              that had a tunnel with its session down before the version came: it may be switched off.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "eventstore/model/overlay.h"
#include "nodes/dataplane/dataplane.h"
#include "nodes/replica/pending_file.h"
#include "nodes/replica/replica_store.h"

namespace mesh {

/// What has to be in order until a version is confirmed.
struct Gates {
  struct Place {
    std::string name;                  // "node r2.ams"
    std::vector<IpAddress> addresses;  // one has to answer
    bool operator==(const Place&) const = default;
  };
  bool controller = false, bgp = false, bfd = false;
  // Every enrolled node of the sites that have to be reached, but for this one; and the sites without any.
  std::vector<Place> reach;
  int64_t for_ms = 0;
  bool empty() const { return !controller && !bgp && !bfd && reach.empty(); }
};
/// Those of an activation, as the log has the sites now.
Gates make_gates(const MeshState& state, NodeId self, const PendingActivation& pending);

/// Peers that have a tunnel of which no BGP session is up. Ascending.
std::vector<NodeId> quiet_peers(const Health& health);

/// What is there at one look.
struct Sight {
  std::optional<Health> health;     // nothing: the router could not be read
  std::vector<Tunnel> tunnels;      // those that the version has now
  std::optional<int64_t> heard_ms;  // when the controller spoke last; nothing without a connection
  std::vector<IpAddress> answered;  // an echo, just now; ascending
};

class Trial {
 public:
  /// `before`: what to go back to; nothing before the first version. `healthy`: said already.
  Trial(PendingVersion kept, std::optional<StoredVersion> before, bool healthy)
      : kept_(std::move(kept)), before_(std::move(before)), healthy_(healthy) {}

  /// What is, or shall be, on disk.
  const PendingVersion& kept() const { return kept_; }
  const std::optional<StoredVersion>& before() const { return before_; }

  bool expired(int64_t now) const { return !confirmed_ && now >= kept_.deadline_ms; }
  /// The newest extension of the log. True when it was not known yet: kept() moved.
  bool extend(const PendingActivation& pending, int64_t now);
  /// The log confirmed it: neither deadline nor gates count any more.
  void confirm() { confirmed_ = true; }
  bool confirmed() const { return confirmed_; }

  enum class Verdict : uint8_t { waits, healthy, lost };
  /// `healthy` is returned once; after `lost` the trial is over, and why() says what was not in order.
  Verdict look(const Gates& gates, const Sight& sight, int64_t now);
  /// "health: bgp session tlwg_12 is Active"
  const std::string& why() const { return why_; }

 private:
  std::optional<std::string> first_down(const Gates& gates, const Sight& sight) const;
  std::optional<std::string> session_down(const Sight& sight, bool bfd) const;

  PendingVersion kept_;
  std::optional<StoredVersion> before_;
  bool healthy_ = false, confirmed_ = false;
  std::optional<int64_t> first_look_, up_since_;
  std::string why_;
};

}  // namespace mesh
