// drift: what was edited on the routers themselves, as a diff from what shall be to what is.
#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "cli/handlers.h"
#include "cli/render.h"

namespace mesh::cli {

namespace {

/// Every line of `text` behind a mark.
std::string side(char mark, const std::string& text, Tone tone, bool colour) {
  std::string out;
  for (size_t begin = 0; begin < text.size();) {
    const size_t end = std::min(text.find('\n', begin), text.size());
    out += paint(mark + printable(text.substr(begin, end - begin)), tone, colour) + "\n";
    begin = end + 1;
  }
  return out;
}

bool is_over(const Json& item) { return !value_at(item, "over_s").is_null(); }

std::string item_text(const Json& item, bool colour) {
  const int64_t since_s = number_at(item, "since_s"), over_s = number_at(item, "over_s");
  const std::string healed = text_at(item, "healed");
  std::string when = fmt::format("for {}", duration_text(since_s));
  if (is_over(item))
    when = fmt::format("{}, {} ago, after {}", healed.empty() ? "undone" : "healed by " + printable(healed),
                       duration_text(over_s), duration_text(since_s - over_s));
  const auto title = fmt::format("@@ {} of {}: {} @@", printable(text_at(item, "aspect")),
                                 printable(text_at(item, "name")), when);
  return paint(title, Tone::dim, colour) + "\n" + side('-', text_at(item, "expected"), Tone::bad, colour) +
         side('+', text_at(item, "found"), Tone::good, colour);
}

/// "r1.ams: 2 edits, policy report, seen 3s ago"
std::string title_of(const Json& node) {
  const std::string name = printable(text_at(node, "fullname"));
  if (value_at(node, "age_s").is_null()) return name + ": not heard of";
  const auto heard = fmt::format("seen {} ago{}", duration_text(number_at(node, "age_s")),
                                 flag_at(node, "connected") ? "" : ", NOT CONNECTED");
  if (value_at(node, "count").is_null()) return fmt::format("{}: its program does not look, {}", name, heard);
  const int64_t count = number_at(node, "count");
  return fmt::format("{}: {}, policy {}, {}", name,
                     count == 0 ? "no drift" : count_text(static_cast<uint64_t>(count), "edit"),
                     printable(text_at(node, "policy")), heard);
}

std::string node_text(const Json& node, bool colour) {
  std::string out = paint(title_of(node), Tone::bold, colour) + "\n";
  const Json& items = value_at(node, "drift");
  if (!items.is_array() || items.empty()) return out;
  out += fmt::format("--- v{}\n+++ the router\n", number_at(node, "version"));
  int64_t shown = 0;
  for (const Json& item : items) {
    out += item_text(item, colour);
    shown += !is_over(item);
  }
  if (const int64_t count = number_at(node, "count"); count > shown)
    out += fmt::format("and {} more\n", count - shown);
  return out;
}

}  // namespace

Result<int> show_drift(Session& session) {
  auto client = session.client();
  if (!client) return std::unexpected(std::move(client).error());
  QueryArguments arguments;
  if (const std::string node = session.argument("N"); !node.empty()) arguments["node"] = node;
  auto document = (*client)->query("drift", arguments);
  if (!document) return std::unexpected(std::move(document).error());
  const Json& nodes = value_at(*document, "items");
  bool any = false;
  std::string text, names;
  for (const Json& node : nodes) {
    text += node_text(node, session.colour_out());
    if (number_at(node, "count") == 0) continue;
    any = true;
    names += text_at(node, "fullname") + "\n";
  }
  if (session.for_people())
    session.print(text);
  else if (session.format() == Format::name)
    session.print(names);
  else if (session.format() == Format::jsonl)
    session.print(list_text(*document, ListView{{}, "fullname", ""}, Format::jsonl, false));
  else
    session.print_document(*document);
  if (const int64_t cut = number_at(*document, "shortened"); cut > 0)
    session.warn(fmt::format("the edits of {} are too many to be shown with the others: name a node",
                             count_text(static_cast<uint64_t>(cut), "node")));
  return int{any && session.has("detailed-exitcode") ? kChanges : kSuccess};
}

}  // namespace mesh::cli
