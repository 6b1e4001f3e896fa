// status and wait: how the fleet is now.
#include <fmt/format.h>

#include <algorithm>
#include <iostream>
#include <nlohmann/json.hpp>

#include "cli/activation.h"
#include "cli/handlers.h"
#include "cli/link_text.h"
#include "cli/scope.h"
#include "cli/views.h"

namespace mesh::cli {

namespace {

constexpr int64_t kWatchDefaultS = 2;
constexpr int64_t kCountdownS = 1;
constexpr int kSilentMs = 1000;
constexpr int64_t kWaitDefaultS = 60;
constexpr int kWaitPollMs = 200;

std::string head_line(const Json& document, const Json& rows) {
  const Json& controller = value_at(document, "controller");
  const auto ok =
      std::ranges::count_if(rows, [](const Json& row) { return text_at(row, "state") == "ok"; });
  std::string out = count_text(rows.size(), "node");
  // What was seen of the nodes is not kept: of the past there is only what was wanted.
  if (!controller.is_null())
    out = fmt::format("controller {} at #{}{}, {} of {} ok", text_at(controller, "version"),
                      number_at(document, "sequence"),
                      flag_at(controller, "read_only") ? " READ-ONLY" : "", ok, out);
  const Json& uncommitted = value_at(document, "uncommitted");
  const int64_t count = uncommitted.is_array() ? static_cast<int64_t>(uncommitted.size())
                                               : number_at(document, "uncommitted");
  if (count > 0)
    out += fmt::format(", {} uncommitted", count_text(static_cast<uint64_t>(count), "change"));
  return out + "\n";
}

/// What waits for a confirmation, with its countdown.
std::string pending_texts(const Json& document, bool colour) {
  std::string out;
  for (const Json& activation : value_at(document, "pending")) out += "\n" + pending_text(activation, colour);
  return out;
}

constexpr size_t kFindingsShown = 5;

/// Links whose MTU is too large, with what mends them.
std::string findings_text(const Json& items) {
  std::string out;
  const auto findings = path_findings(items);
  for (size_t i = 0; i < std::min(findings.size(), kFindingsShown); ++i)
    out += fmt::format("\n{}\n  {}\n", findings[i].detail, findings[i].fix);
  if (findings.size() > kFindingsShown)
    out += fmt::format("\nand {} more: meshcli doctor\n", count_text(findings.size() - kFindingsShown, "such link"));
  return out;
}

/// The machine and the links of the node that was asked for.
std::string node_text(const Json& item, bool wide, bool colour) {
  if (!value_at(item, "link_items").is_array()) return {};
  std::string out = machine_text(item);
  if (!out.empty()) out = "\n" + out;
  Json links = value_at(item, "link_items");
  for (Json& link : links) add_link_texts(link);
  if (!links.empty()) out += "\n" + table_text(links, kNodeLinksView, wide, colour);
  return out;
}

std::string status_text(const Json& document, bool wide, bool colour) {
  Json rows = value_at(document, "items");
  for (Json& row : rows) {
    if (!value_at(row, "links").is_null())
      row["links_text"] = fmt::format("{}/{}", number_at(row, "links_up"), number_at(row, "links"));
    add_machine_texts(row);
    // Who was never heard of lags behind nothing.
    if (number_at(row, "age_s") < 0 || value_at(row, "age_s").is_null()) row["lag"] = nullptr;
    const Json& outcome = value_at(row, "last_outcome");
    if (outcome.is_object())
      row["last_outcome"] =
          fmt::format("{} {}", text_at(outcome, "kind"), text_at(outcome, "message"));
  }
  std::string out = head_line(document, rows) + pending_texts(document, colour);
  if (!rows.empty()) out += "\n" + table_text(rows, kStatusView, wide, colour);
  if (rows.size() == 1) out += node_text(rows.front(), wide, colour);
  return out + findings_text(rows);
}

void print_status(Session& session, const Json& document) {
  if (session.for_people())
    session.print(status_text(document, session.format() == Format::wide, session.colour_out()));
  else if (session.format() == Format::name)
    session.print(list_text(document, kStatusView, Format::name, false));
  else
    session.print_document(document);
}

/// What `--for` asks of an item of the status document.
struct Condition {
  enum class Kind : uint8_t { version, sequence, health } kind{};
  uint64_t number = 0;

