// What a node reads back from its own disk to route before it knows anything else.
#pragma once

#include <string>
#include <string_view>

#include "eventstore/model/node_config.h"
#include "eventstore/model/overlay.h"

namespace mesh {

std::string overlay_text(const Overlay& overlay);
/// Errors: corrupt.
Result<Overlay> parse_overlay_text(std::string_view text);

}  // namespace mesh
