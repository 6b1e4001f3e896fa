// One plausible value of every command and event, for ever the same: their bytes are in tests/golden/entries.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "eventstore/model/entry.h"
#include "eventstore/model/replay.h"

namespace mesh::testing {

/// In the order of the variants. What is here is never changed, only added to.
std::vector<Command> example_commands();
std::vector<Event> example_events();

/// With a value in fields that were added later: name of the golden file, "Activate_again".
std::vector<std::pair<std::string, Command>> example_later_commands();
std::vector<std::pair<std::string, Event>> example_later_events();

/// Entry `sequence` with `commands` and `events`, from one fixed log.
EntryHeader example_header(uint64_t sequence);
EntryBody example_body(std::vector<Command> commands, std::vector<Event> events);

/// A log of a few entries with a site, nodes and attributes, folded without deciding.
Replica example_replica();

}  // namespace mesh::testing
