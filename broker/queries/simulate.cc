// simulate: the network with something failed, on the model.
#include <fmt/format.h>

#include <algorithm>
#include <sstream>

#include "broker/queries/queries_internal.h"
#include "eventstore/model/committed.h"
#include "eventstore/model/failure_effect.h"
#include "eventstore/model/network.h"

namespace mesh::answering {

namespace {

constexpr size_t kPairsMax = 1'000, kPointsMax = 1'000, kExamplesMax = 10;
constexpr uint64_t kRoutesMax = 100'000;  // some 8 MB of JSON: an answer has to fit a frame

std::vector<std::string> words_of(const std::string& line) {
  std::istringstream in(line);
  std::vector<std::string> out;
  for (std::string word; in >> word;) out.push_back(word);
  return out;
}

json pair_json(const LanPair& pair) {
  return {{"from", to_text(pair.from)},
          {"to", to_text(pair.to)},
          {"family", pair.from.v6() ? "ipv6" : "ipv4"}};
}

class Simulation {
 public:
  /// Borrows the facts; the network is that of `state`.
  Simulation(const QueryFacts& facts, const MeshState& state)
      : facts_(facts), state_(state), before_(state), after_(before_) {}

  /// `lines`: "link A B", "node N", "site S". Errors: usage, not_found.
  Status fail_all(const std::string& lines) {
    std::istringstream in(lines);
    for (std::string line; std::getline(in, line);) MESH_TRY(add_failure(line));
    after_ = before_.after(failures_);
    return {};
  }

  json describe(std::string_view kind, bool working) const {
    json out = document(facts_, kind);
    json links = json::array(), nodes = json::array();
    for (const Link& link : failures_.links)
      links.push_back({{"a", name(link.low)}, {"b", name(link.high)}});
    for (const NodeId node : failures_.nodes) nodes.push_back(name(node));
    out["state"] = working ? "working" : "committed";
    out["failed"] = {{"links", std::move(links)}, {"nodes", std::move(nodes)}};
    out["network"] = {{"before", size_json(before_)}, {"after", size_json(after_)}};
    return out;
  }

  json pairs() const {
    const FailureEffect effect = compare_ways(before_, after_, kPairsMax);
    json lost = json::array(), longer = json::array(), down = json::array();
    for (const LanPair& pair : effect.lost) lost.push_back(pair_json(pair));
    for (const LongerWay& way : effect.longer) {
      longer.push_back(pair_json(way.pair));
      longer.back().update({{"hops_before", way.before}, {"hops_after", way.after}});
    }
    for (const IpPrefix& lan : effect.down) down.push_back(to_text(lan));
    return {{"lost", std::move(lost)},
            {"longer", std::move(longer)},
            {"down", std::move(down)},
            {"totals",
             {{"pairs", effect.pairs},
              {"unreached", effect.unreached},
              {"lost", effect.lost_total},
              {"longer", effect.longer_total},
              {"down", effect.down_total},
              {"pairs_down", effect.pairs_down}}},
            {"hops_before", hops_json(effect.hops_before)},
            {"hops_after", hops_json(effect.hops_after)}};
  }

  /// "X Y". Errors: usage, not_found.
  Result<json> reach(const std::string& text) const {
    const auto ends = words_of(text);
    if (ends.size() != 2)
      return fail(Errc::usage, fmt::format("\"{}\" does not name two places", text),
                  "nodes, sites, addresses or LANs: \"r1.ams 10.2.0.0/24\"");
    const Reach places(state_);
    // Says so when they are of different families.
    if (auto known = places.reaches(ends[0], ends[1]); !known) return std::unexpected(known.error());
    std::vector<Network::Index> at[2];
    for (const int side : {0, 1}) {
      auto found = nodes_at(places, ends[static_cast<size_t>(side)]);
      if (!found) return std::unexpected(found.error());
      at[side] = std::move(*found);
    }
    return json{{"from", ends[0]},
                {"to", ends[1]},
                {"before", way_json(before_, at[0], at[1])},
                {"after", way_json(after_, at[0], at[1])}};
  }

