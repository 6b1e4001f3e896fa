// log: who did what, when and why.
#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "cli/event_text.h"
#include "cli/handlers.h"
#include "schemas/json.h"

namespace mesh::cli {

namespace {

constexpr size_t kEventsShown = 4;
constexpr int kListenMs = 500;
constexpr int kReconnectMs = 1000;

std::string entry_text(const Json& entry, const NodeNames& names, bool wide, bool colour) {
  std::string out = fmt::format(
      "{}  {}  {:<12}  ",
      paint(fmt::format("#{:<5}", number_at(entry, "sequence")), Tone::bold, colour),
      cell_text(value_at(entry, "time"), Cell::time, wide), printable(text_at(entry, "principal")));
  const Json& events = value_at(entry, "events");
  out += printable(events_text(events, names, wide ? events.size() : kEventsShown));
  if (events.empty()) out += printable(text_at(entry, "command"));
  if (const std::string damaged = text_at(entry, "damaged"); !damaged.empty())
    out += paint(fmt::format("damaged: {}", printable(damaged)), Tone::bad, colour);
  if (const std::string message = text_at(entry, "message"); !message.empty())
    out += "  " + paint(fmt::format("\"{}\"", printable(message)), Tone::dim, colour);
  if (const std::string reference = text_at(entry, "reference"); !reference.empty())
    out += fmt::format("  [{}]", printable(reference));
  return out + "\n";
}

/// Prints entries as they come, whatever the format: a log can be longer than memory.
class LogPrinter {
 public:
  explicit LogPrinter(Session& session) : session_(session) {}

  void print(const Json& document) {
    learn_names(names_, document);
    for (const Json& item : value_at(document, "items")) {
      last_ = std::max<int64_t>(last_, number_at(item, "sequence"));
      any_ = true;
      switch (session_.format()) {
        case Format::table:
        case Format::wide:
          session_.print(
              entry_text(item, names_, session_.format() == Format::wide, session_.colour_out()));
          break;
        case Format::jsonl:
          session_.print(json_text(item) + "\n");
          break;
        case Format::name:
          session_.print(fmt::format("{}\n", number_at(item, "sequence")));
          break;
        case Format::json:
        case Format::yaml:
          kept_.push_back(item);
          break;
      }
    }
  }

  void finish(const Json& document) {
    if (session_.format() == Format::json || session_.format() == Format::yaml) {
      Json whole = document;
      whole["items"] = std::move(kept_);
      session_.print_document(whole);
    } else if (session_.for_people() && !any_) {
      session_.note("No entry.");
    }
  }

  int64_t last() const { return last_; }

