// blame, bisect: which entry made it so.
#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "cli/event_text.h"
#include "cli/files/file_contents.h"
#include "cli/handlers.h"
#include "cli/moment.h"
#include "cli/scope.h"
#include "cli/views.h"

namespace mesh::cli {

namespace {

constexpr size_t kMessageShown = 24;

std::string value_text(const Json& value) {
  return value.is_null() ? "-" : attribute_text(value);
}

/// Values as people type them; what is gone says so.
Json blame_rows(const Json& items) {
  Json rows = Json::array();
  for (Json row : items) {
    const std::string before = value_text(value_at(row, "before"));
    std::string value = value_text(value_at(row, "value"));
    if (flag_at(row, "removed"))
      value = fmt::format("{}(removed from {}, was {})", value == "-" ? "" : value + " ",
                          text_at(row, "removed_from"), before);
    row["value"] = value;
    row["before"] = before;
    if (number_at(row, "sequence") == 0) row["sequence"] = nullptr;
    rows.push_back(std::move(row));
  }
  return rows;
}

Result<int> blame_attributes(Session& session, Client& client) {
  QueryArguments arguments{{"scope", to_text(target_of(session))}};
  if (const std::string name = session.argument("ATTRIBUTE"); !name.empty())
    arguments["name"] = name;
  Json document;
  std::string cursor;
  Progress progress(session);
  const auto head = client.position();
  do {
    auto page = client.query_page("blame", arguments, cursor);
    if (!page) return std::unexpected(std::move(page).error());
    document = std::move(*page);
    if (cursor.empty() || !head) continue;
    // It goes backwards, from the newest entry to the first.
    const uint64_t all = head->sequence.value();
    const auto at = parse_number("the cursor", cursor);
    if (!at) return fail(Errc::corrupt, "the controller's answer to query blame has no cursor that can be read");
    progress.show("search", all - std::min(all, *at), all, "");
  } while (!cursor.empty());
  if (session.for_people())
    session.print_list({{"items", blame_rows(value_at(document, "items"))}}, kBlameView);
  else
    session.print_list(document, kBlameView);
  return int{kSuccess};
}

std::string cut(std::string text, size_t most) {
  if (text.size() <= most) return text;
  size_t end = most - 2;
  // Not within a character.
  while (end > 0 && (static_cast<uint8_t>(text[end]) & 0xc0) == 0x80) --end;
  return text.substr(0, end) + "..";
}

/// In the manner of git blame: who, when and why before each line.
std::string file_blame_text(const Json& items, bool wide, bool colour) {
  std::string out, file;
  size_t widest = 0;
  const bool several = !items.empty() && items[0]["file"] != items[items.size() - 1]["file"];
  for (const Json& item : items) widest = std::max(widest, text_at(item, "by").size());
  int64_t last = 0;
  for (const Json& item : items) {
    if (several && text_at(item, "file") != file) {
      file = text_at(item, "file");
      out += paint("== " + printable(file), Tone::bold, colour) + "\n";
      last = 0;
    }
    const int64_t sequence = number_at(item, "sequence");
    std::string why = text_at(item, "message");
    if (text_at(item, "origin") == "program") why = "(with the node)";
    if (!wide) why = cut(std::move(why), kMessageShown);
    const std::string credit = fmt::format(
        "{:<7}  {}  {:<{}}  {:<{}}", fmt::format("#{}", sequence),
        cell_text(value_at(item, "time"), Cell::time, false), printable(text_at(item, "by")),
        widest, printable(why), kMessageShown);
    // Lines of one entry stand together: only the first is bright.
    out += paint(credit, sequence == last ? Tone::dim : Tone::plain, colour) +
           fmt::format("  {:>4}  {}\n", number_at(item, "line"), printable(text_at(item, "text")));
    last = sequence;
  }
  return out;
}

Result<int> blame_file(Session& session, Client& client) {
  auto document = client.query(
      "blame", {{"node", session.argument("NODE")}, {"file", session.option("file")}});
  if (!document) return std::unexpected(std::move(document).error());
  const Json& items = value_at(*document, "items");
  if (session.for_people())
    session.print(
        file_blame_text(items, session.format() == Format::wide, session.colour_out()));
  else if (session.format() == Format::jsonl)
    for (const Json& item : items) session.print(json_text(item) + "\n");
  else if (session.format() == Format::name)
    for (const Json& item : items) session.print(fmt::format("{}\n", number_at(item, "sequence")));
  else
    session.print_document(*document);
  return int{kSuccess};
}

/// Steps go to stderr as they come; the document returned has all of them as items.
Result<Json> run_bisection(Session& session, Client& client, const QueryArguments& arguments) {
  Json out, steps = Json::array();
  std::string cursor;
  do {
    auto page = client.query_page("bisect", arguments, cursor);
    if (!page) return page;
    const auto between = number_at(*page, "bad") - number_at(*page, "good") - 1;
    int64_t left = 0;
    while ((int64_t{1} << left) <= between) ++left;
    const Json& items = value_at(*page, "items");
    for (const Json& step : items) {
      const bool last = &step == &items.back();
      session.note(fmt::format("#{:<8} {}{}", number_at(step, "sequence"), text_at(step, "verdict"),
                               last && left > 0 ? fmt::format("  about {} left", count_text(
                                                                  static_cast<uint64_t>(left), "step"))
                                                : ""));
      steps.push_back(step);
    }
    out = std::move(*page);
  } while (!cursor.empty());
  out["items"] = std::move(steps);
  return out;
}

std::string first_bad_text(const Json& document) {
  const Json& entry = value_at(document, "first_bad");
  NodeNames names;
  learn_names(names, document);
  std::string out = fmt::format("#{} is the first bad entry\n", number_at(entry, "sequence"));
  const auto line = [&](std::string_view name, const std::string& value) {
    if (!value.empty()) out += fmt::format("  {:<10}  {}\n", name, printable(value));
  };
  line("time", cell_text(value_at(entry, "time"), Cell::time, false));
  line("by", text_at(entry, "principal"));
  line("why", text_at(entry, "message"));
  line("reference", text_at(entry, "reference"));
  for (const Json& event : value_at(entry, "events")) line("event", event_text(event, names));
  return out;
}

}  // namespace

Result<int> show_blame(Session& session) {
  auto client = session.client();
  if (!client) return std::unexpected(std::move(client).error());
  if (!session.has("file")) return blame_attributes(session, **client);
  if (!session.argument("ATTRIBUTE").empty())
    return fail(Errc::usage, "an attribute and --file contradict each other", "leave one out");
  return blame_file(session, **client);
}

Result<int> bisect(Session& session) {
  for (const char* name : {"good", "bad", "test"})
    if (!session.has(name))
      return fail(Errc::usage, fmt::format("bisect needs --{}", name),
                  "meshcli bisect --good v3 --bad head --test 'reach ams lab' --node r1.ams");
  auto client = session.client();
  if (!client) return std::unexpected(std::move(client).error());
  QueryArguments arguments{{"test", session.option("test")}};
  for (const char* name : {"good", "bad"}) {
    auto instant = absolute_instant(**client, session.option(name), session.environment().now());
    if (!instant) return fail_in(fmt::format("--{}", name), instant.error());
    arguments[name] = *instant;
  }
  if (session.has("node")) arguments["node"] = session.option("node");
  auto document = run_bisection(session, **client, arguments);
  if (!document) return std::unexpected(std::move(document).error());
  const Json& entry = value_at(*document, "first_bad");
  if (session.for_people())
    session.print(first_bad_text(*document));
  else if (session.format() == Format::name)
    session.print(fmt::format("{}\n", number_at(entry, "sequence")));
  else
    session.print_document(*document);
  return int{kSuccess};
}

}  // namespace mesh::cli
