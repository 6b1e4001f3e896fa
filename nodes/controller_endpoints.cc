#include "nodes/controller_endpoints.h"

#include <algorithm>
#include <utility>

#include "eventstore/model/limits.h"
#include "schemas/json_reader.h"

namespace mesh {

namespace {

constexpr auto kFile = "controller_endpoints.json";

void add_new(std::vector<std::string>& list, const std::string& endpoint) {
  if (std::ranges::find(list, endpoint) == list.end()) list.push_back(endpoint);
}

}  // namespace

Result<HostPort> split_controller_endpoint(const std::string& endpoint) {
  constexpr std::string_view kScheme = "tcp://";
  if (endpoint.starts_with(kScheme) && endpoint.size() <= kEndpointBytesMax) {
    auto place = parse_host_port(std::string_view(endpoint).substr(kScheme.size()));
    if (place && place->port) return place;
  }
  return fail(Errc::invalid, fmt::format("\"{}\" is no endpoint of a controller", endpoint),
              "write tcp://HOST:PORT, e.g. tcp://controller.example.net:7400");
}

ControllerEndpoints::ControllerEndpoints(Files& files, std::vector<std::string> joined)
    : files_(files), joined_(std::move(joined)) {
  if (auto loaded = load(); !loaded) {
    sequence_ = {};
    by_log_.clear();
    by_root_.clear();
    before_.clear();
    spoken_.clear();
  }
}

Status ControllerEndpoints::load() {
  auto text = files_.read(kFile);
  if (!text) return std::unexpected(text.error());
  const auto json = Json::parse(*text, nullptr, false);
  JsonReader in(json);
  in.get("sequence", sequence_);
  in.get("log", by_log_);
  in.get("root", by_root_);
  in.get("before", before_);
  in.each("spoken", [&](const Json& item) {
    JsonReader spoken(item, "spoken: ");
    Spoken out;
    spoken.get("endpoint", out.endpoint);
    spoken.get("address", out.address);
    in.adopt(spoken);
    spoken_.push_back(std::move(out));
  });
  return in.status();
}

Status ControllerEndpoints::save() {
  auto spoken = Json::array();
  for (const auto& [endpoint, address] : spoken_) spoken.push_back({{"endpoint", endpoint}, {"address", address}});
  const Json json = {{"sequence", sequence_.value()}, {"log", by_log_}, {"root", by_root_}, {"before", before_},
                     {"spoken", spoken}};
  return write_atomic(files_, kFile, as_bytes(json.dump(1) + "\n"));
}

void ControllerEndpoints::keep_before(const std::vector<std::string>& endpoints) {
  auto before = std::exchange(before_, endpoints);
  for (const auto& each : before) add_new(before_, each);
  if (before_.size() > kBeforeKept) before_.resize(kBeforeKept);
}

bool ControllerEndpoints::learn(Sequence sequence, const std::vector<std::string>& endpoints) {
  if (endpoints.empty() || endpoints == by_log_) return false;
  keep_before(by_log_);
  // What root set was for a time when the log could not be heard.
  keep_before(std::exchange(by_root_, {}));
  by_log_ = endpoints;
  sequence_ = sequence;
  (void)save();
  return true;
}

void ControllerEndpoints::spoke(const std::string& endpoint, const std::string& address) {
  Spoken spoken{endpoint, address.empty() ? address_of(endpoint) : address};
  if (!spoken_.empty() && spoken_.front() == spoken) return;
  std::erase_if(spoken_, [&](const Spoken& each) { return each.endpoint == endpoint; });
  spoken_.insert(spoken_.begin(), std::move(spoken));
  if (spoken_.size() > kSpokenKept) spoken_.resize(kSpokenKept);
  (void)save();
}

Status ControllerEndpoints::set(std::vector<std::string> endpoints) {
  if (endpoints.size() > kEndpointsMax) {
    return fail(Errc::invalid, fmt::format("{} controller endpoints, at most {}", endpoints.size(), kEndpointsMax));
  }
  for (const auto& each : endpoints) MESH_TRY(split_controller_endpoint(each));
  auto before = std::exchange(by_root_, std::move(endpoints));
  if (auto saved = save(); !saved) {
    by_root_ = std::move(before);
    return saved;
  }
  return {};
}

std::vector<std::string> ControllerEndpoints::walk() const {
  std::vector<std::string> out;
  const auto add = [&](const std::vector<std::string>& list) {
    for (const auto& each : list) add_new(out, each);
  };
  add(by_root_);
  add(by_log_);
  for (const auto& each : spoken_) add_new(out, each.endpoint);
  add(before_);
  add(joined_);
  if (out.size() > kWalkMax) out.resize(kWalkMax);
  return out;
}

std::string ControllerEndpoints::address_of(const std::string& endpoint) const {
  const auto found = std::ranges::find(spoken_, endpoint, &Spoken::endpoint);
  return found == spoken_.end() ? std::string() : found->address;
}

}  // namespace mesh
