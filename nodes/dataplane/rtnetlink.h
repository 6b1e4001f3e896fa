// Links, addresses and routes of this network namespace through rtnetlink (rtnetlink(7)): as much as a
// router of ours needs. Not thread safe. Every request is acknowledged by the kernel, so a returned
// success is done.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "eventstore/model/address.h"
#include "eventstore/model/ids.h"
#include "eventstore/model/overlay.h"
#include "eventstore/model/result.h"
#include "nodes/dataplane/files.h"
#include "nodes/dataplane/routes.h"

namespace mesh {

struct LinkInfo {
  int index = 0;
  std::string name;
  std::string kind;  // "wireguard", "tun", "dummy", "bridge", ...; empty for hardware
  bool up = false;   // administratively
  uint32_t mtu = 0;
};

struct LinkAddress {
  int index = 0;  // of the link
  IpPrefix prefix;
  std::optional<IpPrefix> peer;  // the other end, where it is not the address itself; prefix.length is then its
};

/// The routes of the main table that concern us (routes.h).
struct RouteTable {
  std::vector<Route> routes;     // ascending
  std::vector<std::string> up;   // interfaces that are
  bool whole = true;             // false: it changed while the kernel listed it
};
/// A route that concerns us came (or changed), or went.
struct RouteEvent {
  Route route;
  bool removed = false;
};

class Rtnetlink {
 public:
  /// Errors: io.
  static Result<Rtnetlink> open();

  Result<std::vector<LinkInfo>> links();
  /// Errors: not_found.
  Result<LinkInfo> link(std::string_view name);
  Result<std::vector<LinkAddress>> addresses();

  /// Makes a link of this kind. Errors: unsupported (the kernel lacks the kind), conflict (the name
  /// is taken), unavailable (not root), io.
  Status create(std::string_view name, std::string_view kind);
  /// No address of the kernel's own choice on this link from now on (IN6_ADDR_GEN_MODE_NONE).
  Status disable_generated_addresses(int index);
  Status set_mtu(int index, uint32_t mtu);
  Status set_up(int index, bool up);
  /// Without duplicate address detection: both ends of a tunnel are known. Already there = success.
  Status add_address(int index, const IpPrefix& prefix);
  Status add_address(int index, const PeerAddress& address);
  /// Missing = success.
  Status remove_address(int index, const IpPrefix& prefix);
  Status remove_address(int index, const PeerAddress& address);
  /// Missing = success.
  Status remove(int index);
  Result<RouteTable> routes();
  /// Missing = success.
  Status remove_route(const Route& route);

 private:
  class Request;
  explicit Rtnetlink(Fd fd) : fd_(std::move(fd)) {}
  /// Sends, and hands every answer of the kernel to `visit(type, payload)`. The value is the
  /// kernel's errno, 0 = done.
  template <class Visitor>
  Result<int> exchange(Request& request, Visitor visit);
  Status perform(Request& request, std::string_view doing, std::initializer_list<int> fine = {});
  Status change_address(bool add, int index, const IpAddress& local, const IpPrefix& other);

  Fd fd_;
  uint32_t sequence_ = 0;
  bool interrupted_ = false;  // the last list that the kernel gave is not of one moment
};

/// Hears of routes as they change. Not thread safe.
class RouteMonitor {
 public:
  /// Errors: io.
  static Result<RouteMonitor> open();
  /// What happened since the last call, oldest first; nothing when the kernel had more to tell than
  /// it keeps. Does not wait.
  std::vector<RouteEvent> take();

 private:
  explicit RouteMonitor(Fd fd) : fd_(std::move(fd)) {}
  Fd fd_;
};

}  // namespace mesh
