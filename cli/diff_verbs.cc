// diff: two states of the network side by side.
#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "cli/changes_text.h"
#include "cli/handlers.h"
#include "cli/moment.h"

namespace mesh::cli {

namespace {

/// A fleet has millions of pairs; -o wide shows all that changed.
constexpr size_t kPairsShown = 20;

/// Words that name a state of each node, not an instant: the controller takes them as they are.
bool names_a_state(std::string_view text) {
  constexpr std::string_view kWords[] = {"working", "committed", "latest", "active", "current"};
  const bool version = text.size() > 1 && text.front() == 'v' &&
                       text.find_first_not_of("0123456789", 1) == std::string_view::npos;
  return version || std::ranges::find(kWords, text) != std::end(kWords);
}

Result<std::string> side(Session& session, Client& client, std::string_view name,
                         std::string_view otherwise) {
  const std::string text = session.argument(name);
  if (text.empty()) return std::string(otherwise);
  if (names_a_state(text)) return text;
  return absolute_instant(client, text, session.environment().now());
}

std::string value_text(const Json& value) {
  if (value.is_null()) return "-";
  return value.is_string() ? value.get<std::string>() : json_text(value);
}

/// A list item that is text, or an object with the text under one of `keys`.
std::string item_text(const Json& item, std::initializer_list<std::string_view> keys) {
  if (item.is_string()) return item.get<std::string>();
  for (const std::string_view key : keys)
    if (const Json& value = value_at(item, key); !value.is_null()) return value_text(value);
  return json_text(item);
}

class ComparisonText {
 public:
  ComparisonText(const Json& document, bool wide, bool colour)
      : document_(document), wide_(wide), colour_(colour) {}

  std::string text() {
    attributes();
    title("structure", value_at(document_, "structure").size());
    for (const Json& line : value_at(document_, "structure")) add("  ", item_text(line, {"text"}));
    links();
    reachability();
    files();
    if (!out_.empty()) out_ += paint(summary(), Tone::bold, colour_) + "\n";
    return std::move(out_);
  }

 private:
  void title(std::string_view name, size_t count) {
    if (count > 0) out_ += paint(name, Tone::bold, colour_) + "\n";
  }
  void add(std::string_view indent, const std::string& line) {
    out_ += fmt::format("{}{}\n", indent, change_line(line, colour_));
  }

  void attributes() {
    const Json& items = value_at(document_, "attributes");
    title("attributes", items.size());
    for (const Json& item : items) {
      const Json &before = value_at(item, "before"), &now = value_at(item, "now");
      const std::string name = fmt::format("{}: {}", text_at(item, "scope"), text_at(item, "name"));
      if (before.is_null())
        add("  ", fmt::format("+ {} = {}", name, value_text(now)));
      else if (now.is_null())
        add("  ", fmt::format("- {} = {}", name, value_text(before)));
      else
        add("  ", fmt::format("~ {} = {} -> {}", name, value_text(before), value_text(now)));
    }
  }

  void links() {
    const Json &links = value_at(document_, "links"), &added = value_at(links, "added"),
               &removed = value_at(links, "removed");
    title("links", added.size() + removed.size());
    const auto line = [](char mark, const Json& link) {
      return fmt::format("{} {} - {}", mark, item_text(value_at(link, "a"), {}),
                         item_text(value_at(link, "b"), {}));
    };
    for (const Json& link : removed) add("  ", line('-', link));
    for (const Json& link : added) add("  ", line('+', link));
  }

  void reachability() {
    const Json &reach = value_at(document_, "reachability"), &lost = value_at(reach, "lost"),
               &gained = value_at(reach, "gained");
    title("reachability", lost.size() + gained.size());
    pairs('-', lost);
    pairs('+', gained);
  }
  void pairs(char mark, const Json& list) {
    size_t shown = 0;
    for (const Json& pair : list) {
      if (shown++ == kPairsShown && !wide_) break;
      add("  ", fmt::format("{} {} to {}", mark, item_text(value_at(pair, "from"), {}),
                            item_text(value_at(pair, "to"), {})));
    }
    if (!wide_ && list.size() > kPairsShown)
      out_ += fmt::format("  {} and {} more\n", mark, list.size() - kPairsShown);
  }

  void files() {
    for (const Json& item : value_at(document_, "items")) {
      ++nodes_;
      const std::string diff = text_at(item, "text");
      for (const std::string& line : split(diff, '\n')) {
        plus_ += line.starts_with('+') && !line.starts_with("+++ ");
        minus_ += line.starts_with('-') && !line.starts_with("--- ");
      }
      out_ += fmt::format("{}  {} -> {}  {}\n",
                          paint(printable(text_at(item, "fullname")), Tone::bold, colour_),
                          cell_text(value_at(item, "a"), Cell::version, false),
                          cell_text(value_at(item, "b"), Cell::version, false),
                          effect_text(text_at(item, "effect"), colour_));
      out_ += change_lines(value_at(item, "changes"), colour_) + unified_text(diff, colour_);
    }
  }

  std::string summary() const {
    const Json &links = value_at(document_, "links"), &reach = value_at(document_, "reachability");
    std::vector<std::string> parts;
    const auto part = [&](size_t count, std::string_view noun, std::string_view what = "") {
      if (count > 0) parts.push_back(count_text(count, noun) + std::string(what));
    };
    part(value_at(document_, "attributes").size(), "attribute");
    part(value_at(document_, "structure").size(), "change", " of structure");
    part(value_at(links, "added").size(), "link", " added");
    part(value_at(links, "removed").size(), "link", " removed");
    part(value_at(reach, "gained").size(), "pair", " gained");
    part(value_at(reach, "lost").size(), "pair", " lost");
    part(nodes_, "node", fmt::format("'{} files +{} -{}", nodes_ == 1 ? "s" : "", plus_, minus_));
    return fmt::format("{}", fmt::join(parts, ", "));
  }

  const Json& document_;
  bool wide_, colour_;
  std::string out_;
  size_t nodes_ = 0, plus_ = 0, minus_ = 0;
};

bool differs(const Json& document) {
  const Json &links = value_at(document, "links"), &reach = value_at(document, "reachability");
  const Json* lists[] = {&value_at(document, "attributes"), &value_at(document, "structure"),
                         &value_at(links, "added"),         &value_at(links, "removed"),
                         &value_at(reach, "lost"),          &value_at(reach, "gained"),
                         &value_at(document, "items")};
  return std::ranges::any_of(lists, [](const Json* list) { return !list->empty(); });
}

}  // namespace

Result<int> show_diff(Session& session) {
  auto client = session.client();
  if (!client) return std::unexpected(std::move(client).error());
  auto a = side(session, **client, "A", "active"), b = side(session, **client, "B", "working");
  if (!a) return std::unexpected(std::move(a).error());
  if (!b) return std::unexpected(std::move(b).error());
  QueryArguments arguments{{"a", *a}, {"b", *b}};
  if (const std::string node = session.argument("N"); !node.empty()) arguments["node"] = node;
  auto document = (*client)->query("compare", arguments);
  if (!document) return std::unexpected(std::move(document).error());
  if (session.format() == Format::name || session.format() == Format::jsonl)
    session.print(list_text(*document, ListView{{}, "fullname", ""}, session.format(), false));
  else if (session.for_people())
    session.print(
        ComparisonText(*document, session.format() == Format::wide, session.colour_out()).text());
  else
    session.print_document(*document);
  const bool different = differs(*document);
  if (!different && session.for_people()) session.note("No difference.");
  return int{session.has("detailed-exitcode") && different ? kChanges : kSuccess};
}

}  // namespace mesh::cli
