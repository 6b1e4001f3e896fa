// Entries, events and commands as JSON text for `-o json`, log lines and golden files. Keys are never removed.
#pragma once

#include <string>
#include <string_view>

#include "eventstore/model/entry.h"
#include "eventstore/model/machine_status.h"
#include "eventstore/model/result.h"

namespace mesh {

/// One object, without a newline: {"type":"AttributeSet","scope":"site ams","name":...}. Nodes appear as
/// {"node":11}; keys and digests in hex; no secret can appear because none is in an event.
std::string event_json(const Event& event);
std::string command_json(const Command& command);
/// {"sequence","time" (RFC 3339 UTC),"principal","origin","message","reference","class","command" (names joined
/// with ", "),"commands":[...],"events":[...]}. An entry without body has "body":null.
std::string entry_json(const Entry& entry);
/// {"load", "processors", ...}, as `status` shows it.
std::string machine_json(const MachineStatus& machine);
/// RFC 3339 UTC with microseconds: 2026-01-02T03:04:05.000006Z
std::string time_text(Timestamp time);
/// The inverse, also with fewer digits behind the point or none (more are cut). Errors: usage.
Result<Timestamp> parse_time_text(std::string_view text);

}  // namespace mesh
