// Reading back what config_text (eventstore/model/node_config.h) wrote.
#pragma once

#include <string_view>

#include "eventstore/model/node_config.h"
#include "eventstore/model/result.h"

namespace mesh {

/// The inverse of config_text, checked by writing it again: the result has exactly this text, and so its digest.
/// Names of files and services in it lead nowhere: they can be made paths of.
/// Errors: corrupt (which member is missing or wrong), unsupported (rules newer than this program).
Result<NodeConfig> parse_config_text(std::string_view text);

}  // namespace mesh
