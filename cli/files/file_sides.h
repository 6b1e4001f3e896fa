// diff with an exported file on one side, or on both: what the network would be if it were applied.
#pragma once

#include <string>
#include <string_view>

#include "cli/session.h"

namespace mesh::cli {

/// "then.yaml", "exports/then", "-": words that cannot be an instant.
bool names_a_file(std::string_view text);

/// The document of the query `compare`. At least one of `a` and `b` is a file; the other may be
/// `working`, `committed` or an instant, absolute as for the query. A file is taken as the whole
/// intent of its scope, on top of the other side. Errors: usage, not_found, invalid (what the file
/// says), those of difference() and decide().
Result<Json> compare_with_file(Session& session, Client& client, const std::string& a,
                               const std::string& b, const std::string& node);

}  // namespace mesh::cli
