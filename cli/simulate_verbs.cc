// simulate: what becomes of the network when something fails.
#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "cli/handlers.h"
#include "cli/views.h"

namespace mesh::cli {

namespace {

/// -o wide shows all that came.
constexpr size_t kPairsShown = 20, kNamesShown = 5;

std::string names_text(const Json& names, size_t total, size_t most) {
  std::string out;
  size_t shown = 0;
  for (const Json& name : names) {
    if (shown == most) break;
    out += fmt::format("{}{}", shown++ > 0 ? ", " : "", name.is_string() ? name.get<std::string>() : json_text(name));
  }
  if (shown < total) out += fmt::format("{}{} more", shown > 0 ? " and " : "", total - shown);
  return out;
}

/// "without link r1.ams - r1.lab, node r1.nyc"; empty when nothing failed.
std::string failed_text(const Json& document) {
  const Json& failed = value_at(document, "failed");
  std::string out;
  const auto add = [&](const std::string& text) { out += (out.empty() ? "without " : ", ") + text; };
  for (const Json& link : value_at(failed, "links"))
    add(fmt::format("link {} - {}", text_at(link, "a"), text_at(link, "b")));
  const Json& nodes = value_at(failed, "nodes");
  if (!nodes.empty())
    add(fmt::format("node{} {}", nodes.size() == 1 ? "" : "s",
                    names_text(nodes, nodes.size(), 2 * kNamesShown)));
  return printable(out);
}

std::string size_text(const Json& document) {
  const auto part = [&](std::string_view when) {
    const Json& size = value_at(value_at(document, "network"), when);
    return fmt::format("{}, {}, {}", count_text(static_cast<uint64_t>(number_at(size, "nodes")), "node"),
                       count_text(static_cast<uint64_t>(number_at(size, "links")), "link"),
                       count_text(static_cast<uint64_t>(number_at(size, "parts")), "part"));
  };
  std::string out = fmt::format("{} network: {}", text_at(document, "state"), part("before"));
  if (const std::string failed = failed_text(document); !failed.empty())
    out += fmt::format("\n{}: {}", failed, part("after"));
  return out;
}

class PairsText {
 public:
  PairsText(const Json& document, bool wide, bool colour)
      : document_(document), totals_(value_at(document, "totals")), wide_(wide), colour_(colour) {}

  std::string text() {
    section("lost", "LANs that no longer reach each other", [](const Json& pair) {
      return fmt::format("- {} and {}", text_at(pair, "from"), text_at(pair, "to"));
    });
    section("longer", "LANs with a longer way", [](const Json& pair) {
      return fmt::format("~ {} and {}: {} -> {} links", text_at(pair, "from"), text_at(pair, "to"),
                         number_at(pair, "hops_before"), number_at(pair, "hops_after"));
    });
    section("down", "LANs that are down with their nodes", [](const Json& lan) {
      return fmt::format("- {}", lan.is_string() ? lan.get<std::string>() : json_text(lan));
    });
    return std::move(out_) + paint(summary(), Tone::bold, colour_) + "\n";
  }

 private:
  uint64_t total(std::string_view name) const {
    return static_cast<uint64_t>(number_at(totals_, name));
  }

  template <class Line>
  void section(std::string_view name, std::string_view title, const Line& line) {
    const Json& items = value_at(document_, name);
    if (items.empty()) return;
    out_ += paint(title, Tone::bold, colour_) + "\n";
    size_t shown = 0;
    for (const Json& item : items) {
      if (shown == kPairsShown && !wide_) break;
      out_ += "  " + printable(line(item)) + "\n";
      ++shown;
    }
    if (shown < total(name)) out_ += fmt::format("  and {} more\n", total(name) - shown);
  }

  std::string summary() const {
    std::string out = fmt::format("{} of LANs", count_text(total("pairs"), "pair"));
    const auto part = [&](std::string_view name, std::string_view what) {
      if (total(name) > 0) out += fmt::format(", {} {}", total(name), what);
    };
    part("lost", "lost");
    part("pairs_down", "down with a node");
    part("longer", "longer");
    part("unreached", "more that never reached each other");
    return out + longest();
  }

  std::string longest() const {
    const Json &before = value_at(document_, "hops_before"), &after = value_at(document_, "hops_after");
    if (before.empty()) return {};
    const int64_t then = number_at(before.back(), "hops");
    const int64_t now = after.empty() ? then : number_at(after.back(), "hops");
    return then == now ? fmt::format("; the longest way has {}", count_text(static_cast<uint64_t>(now), "link"))
                       : fmt::format("; the longest way had {} and has {}",
                                     count_text(static_cast<uint64_t>(then), "link"), now);
  }

