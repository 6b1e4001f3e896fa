#pragma once

#include <string>
#include <string_view>

namespace mesh {

/// Unified diff (three lines of context) of two texts by line; empty when they are equal.
std::string unified_diff(std::string_view name_a, std::string_view a, std::string_view name_b,
                         std::string_view b);

}  // namespace mesh
