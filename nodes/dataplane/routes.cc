#include "nodes/dataplane/routes.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "eventstore/model/crypto.h"
#include "nodes/dataplane/dataplane.h"

namespace mesh {
namespace {

constexpr int kRouteLine = 1007, kProtocolLine = 1002, kDetailLine = 1006;

std::string_view next_word(std::string_view& text) {
  size_t begin = text.find_first_not_of(" \t");
  if (begin == std::string_view::npos) return text = {}, std::string_view();
  text.remove_prefix(begin);
  std::string_view word = text.substr(0, text.find_first_of(" \t"));
  text.remove_prefix(word.size());
  return word;
}

std::string protocol_text(uint8_t number) {
  switch (number) {
    case kBirdRoutes:
      return "bird";
    case kKernelRoutes:
      return "kernel";
    case 3:
      return "boot";
    case 4:
      return "static";
    default:
      return std::to_string(number);
  }
}

std::unexpected<Error> no_route(std::string_view line) {
  return fail(Errc::io, fmt::format("BIRD lists \"{}\", which is no route", line));
}

/// "via fe80::c on tlwg_12" or "dev tlwg_12".
bool read_next_hop(std::string_view line, Route& route) {
  std::string_view word = next_word(line);
  if (word == "via") {
    auto via = parse_address(next_word(line));
    if (!via) return false;
    route.via = *via;
    word = next_word(line) == "on" ? "dev" : "";
  }
  if (word != "dev") return false;
  if (!route.interface.empty()) route.kind = "multipath";
  route.interface = next_word(line);
  return true;
}

}  // namespace

std::string to_text(const Route& route) {
  std::string out = to_text(route.to);
  if (route.kind != "unicast") out = route.kind + " " + out;
  if (route.via) out += " via " + to_text(*route.via);
  if (!route.interface.empty()) out += " dev " + route.interface;
  if (route.source) out += " src " + to_text(*route.source);
  return out + fmt::format(" metric {} proto {}", route.metric, protocol_text(route.protocol));
}

Result<std::vector<Route>> parse_bird_routes(const BirdReply& reply,
                                             const std::vector<IpAddress>& sources) {
  std::vector<Route> out;
  for (const BirdLine& line : reply.lines) {
    if (line.code != kRouteLine && line.code != kRouteLine + 1) continue;
    std::string_view text = line.text;
    if (text.empty() || text.starts_with("Table ")) continue;
    if (text.front() == '\t' || text.front() == ' ') {
      if (out.empty() || !read_next_hop(text, out.back())) return no_route(line.text);
      continue;
    }
    auto to = parse_prefix(next_word(text));
    if (!to) return no_route(line.text);
    Route& route = out.emplace_back();
    route.to = *to;
    route.kind = next_word(text);
    for (const IpAddress& source : sources)
      if (source.v6 == to->v6()) route.source = source;
  }
  std::ranges::sort(out);
  return out;
}

std::string export_marks(const BirdReply& reply) {
  std::string out;
  for (const BirdLine& line : reply.lines)
    if (line.code == kProtocolLine || (line.code == kDetailLine && line.text.contains("Export ")))
      out += line.text + "\n";
  return out;
}

std::vector<std::string> parse_disabled(const BirdReply& reply) {
  std::vector<std::string> out;
  for (const BirdLine& line : reply.lines) {
    if (line.code != kProtocolLine) continue;
    std::string_view text = line.text;
    std::string_view name = next_word(text);
    next_word(text), next_word(text);  // kind and table
    if (next_word(text) == "down") out.emplace_back(name);
  }
  std::ranges::sort(out);
  return out;
}

bool concerns_us(const Route& route) {
  if (route.protocol == kBirdRoutes || route.metric == kRouteMetric) return true;
  return is_tunnel_name(route.interface) && route.protocol != kKernelRoutes;
}

std::vector<RouteDifference> compare_routes(const std::vector<Route>& kernel,
                                            const std::vector<Route>& bird,
                                            const std::vector<std::string>& up) {
  std::vector<Route> missing, extra;
  std::ranges::set_difference(bird, kernel, std::back_inserter(missing));
  std::ranges::set_difference(kernel, bird, std::back_inserter(extra));
  std::vector<RouteDifference> out;
  for (Route& route : missing) {
    bool gone = !route.interface.empty() && std::ranges::find(up, route.interface) == up.end();
    auto instead = std::ranges::find_if(
        extra, [&](const Route& r) { return r.to == route.to && r.metric == route.metric; });
    RouteDifference difference{route.to, route, std::nullopt, false};
    if (instead != extra.end()) {
      difference.found = std::move(*instead);
      extra.erase(instead);
    }
    if (!gone || difference.found) out.push_back(std::move(difference));
  }
  for (Route& route : extra) {
    // One of our metric that stands beside none of BIRD's and leads elsewhere is not our business.
    if (route.protocol != kBirdRoutes && !is_tunnel_name(route.interface)) continue;
    const IpPrefix to = route.to;
    out.push_back({to, std::nullopt, std::move(route), false});
  }
  std::ranges::stable_sort(out, {}, &RouteDifference::to);
  return out;
}

Digest digest_of(const std::vector<Route>& routes) {
  std::string text;
  text.reserve(routes.size() * 80);
  for (const Route& route : routes) text += to_text(route) + "\n";
  return sha256(as_bytes(text));
}

}  // namespace mesh
