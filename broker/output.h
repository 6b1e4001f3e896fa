// What the sans-IO controller asks its shell to do.
#pragma once

#include <functional>
#include <memory>
#include <vector>

#include "broker/bus/session.h"
#include "eventstore/model/ids.h"
#include "schemas/message.h"

namespace mesh {

using Frame = std::shared_ptr<const Bytes>;

/// Wall clock for what is written, monotonic for intervals.
struct Now {
  Timestamp wall;
  int64_t mono_ms = 0;
};

struct Outgoing {
  SessionId to;
  Frame frame;
};

/// Long pure work over immutable values, for a worker thread; returns what the controller's thread
/// then runs.
using Completion = std::function<void()>;
using Job = std::function<Completion()>;

struct Output {
  std::vector<Outgoing> frames;  // in order
  std::vector<Job> jobs;
  std::vector<BoxKey> muted;  // keys that lost their right just now
};

}  // namespace mesh
