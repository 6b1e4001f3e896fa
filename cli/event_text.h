// Events as one short line for people.
#pragma once

#include <cstdint>
#include <map>
#include <string>

#include "cli/client.h"
#include "cli/json.h"

namespace mesh::cli {

/// Full names by number, as they are now.
using NodeNames = std::map<int64_t, std::string>;
/// Empty when the controller does not tell.
NodeNames node_names(Client& client);

/// "node r1.ams: wg_keepalive = 25", "site ams added". A kind it does not know is shown with its
/// fields.
std::string event_text(const Json& event, const NodeNames& names);

}  // namespace mesh::cli
