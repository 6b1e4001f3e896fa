// BIRD files that came from templates: what they may say, and whether BIRD understands them.
#pragma once

#include <filesystem>
#include <map>
#include <mutex>
#include <set>
#include <string>
#include <vector>

#include "eventstore/model/result.h"
#include "eventstore/model/ids.h"

namespace mesh {

/// bird*.conf: what belongs to BIRD.
bool is_bird_file(std::string_view name);

/// Refuses what reaches outside the version's directory: `include` of anything but a file of the same version (NAME
/// or /etc/bird/NAME), `eval`, files of mrt, `log` to anything but stderr and syslog. A `log "FILE"` becomes a comment,
/// and `warnings` says so. A comment that ends the file gets the end of its line. Errors: invalid (file and line).
Status confine_bird_file(const std::string& name, Bytes& content, std::vector<std::string>& warnings);

/// Runs `bird -p` on bird.conf among `files`, which are confined. Errors: invalid (file and line), unavailable (BIRD
/// cannot be run), exhausted (it takes too long or too much).
Status check_bird_files(const std::filesystem::path& bird, const std::map<std::string, Bytes>& files);

/// The same, but BIRD is not asked again about files that it took. Thread-safe.
class BirdCheck {
 public:
  explicit BirdCheck(std::filesystem::path bird) : bird_(std::move(bird)) {}
  Status check(const std::map<std::string, Bytes>& files);

 private:
  const std::filesystem::path bird_;
  std::mutex mutex_;
  std::set<Digest> taken_;  // bounded
};

}  // namespace mesh
