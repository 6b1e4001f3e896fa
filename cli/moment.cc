#include "cli/moment.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "cli/render.h"
#include "cli/session.h"
#include "cli/times.h"
#include "schemas/json.h"

namespace mesh::cli {

namespace {

constexpr std::string_view kExamples =
    "for example 1234, -2h, \"2026-01-02 03:04\", a tag, or v3 of a node";
/// Clocks differ; the controller says what it has.
constexpr int64_t kClocksDifferUs = 300 * int64_t{1'000'000};

bool all_digits(std::string_view text) {
  return !text.empty() && text.find_first_not_of("0123456789") == std::string_view::npos;
}

std::unexpected<Error> no_instant(std::string_view text) {
  return fail(Errc::usage, fmt::format("\"{}\" is no instant", text), std::string(kExamples));
}

/// "-3": so many entries before the newest.
Result<std::string> entries_back(Client& client, std::string_view digits) {
  auto back = parse_number("entries back", digits);
  if (!back) return std::unexpected(std::move(back).error());
  auto position = client.position();
  if (!position) return std::unexpected(std::move(position).error());
  const uint64_t head = position->sequence.value();
  if (*back >= head)
    return fail(
        Errc::not_found,
        fmt::format("{} entries back is before the first: the log ends at #{}", *back, head));
  return std::to_string(head - *back);
}

Result<std::string> absolute_time(std::string_view text, Timestamp now) {
  auto time = parse_time(text, now);
  if (!time) return no_instant(text);
  if (time->value() > now.value() + kClocksDifferUs)
    return fail(Errc::not_found, fmt::format("{} lies in the future", text),
                "leave the instant away for what is now");
  return time_text(*time);
}

}  // namespace

Result<std::string> absolute_instant(Client& client, std::string_view text, Timestamp now) {
  if (text.starts_with('-'))
    return all_digits(text.substr(1)) ? entries_back(client, text.substr(1))
                                      : absolute_time(text, now);
  if (text.starts_with('#')) text.remove_prefix(1);
  if (text.empty()) return no_instant(text);
  const bool begins_with_digit = text.front() >= '0' && text.front() <= '9';
  if (begins_with_digit && !all_digits(text)) return absolute_time(text, now);
  return std::string(text);
}

Result<Moment> resolve_moment(Client& client, std::string_view text, const std::string& node,
                              Timestamp now) {
  auto absolute = absolute_instant(client, text, now);
  if (!absolute) return std::unexpected(std::move(absolute).error());
  QueryArguments arguments{{"text", *absolute}};
  if (!node.empty()) arguments["node"] = node;
  auto document = client.query_at(Sequence(), "moment", arguments);
  if (!document) return std::unexpected(std::move(document).error());
  const auto at = static_cast<uint64_t>(number_at(*document, "at"));
  if (at == 0) return fail(Errc::corrupt, "the controller named no entry for this instant");
  return Moment{Sequence(at), text_at(*document, "time"), text_at(*document, "means")};
}

std::string to_text(const Moment& moment) {
  std::string inside = cell_text(moment.time, Cell::time, false);
  if (moment.means.starts_with("tag ") || moment.means.starts_with('v'))
    inside += ", " + printable(moment.means);
  return fmt::format("at #{} ({})", moment.at.value(), inside);
}

}  // namespace mesh::cli
