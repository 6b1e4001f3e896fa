// Who this node is, as it learned when it joined. Its secrets are beside it: identity/sign.key (Ed25519),
// identity/box.key (X25519, CURVE) and identity/wg-<generation>.key, each 0600.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "eventstore/model/ids.h"
#include "eventstore/model/result.h"
#include "eventstore/model/state.h"

namespace mesh {

struct NodeIdentity {
  LogId log;
  SignKey log_key;        // checks checkpoints
  BoxKey controller_key;  // CURVE server key, pinned
  NodeId node;            // 0 = asked to join and not admitted yet
  std::string fullname;   // when it joined; the log knows its name today
  std::vector<std::string> endpoints;        // of the controller's main socket
  std::vector<std::string> enrol_endpoints;
  std::optional<Anchor> anchor;              // from the token
};

/// JSON, the content of identity/node.json.
std::string identity_text(const NodeIdentity& identity);
/// Errors: corrupt (which member is missing or wrong).
Result<NodeIdentity> parse_identity_text(std::string_view text);

}  // namespace mesh
