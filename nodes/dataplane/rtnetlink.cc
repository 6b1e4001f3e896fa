#include "nodes/dataplane/rtnetlink.h"

#include <fmt/format.h>
#include <linux/if_addr.h>
#include <linux/if_link.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <map>

namespace mesh {
namespace {

constexpr uint8_t kGenerateNoAddress = 1;  // IN6_ADDR_GEN_MODE_NONE, linux/if_link.h

/// Calls visit(type, payload) for each attribute of a well formed block; stops where it is not.
template <class Visitor>
void for_each_attribute(ByteView block, Visitor visit) {
  while (block.size() >= sizeof(rtattr)) {
    rtattr header;
    std::memcpy(&header, block.data(), sizeof header);
    if (header.rta_len < sizeof header || header.rta_len > block.size()) return;
    visit(header.rta_type & NLA_TYPE_MASK,
          block.subspan(sizeof header, header.rta_len - sizeof header));
    block = block.subspan(std::min<size_t>(RTA_ALIGN(header.rta_len), block.size()));
  }
}

std::string text_of(ByteView payload) {
  std::string_view text = as_text(payload);
  return std::string(text.substr(0, text.find('\0')));
}

template <class Header>
bool take_header(ByteView& payload, Header& header) {
  if (payload.size() < NLMSG_ALIGN(sizeof header)) return false;
  std::memcpy(&header, payload.data(), sizeof header);
  payload = payload.subspan(NLMSG_ALIGN(sizeof header));
  return true;
}

LinkInfo read_link(const ifinfomsg& header, ByteView attributes) {
  LinkInfo link;
  link.index = header.ifi_index;
  link.up = (header.ifi_flags & IFF_UP) != 0;
  for_each_attribute(attributes, [&](int type, ByteView payload) {
    if (type == IFLA_IFNAME) link.name = text_of(payload);
    if (type == IFLA_MTU && payload.size() == sizeof link.mtu)
      std::memcpy(&link.mtu, payload.data(), sizeof link.mtu);
    if (type == IFLA_LINKINFO)
      for_each_attribute(payload, [&](int inner, ByteView kind) {
        if (inner == IFLA_INFO_KIND) link.kind = text_of(kind);
      });
  });
  return link;
}

LinkAddress read_address(const ifaddrmsg& header, ByteView attributes) {
  LinkAddress out;
  out.index = static_cast<int>(header.ifa_index);
  out.prefix.length = header.ifa_prefixlen;
  out.prefix.address.v6 = header.ifa_family == AF_INET6;
  IpAddress far = out.prefix.address;
  bool local = false, other = false;  // IFA_ADDRESS is the far end where both are given
  for_each_attribute(attributes, [&](int type, ByteView payload) {
    if (payload.size() > far.bytes.size() || (type != IFA_LOCAL && type != IFA_ADDRESS)) return;
    (type == IFA_LOCAL ? local : other) = true;
    std::ranges::copy(payload, (type == IFA_LOCAL ? out.prefix.address : far).bytes.begin());
  });
  if (!local) out.prefix.address = far;
  if (local && other && far != out.prefix.address) out.peer = IpPrefix{far, header.ifa_prefixlen};
  return out;
}

IpAddress address_of(bool v6, ByteView bytes) {
  IpAddress out;
  out.v6 = v6;
  std::ranges::copy(bytes.first(std::min<size_t>(bytes.size(), v6 ? 16 : 4)), out.bytes.begin());
  return out;
}

std::string kind_of(uint8_t type) {
  switch (type) {
    case RTN_BLACKHOLE:
      return "blackhole";
    case RTN_UNREACHABLE:
      return "unreachable";
    case RTN_PROHIBIT:
      return "prohibit";
    default:
      return "unicast";
  }
}

/// A unicast-like route of the main table; `index` is its interface, 0 = none.
std::optional<Route> read_route(const rtmsg& header, ByteView attributes, int& index) {
  const bool v6 = header.rtm_family == AF_INET6;
  if ((!v6 && header.rtm_family != AF_INET) || (header.rtm_flags & RTM_F_CLONED)) return std::nullopt;
  if (header.rtm_type != RTN_UNICAST && kind_of(header.rtm_type) == "unicast") return std::nullopt;
  uint32_t table = header.rtm_table;
  Route out;
  out.to = {address_of(v6, {}), header.rtm_dst_len};
  out.kind = kind_of(header.rtm_type);
  out.metric = 0;
  out.protocol = header.rtm_protocol;
  index = 0;
  auto number = [](ByteView payload) {
    uint32_t value = 0;
    if (payload.size() == sizeof value) std::memcpy(&value, payload.data(), sizeof value);
    return value;
  };
  for_each_attribute(attributes, [&](int type, ByteView payload) {
    if (type == RTA_TABLE) table = number(payload);
    if (type == RTA_DST) out.to.address = address_of(v6, payload);
    if (type == RTA_OIF) index = static_cast<int>(number(payload));
    if (type == RTA_PRIORITY) out.metric = number(payload);
    if (type == RTA_PREFSRC) out.source = address_of(v6, payload);
    if (type == RTA_GATEWAY) out.via = address_of(v6, payload);
    if (type == RTA_MULTIPATH) out.kind = "multipath";
    if (type == RTA_VIA && payload.size() > sizeof(uint16_t)) {
      uint16_t family = 0;
      std::memcpy(&family, payload.data(), sizeof family);
      out.via = address_of(family == AF_INET6, payload.subspan(sizeof family));
    }
  });
  if (table != RT_TABLE_MAIN) return std::nullopt;
  // Where such a route "leads" is an interface of the kernel's choice.
  if (out.kind != "unicast") index = 0;
  return out;
}

}  // namespace

/// One message under construction.
class Rtnetlink::Request {
 public:
  template <class Header>
  Request(uint16_t type, uint16_t flags, const Header& header) {
    nlmsghdr message{};
    message.nlmsg_type = type;
    message.nlmsg_flags = static_cast<uint16_t>(NLM_F_REQUEST | flags);
    append(&message, sizeof message);
    append(&header, sizeof header);
  }

