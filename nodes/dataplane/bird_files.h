// One configuration of BIRD out of a version's files. Pure.
//
// `include "NAME";` of another file of the version is replaced by its text; every other include, `eval`, and what
// writes files (`mrtdump`, `filename`) is refused: what stands in a template must not read or write this machine.
// `log "FILE" ...;` is left out: our BIRD runs as its own user and has no directory for it.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "eventstore/model/result.h"

namespace mesh {

struct BirdConfig {
  std::string text;
  struct Origin {
    std::string file;
    unsigned line = 0;
  };
  std::vector<Origin> lines;       // where each line of `text` came from
  std::vector<std::string> notes;  // what was left out, for people
};

/// From bird.conf, which is in `files`. Errors: invalid, "NAME:LINE: why".
Result<BirdConfig> assemble_bird(const std::map<std::string, std::string>& files);
/// `message` of BIRD with "bird.conf:LINE:COLUMN" as the files have it.
std::string name_lines(const BirdConfig& config, std::string message);

inline constexpr std::string_view kBirdMain = "bird.conf";

}  // namespace mesh
