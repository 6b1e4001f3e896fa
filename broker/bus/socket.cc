#include "broker/bus/socket.h"

#include <fmt/format.h>

#include <cerrno>
#include <charconv>
#include <cstring>
#include <zmq.hpp>

namespace mesh::bus {

zmq::socket_t watch(zmq::context_t& context, zmq::socket_t& socket, const std::string& address,
                    int events) {
  if (zmq_socket_monitor(socket.handle(), address.c_str(), events) != 0) throw zmq::error_t();
  zmq::socket_t monitor(context, zmq::socket_type::pair);
  monitor.set(zmq::sockopt::linger, 0);
  monitor.set(zmq::sockopt::rcvhwm, 0);
  monitor.connect(address);
  return monitor;
}

void unwatch(zmq::socket_t& socket) { zmq_socket_monitor(socket.handle(), nullptr, 0); }

std::optional<MonitorEvent> next_event(zmq::socket_t& monitor) {
  zmq::message_t body;
  if (!monitor.recv(body, zmq::recv_flags::dontwait)) return std::nullopt;
  MESH_ASSERT(body.size() == 6 && body.more());
  MonitorEvent event;
  std::memcpy(&event.event, body.data<uint8_t>(), 2);
  std::memcpy(&event.value, body.data<uint8_t>() + 2, 4);
  zmq::message_t address;
  MESH_ASSERT(monitor.recv(address, zmq::recv_flags::dontwait));
  return event;
}

Error bind_error(const std::string& endpoint, int error) {
  const std::string what = fmt::format("cannot listen on {}: {}", endpoint, zmq_strerror(error));
  switch (error) {
    case EADDRINUSE: {
      const std::string port = endpoint.substr(endpoint.rfind(':') + 1);
      return {
          Errc::conflict, what,
          fmt::format(
              "see who has the port with: ss -ltnp 'sport = :{}', stop it or choose another port",
              port)};
    }
    case EACCES:
      return {Errc::not_permitted, what, "choose a port above 1023, or grant CAP_NET_BIND_SERVICE"};
    case EADDRNOTAVAIL:
    case ENODEV:
      return {Errc::usage, what, "use an address of this machine, or * for all"};
    case EINVAL:
    case EPROTONOSUPPORT:
      return {Errc::usage, what, "write tcp://ADDRESS:PORT, e.g. tcp://*:7400"};
    default:
      return {Errc::io, what, {}};
  }
}

Status check_endpoint(std::string_view endpoint, bool any_port) {
  constexpr std::string_view kScheme = "tcp://";
  const size_t colon = endpoint.rfind(':');
  uint32_t port = 0;
  bool good =
      endpoint.starts_with(kScheme) && colon != std::string_view::npos && colon > kScheme.size();
  if (good) {
    const char* end = endpoint.data() + endpoint.size();
    auto [rest, error] = std::from_chars(endpoint.data() + colon + 1, end, port);
    good = error == std::errc() && rest == end && port <= 65'535 && (port > 0 || any_port);
  }
  if (good) return {};
  return fail(Errc::usage, fmt::format("endpoint \"{}\" is malformed", endpoint),
              "write tcp://HOST:PORT, e.g. tcp://controller.example.net:7400");
}

}  // namespace mesh::bus
