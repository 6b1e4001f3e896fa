// What a shell asks while a command line is being typed: `meshcli __complete WORDS...`, the last
// one unfinished.
#pragma once

#include <span>
#include <string>
#include <string_view>

#include "cli/environment.h"
#include "cli/grammar.h"

namespace mesh::cli {

inline constexpr std::string_view kCompleteWord = "__complete";

/// One candidate a line. Names of sites and nodes come from the controller, when it answers at
/// once.
int print_candidates(Environment& environment, const Grammar& grammar,
                     std::span<const std::string> words);

}  // namespace mesh::cli
