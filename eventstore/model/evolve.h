#pragma once

#include "eventstore/model/entry.h"
#include "eventstore/model/state.h"

namespace mesh {

/// Where an event stands, as far as the state remembers it.
struct Applied {
  Sequence sequence;
  Timestamp time;
  Principal principal;
};

/// Folds one fact. Total: a fact cannot be refused; a fact about something unknown changes nothing.
void evolve(MeshState& state, const Event& event, const Applied& at);

/// Folds a whole entry: its events, then position, time and request window.
void evolve(MeshState& state, const EntryHeader& header, const EntryBody& body);
/// Folds an entry of which only the header is known (another node's report): position and time.
void evolve_header(MeshState& state, const EntryHeader& header);

}  // namespace mesh
