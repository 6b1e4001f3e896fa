// World: a log in memory with people and nodes whose keys follow from a seed. Nothing here is
// shared with the controller: it is a second, simple way to make valid entries.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "broker/bus/keys.h"
#include "eventstore/model/compile.h"
#include "eventstore/model/decide.h"
#include "eventstore/model/encoded_entry.h"
#include "eventstore/model/entry.h"
#include "eventstore/model/replay.h"

namespace mesh::test {

/// Keys that follow from a name: the same in every run. For tests only.
SignSecret sign_secret(std::string_view name);
BoxSecret box_secret(std::string_view name);
RequestId request_id(uint64_t number);

/// A genesis with fixed keys and networks; administrator "alice".
CreateLog genesis(std::string_view name = "test", uint32_t rules = kRulesNewest);

/// A FileRenderer: every source gives a file that holds its name.
Result<std::vector<RenderedFile>> names_as_content(const Node& node, const NodeConfig& config);

class World {
 public:
  /// Makes the log's first entry at time 1'000'000.
  explicit World(std::string_view name = "test", uint32_t rules = kRulesNewest);
  /// Carries on after `replica`, which a World of that name made; entries() begins after it, and its
  /// requests are numbered from `first_request`.
  World(std::string_view name, Replica replica, uint64_t first_request);

  /// Signs, decides, encodes, appends and folds one request. Nothing is appended when it changes
  /// nothing.
  Result<std::vector<Event>> submit(const Principal& who, std::vector<Command> commands,
                                    Context context = {});
  /// As alice; the test fails with the error's message when it is refused.
  std::vector<Event> must(std::vector<Command> commands);
  std::vector<Event> must(Command command) {
    return must(std::vector<Command>{std::move(command)});
  }
  /// A commit as the two steps make it: compiles, then submits with the candidates in its context.
  Result<std::vector<Event>> commit(const Principal& who, const Target& target,
                                    bool include_others = true, bool allow_loss = false);

  /// A token for the node and a join signed with it; the node's keys are sign_secret(fullname),
  /// box_secret(fullname) and the WireGuard key of box_secret("wg " + fullname).
  /// A node that was revoked needs other keys: `again` is added to the names that they follow from.
  void enrol(const std::string& fullname, const std::string& again = "");

  Request request(const Principal& who, std::vector<Command> commands) const;
  SignedRequest sign(const Request& request) const;
  /// The entry that `body`, decided or not, would be at the end of this log.
  EncodedEntry encode(const Request& request, const SignedRequest& signed_request,
                      const Context& context, const std::vector<Event>& events) const;

  const MeshState& state() const { return replica_.state; }
  const Replica& replica() const { return replica_; }
  const std::vector<EncodedEntry>& entries() const { return entries_; }
  Timestamp now{2'000'000};

 private:
  void append(const EncodedEntry& encoded);

  std::string name_;
  Replica replica_;
  std::vector<EncodedEntry> entries_;
  mutable uint64_t next_request_ = 1;
};

}  // namespace mesh::test
