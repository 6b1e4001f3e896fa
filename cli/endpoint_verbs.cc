// controller endpoints: where the controller is, who knows it, and how it moves without losing anybody.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>

#include "cli/handlers.h"
#include "cli/mutate.h"

namespace mesh::cli {

namespace {

using Names = std::vector<std::string>;
constexpr size_t kNamed = 5;

struct EnrolledNode {
  std::string name;
  uint64_t head = 0;  // the newest entry that it is known to have; 0 = not heard since the controller started
};

/// What is in force, and who has heard of it.
struct Whereabouts {
  uint64_t sequence = 0;
  Names endpoints, enrol;
  std::map<std::string, uint64_t> since;  // the entry that named an endpoint, and from which on it stayed
  std::vector<EnrolledNode> nodes;

  /// The nodes that have not seen an entry that names one of `list`: they would look for it elsewhere.
  std::vector<EnrolledNode> lost_without(const Names& list) const {
    std::vector<EnrolledNode> out;
    for (const EnrolledNode& node : nodes) {
      const bool finds = std::ranges::any_of(list, [&](const std::string& endpoint) {
        const auto known = since.find(endpoint);
        return known != since.end() && known->second <= node.head;
      });
      if (!finds) out.push_back(node);
    }
    return out;
  }
};

Names texts_at(const Json& object, std::string_view key) {
  Names out;
  for (const Json& each : value_at(object, key))
    if (each.is_string()) out.push_back(each.get<std::string>());
  return out;
}

/// Follows the endpoints through the entries that named them.
Status read_since(Client& client, Whereabouts& out) {
  for (const char* type : {"LogCreated", "EndpointsSet"}) {
    auto log = client.query("log", {{"type", type}});
    if (!log) return std::unexpected(std::move(log).error());
    for (const Json& entry : value_at(*log, "items")) {
      for (const Json& event : value_at(entry, "events")) {
        if (text_at(event, "type") != type) continue;
        std::map<std::string, uint64_t> now;
        for (const std::string& endpoint : texts_at(event, "endpoints")) {
          const auto before = out.since.find(endpoint);
          now[endpoint] = before == out.since.end()
                              ? static_cast<uint64_t>(number_at(entry, "sequence"))
                              : before->second;
        }
        out.since = std::move(now);
      }
    }
  }
  return {};
}

Result<Whereabouts> read_whereabouts(Client& client) {
  Whereabouts out;
  auto document = client.query("enrolment");
  if (!document) return std::unexpected(std::move(document).error());
  out.sequence = static_cast<uint64_t>(number_at(*document, "sequence"));
  out.endpoints = texts_at(*document, "endpoints");
  out.enrol = texts_at(*document, "enrol_endpoints");
  MESH_TRY(read_since(client, out));
  auto status = client.query("status");
  if (!status) return std::unexpected(std::move(status).error());
  for (const Json& item : value_at(*status, "items")) {
    const std::string state = text_at(item, "state");
    if (state == "not enrolled" || state == "revoked") continue;
    out.nodes.push_back({text_at(item, "fullname"),
                         static_cast<uint64_t>(std::max<int64_t>(0, number_at(item, "head")))});
  }
  return out;
}

std::string seen_text(const EnrolledNode& node) {
  return node.head == 0 ? node.name + " (not heard of since the controller started)"
                        : fmt::format("{} (last heard of at #{})", node.name, node.head);
}

std::string lines_for_contexts(const Names& endpoints) {
  return fmt::format("endpoints = [\"{}\"]\n", fmt::join(endpoints, "\", \""));
}

uint64_t since_of(const Whereabouts& where, const std::string& endpoint) {
  const auto known = where.since.find(endpoint);
  return known == where.since.end() ? 0 : known->second;
}

Result<int> show(Session& session, const Whereabouts& where) {
  if (session.format() == Format::name) {
    for (const std::string& endpoint : where.endpoints) session.print(endpoint + "\n");
    return int{kSuccess};
  }
  Json items = Json::array(), unseen = Json::array();
  std::string out;
  for (const std::string& endpoint : where.endpoints) {
    const uint64_t since = since_of(where, endpoint);
    const auto seen = std::ranges::count_if(where.nodes, [&](const auto& node) { return node.head >= since; });
    items.push_back({{"endpoint", endpoint}, {"since", since}, {"seen", seen}, {"nodes", where.nodes.size()}});
    out += fmt::format("{:<40} since #{:<6} seen by {} of {} nodes\n", endpoint, since, seen, where.nodes.size());
  }
  uint64_t newest = 0;
  for (const auto& [endpoint, since] : where.since) newest = std::max(newest, since);
  for (const EnrolledNode& node : where.nodes) {
    if (node.head >= newest) continue;
    unseen.push_back({{"fullname", node.name}, {"head", node.head}});
    out += fmt::format("not yet: {}\n", seen_text(node));
  }
  out += fmt::format("new nodes join at {}\n", fmt::join(where.enrol, ", "));
  if (!session.for_people()) {
    session.print_document({{"kind", "ControllerEndpoints"},
                            {"sequence", where.sequence},
                            {"endpoints", where.endpoints},
                            {"enrol_endpoints", where.enrol},
                            {"items", std::move(items)},
                            {"unseen", std::move(unseen)}});
    return int{kSuccess};
  }
  session.print(out);
  auto context = session.context();
  if (context && (*context)->connection.endpoints != where.endpoints)
    session.hint("for context files (" + (*context)->path.string() + "):\n" + lines_for_contexts(where.endpoints));
  return int{kSuccess};
}

Names split(std::string_view list) {
  Names out;
  while (!list.empty()) {
    const auto each = list.substr(0, list.find(','));
    list.remove_prefix(std::min(list.size(), each.size() + 1));
    if (!each.empty()) out.emplace_back(each);
  }
  return out;
}

/// The list after the change. Errors: usage, not_found.
Result<Names> changed(const Whereabouts& where, const std::string& action, const Names& named) {
  if (named.empty())
    return fail(Errc::usage, fmt::format("{} needs endpoints", action),
                fmt::format("meshcli controller endpoints {} tcp://HOST:PORT", action));
  if (action == "set") return named;
  Names out = where.endpoints;
  for (const std::string& endpoint : named) {
    const auto at = std::ranges::find(out, endpoint);
    if (action == "add" && at == out.end()) out.push_back(endpoint);
    if (action == "remove" && at == out.end())
      return fail(Errc::not_found, fmt::format("{} is no endpoint of the controller", endpoint),
                  fmt::format("they are {}", fmt::join(where.endpoints, ", ")));
    if (action == "remove") out.erase(at);
  }
  return out;
}

/// Nobody may be left looking where nothing is served. Errors: invalid, conflict.
Status check_nobody_is_lost(const Whereabouts& where, const Names& wanted, bool force) {
  if (wanted.empty())
    return fail(Errc::invalid, "a controller has at least one endpoint",
                "add the new one first: meshcli controller endpoints add tcp://HOST:PORT");
  const bool drops = std::ranges::any_of(
      where.endpoints, [&](const std::string& each) { return std::ranges::find(wanted, each) == wanted.end(); });
  const auto lost = where.lost_without(wanted);
  if (!drops || lost.empty() || force) return {};
  Names names;
  for (const EnrolledNode& node : lost)
    if (names.size() < kNamed) names.push_back(seen_text(node));
  const std::string more = lost.size() > kNamed ? fmt::format(" and {} more", lost.size() - kNamed) : "";
  return fail(Errc::conflict,
              fmt::format("{} of {} nodes have not seen where else to look: {}{}", lost.size(), where.nodes.size(),
                          fmt::join(names, ", "), more),
              "add the new endpoint, serve both and wait for them; or --force, and then on each of them: "
              "meshnode endpoints set ENDPOINT");
}

}  // namespace

Result<int> controller_endpoints_verb(Session& session) {
  const std::string action = session.argument("ACTION");
  if (action.empty()) MESH_TRY(refuse_change_options(session, "add, remove or set", {"force", "enrol"}));
  auto client = session.client();
  if (!client) return std::unexpected(std::move(client).error());
  auto where = read_whereabouts(**client);
  if (!where) return std::unexpected(std::move(where).error());
  if (action.empty()) return show(session, *where);
  if (action != "add" && action != "remove" && action != "set")
    return fail(Errc::usage, fmt::format("\"{}\" is nothing to do with endpoints", action), "add, remove or set");
  auto wanted = changed(*where, action, split(session.argument("ENDPOINTS")));
  if (!wanted) return std::unexpected(std::move(wanted).error());
  MESH_TRY(check_nobody_is_lost(*where, *wanted, session.has("force")));
  SetEndpoints command{*wanted, split(session.option("enrol"))};
  std::string line = fmt::format("controller endpoints: {}", fmt::join(*wanted, ", "));
  if (!command.enrol_endpoints.empty())
    line += fmt::format("; new nodes join at {}", fmt::join(command.enrol_endpoints, ", "));
  Mutation mutation;
  mutation.changes.push_back({std::move(command), std::move(line)});
  // The list replaces the one in force: what somebody adds meanwhile must not be lost.
  mutation.computed_on = Sequence(where->sequence);
  mutation.next = "see who knows it: meshcli controller endpoints; for context files:\n" + lines_for_contexts(*wanted);
  return mutate(session, std::move(mutation));
}

}  // namespace mesh::cli
