// What nodes say about themselves. Observations: never in the log, gone with the process.
#pragma once

#include <map>
#include <optional>
#include <string>

#include "broker/output.h"

namespace mesh {

struct Sighting {
  NodeStatus status;
  int64_t mono_ms = 0;  // when it came
};

/// A node counts as connected while its last word is younger than this: three of its five-second
/// reports.
inline constexpr int64_t kConnectedMs = 15'000;

using Board = std::map<NodeId, Sighting>;

inline bool is_connected(const Board& board, NodeId node, int64_t mono_ms) {
  auto it = board.find(node);
  return it != board.end() && mono_ms - it->second.mono_ms < kConnectedMs;
}

/// A newcomer that waits for an operator's approval.
struct WaitingNode {
  SignedJoin join;
  JoinStatement statement;
  Timestamp since;
  int64_t mono_ms = 0;       // last asked
  std::string address = {};  // where it last asked from, as TCP tells it
  std::string network = {};  // that, or of IPv6 its /64
};
/// Without a token anybody may ask: one machine, one NAT or one network of IPv6 gets this part of the room and no more.
inline constexpr size_t kWaitingPerAddressMax = 32;
/// By fingerprint of the newcomer's signing key.
using WaitingRoom = std::map<std::string, WaitingNode>;

}  // namespace mesh
