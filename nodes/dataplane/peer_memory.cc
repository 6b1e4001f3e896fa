#include "nodes/dataplane/peer_memory.h"

#include <fmt/format.h>

#include <ctime>
#include <sstream>
#include <utility>

#include "nodes/dataplane/files.h"

namespace mesh {

int64_t boot_seconds() {
  timespec now{};
  ::clock_gettime(CLOCK_BOOTTIME, &now);
  return now.tv_sec;
}

void HandshakeWatch::look(const std::map<std::string, int64_t>& stamps, int64_t now) {
  load(now);
  now_ = now;
  bool news = std::erase_if(seen_, [&](const auto& each) { return !stamps.contains(each.first); }) > 0;
  for (const auto& [tunnel, stamp] : stamps) {
    auto& seen = seen_[tunnel];
    if (seen.stamp == stamp) continue;
    seen = {stamp, now};
    news = true;
  }
  if (news) save();
}

int64_t HandshakeWatch::age(const std::string& tunnel) const {
  const auto found = seen_.find(tunnel);
  return found == seen_.end() || found->second.stamp == 0 ? -1 : now_ - found->second.at;
}

/// What was seen in the future is of another boot.
void HandshakeWatch::load(int64_t now) {
  if (std::exchange(loaded_, true)) return;
  auto text = read_file(file_);
  if (!text) return;
  std::istringstream lines(*text);
  std::string tunnel;
  for (Seen seen; lines >> tunnel >> seen.stamp >> seen.at;)
    if (seen.at <= now) seen_[tunnel] = seen;
}

/// A lost file costs the ages until the next handshakes, so that it is no error.
void HandshakeWatch::save() const {
  std::string text;
  for (const auto& [tunnel, seen] : seen_) text += fmt::format("{} {} {}\n", tunnel, seen.stamp, seen.at);
  static_cast<void>(write_file(file_, text, 0644));
}

std::string KnownAddresses::find(const std::string& asked) {
  load();
  const auto found = known_.find(asked);
  return found == known_.end() ? std::string() : found->second;
}

void KnownAddresses::put(const std::string& asked, const std::string& address, bool proved) {
  load();
  if (file_.empty() || address.empty()) return;
  auto& known = known_[asked];
  if (known == address || (!known.empty() && !proved)) return;
  known = address;
  // Which ones are of no use any more, nobody here knows; so many peers no router has.
  if (known_.size() > kKept) known_.erase(known_.begin()->first == asked ? --known_.end() : known_.begin());
  std::string text;
  for (const auto& [name, where] : known_) text += fmt::format("{} {}\n", name, where);
  static_cast<void>(write_file(file_, text, 0600));
}

void KnownAddresses::clear() {
  known_.clear();
  std::error_code error;
  if (!file_.empty()) std::filesystem::remove(file_, error);
}

void KnownAddresses::load() {
  if (std::exchange(loaded_, true) || file_.empty()) return;
  auto text = read_file(file_);
  if (!text) return;
  std::istringstream lines(*text);
  for (std::string asked, address; lines >> asked >> address;) known_[asked] = address;
}

}  // namespace mesh
