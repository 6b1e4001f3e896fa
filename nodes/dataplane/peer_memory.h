// What outlives a look at WireGuard: when its handshakes were seen, and where peers given by name were reached.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <string>

#include "eventstore/model/result.h"

namespace mesh {

/// Seconds since this machine booted, time asleep included. Nobody sets this clock.
int64_t boot_seconds();

/// How old handshakes are. WireGuard stamps them by the wall clock, which may be set at any moment (a router without a
/// battery boots in 1970 and learns the time over its tunnels), so only that a stamp has changed counts, and the age
/// runs from when that was seen. Kept in a small file of the run directory, which ends with the boot as the tunnels do.
class HandshakeWatch {
 public:
  explicit HandshakeWatch(std::filesystem::path file) : file_(std::move(file)) {}

  /// `stamps`: tunnel to the newest handshake by WireGuard, in whatever clock; 0 = none. Others are forgotten. `now`:
  /// boot_seconds().
  void look(const std::map<std::string, int64_t>& stamps, int64_t now);
  /// Seconds at the last look(); -1 = no handshake. A handshake made before the first look is as old as that look.
  int64_t age(const std::string& tunnel) const;

 private:
  struct Seen {
    int64_t stamp = 0, at = 0;
  };
  void load(int64_t now);
  void save() const;
  std::filesystem::path file_;
  bool loaded_ = false;
  int64_t now_ = 0;
  std::map<std::string, Seen> seen_;
};

/// Where peers given by name were reached last. On the node's disk: after a reboot without DNS they are dialled there
/// at once. A line "name:port address:port" each.
class KnownAddresses {
 public:
  /// An empty path remembers nothing.
  explicit KnownAddresses(std::filesystem::path file) : file_(std::move(file)) {}

  /// "address:port"; empty when the name never had one. `asked`: "name:port".
  std::string find(const std::string& asked);
  /// `proved`: a handshake was made there, which counts for more than what the DNS said. Written when it is news; a
  /// full disk costs the memory, nothing else.
  void put(const std::string& asked, const std::string& address, bool proved);
  /// Removes the file.
  void clear();

 private:
  void load();
  static constexpr size_t kKept = 4096;
  std::filesystem::path file_;
  bool loaded_ = false;
  std::map<std::string, std::string> known_;
};

}  // namespace mesh
