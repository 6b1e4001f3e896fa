// What all verbs that change something share: submit, one line on stdout, the next step on stderr.
#pragma once

#include <initializer_list>
#include <string>
#include <string_view>
#include <vector>

#include "cli/session.h"

namespace mesh::cli {

/// One command and how it reads: "node r1.ams: wg_keepalive = 25".
struct Change {
  Command command;
  std::string line;
};

struct Mutation {
  std::vector<Change> changes;
  bool uncommitted = false;  // working state: touches no router before commit and activate
  std::string next;          // hint: the next step; may be empty
  Sequence computed_on{};    // refused when the intent changed after it, unless --expect-sequence says otherwise
  std::vector<Bytes> attachments = {};  // of the files that `changes` put
};

/// Submits all of them as one request. Without -o json: a line each, with the sequence. Exit
/// kUnchanged with
/// --error-unchanged when everything was so already. `reply`, when given, receives the answer.
Result<int> mutate(Session& session, Mutation mutation, Reply* reply = nullptr);

/// For a verb that only reads as long as `missing` is not given: refuses the options of a change, and `more`. Errors:
/// usage.
Status refuse_change_options(const Session& session, std::string_view missing,
                             std::initializer_list<std::string_view> more = {});

/// {"kind":"Reply","sequence","changed","dry_run","events","warnings"}
Json reply_json(const Reply& reply, bool dry_run);
/// "(#1234, uncommitted)", "(nothing changed)", "(dry run)"
std::string reply_suffix(const Reply& reply, bool dry_run, bool uncommitted);
int unchanged_exit(const Session& session, const Reply& reply);

}  // namespace mesh::cli
