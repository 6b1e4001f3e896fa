// The way to a controller, as meshcli needs it: ask and wait, or listen.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "cli/context.h"
#include "schemas/message.h"

namespace mesh::cli {

class Transport {
 public:
  virtual ~Transport() = default;

  /// Sends `question` and waits for its answer. When the connection breaks, connects again and
  /// sends the same bytes: a question must be safe to repeat (queries are, and a signed request
  /// carries its id). Errors: those of an ErrorReply, unauthenticated (this key is not admitted),
  /// unavailable (no answer in `timeout_ms`).
  virtual Result<Body> call(const Body& question, int timeout_ms) = 0;

  /// Sends what has no answer of its own (Subscribe, Credit).
  virtual Status send(const Body& body) = 0;
  /// What the controller sends by itself; nothing when `timeout_ms` has passed. Errors: unavailable
  /// (the connection broke: subscribe again), corrupt, those of an ErrorReply.
  virtual Result<std::optional<Body>> receive(int timeout_ms) = 0;
};

/// One line about what happens on the wire, for --loglevel debug.
using Trace = std::function<void(const std::string& line)>;

/// Over CURVE. Does not connect before the first call.
Result<std::unique_ptr<Transport>> connect_bus(const OperatorContext& context, Trace trace);

}  // namespace mesh::cli
