// Events as one short line for people.
#pragma once

#include <cstdint>
#include <map>
#include <string>

#include "cli/client.h"
#include "cli/json.h"

namespace mesh::cli {

/// Full names by number.
using NodeNames = std::map<int64_t, std::string>;
/// Adds the names that a Log document tells, and those that its entries gave when they added nodes.
void learn_names(NodeNames& names, const Json& document);

/// "node r1.ams: wg_keepalive 20 -> 25", "site ams added". A kind it does not know is shown with its
/// fields.
std::string event_text(const Json& event, const NodeNames& names);
/// An entry's events joined with "; ": at most `most`, then how many more of which kinds. What they
/// were for (a rollback, an undo, a discard) comes first.
std::string events_text(const Json& events, const NodeNames& names, size_t most);

}  // namespace mesh::cli