  const Json &document_, &totals_;
  bool wide_, colour_;
  std::string out_;
};

std::string way_text(const Json& way) {
  if (!flag_at(way, "reaches")) return "no way";
  std::string out;
  for (const Json& node : value_at(way, "path"))
    out += fmt::format("{}{}", out.empty() ? "" : " > ", node.is_string() ? node.get<std::string>() : "");
  return fmt::format("{}  ({})", printable(out),
                     count_text(static_cast<uint64_t>(number_at(way, "hops")), "link"));
}

std::string reach_text(const Json& document) {
  std::string out = fmt::format("{} to {}: {}\n", printable(text_at(document, "from")),
                                printable(text_at(document, "to")), way_text(value_at(document, "before")));
  if (const std::string failed = failed_text(document); !failed.empty())
    out += fmt::format("{}: {}\n", failed, way_text(value_at(document, "after")));
  return out;
}

Json point_rows(const Json& items, bool wide) {
  const size_t most = wide ? SIZE_MAX : kNamesShown;
  Json rows = Json::array();
  for (const Json& item : items) {
    const bool link = text_at(item, "what") == "link";
    const Json& lost = value_at(item, "lost");
    std::string example;
    if (!lost.empty())
      example = fmt::format("{} and {}", text_at(lost[0], "from"), text_at(lost[0], "to"));
    rows.push_back(
        {{"what", text_at(item, "what")},
         {"name", link ? fmt::format("{} - {}", text_at(item, "a"), text_at(item, "b"))
                       : text_at(item, "fullname")},
         {"pairs", value_at(item, "pairs")},
         {"apart", names_text(value_at(item, "apart"),
                              static_cast<size_t>(number_at(item, "apart_total")), most)},
         {"example", example}});
  }
  return rows;
}

Json route_rows(const Json& items) {
  Json rows = Json::array();
  for (const Json& node : items)
    for (const auto& [prefix, route] : value_at(node, "routes").items())
      rows.push_back({{"fullname", value_at(node, "fullname")},
                      {"prefix", prefix},
                      {"via", route.is_null() ? Json("none") : value_at(route, "via")},
                      {"hops", value_at(route, "hops")}});
  return rows;
}

/// For people the rows that were made of the document, else the document.
void print_rows(Session& session, const Json& document, Json rows, const ListView& view) {
  if (session.for_people() || session.format() == Format::name)
    session.print_list({{"items", std::move(rows)}}, view);
  else
    session.print_list(document, view);
}

/// What the controller is asked, and the option that says so.
Result<std::string> wanted(const Session& session) {
  constexpr std::pair<std::string_view, std::string_view> kKinds[] = {
      {"reach", "reach"}, {"n-1", "points"}, {"routes", "routes"}, {"all-pairs", "pairs"}};
  std::string out, option;
  for (const auto& [name, want] : kKinds) {
    if (!session.has(name)) continue;
    if (!out.empty())
      return fail(Errc::usage, fmt::format("--{} and --{} are two questions", option, name),
                  "ask them one after the other");
    out = want;
    option = name;
  }
  if (session.has("node") && out != "routes")
    return fail(Errc::usage, "--node chooses whose --routes are shown", "--fail node N makes one fail");
  return out.empty() ? "pairs" : out;
}

}  // namespace

Result<int> simulate(Session& session) {
  auto want = wanted(session);
  if (!want) return std::unexpected(std::move(want).error());
  auto client = session.client();
  if (!client) return std::unexpected(std::move(client).error());
  QueryArguments arguments{{"want", *want}};
  const auto& options = session.invocation().options;
  if (const auto failures = options.find("fail"); failures != options.end())
    arguments["fail"] = fmt::format("{}", fmt::join(failures->second, "\n"));
  if (session.has("reach")) arguments["reach"] = session.option("reach");
  if (session.has("working")) arguments["working"] = "1";
  if (session.has("node")) arguments["node"] = session.option("node");
  auto document = (*client)->query("simulate", arguments);
  if (!document) return std::unexpected(std::move(document).error());
  const Json& items = value_at(*document, "items");
  const bool people = session.for_people();
  if (people) session.note(size_text(*document));
  if (*want == "points") {
    print_rows(session, *document, point_rows(items, session.format() == Format::wide), kPointsView);
  } else if (*want == "routes") {
    print_rows(session, *document, route_rows(items), kRoutesView);
  } else if (!people) {
    session.print_document(*document);
  } else if (*want == "reach") {
    session.print(reach_text(*document));
  } else {
    session.print(PairsText(*document, session.format() == Format::wide, session.colour_out()).text());
  }
  const bool out_of_reach = *want == "reach" && !flag_at(value_at(*document, "after"), "reaches");
  return int{out_of_reach ? kFailed : kSuccess};
}

}  // namespace mesh::cli
