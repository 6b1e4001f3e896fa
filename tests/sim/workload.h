// What operators want next: mostly sensible, sometimes wrong, sometimes forged. Chosen from what
// they know, which may be old.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "eventstore/model/state.h"
#include "schemas/message.h"
#include "tests/sim/history_book.h"
#include "tests/sim/node_host.h"
#include "tests/sim/random.h"

namespace mesh::sim {

/// How a request differs from an honest one.
enum class Tamper : uint8_t { none, signature, log, principal, future, ancient };

struct Intention {
  enum class Kind : uint8_t { submit, dry_run, prepare, query, anchor } kind{};
  std::vector<Command> commands;
  bool allow_loss = true;  // of the commit that follows a prepare
  Tamper tamper = Tamper::none;
  Prepare prepare;
  std::string query;
  std::optional<Invitation> invitation;  // handed out when the request was acknowledged
};

/// What is known of the routers that are there.
struct Fleet {
  size_t hosts = 0, hosts_max = 0;
  std::vector<const NodeHost*> waiting;  // for an operator's approval
  std::vector<std::string> expected;     // full names that an invitation is out for
};

class Workload {
 public:
  /// Borrows `book`: what an operator who reads the log's past finds there.
  Workload(Random random, std::string name, const HistoryBook& book)
      : random_(random), name_(std::move(name)), book_(book) {}

  Intention next(const MeshState& state, const Fleet& fleet);

 private:
  Intention bootstrap(const MeshState& state, const Fleet& fleet);
  std::optional<Intention> enrol(const MeshState& state, const Fleet& fleet);
  Intention invite(const MeshState& state, const Node& node);
  Intention approve(const MeshState& state, const NodeHost& newcomer);
  std::optional<Intention> roll_out(const MeshState& state);
  Activate activate(Target target, const MeshState& state);
  Command close(const MeshState& state);
  Intention ask();
  Command change(const MeshState& state);
  Command set_attribute(const MeshState& state);
  Command change_people(const MeshState& state);
  std::optional<Intention> time_travel(const MeshState& state);
  std::optional<Command> restore(const MeshState& state);
  Command change_tags(const MeshState& state);
  Target any_target(const MeshState& state);
  std::string any_site(const MeshState& state);
  std::string any_node(const MeshState& state);

  Random random_;
  std::string name_;
  const HistoryBook& book_;
  uint64_t tokens_made_ = 0;
};

}  // namespace mesh::sim
