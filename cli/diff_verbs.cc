// diff: two states of the network side by side.
#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "cli/changes_text.h"
#include "cli/files/file_contents.h"
#include "cli/files/file_sides.h"
#include "cli/handlers.h"
#include "cli/moment.h"
#include "eventstore/model/attribute_table.h"
#include "eventstore/model/json_text.h"
#include "eventstore/model/text_diff.h"

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
  if (names_a_state(text) || names_a_file(text)) return text;
  return absolute_instant(client, text, session.environment().now());
}

std::string value_text(const Json& value) {
  return value.is_null() ? "-" : attribute_text(value);
}

/// "node r1.lab (12) added" with the mark of what it does.
std::string marked(const std::string& structure) {
  const char* mark = structure.ends_with(" added")     ? "+ "
                     : structure.ends_with(" removed") ? "- "
                                                       : "~ ";
  return mark + structure;
}

std::string ends_text(char mark, const Json& pair, std::string_view a, std::string_view between,
                      std::string_view b) {
  return fmt::format("{} {} {} {}", mark, text_at(pair, a), between, text_at(pair, b));
}

class ComparisonText {
 public:
  ComparisonText(const Json& document, bool wide, bool colour)
      : document_(document), totals_(value_at(document, "totals")), wide_(wide), colour_(colour) {}

  std::string text() {
    attributes();
    structure();
    links();
    reachability();
    files();
    if (!out_.empty()) out_ += paint(summary(), Tone::bold, colour_) + "\n";
    return std::move(out_);
  }

 private:
  /// Long lists come cut, with their true length beside.
  size_t total(std::string_view name, const Json& list) const {
    return std::max<size_t>(list.size(), static_cast<size_t>(number_at(totals_, name)));
  }
  void title(std::string_view name, size_t count) {
    if (count > 0) out_ += paint(name, Tone::bold, colour_) + "\n";
  }
  void add(const std::string& line) { out_ += "  " + change_line(line, colour_) + "\n"; }
  void more(size_t shown, size_t all) {
    if (shown < all) out_ += fmt::format("  and {} more\n", all - shown);
  }

  void attributes() {
    const Json& items = value_at(document_, "attributes");
    title("attributes", items.size());
    for (const Json& item : items) {
      const Json &before = value_at(item, "before"), &now = value_at(item, "now");
      const std::string name = fmt::format("{}: {}", text_at(item, "scope"), text_at(item, "name"));
      if (before.is_null())
        add(fmt::format("+ {} = {}", name, value_text(now)));
      else if (now.is_null())
        add(fmt::format("- {} = {}", name, value_text(before)));
      else
        add(fmt::format("~ {} = {} -> {}", name, value_text(before), value_text(now)));
      out_ += unified_text(text_at(item, "text"), colour_);
    }
    more(items.size(), total("attributes", items));
  }

  void structure() {
    const Json& items = value_at(document_, "structure");
    title("structure", items.size());
    for (const Json& item : items)
      if (item.is_string()) add(marked(item.get<std::string>()));
    more(items.size(), total("structure", items));
  }

  void links() {
    const Json &links = value_at(document_, "links"), &added = value_at(links, "added"),
               &removed = value_at(links, "removed");
    title("links", added.size() + removed.size());
    for (const Json& link : removed) add(ends_text('-', link, "a", "-", "b"));
    more(removed.size(), total("links_removed", removed));
    for (const Json& link : added) add(ends_text('+', link, "a", "-", "b"));
    more(added.size(), total("links_added", added));
  }

  void reachability() {
    const Json &reach = value_at(document_, "reachability"), &lost = value_at(reach, "lost"),
               &gained = value_at(reach, "gained");
    title("reachability", lost.size() + gained.size());
    pairs('-', lost, total("reachability_lost", lost));
    pairs('+', gained, total("reachability_gained", gained));
  }
  void pairs(char mark, const Json& list, size_t all) {
    size_t shown = 0;
    for (const Json& pair : list) {
      if (shown == kPairsShown && !wide_) break;
      add(ends_text(mark, pair, "from", "and", "to"));
      ++shown;
    }
    more(shown, all);
  }

  void files() {
    const Json& items = value_at(document_, "items");
    for (const Json& item : items) {
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
    if (items.size() < total("items", items))
      out_ += fmt::format("and {} more nodes\n", total("items", items) - items.size());
  }

  std::string summary() const {
    const Json &links = value_at(document_, "links"), &reach = value_at(document_, "reachability");
    std::vector<std::string> parts;
    const auto part = [&](std::string_view name, const Json& list, std::string_view noun,
                          std::string_view what) {
      if (const size_t count = total(name, list); count > 0)
        parts.push_back(count_text(count, noun) + std::string(what));
    };
    part("attributes", value_at(document_, "attributes"), "attribute", "");
    part("structure", value_at(document_, "structure"), "change", " of structure");
    part("links_added", value_at(links, "added"), "link", " added");
    part("links_removed", value_at(links, "removed"), "link", " removed");
    part("reachability_gained", value_at(reach, "gained"), "pair", " gained");
    part("reachability_lost", value_at(reach, "lost"), "pair", " lost");
    part("items", value_at(document_, "items"), "configuration",
         fmt::format(" (+{} -{} lines)", plus_, minus_));
    return fmt::format("{}", fmt::join(parts, ", "));
  }

  const Json &document_, &totals_;
  bool wide_, colour_;
  std::string out_;
  size_t plus_ = 0, minus_ = 0;
};

Result<Json> compare(Session& session, Client& client, const std::string& a,
                     const std::string& b) {
  const std::string node = session.argument("N");
  if (names_a_file(a) || names_a_file(b)) return compare_with_file(session, client, a, b, node);
  QueryArguments arguments{{"a", a}, {"b", b}};
  if (!node.empty()) arguments["node"] = node;
  return client.query("compare", arguments);
}

/// Of changed files the lines that changed, as "text". What cannot be read has none.
void add_contents(Client& client, Json& document) {
  constexpr size_t kFilesMax = 50, kBytesMax = 256 * 1024;
  FileContents contents(client);
  size_t shown = 0;
  if (!value_at(document, "attributes").is_array()) return;
  for (Json& item : document["attributes"]) {
    const auto before = file_at(value_at(item, "before")), now = file_at(value_at(item, "now"));
    if (!before || !now || std::max(before->size, now->size) > kBytesMax || shown++ == kFilesMax) continue;
    auto a = contents.get(*before), b = contents.get(*now);
    if (!a || !b || !is_utf8(*a) || !is_utf8(*b)) continue;
    const std::string name(file_of(text_at(item, "name")).value_or(""));
    item["text"] = unified_diff("a/" + name, *a, "b/" + name, *b);
  }
}

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
  auto document = compare(session, **client, *a, *b);
  if (!document) return std::unexpected(std::move(document).error());
  if (session.format() != Format::name) add_contents(**client, *document);
  if (session.format() == Format::name || session.format() == Format::jsonl)
    session.print(list_text(*document, ListView{{}, "fullname", ""}, session.format(), false));
  else if (session.for_people())
    session.print(
        ComparisonText(*document, session.format() == Format::wide, session.colour_out()).text());
  else
    session.print_document(*document);
  for (const Json& note : value_at(*document, "notes"))
    if (note.is_string()) session.hint(printable(note.get<std::string>()));
  const bool different = differs(*document);
  if (!different && session.for_people()) session.note("No difference.");
  return int{session.has("detailed-exitcode") && different ? kChanges : kSuccess};
}

}  // namespace mesh::cli