 private:
  Session& session_;
  NodeNames names_;
  int64_t last_ = 0;
  bool any_ = false;
  Json kept_ = Json::array();
};

Result<QueryArguments> filters(Session& session) {
  QueryArguments out;
  for (const char* name : {"actor", "node", "site", "type", "grep"})
    if (session.has(name)) out[name] = session.option(name);
  for (const char* name : {"since", "until"}) {
    if (!session.has(name)) continue;
    auto time = parse_time(session.option(name), session.environment().now());
    if (!time) return std::unexpected(std::move(time).error());
    out[name] = time_text(*time);
  }
  return out;
}

/// Every page that `arguments` select. The document returned is the last page, without items.
Result<Json> print_pages(Client& client, const QueryArguments& arguments, LogPrinter& printer) {
  std::string cursor;
  for (;;) {
    auto page = client.query_page("log", arguments, cursor);
    if (!page) return page;
    printer.print(*page);
    (*page)["items"] = Json::array();
    if (cursor.empty()) return page;
  }
}

/// The newest `limit`: the controller reads from the end backwards. Newest last, as they came about.
Result<Json> read_newest(Client& client, QueryArguments arguments, uint64_t limit) {
  Json out, items = Json::array(), names = Json::object();
  std::string cursor;
  arguments["newest"] = "1";
  do {
    arguments["limit"] = std::to_string(limit - items.size());
    auto page = client.query_page("log", arguments, cursor);
    if (!page) return page;
    for (Json& item : (*page)["items"]) items.push_back(std::move(item));
    names.update(value_at(*page, "names").is_object() ? value_at(*page, "names") : Json::object());
    out = std::move(*page);
  } while (!cursor.empty() && items.size() < limit);
  std::reverse(items.begin(), items.end());
  out["names"] = std::move(names);
  out["items"] = std::move(items);
  return out;
}

Result<Json> print_newest(Session& session, Client& client, const QueryArguments& arguments,
                          uint64_t limit, LogPrinter& printer) {
  auto document = read_newest(client, arguments, limit);
  if (!document) return document;
  Json& items = (*document)["items"];
  if (session.has("reverse")) std::reverse(items.begin(), items.end());
  printer.print(*document);
  items = Json::array();
  return document;
}

/// A subscription only says that there is something new; the query, with its filters, says what.
Result<int> follow(Session& session, Client& client, QueryArguments arguments, int64_t from,
                   LogPrinter& printer) {
  Environment& environment = session.environment();
  environment.catch_interrupts();
  int64_t head = from;
  arguments.erase("until");
  bool subscribed = false;
  while (!environment.interrupted()) {
    if (!subscribed)
      subscribed = client.transport()
                       .send(Subscribe{Sequence(static_cast<uint64_t>(head)), 1 << 20, false})
                       .has_value();
    arguments["after"] = std::to_string(head);
    auto page = print_pages(client, arguments, printer);
    if (page) head = std::max({head, number_at(*page, "sequence"), printer.last()});
    if (!page && page.error().code != Errc::unavailable)
      return std::unexpected(std::move(page).error());
    for (bool news = false; !news && !environment.interrupted();) {
      auto body = subscribed && page ? client.transport().receive(kListenMs)
                                     : Result<std::optional<Body>>(fail(Errc::unavailable, ""));
      if (!body) {
        if (body.error().code != Errc::unavailable) return std::unexpected(std::move(body).error());
        subscribed = false;
        environment.sleep(kReconnectMs);
        break;
      }
      if (!*body) continue;
      if (const auto* entries = std::get_if<Entries>(&**body)) {
        uint64_t bytes = 0;
        for (const EncodedEntry& entry : entries->entries) bytes += entry.size();
        if (bytes > 0 && !client.transport().send(Credit{bytes})) subscribed = false;
        news = !entries->entries.empty();
      } else if (const auto* heard = std::get_if<Head>(&**body)) {
        news = static_cast<int64_t>(heard->sequence.value()) > head;
      }
    }
  }
  return int{kInterrupted};
}

}  // namespace

Result<int> show_log(Session& session) {
  const bool following = session.has("follow");
  if (following && session.has("reverse"))
    return fail(Errc::usage, "--follow and --reverse contradict each other", "leave one out");
  if (following && session.has("at"))
    return fail(Errc::usage, "--follow and --at contradict each other", "leave one out; --until ends at a moment");
  if (following && (session.format() == Format::json || session.format() == Format::yaml))
    return fail(Errc::usage, "a log that goes on is no single document",
                "use -o jsonl with --follow");
  auto arguments = filters(session);
  if (!arguments) return std::unexpected(std::move(arguments).error());
  auto limit =
      session.has("limit") ? parse_number("--limit", session.option("limit")) : Result<uint64_t>(0);
  if (!limit) return std::unexpected(std::move(limit).error());
  auto client = session.client();
  if (!client) return std::unexpected(std::move(client).error());
  LogPrinter printer(session);
  if (session.has("reverse")) (*arguments)["newest"] = "1";
  auto document = session.has("limit")
                      ? print_newest(session, **client, *arguments, *limit, printer)
                      : print_pages(**client, *arguments, printer);
  if (!document) return std::unexpected(std::move(document).error());
  if (!following) {
    printer.finish(*document);
    return int{kSuccess};
  }
  return follow(session, **client, *arguments,
                std::max(number_at(*document, "sequence"), printer.last()), printer);
}

}  // namespace mesh::cli
