// A frame as far as it can be read without the state: what a worker may do before the controller's
// turn comes.
#pragma once

#include <optional>
#include <string>

#include "schemas/message.h"

namespace mesh {

/// The controller believes `checked` and nothing else of it that depends on the state: a key that
/// lost its right meanwhile is found when the request is decided.
struct Arrival {
  uint64_t correlation = 0;  // also of a message that was refused
  Result<Message> message;
  std::optional<Result<Request>> request;  // what a Submit's bytes say
  std::optional<SignKey> checked;          // that Submit's signature is of this key
  std::string address = {};                // of a stranger's machine, as TCP tells it
};

/// Pure, any thread; about 45 us for a Submit when `signer`, whose signature is expected, is given.
Arrival read_frame(ByteView frame, const std::optional<SignKey>& signer = {});

}  // namespace mesh
