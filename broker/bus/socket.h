// Internal to this folder: what server and client share around libzmq sockets.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "eventstore/model/result.h"

namespace zmq {
class context_t;
class socket_t;
class error_t;
}  // namespace zmq

namespace mesh::bus {

/// One report of a socket's monitor: a ZMQ_EVENT_ bit and its value (descriptor, error number or
/// ZAP status).
struct MonitorEvent {
  uint16_t event = 0;
  uint32_t value = 0;
};

/// A PAIR that receives the reports `events` of `socket` under the inproc address. Throws
/// zmq::error_t. Its queue is unlimited: a full one would block the I/O thread.
zmq::socket_t watch(zmq::context_t& context, zmq::socket_t& socket, const std::string& address,
                    int events);
/// Ends the reports, so that `socket` may be closed before its monitor.
void unwatch(zmq::socket_t& socket);
/// The next report that waits, or nothing.
std::optional<MonitorEvent> next_event(zmq::socket_t& monitor);

/// `error` of zmq_bind as the user needs to hear it.
Error bind_error(const std::string& endpoint, int error);

/// "tcp://host:port" with a port of 1 to 65535 (or 0 when `any_port`).
Status check_endpoint(std::string_view endpoint, bool any_port);

}  // namespace mesh::bus
