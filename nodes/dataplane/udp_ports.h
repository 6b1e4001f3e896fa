// UDP ports of this network namespace, as far as other programs hold them.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>

#include "eventstore/model/result.h"

namespace mesh {

/// Whether a socket can be bound to `port` on all addresses of both families. A holder is waited for as long as
/// `patience`: it may be the source port of a question to a name server. Errors: conflict (who holds it), io.
Status check_udp_port(uint16_t port, std::chrono::milliseconds patience);
/// "dnsmasq (pid 312)" for the program with a socket on this port; empty when it cannot be told.
std::string udp_port_holder(uint16_t port);

}  // namespace mesh
