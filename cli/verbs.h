// The table of verbs. Parsing, help, completion and the tests come from it: a verb that is not here
// is nowhere.
#pragma once

#include <string>

#include "cli/grammar.h"

namespace mesh::cli {

const Grammar& meshcli_grammar();

/// `help` without a topic: every verb by group.
std::string overview(const Grammar& grammar, std::string_view program);
/// `help VERB` or `help VERB NOUN`: usage, options and examples of the rows.
std::string verb_help(const Grammar& grammar, std::string_view program, std::string_view verb,
                      std::string_view noun);
/// Errors: not_found, with the nearest topic.
Result<std::string> topic_help(const Grammar& grammar, std::string_view program,
                               const std::string& topic, const std::string& noun);
/// Topics beside the verbs: "output", "exit-codes", ...
std::vector<std::string_view> help_topics();

/// The script that a shell sources.
std::string completion_script(std::string_view shell, std::string_view program);
/// Candidates for the last of `words`, without names that only the controller knows. `hint` says
/// which of those could stand there too.
std::vector<std::string> complete(const Grammar& grammar, const std::vector<std::string>& words,
                                  Hint& hint);

}  // namespace mesh::cli
