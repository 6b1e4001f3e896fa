// What a node reads back from its own disk to route before it knows anything else.
#pragma once

#include <string>
#include <string_view>

#include "eventstore/model/node_config.h"
#include "eventstore/model/overlay.h"

namespace mesh {

/// The inverse of config_text, checked by writing it again: the result has exactly this text, and so its digest.
/// Errors: corrupt (which member is missing or wrong), unsupported (rules newer than this program).
Result<NodeConfig> parse_config_text(std::string_view text);

std::string overlay_text(const Overlay& overlay);
/// Errors: corrupt.
Result<Overlay> parse_overlay_text(std::string_view text);

}  // namespace mesh
