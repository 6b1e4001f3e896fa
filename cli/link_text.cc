#include "cli/link_text.h"

#include <fmt/format.h>

#include <algorithm>
#include <limits>
#include <map>
#include <nlohmann/json.hpp>
#include <utility>

#include "cli/render.h"

namespace mesh::cli {

namespace {

constexpr int64_t kRttFreshS = 180;    // three rounds over the busiest hub
constexpr int64_t kMtuLeast = 1280;    // of IPv6, and of wg_mtu
constexpr int64_t kOverheadMost = 80;  // of WireGuard over IPv6: 40 + 8 + 32

/// A link by the numbers of its ends, the end to change first.
struct LowPath {
  std::string node, peer;
  int64_t mtu = 0, path_mtu = 0;
};

int64_t count_or_many(const Json& value) {
  return value.is_number_integer() ? value.get<int64_t>() : std::numeric_limits<int64_t>::max();
}

std::map<std::pair<int64_t, int64_t>, LowPath> low_paths(const Json& items) {
  std::map<std::pair<int64_t, int64_t>, LowPath> out;
  for (const Json& item : items)
    for (const Json& low : value_at(item, "path_mtu_low")) {
      const int64_t id = number_at(item, "id"), peer = number_at(low, "peer");
      const int64_t links = count_or_many(value_at(item, "links"));
      const int64_t peer_links = count_or_many(value_at(low, "peer_links"));
      LowPath path{text_at(item, "fullname"), text_at(low, "peer_name"), number_at(low, "mtu"),
                   number_at(low, "path_mtu")};
      if (std::pair(peer_links, peer) < std::pair(links, id)) std::swap(path.node, path.peer);
      const auto [known, first] = out.emplace(std::minmax(id, peer), path);
      if (!first) known->second.path_mtu = std::min(known->second.path_mtu, path.path_mtu);
    }
  return out;
}

}  // namespace

void add_link_texts(Json& link) {
  for (const char* key : {"bgp_up", "bfd_up"})
    if (link.contains(key) && link[key].is_boolean()) link[key] = link[key].get<bool>() ? "up" : "down";
  const Json &rtt = value_at(link, "rtt_us"), &age = value_at(link, "rtt_age_s");
  if (rtt.is_number() && age.is_number() && age.get<int64_t>() <= kRttFreshS)
    link["rtt_text"] = fmt::format("{:.1f} ms", rtt.get<double>() / 1000);
  const Json &mtu = value_at(link, "mtu"), &path_mtu = value_at(link, "path_mtu");
  if (mtu.is_number()) link["mtu_text"] = mtu.dump();
  if (mtu.is_number() && path_mtu.is_number() && path_mtu < mtu)
    link["mtu_text"] = fmt::format("{} of {}", path_mtu.dump(), mtu.dump());
  for (const char* name : {"rx", "tx", "a_rx", "a_tx", "b_rx", "b_tx"})
    if (const Json& bytes = value_at(link, std::string(name) + "_bytes"); bytes.is_number())
      link[std::string(name) + "_text"] = bytes_text(bytes.get<uint64_t>());
}

void add_machine_texts(Json& item) {
  const Json machine = value_at(item, "machine");
  if (!machine.is_object()) return;
  const auto share = [&](const std::string& name) {
    const auto total = number_at(machine, name + "_bytes"), free = number_at(machine, name + "_free_bytes");
    if (total > 0) item[name + "_text"] = fmt::format("{}% of {}", 100 - 100 * free / total,
                                                     bytes_text(static_cast<uint64_t>(total)));
  };
  item["load_text"] = fmt::format("{:.2f}", value_at(machine, "load").get<double>());
  share("memory");
  share("disk");
  for (const char* name : {"uptime_s", "kernel", "bird", "wireguard"}) item[name] = value_at(machine, name);
}

std::string machine_text(const Json& item) {
  const Json& machine = value_at(item, "machine");
  if (!machine.is_object()) return {};
  const auto said = [&](const char* name) {
    const std::string text = printable(text_at(machine, name));
    return text.empty() ? std::string("-") : text;
  };
  const auto bytes = [&](const char* name) { return bytes_text(static_cast<uint64_t>(number_at(machine, name))); };
  std::string out = fmt::format("system    {}, up for {}\n", said("kernel"),
                                duration_text(number_at(machine, "uptime_s")));
  out += fmt::format("versions  meshnode {}, BIRD {}, WireGuard {}\n", printable(text_at(item, "program")),
                     said("bird"), said("wireguard"));
  out += fmt::format("load      {:.2f} on {}\n", value_at(machine, "load").get<double>(),
                     count_text(static_cast<uint64_t>(number_at(machine, "processors")), "processor"));
  out += fmt::format("memory    {} free of {}\n", bytes("memory_free_bytes"), bytes("memory_bytes"));
  return out + fmt::format("disk      {} free of {}\n", bytes("disk_free_bytes"), bytes("disk_bytes"));
}

std::vector<PathFinding> path_findings(const Json& items) {
  const auto paths = low_paths(items);
  std::map<std::string, int64_t> least;  // of what the links of a node carry
  for (const auto& [ends, path] : paths) {
    const auto [known, first] = least.emplace(path.node, path.path_mtu);
    if (!first) known->second = std::min(known->second, path.path_mtu);
  }
  std::vector<PathFinding> out;
  for (const auto& [ends, path] : paths) {
    const std::string node = printable(path.node);
    const int64_t mtu = least.at(path.node);
    out.push_back({fmt::format("the link {} - {} carries packets of up to {} bytes, its MTU is {}", node,
                               printable(path.peer), path.path_mtu, path.mtu),
                   mtu >= kMtuLeast
                       ? fmt::format("meshcli set node {} wg_mtu {}, then commit and activate", node, mtu)
                       : fmt::format("raise the MTU of the network between them to {}: IPv6 needs packets of {} bytes",
                                     kMtuLeast + kOverheadMost, kMtuLeast)});
  }
  return out;
}

}  // namespace mesh::cli
