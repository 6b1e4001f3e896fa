// Who a frame came from. Apart from server.h, so that what keeps sessions needs no bus.
#pragma once

#include <compare>
#include <cstdint>

#include "eventstore/model/ids.h"

namespace mesh {

/// One connection of one key. Nothing in it is chosen by the peer; a value is not used again before
/// 2^32 connections.
struct SessionId {
  BoxKey user;
  uint32_t connection = 0;
  bool enrolment = false;  // a stranger's, from the enrolment socket
  auto operator<=>(const SessionId&) const = default;
};

}  // namespace mesh
