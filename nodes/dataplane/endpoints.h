// From a peer's endpoint as configured (a name or an address) to the one that WireGuard is told,
// and the memory of what it was told: WireGuard itself moves an endpoint to wherever the peer's
// packets come from, and that is no difference to correct.
#pragma once

#include <chrono>
#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "eventstore/model/overlay.h"
#include "eventstore/model/result.h"

namespace mesh {

/// Host names to addresses by getaddrinfo, which has no time limit of its own: names are looked up
/// on a few threads beside, and whoever asks waits only as long as he says. Thread safe.
class Resolver {
 public:
  Resolver();
  /// Begins to look `host` up, again if it was before. Does not wait.
  void start(const std::string& host);
  /// The addresses found last, in the resolver's order; empty when none was found until `deadline`.
  std::vector<IpAddress> get(const std::string& host,
                             std::chrono::steady_clock::time_point deadline);

 private:
  struct Shared;
  std::shared_ptr<Shared> shared_;  // outlives us in a thread that still waits for an answer
};

/// What each tunnel was told last, kept over restarts in a small file.
class EndpointMemory {
 public:
  struct Told {
    std::string asked;    // "host:port" as configured
    std::string address;  // "address:port"; empty = the name did not resolve
    bool operator==(const Told&) const = default;
  };
  explicit EndpointMemory(std::filesystem::path file) : file_(std::move(file)) {}

  /// nullptr when nothing is known.
  const Told* find(const std::string& tunnel);
  /// Errors: io.
  Status put(const std::string& tunnel, Told told);
  Status forget(const std::string& tunnel);
  const std::map<std::string, Told>& all();

 private:
  void load();
  Status save() const;
  std::filesystem::path file_;
  bool loaded_ = false;
  std::map<std::string, Told> told_;
};

/// True when `host` needs no look-up.
bool is_literal(const std::string& host);

}  // namespace mesh