  bool holds(const Json& item) const {
    switch (kind) {
      case Kind::version:
        return number_at(item, "version_active") == static_cast<int64_t>(number);
      case Kind::sequence:
        return number_at(item, "head") >= static_cast<int64_t>(number);
      case Kind::health:
        return text_at(item, "state") == "ok" && flag_at(item, "connected");
    }
    return false;
  }
};

Result<Condition> parse_condition(const std::string& text) {
  const auto bad = [&] {
    return fail(Errc::usage,
                text.empty() ? "wait needs --for" : fmt::format("\"{}\" is not a condition", text),
                "--for version=v5, --for sequence=12 or --for health=ok");
  };
  const size_t equals = text.find('=');
  if (equals == std::string::npos) return bad();
  const std::string name = text.substr(0, equals), value = text.substr(equals + 1);
  if (name == "health" && value == "ok") return Condition{Condition::Kind::health, 0};
  if (name == "version") {
    auto version = parse_version(value);
    if (!version) return std::unexpected(std::move(version).error());
    if (*version == Version()) return bad();
    return Condition{Condition::Kind::version, version->value()};
  }
  if (name != "sequence") return bad();
  auto number = parse_number("--for sequence", value);
  if (!number) return std::unexpected(std::move(number).error());
  return Condition{Condition::Kind::sequence, *number};
}

Result<int64_t> duration_option(const Session& session, std::string_view name, int64_t otherwise) {
  return session.has(name) ? parse_duration_s(session.option(name)) : Result<int64_t>(otherwise);
}

}  // namespace

Result<int> show_status(Session& session) {
  auto interval_s = duration_option(session, "interval", kWatchDefaultS);
  if (!interval_s) return std::unexpected(std::move(interval_s).error());
  if (*interval_s < 1) return fail(Errc::usage, "--interval is at least 1s", "for example --interval 5s");
  const bool watch = session.has("watch");
  if (watch && session.has("at"))
    return fail(Errc::usage, "nothing moves in the past: --watch or --at", "leave one out");
  auto client = session.client();
  if (!client) return std::unexpected(std::move(client).error());
  QueryArguments arguments;
  if (const std::string node = session.argument("N"); !node.empty()) arguments["node"] = node;
  Environment& environment = session.environment();
  if (watch) environment.catch_interrupts();
  for (bool seen = false;;) {
    auto document = (*client)->query("status", arguments);
    if (!document && watch && seen && document.error().code == Errc::unavailable) {
      // The network that carries this session may be what is changing: it comes back by itself.
      session.note("no answer from the controller");
      environment.sleep(kSilentMs);
      if (environment.interrupted()) return int{kInterrupted};
      continue;
    }
    if (!document) return std::unexpected(std::move(document).error());
    seen = true;
    // A terminal shows the newest view at its top; elsewhere views follow one another.
    if (watch && environment.out_terminal && session.for_people()) session.print("\x1b[H\x1b[2J");
    print_status(session, *document);
    if (!watch) return int{kSuccess};
    // A countdown is looked at every second.
    const bool counts_down = environment.out_terminal && !value_at(*document, "pending").empty();
    const int64_t pause_s = counts_down && !session.has("interval") ? kCountdownS : *interval_s;
    environment.sleep(static_cast<int>(std::min<int64_t>(pause_s, 3600) * 1000));
    if (environment.interrupted()) return int{kInterrupted};
    if (session.for_people() && !environment.out_terminal) session.print("\n");
  }
}

Result<int> wait_node(Session& session) {
  auto condition = parse_condition(session.option("for"));
  if (!condition) return std::unexpected(std::move(condition).error());
  auto timeout_s = duration_option(session, "timeout", kWaitDefaultS);
  if (!timeout_s) return std::unexpected(std::move(timeout_s).error());
  auto client = session.client();
  if (!client) return std::unexpected(std::move(client).error());
  const std::string node = session.argument("NODE");
  Environment& environment = session.environment();
  environment.catch_interrupts();
  const int64_t deadline = environment.monotonic_ms() + *timeout_s * 1000;
  for (;;) {
    auto item = node_status(**client, node);
    if (!item) return std::unexpected(std::move(item).error());
    const bool there = condition->holds(*item);
    const int64_t left = deadline - environment.monotonic_ms();
    if (there || left <= 0 || environment.interrupted()) {
      if (session.for_people())
        session.print(
            fmt::format("node {}: {}  {}, head #{}, {}\n", printable(text_at(*item, "fullname")),
                        session.option("for"),
                        cell_text(value_at(*item, "version_active"), Cell::version, false),
                        number_at(*item, "head"), printable(text_at(*item, "state"))));
      else
        session.print(session.format() == Format::name ? text_at(*item, "fullname") + "\n"
                                                       : document_text(*item, session.format()));
      if (there) return int{kSuccess};
      if (environment.interrupted()) return int{kInterrupted};
      session.note(fmt::format("not there after {}", duration_text(*timeout_s)));
      return int{kTimedOut};
    }
    environment.sleep(static_cast<int>(std::min<int64_t>(kWaitPollMs, left)));
  }
}

}  // namespace mesh::cli
