// Who answers an echo request (ICMP, RFC 792; ICMPv6, RFC 4443), without waiting for anybody. Requests carry a number
// of this object's own, so an answer to somebody else's is none. Needs CAP_NET_RAW. Not thread safe.
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <vector>

#include "eventstore/model/address.h"
#include "eventstore/model/result.h"

namespace mesh {

class Echo {
 public:
  Echo() = default;
  ~Echo();
  Echo(const Echo&) = delete;
  Echo& operator=(const Echo&) = delete;

  /// See Dataplane::probe. Sockets are made at the first call and kept.
  Result<std::vector<IpAddress>> probe(const std::vector<IpAddress>& from, const std::vector<IpAddress>& targets);

 private:
  using Clock = std::chrono::steady_clock;
  Status open();
  void send(bool v6, const IpAddress* from, const IpAddress& target) const;
  void receive(bool v6);

  int v4_ = -1, v6_ = -1;
  uint64_t number_ = 0;
  std::map<IpAddress, Clock::time_point> answered_;
};

}  // namespace mesh
