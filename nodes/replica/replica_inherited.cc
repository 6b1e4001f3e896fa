// What ReplicaStore still has of the log before.
#include "nodes/adoption.h"
#include "nodes/below_files.h"
#include "nodes/replica/replica_store.h"

namespace mesh {

bool ReplicaStore::has_inherited() {
  return pointers_.active == Version() && files_.read_link(kInheritedLink).has_value();
}

std::optional<StoredVersion> ReplicaStore::inherited() {
  if (pointers_.active != Version()) return std::nullopt;
  const auto where = files_.read_link(kInheritedLink);
  if (!where) return std::nullopt;
  BelowFiles files(files_, *where);
  ReplicaStore before(files);
  const auto damaged = [&](const std::string& why) {
    problems_.push_back(*where + ": " + why);
    return std::nullopt;
  };
  if (auto opened = before.open(); !opened) return damaged(opened.error().message);
  auto version = before.get_version(before.pointers().active);
  if (!version) return damaged(version.error().message);
  auto overlay = before.overlay();
  if (!overlay) return damaged("overlay.json cannot be read");
  version->taken_over = TakenOver{before.pointers().active, std::move(*overlay)};
  return std::move(*version);
}

}  // namespace mesh
