#include "cli/render.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>
#include <utility>

namespace mesh::cli {

namespace {

constexpr size_t kKeyCut = 16;

/// Columns a text takes: UTF-8 continuation bytes take none.
size_t width(std::string_view text) {
  return std::ranges::count_if(text,
                               [](char c) { return (static_cast<uint8_t>(c) & 0xC0) != 0x80; });
}

std::string scalar_text(const Json& value) {
  if (value.is_null()) return "-";
  if (value.is_string()) return value.get_ref<const std::string&>();
  if (value.is_boolean()) return value.get<bool>() ? "yes" : "no";
  if (value.is_array()) {
    std::string out;
    for (const Json& member : value) out += (out.empty() ? "" : ", ") + scalar_text(member);
    return out.empty() ? "-" : out;
  }
  return value.dump();
}

std::string time_cell(std::string text) {
  // 2026-01-02T03:04:05.000006Z -> 2026-01-02 03:04:05Z
  if (text.size() < 20 || text[10] != 'T') return text;
  text[10] = ' ';
  return text.substr(0, 19) + "Z";
}

bool plain_yaml(std::string_view text) {
  if (text.empty() || text.front() == ' ' || text.back() == ' ') return false;
  static constexpr std::array<std::string_view, 8> kWords{"true", "false", "null", "yes",
                                                          "no",   "on",    "off",  "~"};
  std::string lower(text);
  std::ranges::transform(lower, lower.begin(), [](unsigned char c) { return std::tolower(c); });
  if (std::ranges::find(kWords, lower) != kWords.end()) return false;
  const bool like_number =
      std::isdigit(static_cast<unsigned char>(text.front())) &&
      text.find_first_not_of("0123456789.+-abcdefABCDEFxXoO_:") == std::string_view::npos;
  const bool safe = std::ranges::all_of(text, [](unsigned char c) {
    return std::isalnum(c) || c == '.' || c == '_' || c == '/' || c == '-' || c == ' ' || c >= 0x80;
  });
  return safe && !like_number && std::isalnum(static_cast<unsigned char>(text.front()));
}

std::string yaml_scalar(const Json& value) {
  if (value.is_string() && plain_yaml(value.get_ref<const std::string&>()))
    return value.get<std::string>();
  return value.dump(-1, ' ', false, Json::error_handler_t::replace);
}

bool is_block(const Json& value) { return value.is_structured() && !value.empty(); }

void yaml_lines(const Json& value, size_t indent, std::string& out) {
  const std::string pad(indent, ' ');
  if (value.is_object() && !value.empty()) {
    for (const auto& [key, member] : value.items()) {
      out += pad + yaml_scalar(Json(key)) + ":";
      if (!is_block(member)) {
        out += " " + yaml_scalar(member) + "\n";
      } else {
        out += "\n";
        yaml_lines(member, member.is_array() ? indent : indent + 2, out);
      }
    }
  } else if (value.is_array() && !value.empty()) {
    for (const Json& member : value) {
      std::string block;
      yaml_lines(member, indent + 2, block);
      // The first line of the block stands behind the dash.
      out += pad + "- " + block.substr(std::min(block.size(), indent + 2));
    }
  } else {
    out += pad + yaml_scalar(value) + "\n";
  }
}

std::string dump(const Json& value, int indent) {
  return value.dump(indent, ' ', false, Json::error_handler_t::replace) + "\n";
}

}  // namespace

std::optional<Format> format_from(std::string_view name) {
  static constexpr std::array<std::string_view, 6> kNames{"table", "wide",  "json",
                                                          "yaml",  "jsonl", "name"};
  const auto found = std::ranges::find(kNames, name);
  if (found == kNames.end()) return std::nullopt;
  return static_cast<Format>(found - kNames.begin());
}

std::string paint(std::string_view text, Tone tone, bool colour) {
  static constexpr std::array<std::string_view, 6> kCodes{"", "32", "33", "31", "2", "1"};
  const std::string_view code = kCodes[static_cast<size_t>(tone)];
  if (!colour || code.empty()) return std::string(text);
  return fmt::format("\x1b[{}m{}\x1b[0m", code, text);
}

namespace {

/// Controls of C0 and C1, and those that turn the direction of what stands beside them: with one of these a host name
/// shows another fingerprint than the one behind it.
bool is_control(uint32_t c) {
  return c < 0x20 || (c >= 0x7F && c < 0xA0) || c == 0x61C || c == 0x200E || c == 0x200F || c == 0x2028 ||
         c == 0x2029 || (c >= 0x202A && c <= 0x202E) || (c >= 0x2066 && c <= 0x2069);
}

/// The bytes of the character that `text` begins with, and the character; one byte when it is not UTF-8.
std::pair<size_t, std::optional<uint32_t>> first_character(std::string_view text) {
  const auto lead = static_cast<uint8_t>(text[0]);
  if (lead < 0x80) return {1, lead};
  const size_t size = lead >= 0xF0 ? 4 : lead >= 0xE0 ? 3 : 2;
  if (lead < 0xC2 || lead > 0xF4 || size > text.size()) return {1, std::nullopt};
  uint32_t c = lead & (0x7Fu >> size);
  for (size_t i = 1; i < size; ++i) {
    const auto next = static_cast<uint8_t>(text[i]);
    if ((next & 0xC0) != 0x80) return {1, std::nullopt};
    c = c << 6 | (next & 0x3F);
  }
  return {size, c};
}

}  // namespace

std::string printable(std::string_view text) {
  std::string out;
  while (!text.empty()) {
    const auto [size, c] = first_character(text);
    if (!c || (*c < 0x100 && is_control(*c)))
      out += fmt::format("\\x{:02x}", c.value_or(static_cast<uint8_t>(text[0])));
    else if (is_control(*c))
      out += fmt::format("\\u{:04x}", *c);
    else
      out += text.substr(0, size);
    text.remove_prefix(size);
  }
  return out;
}

Tone state_tone(std::string_view state) {
  const std::string_view word = state.substr(0, state.find_first_of(": ("));
  for (const std::string_view good :
       {"ok", "enrolled", "applied", "healthy", "confirmed", "connected", "open", "up", "yes", "in-sync"})
    if (word == good) return Tone::good;
  for (const std::string_view bad : {"failed", "refused", "revoked", "banned", "unreachable",
                                     "diverged", "went", "down", "fail", "reverted", "upgrade", "problem"})
    if (word == bad) return Tone::bad;
  for (const std::string_view warn : {"degraded", "applying", "waiting", "pending", "offline",
                                      "behind", "warn", "expired", "unknown"})
    if (word == warn) return Tone::warn;
  return Tone::plain;
}

std::string cell_text(const Json& value, Cell cell, bool wide) {
  switch (cell) {
    case Cell::version:
      if (value.is_number()) return value == 0 ? "-" : "v" + value.dump();
      break;
    case Cell::seconds:
      if (value.is_number()) return duration_text(value.get<int64_t>());
      break;
    case Cell::time:
      return value.is_string() ? printable(time_cell(value.get<std::string>()))
                               : scalar_text(value);
    case Cell::key: {
      const std::string text = printable(scalar_text(value));
      return wide || text.size() <= kKeyCut ? text : text.substr(0, kKeyCut);
    }
    case Cell::text:
    case Cell::state:
    case Cell::yes_no:
      break;
  }
  std::string text = printable(scalar_text(value));
  return text.empty() ? "-" : text;
}

std::string table_text(const Json& items, const ListView& view, bool wide, bool colour) {
  std::vector<const Column*> columns;
  for (const Column& column : view.columns)
    if (wide || !column.wide) columns.push_back(&column);
  std::vector<std::vector<std::string>> rows;
  std::vector<size_t> widths;
  for (const Column* column : columns) widths.push_back(width(column->title));
  for (const Json& item : items) {
    auto& row = rows.emplace_back();
    for (size_t i = 0; i < columns.size(); ++i) {
      row.push_back(cell_text(value_at(item, columns[i]->key), columns[i]->cell, wide));
      widths[i] = std::max(widths[i], width(row.back()));
    }
  }
  if (rows.empty()) return {};
  std::string out;
  const auto add = [&](size_t i, std::string_view text, Tone tone) {
    out += paint(text, tone, colour);
    if (i + 1 < columns.size()) out.append(widths[i] - width(text) + 2, ' ');
  };
  for (size_t i = 0; i < columns.size(); ++i) add(i, columns[i]->title, Tone::bold);
  out += '\n';
  for (const auto& row : rows) {
    for (size_t i = 0; i < columns.size(); ++i)
      add(i, row[i], columns[i]->cell == Cell::state ? state_tone(row[i]) : Tone::plain);
    out += '\n';
  }
  return out;
}

std::string list_text(const Json& document, const ListView& view, Format format, bool colour) {
  const Json& items = value_at(document, "items");
  std::string out;
  switch (format) {
    case Format::table:
    case Format::wide:
      return table_text(items, view, format == Format::wide, colour);
    case Format::jsonl:
      for (const Json& item : items) out += dump(item, -1);
      return out;
    case Format::name:
      for (const Json& item : items)
        out += printable(scalar_text(value_at(item, view.name))) + "\n";
      return out;
    case Format::json:
    case Format::yaml:
      return document_text(document, format);
  }
  return out;
}

std::string document_text(const Json& document, Format format) {
  if (format == Format::yaml) return yaml_text(document);
  return dump(document, format == Format::jsonl ? -1 : 2);
}

std::string yaml_text(const Json& value) {
  std::string out;
  yaml_lines(value, 0, out);
  return out;
}

std::string duration_text(int64_t seconds) {
  if (seconds < 0) return "-";
  struct Unit {
    int64_t size;
    char letter;
  };
  static constexpr std::array<Unit, 4> kUnits{{{86400, 'd'}, {3600, 'h'}, {60, 'm'}, {1, 's'}}};
  for (size_t i = 0; i < kUnits.size(); ++i) {
    if (seconds < kUnits[i].size) continue;
    std::string out = fmt::format("{}{}", seconds / kUnits[i].size, kUnits[i].letter);
    // Two units are as exact as anybody reads.
    if (const int64_t rest = seconds % kUnits[i].size;
        i + 1 < kUnits.size() && rest >= kUnits[i + 1].size)
      out += fmt::format("{}{}", rest / kUnits[i + 1].size, kUnits[i + 1].letter);
    return out;
  }
  return "0s";
}

std::string bytes_text(uint64_t bytes) {
  static constexpr std::array<std::string_view, 5> kUnits{"B", "kB", "MB", "GB", "TB"};
  if (bytes < 1000) return fmt::format("{} B", bytes);
  auto value = static_cast<double>(bytes);
  size_t unit = 0;
  for (; value >= 1000 && unit + 1 < kUnits.size(); ++unit) value /= 1000;
  return fmt::format("{:.1f} {}", value, kUnits[unit]);
}

std::string progress_bar(uint64_t done, uint64_t total, unsigned columns) {
  const uint64_t filled = total == 0 ? columns : columns * std::min(done, total) / total;
  return fmt::format("[{}{}] {}/{}", std::string(filled, '#'), std::string(columns - filled, '.'),
                     done, total);
}

std::string count_text(uint64_t count, std::string_view noun) {
  return fmt::format("{} {}{}", count, noun, count == 1 ? "" : "s");
}

}  // namespace mesh::cli