  void attribute(uint16_t type, ByteView payload) {
    size_t begin = open(type);
    append(payload.data(), payload.size());
    close(begin);
  }
  /// An attribute that holds attributes: close() with what open() returned.
  size_t open(uint16_t type) {
    size_t begin = bytes_.size();
    rtattr header{0, type};
    append(&header, sizeof header);
    return begin;
  }
  void close(size_t begin) {
    auto length = static_cast<uint16_t>(bytes_.size() - begin);
    std::memcpy(bytes_.data() + begin, &length, sizeof length);
    bytes_.resize(NLMSG_ALIGN(bytes_.size()));
  }
  ByteView finish(uint32_t sequence) {
    nlmsghdr message;
    std::memcpy(&message, bytes_.data(), sizeof message);
    message.nlmsg_len = static_cast<uint32_t>(bytes_.size());
    message.nlmsg_seq = sequence;
    std::memcpy(bytes_.data(), &message, sizeof message);
    return bytes_;
  }

 private:
  void append(const void* data, size_t size) {
    size_t begin = bytes_.size();
    bytes_.resize(begin + NLMSG_ALIGN(size));
    if (size > 0) std::memcpy(bytes_.data() + begin, data, size);
    bytes_.resize(begin + size);
  }
  Bytes bytes_;
};

Result<Rtnetlink> Rtnetlink::open() {
  Fd fd(::socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE));
  if (!fd) return fail_errno("opening rtnetlink", errno);
  // The kernel answers at once; this ends a wait that a lost answer would make endless.
  timeval patience{5, 0};
  ::setsockopt(fd.get(), SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
  return Rtnetlink(std::move(fd));
}

template <class Visitor>
Result<int> Rtnetlink::exchange(Request& request, Visitor visit) {
  ByteView bytes = request.finish(++sequence_);
  if (::send(fd_.get(), bytes.data(), bytes.size(), 0) < 0)
    return fail_errno("asking rtnetlink", errno);
  interrupted_ = false;
  std::vector<uint8_t> buffer(64 * 1024);
  for (;;) {
    ssize_t n = ::recv(fd_.get(), buffer.data(), buffer.size(), 0);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return fail_errno("reading rtnetlink", errno);
    ByteView left(buffer.data(), static_cast<size_t>(n));
    while (left.size() >= sizeof(nlmsghdr)) {
      nlmsghdr header;
      std::memcpy(&header, left.data(), sizeof header);
      if (header.nlmsg_len < sizeof header || header.nlmsg_len > left.size())
        return fail(Errc::io, "bad rtnetlink answer");
      ByteView payload = left.subspan(sizeof header, header.nlmsg_len - sizeof header);
      left = left.subspan(std::min<size_t>(NLMSG_ALIGN(header.nlmsg_len), left.size()));
      if (header.nlmsg_seq != sequence_) continue;
      if ((header.nlmsg_flags & NLM_F_DUMP_INTR) != 0) interrupted_ = true;
      if (header.nlmsg_type == NLMSG_DONE) return 0;
      if (header.nlmsg_type == NLMSG_ERROR) {
        nlmsgerr status{};
        return take_header(payload, status) ? -status.error : EIO;
      }
      visit(header.nlmsg_type, payload);
    }
  }
}

Status Rtnetlink::perform(Request& request, std::string_view doing,
                          std::initializer_list<int> fine) {
  auto error = exchange(request, [](uint16_t, ByteView) {});
  if (!error) return std::unexpected(error.error());
  if (*error == 0 || std::ranges::find(fine, *error) != fine.end()) return {};
  if (*error == EEXIST) return fail(Errc::conflict, fmt::format("{}: it exists already", doing));
  if (*error == EOPNOTSUPP)
    return fail(Errc::unsupported, fmt::format("{}: the kernel cannot", doing));
  return fail_errno(doing, *error);
}

Result<std::vector<LinkInfo>> Rtnetlink::links() {
  Request request(RTM_GETLINK, NLM_F_DUMP, ifinfomsg{});
  std::vector<LinkInfo> out;
  auto error = exchange(request, [&](uint16_t type, ByteView payload) {
    ifinfomsg header;
    if (type == RTM_NEWLINK && take_header(payload, header))
      out.push_back(read_link(header, payload));
  });
  if (!error) return std::unexpected(error.error());
  if (*error != 0) return fail_errno("listing interfaces", *error);
  return out;
}

Result<LinkInfo> Rtnetlink::link(std::string_view name) {
  Request request(RTM_GETLINK, NLM_F_ACK, ifinfomsg{});
  std::string terminated(name);
  request.attribute(IFLA_IFNAME,
                    {reinterpret_cast<const uint8_t*>(terminated.c_str()), terminated.size() + 1});
  LinkInfo out;
  auto error = exchange(request, [&](uint16_t type, ByteView payload) {
    ifinfomsg header;
    if (type == RTM_NEWLINK && take_header(payload, header)) out = read_link(header, payload);
  });
  if (!error) return std::unexpected(error.error());
  if (*error == ENODEV)
    return fail(Errc::not_found, fmt::format("interface {} does not exist", name));
  if (*error != 0) return fail_errno(fmt::format("looking at interface {}", name), *error);
  return out;
}

Result<std::vector<LinkAddress>> Rtnetlink::addresses() {
  Request request(RTM_GETADDR, NLM_F_DUMP, ifaddrmsg{});
  std::vector<LinkAddress> out;
  auto error = exchange(request, [&](uint16_t type, ByteView payload) {
    ifaddrmsg header;
    if (type == RTM_NEWADDR && take_header(payload, header))
      out.push_back(read_address(header, payload));
  });
  if (!error) return std::unexpected(error.error());
  if (*error != 0) return fail_errno("listing addresses", *error);
  return out;
}

Status Rtnetlink::create(std::string_view name, std::string_view kind) {
  Request request(RTM_NEWLINK, NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL, ifinfomsg{});
  std::string terminated(name);
  request.attribute(IFLA_IFNAME,
                    {reinterpret_cast<const uint8_t*>(terminated.c_str()), terminated.size() + 1});
  size_t info = request.open(IFLA_LINKINFO);
  request.attribute(IFLA_INFO_KIND, as_bytes(kind));
  request.close(info);
  return perform(request, fmt::format("making interface {} of kind {}", name, kind));
}

Status Rtnetlink::disable_generated_addresses(int index) {
  ifinfomsg header{};
  header.ifi_index = index;
  Request request(RTM_NEWLINK, NLM_F_ACK, header);
  size_t families = request.open(IFLA_AF_SPEC);
  size_t v6 = request.open(AF_INET6);
  request.attribute(IFLA_INET6_ADDR_GEN_MODE, {&kGenerateNoAddress, 1});
  request.close(v6);
  request.close(families);
  return perform(request, "turning generated addresses off");
}

Status Rtnetlink::set_mtu(int index, uint32_t mtu) {
  ifinfomsg header{};
  header.ifi_index = index;
  Request request(RTM_NEWLINK, NLM_F_ACK, header);
  request.attribute(IFLA_MTU, {reinterpret_cast<const uint8_t*>(&mtu), sizeof mtu});
  return perform(request, fmt::format("setting mtu {}", mtu));
}

Status Rtnetlink::set_up(int index, bool up) {
  ifinfomsg header{};
  header.ifi_index = index;
  header.ifi_flags = up ? IFF_UP : 0;
  header.ifi_change = IFF_UP;
  Request request(RTM_NEWLINK, NLM_F_ACK, header);
  return perform(request, up ? "setting the interface up" : "setting the interface down");
}

/// `other`: the far end, or the address itself. The kernel tells two of one local address apart by it.
Status Rtnetlink::change_address(bool add, int index, const IpAddress& local, const IpPrefix& other) {
  ifaddrmsg header{};
  header.ifa_family = other.v6() ? AF_INET6 : AF_INET;
  header.ifa_prefixlen = static_cast<uint8_t>(other.length);
  header.ifa_flags = add && other.v6() ? IFA_F_NODAD : 0;
  header.ifa_index = static_cast<unsigned>(index);
  const int flags = add ? NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL : NLM_F_ACK;
  Request request(add ? RTM_NEWADDR : RTM_DELADDR, flags, header);
  request.attribute(IFA_LOCAL, {local.bytes.data(), local.bits() / 8});
  request.attribute(IFA_ADDRESS, {other.address.bytes.data(), other.address.bits() / 8});
  const auto text = local == other.address ? to_text(other) : to_text(local) + " peer " + to_text(other);
  return add ? perform(request, "adding address " + text, {EEXIST})
             : perform(request, "removing address " + text, {EADDRNOTAVAIL, ENODEV});
}

Status Rtnetlink::add_address(int index, const IpPrefix& prefix) {
  return change_address(true, index, prefix.address, prefix);
}
Status Rtnetlink::add_address(int index, const PeerAddress& address) {
  return change_address(true, index, address.local, address.peer);
}
Status Rtnetlink::remove_address(int index, const IpPrefix& prefix) {
  return change_address(false, index, prefix.address, prefix);
}
Status Rtnetlink::remove_address(int index, const PeerAddress& address) {
  return change_address(false, index, address.local, address.peer);
}

Status Rtnetlink::remove(int index) {
  ifinfomsg header{};
  header.ifi_index = index;
  Request request(RTM_DELLINK, NLM_F_ACK, header);
  return perform(request, "removing the interface", {ENODEV});
}

Result<RouteTable> Rtnetlink::routes() {
  RouteTable out;
  auto found = links();
  if (!found) return std::unexpected(found.error());
  std::map<int, std::string> names;
  for (LinkInfo& link : *found) {
    if (link.up) out.up.push_back(link.name);
    names.emplace(link.index, std::move(link.name));
  }
  for (const uint8_t family : {AF_INET, AF_INET6}) {
    rtmsg wanted{};
    wanted.rtm_family = family;
    Request request(RTM_GETROUTE, NLM_F_DUMP, wanted);
    auto error = exchange(request, [&](uint16_t type, ByteView payload) {
      rtmsg header;
      int index = 0;
      if (type != RTM_NEWROUTE || !take_header(payload, header)) return;
      auto route = read_route(header, payload, index);
      if (!route) return;
      if (index != 0) route->interface = names[index];
      if (concerns_us(*route)) out.routes.push_back(std::move(*route));
    });
    if (!error) return std::unexpected(error.error());
    if (*error != 0) return fail_errno("listing routes", *error);
    out.whole = out.whole && !interrupted_;
  }
  std::ranges::sort(out.routes);
  return out;
}

Status Rtnetlink::remove_route(const Route& route) {
  rtmsg header{};
  header.rtm_family = route.to.v6() ? AF_INET6 : AF_INET;
  header.rtm_dst_len = static_cast<uint8_t>(route.to.length);
  header.rtm_table = RT_TABLE_MAIN;
  header.rtm_protocol = route.protocol;
  header.rtm_scope = RT_SCOPE_NOWHERE;  // any
  Request request(RTM_DELROUTE, NLM_F_ACK, header);
  request.attribute(RTA_DST, {route.to.address.bytes.data(), route.to.address.bits() / 8});
  request.attribute(RTA_PRIORITY, {reinterpret_cast<const uint8_t*>(&route.metric), sizeof route.metric});
  if (route.via && route.via->v6 == route.to.v6())
    request.attribute(RTA_GATEWAY, {route.via->bytes.data(), route.via->bits() / 8});
  if (!route.interface.empty()) {
    auto at = link(route.interface);
    if (!at) return at.error().code == Errc::not_found ? Status() : std::unexpected(at.error());
    request.attribute(RTA_OIF, {reinterpret_cast<const uint8_t*>(&at->index), sizeof at->index});
  }
  return perform(request, "removing route " + to_text(route), {ESRCH});
}

Result<RouteMonitor> RouteMonitor::open() {
  Fd fd(::socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_ROUTE));
  sockaddr_nl address{};
  address.nl_family = AF_NETLINK;
  address.nl_groups = RTMGRP_IPV4_ROUTE | RTMGRP_IPV6_ROUTE;
  if (!fd || ::bind(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0)
    return fail_errno("listening to routes", errno);
  return RouteMonitor(std::move(fd));
}

std::vector<RouteEvent> RouteMonitor::take() {
  std::vector<RouteEvent> out;
  std::vector<uint8_t> buffer(64 * 1024);
  for (;;) {
    ssize_t n = ::recv(fd_.get(), buffer.data(), buffer.size(), 0);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0 && errno == ENOBUFS) {  // some are lost, so none is telling
      while (::recv(fd_.get(), buffer.data(), buffer.size(), 0) > 0 || errno == EINTR) continue;
      return {};
    }
    if (n <= 0) return out;
    ByteView left(buffer.data(), static_cast<size_t>(n));
    while (left.size() >= sizeof(nlmsghdr)) {
      nlmsghdr header;
      std::memcpy(&header, left.data(), sizeof header);
      if (header.nlmsg_len < sizeof header || header.nlmsg_len > left.size()) break;
      ByteView payload = left.subspan(sizeof header, header.nlmsg_len - sizeof header);
      left = left.subspan(std::min<size_t>(NLMSG_ALIGN(header.nlmsg_len), left.size()));
      rtmsg route_header;
      int index = 0;
      if ((header.nlmsg_type != RTM_NEWROUTE && header.nlmsg_type != RTM_DELROUTE) ||
          !take_header(payload, route_header))
        continue;
      auto route = read_route(route_header, payload, index);
      char name[IF_NAMESIZE] = "";
      if (!route) continue;
      if (index != 0 && ::if_indextoname(static_cast<unsigned>(index), name) != nullptr)
        route->interface = name;
      if (concerns_us(*route)) out.push_back({std::move(*route), header.nlmsg_type == RTM_DELROUTE});
    }
  }
}

}  // namespace mesh