  json points() const {
    const SinglePoints found = single_points(after_, kPointsMax, kExamplesMax);
    json items = json::array();
    for (const SinglePoint& point : found.points) {
      json item = {{"what", point.link ? "link" : "node"}};
      if (point.link) {
        item["a"] = name(point.link->low);
        item["b"] = name(point.link->high);
      } else {
        item["node"] = point.node.value();
        item["fullname"] = name(point.node);
      }
      json lost = json::array(), apart = json::array();
      for (const LanPair& pair : point.lost) lost.push_back(pair_json(pair));
      for (const NodeId node : point.apart) apart.push_back(name(node));
      item.update({{"pairs", point.pairs},
                   {"lost", std::move(lost)},
                   {"apart", std::move(apart)},
                   {"apart_total", point.apart_total}});
      items.push_back(std::move(item));
    }
    return {{"items", std::move(items)}, {"totals", {{"nodes", found.nodes}, {"links", found.links}}}};
  }

  /// Of all nodes, or of one. Errors: not_found, exhausted.
  Result<json> routes(const std::optional<std::string>& only) const {
    std::vector<Network::Index> nodes;
    if (only) {
      auto node = resolve_node(state_, *only);
      if (!node) return std::unexpected(node.error());
      nodes.push_back(*after_.find((*node)->id));
    } else {
      for (Network::Index i = 0; i < after_.nodes().size(); ++i) nodes.push_back(i);
    }
    const auto prefixes = after_.prefixes();
    if (nodes.size() * prefixes.size() > kRoutesMax)
      return fail(Errc::exhausted,
                  fmt::format("{} nodes with {} prefixes have too many routes for one answer",
                              nodes.size(), prefixes.size()),
                  "ask for one node: --node N");
    json items = json::array();
    for (const Network::Index node : nodes)
      items.push_back({{"node", after_.nodes()[node].id.value()},
                       {"fullname", after_.nodes()[node].fullname},
                       {"up", after_.nodes()[node].up},
                       {"routes", json::object()}});
    add_routes(prefixes, nodes, items);
    return json{{"items", std::move(items)}};
  }

 private:
  /// A network has one name for a node that is there, its number for any other.
  std::string name(NodeId id) const {
    auto at = before_.find(id);
    return at ? before_.nodes()[*at].fullname : std::to_string(id.value());
  }

  static json size_json(const Network& network) {
    uint64_t nodes = 0;
    for (const Network::Place& node : network.nodes()) nodes += node.up;
    uint32_t parts = 0;
    for (const uint32_t part : network.parts())
      if (part != Network::kNone) parts = std::max(parts, part + 1);
    return {{"nodes", nodes}, {"links", network.link_count()}, {"parts", parts}};
  }

  static json hops_json(const std::map<uint32_t, uint64_t>& counts) {
    json out = json::array();
    for (const auto& [hops, pairs] : counts) out.push_back({{"hops", hops}, {"pairs", pairs}});
    return out;
  }

  Status add_failure(const std::string& line) {
    const auto words = words_of(line);
    const std::string what = words.empty() ? "" : words[0];
    if (what == "node" && words.size() == 2) {
      auto node = resolve_node(state_, words[1]);
      if (!node) return std::unexpected(node.error());
      failures_.nodes.insert((*node)->id);
      return {};
    }
    if (what == "site" && words.size() == 2) {
      auto site = resolve(state_, {Level::site, words[1]});
      if (!site) return std::unexpected(site.error());
      for (const Node* node : state_.nodes_in(*site)) failures_.nodes.insert(node->id);
      return {};
    }
    if (what == "link" && words.size() == 3) return add_link(words[1], words[2]);
    return fail(Errc::usage, fmt::format("\"{}\" is nothing that can fail", line),
                "link A B, node N or site S");
  }

  Status add_link(const std::string& a, const std::string& b) {
    auto one = resolve_node(state_, a), two = resolve_node(state_, b);
    if (!one) return std::unexpected(one.error());
    if (!two) return std::unexpected(two.error());
    const NodeId x = (*one)->id, y = (*two)->id;
    if (!before_.linked(*before_.find(x), *before_.find(y)))
      return fail(Errc::not_found,
                  fmt::format("{} and {} have no link", (*one)->fullname(), (*two)->fullname()),
                  fmt::format("meshcli list links {}", (*one)->fullname()));
    failures_.links.insert({std::min(x, y), std::max(x, y)});
    return {};
  }

