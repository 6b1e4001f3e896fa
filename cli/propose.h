// Many commands as one signed request: shown, confirmed when nodes are lost, then signed.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "cli/session.h"
#include "eventstore/model/state.h"

namespace mesh::cli {

struct Proposal {
  std::vector<Command> commands;
  std::vector<std::string> warnings;
  std::string line;  // "all: rolled back to #12"
  std::string name;  // typed to confirm what loses nodes
  std::vector<Bytes> attachments = {};  // of the files that the commands put
  std::string report = {};              // printed behind the plan for people
  const Json* more = nullptr;           // members of the document that is printed otherwise; borrowed
  std::string_view next = "next: meshcli plan, then meshcli commit all --activate";  // a hint when something changed
};

/// Shows what `proposal` does to `now`, asks when nodes are lost, then signs and submits it as one
/// request, which is refused when anything changed after `now`. `reply`, when given, receives the answer; sequence 0 =
/// nothing was written.
Result<int> propose(Session& session, Client& client, const MeshState& now, Proposal proposal, Reply* reply = nullptr);

}  // namespace mesh::cli
