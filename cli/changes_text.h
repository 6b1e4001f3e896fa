// What changes, for people: lines in colour, and how disruptive it is.
#pragma once

#include <string>
#include <string_view>

#include "cli/json.h"
#include "cli/render.h"

namespace mesh::cli {

/// "without interruption", "resets sessions", ...: an effect as plan and diff name it.
std::string effect_text(const std::string& effect, bool colour);
/// Green for what begins with +, red for -.
std::string change_line(std::string_view line, bool colour);
/// One line for each of `changes`, texts, indented.
std::string change_lines(const Json& changes, bool colour);
/// The same, and behind each line what it does to traffic, where `classes` say.
std::string change_lines(const Json& changes, const Json& classes, bool colour);
/// The same for a unified diff, not indented, the lines that name files and places dimmed.
std::string unified_text(std::string_view text, bool colour);

}  // namespace mesh::cli
