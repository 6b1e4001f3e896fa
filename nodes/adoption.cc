#include "nodes/adoption.h"

#include <fmt/core.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cstdint>

namespace mesh {

namespace {

/// What belongs to a log, not to the machine.
constexpr std::array kOfTheLog = {"replica",      "versions",      "fetched", "active",  "previous",
                                  "pending",      "held",          "overlay.json", "outcomes.json", "journal",
                                  "controller_endpoints.json"};
constexpr std::array kOfTheIdentity = {"sign.key", "box.key", "node.json"};

bool there(Files& files, const std::string& directory, const std::string& name) {
  const auto names = files.list(directory);
  return names && std::ranges::find(*names, name) != names->end();
}

/// The directory of the next log that is left.
std::string next_place(Files& files) {
  uint32_t newest = 0;
  for (const auto& name : files.list(kBeforeDirectory).value_or(std::vector<std::string>())) {
    uint32_t number = 0;
    const auto parsed = std::from_chars(name.data(), name.data() + name.size(), number);
    if (parsed.ec == std::errc() && parsed.ptr == name.data() + name.size()) newest = std::max(newest, number);
  }
  return fmt::format("{}/{}", kBeforeDirectory, newest + 1);
}

/// Directories first where something goes, then where it came from: a crash may leave it in both, never in none.
Status leave_log(Files& files, const std::string& place) {
  for (const std::string name : kOfTheLog) {
    if (!there(files, ".", name)) continue;
    // Of a crash in between. Nothing is removed: that would reach into what was put aside.
    auto aside = name;
    while (there(files, place, aside)) aside += ".again";
    MESH_TRY(files.rename(name, place + "/" + aside));
  }
  MESH_TRY(files.sync_dir(place));
  return files.sync_dir(".");
}

Status change_identity(Files& files, const std::string& place) {
  const auto old_identity = place + "/identity";
  const auto waits = [&](const char* name) { return there(files, kAdoptDirectory, name); };
  for (const auto* name : kOfTheIdentity) {
    if (!waits(name) || there(files, old_identity, name) || !there(files, "identity", name)) continue;
    MESH_TRY(files.rename(fmt::format("identity/{}", name), fmt::format("{}/{}", old_identity, name)));
  }
  MESH_TRY(files.sync_dir(old_identity));
  for (const auto* name : kOfTheIdentity) {
    if (!waits(name)) continue;
    MESH_TRY(files.rename(fmt::format("{}/{}", kAdoptDirectory, name), fmt::format("identity/{}", name)));
  }
  return files.sync_dir("identity");
}

}  // namespace

Status adopt(Files& files) {
  MESH_TRY(write_atomic(files, kAdoptingFile, as_bytes(next_place(files))));
  return finish_adoption(files);
}

Status finish_adoption(Files& files) {
  const auto decided = files.read(kAdoptingFile);
  if (!decided && decided.error().code == Errc::not_found) return {};
  if (!decided) return std::unexpected(decided.error());
  const std::string place(as_text(*decided));
  if (!place.starts_with(std::string(kBeforeDirectory) + "/")) {
    return fail(Errc::corrupt, fmt::format("{} names no place for the log before", kAdoptingFile),
                "write before/1 into it, or another number that is not there yet");
  }
  MESH_TRY(files.make_dir(kBeforeDirectory));
  MESH_TRY(files.sync_dir("."));
  MESH_TRY(files.make_dir(place));
  MESH_TRY(files.sync_dir(kBeforeDirectory));
  MESH_TRY(files.make_dir(place + "/identity"));
  MESH_TRY(files.sync_dir(place));
  MESH_TRY(leave_log(files, place));
  MESH_TRY(change_identity(files, place));
  // A node that left a log before a version of it ran goes on with what it had inherited itself.
  if (there(files, place, "active")) MESH_TRY(link_atomic(files, place, kInheritedLink));
  MESH_TRY(files.remove(kAdoptDirectory));
  MESH_TRY(files.sync_dir("."));
  MESH_TRY(files.remove(kAdoptingFile));
  return files.sync_dir(".");
}

}  // namespace mesh
