// The intent of a network as a file: what `export` writes and `apply` reads.
//
//   global:                    # instead, `scope: site ams` or `scope: node r1.ams`: about that alone
//     bfd_multiplier: 5
//   sites:
//     ams:
//       attributes:
//         lans: ["10.2.0.0/24"]
//       nodes:
//         r1:
//           id: 11             # optional: finds the node under any name; without it a new one is added
//           attributes:
//             endpoint: 198.51.100.7
#pragma once

#include <string>
#include <vector>

#include "cli/json.h"
#include "eventstore/model/difference.h"

namespace mesh::cli {

/// As one JSON document {"kind":"Intent","sequence","scope","global","sites"}.
Json intent_json(const DesiredIntent& intent, const Target& scope, Sequence at);
/// As YAML, with where it comes from as a comment.
std::string intent_yaml(const DesiredIntent& intent, const Target& scope, Sequence at);

struct IntentFile {
  std::string name;  // in errors
  std::string text;
};

struct WantedIntent {
  Target scope;
  DesiredIntent intent;
};

/// Reads YAML or JSON; several files are one intent in parts. Checks names, values, numbers and sizes,
/// and that nothing is named twice. Errors: invalid, exhausted; each names file and line, and the fix.
Result<WantedIntent> read_intent(const std::vector<IntentFile>& files);

}  // namespace mesh::cli
