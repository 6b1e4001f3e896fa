#pragma once

#include <string_view>

namespace mesh::cli {

/// Of this program; the build sets it from the project's.
inline constexpr std::string_view kProgramVersion = MESHLOG_VERSION;

}  // namespace mesh::cli