  /// Of a node, a site, an address or a LAN. Errors: not_found.
  Result<std::vector<Network::Index>> nodes_at(const Reach& places, const std::string& text) const {
    std::vector<NodeId> ids;
    if (state_.find_site(text)) {
      for (const Node* node : state_.nodes_of(text)) ids.push_back(node->id);
    } else {
      ids = places.nodes_at(text);
    }
    if (ids.empty()) {
      if (auto node = resolve_node(state_, text); !node && !parse_prefix(text))
        return std::unexpected(node.error());
      return fail(Errc::not_found, fmt::format("no node has {}", text),
                  "a node, a site, or an address in a LAN");
    }
    std::vector<Network::Index> out;
    for (const NodeId id : ids) out.push_back(*before_.find(id));
    return out;
  }

  json way_json(const Network& network, const std::vector<Network::Index>& from,
                const std::vector<Network::Index>& to) const {
    const auto hops = network.hops_to(to);
    Network::Index at = Network::kNone;
    for (const Network::Index node : from)
      if (hops[node] != Network::kNone && (at == Network::kNone || hops[node] < hops[at])) at = node;
    if (at == Network::kNone) return {{"reaches", false}, {"hops", nullptr}, {"path", json::array()}};
    json path = json::array({network.nodes()[at].fullname});
    const uint32_t count = hops[at];
    while (hops[at] > 0) {
      at = network.next_hop(at, hops);
      path.push_back(network.nodes()[at].fullname);
    }
    return {{"reaches", true}, {"hops", count}, {"path", std::move(path)}};
  }

  void add_routes(const std::vector<Origin>& prefixes, const std::vector<Network::Index>& nodes,
                  json& items) const {
    std::map<std::vector<uint32_t>, std::vector<std::string>> by_origin;
    for (const Origin& origin : prefixes)
      for (const auto& lans : origin.lans)
        for (const IpPrefix& prefix : lans) by_origin[origin.nodes].push_back(to_text(prefix));
    for (const auto& [origins, texts] : by_origin) {
      const auto hops = after_.hops_to(origins);
      for (size_t i = 0; i < nodes.size(); ++i) {
        if (!after_.nodes()[nodes[i]].up) continue;
        json route;
        if (hops[nodes[i]] == 0) {
          route = {{"via", "local"}};
        } else if (hops[nodes[i]] != Network::kNone) {
          const NodeId peer = after_.nodes()[after_.next_hop(nodes[i], hops)].id;
          route = {{"via", fmt::format("tlwg_{}", peer.value())},
                   {"peer", peer.value()},
                   {"hops", hops[nodes[i]]}};
        }
        for (const std::string& text : texts) items[i]["routes"][text] = route;
      }
    }
  }

  const QueryFacts& facts_;
  const MeshState& state_;
  Network before_, after_;
  Failures failures_;
};

}  // namespace

Answer simulate(const QueryFacts& facts) {
  const bool working = argument(facts, "working").has_value();
  const MeshState state = working ? facts.state : committed_state(facts.state);
  Simulation simulation(facts, state);
  if (auto lines = argument(facts, "fail")) MESH_TRY(simulation.fail_all(*lines));
  const std::string want = argument(facts, "want").value_or("pairs");
  Result<json> found = json();
  std::string_view kind;
  if (want == "pairs") {
    kind = "Simulation";
    found = simulation.pairs();
  } else if (want == "reach") {
    kind = "SimulatedReach";
    auto ends = required(facts, "reach");
    if (!ends) return std::unexpected(ends.error());
    found = simulation.reach(*ends);
  } else if (want == "points") {
    kind = "SinglePointList";
    found = simulation.points();
  } else if (want == "routes") {
    kind = "RouteList";
    found = simulation.routes(argument(facts, "node"));
  } else {
    return fail(Errc::usage, fmt::format("\"{}\" cannot be simulated", want),
                "pairs, reach, points or routes");
  }
  if (!found) return std::unexpected(found.error());
  json out = simulation.describe(kind, working);
  out.update(*found);
  return out;
}

}  // namespace mesh::answering
