// The call of a router that has lost its controller to whoever has its recovery secret (README, "Recovery"). Only
// meshnode*.cc include it.
#pragma once

#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "broker/bus/client.h"
#include "nodes/meshnode.h"
#include "schemas/adoption.h"

namespace mesh {

/// Where the controller was, another one is tried: one that proves, by the key of the connection and by its signature,
/// that it has the secret whose public keys this node's own log names. What comes back is a token of another log.
class RecoveryCall {
 public:
  /// Borrows both. `after_ms` without a controller it begins; 0 = never.
  RecoveryCall(const NodeIdentity& identity, const NodeKeys& keys, int64_t after_ms)
      : identity_(identity), keys_(keys), after_ms_(after_ms) {}

  /// One turn; never waits. `own`: this node by its log, nullptr when it does not know it. `addresses`: where the
  /// controller was. Time: milliseconds since boot. The token of an adoption that was proved, or nothing.
  std::optional<TokenText> turn(const Node* own, bool connected, const std::vector<std::string>& addresses,
                                int64_t now);
  /// What was refused, and why nobody is reached, each once, for the program's log.
  std::vector<std::string> take_notes() { return std::exchange(notes_, {}); }

 private:
  bool open(const Node& own, const std::vector<std::string>& addresses);
  void call(const Node& own, int64_t now);
  std::optional<TokenText> answer(ByteView frame, const Node& own, int64_t now);
  void note(std::string text);

  const NodeIdentity& identity_;
  const NodeKeys& keys_;
  int64_t after_ms_;
  std::optional<int64_t> alone_since_;
  std::unique_ptr<BusClient> bus_;
  BoxKey server_;
  std::vector<std::string> addresses_;
  Digest nonce_;  // of the call that is open; zero = none
  int64_t called_ms_ = 0;
  std::set<std::string> told_;
  std::vector<std::string> notes_;
};

}  // namespace mesh
