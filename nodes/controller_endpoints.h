// ControllerEndpoints: where this node looks for its controller. On the node's disk, because the controller may move
// while the node is away, and a move may be half told or taken back.
//
// File `controller_endpoints.json`: the log's newest list and its entry, what root set on the box, endpoints that a
// connection stood over (with the numeric address), and lists from before. The controller's key is pinned (identity):
// whoever answers at a wrong address is refused, so that trying one more costs nothing but time.
//
// Order of the walk: what root set (until the log says something newer), the log's list, where a connection stood
// (newest first), what was known before, what the node joined with. Nothing that worked is forgotten for something
// that only was announced.
#pragma once

#include <string>
#include <vector>

#include "eventstore/model/address.h"
#include "eventstore/model/ids.h"
#include "nodes/files.h"

namespace mesh {

class ControllerEndpoints {
 public:
  /// Where a connection stood.
  struct Spoken {
    std::string endpoint;  // as configured: "tcp://controller.example:7400"
    std::string address;   // the same with a numeric host, for boots without DNS; empty when it was not seen
    bool operator==(const Spoken&) const = default;
  };

  /// Borrows `files`, whose root is the data directory, and reads what is there. `joined`: of the identity. A damaged
  /// file counts as absent.
  ControllerEndpoints(Files& files, std::vector<std::string> joined);

  /// The log's list at a settled head. True when it is another than before. What cannot be stored is used and stored
  /// with the next change.
  bool learn(Sequence sequence, const std::vector<std::string>& endpoints);
  /// A connection over `endpoint` stands.
  void spoke(const std::string& endpoint, const std::string& address);
  /// Root's word on the box; an empty list takes it back. Errors: invalid (malformed, too many), exhausted, io.
  Status set(std::vector<std::string> endpoints);

  /// In the order to try, without repeats, 1 to kWalkMax.
  std::vector<std::string> walk() const;
  /// The last numeric address behind `endpoint`; empty when there was none.
  std::string address_of(const std::string& endpoint) const;

  Sequence sequence() const { return sequence_; }
  const std::vector<std::string>& by_log() const { return by_log_; }
  const std::vector<std::string>& by_root() const { return by_root_; }
  const std::vector<Spoken>& spoken() const { return spoken_; }

  static constexpr size_t kSpokenKept = 8;   // newest first
  static constexpr size_t kBeforeKept = 16;  // newest first
  static constexpr size_t kWalkMax = 32;

 private:
  Status load();
  Status save();
  void keep_before(const std::vector<std::string>& endpoints);

  Files& files_;
  std::vector<std::string> joined_;
  Sequence sequence_;
  std::vector<std::string> by_log_, by_root_, before_;
  std::vector<Spoken> spoken_;
};

/// Of "tcp://host:port"; the port is there. Errors: invalid.
Result<HostPort> split_controller_endpoint(const std::string& endpoint);

}  // namespace mesh
