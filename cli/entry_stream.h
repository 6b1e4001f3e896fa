// The log's entries over the bus, in order, through broken connections.
#pragma once

#include <functional>

#include "cli/client.h"
#include "eventstore/model/encoded_entry.h"

namespace mesh::cli {

/// Who wants entries, and how far it is.
struct EntryStream {
  std::function<Sequence()> position;  // the newest entry that it has
  std::function<bool()> done;
  std::function<Status(const EncodedEntry&)> take;  // an error ends the stream
  std::function<void()> progress;                   // after each frame
};

/// Gives the entries after `position` to `take` until `done`. When the connection breaks it goes on
/// from the position of then; entries may come twice. Errors: unavailable, those of the controller
/// (what it says of a record that it cannot send: corrupt, not_found), those of `take`.
Status stream_entries(Client& client, const EntryStream& stream);

}  // namespace mesh::cli
