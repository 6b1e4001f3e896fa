// Files that are part of the program, so that it needs none beside it (CMakeLists.txt).
#pragma once

#include <string_view>

namespace mesh {

/// The text of a file below broker/; it has to be one of those that CMakeLists.txt names.
std::string_view embedded(std::string_view name);

}  // namespace mesh
