#include "nodes/controller_dial.h"

#include <algorithm>

#include "broker/bus/client.h"

namespace mesh {

namespace {

constexpr int64_t kLookUpMs = 15'000;

/// The name in an endpoint; empty when it is a numeric address.
std::string name_in(const std::string& endpoint) {
  auto place = split_controller_endpoint(endpoint);
  return place && !is_literal(place->host) ? place->host : std::string();
}

}  // namespace

void ControllerDial::add(const std::string& address, const std::string& endpoint) {
  if (!split_controller_endpoint(address)) return;
  if (std::ranges::find(list_, address) != list_.end()) return;
  list_.push_back(address);
  endpoint_of_[address] = endpoint;
}

std::vector<std::string> ControllerDial::addresses(int64_t now, const std::string& in_use) {
  const auto endpoints = known_.walk();
  look_up(endpoints, now, !in_use.empty());
  list_.clear();
  // A name may have any number of addresses: the endpoints behind it, and the connection that stands, have theirs too.
  const size_t share = (kClientEndpointsMax - 1) / std::max<size_t>(endpoints.size(), 1);
  static_assert(ControllerEndpoints::kWalkMax < kClientEndpointsMax);
  for (const auto& endpoint : endpoints) {
    const auto name = name_in(endpoint);
    const size_t most = list_.size() + share;
    if (name.empty()) {
      add(endpoint, endpoint);
      continue;
    }
    const auto port = split_controller_endpoint(endpoint)->port.value_or(0);
    for (const auto& found : resolver_.get(name, std::chrono::steady_clock::time_point::min())) {
      const auto address = "tcp://" + host_port_text(to_text(found), port);
      if (list_.size() < most) add(address, endpoint);
      // The connection stands over the name itself: nobody saw which of its addresses it is.
      if (in_use == endpoint && known_.address_of(endpoint).empty()) known_.spoke(endpoint, address);
    }
    if (list_.size() < most) add(known_.address_of(endpoint), endpoint);
  }
  const auto used = in_use.empty() ? endpoint_of_.end() : endpoint_of_.find(in_use);
  if (used != endpoint_of_.end() && std::ranges::find(endpoints, used->second) != endpoints.end()) {
    add(in_use, std::string(used->second));
  }
  // Nothing to keep it from: there are names only, and none of them was ever found.
  if (list_.empty()) {
    for (const auto& endpoint : endpoints) add(endpoint, endpoint);
  }
  return list_;
}

std::string ControllerDial::endpoint_of(const std::string& address) const {
  const auto found = endpoint_of_.find(address);
  return found == endpoint_of_.end() ? address : found->second;
}

/// A connection that stands needs no names.
void ControllerDial::look_up(const std::vector<std::string>& endpoints, int64_t now, bool connected) {
  if (now < next_look_up_ || (connected && next_look_up_ != 0)) return;
  next_look_up_ = now + kLookUpMs;
  for (const auto& endpoint : endpoints) {
    if (const auto name = name_in(endpoint); !name.empty()) resolver_.start(name);
  }
}

}  // namespace mesh
