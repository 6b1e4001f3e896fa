// Documents as text: table, wide, json, yaml, jsonl, name. Pure: strings in, strings out.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "cli/json.h"

namespace mesh::cli {

enum class Format : uint8_t { table, wide, json, yaml, jsonl, name };
inline constexpr std::string_view kFormats = "table|wide|json|yaml|jsonl|name";
std::optional<Format> format_from(std::string_view name);

enum class Tone : uint8_t { plain, good, warn, bad, dim, bold };
/// `text` in colour when `colour`; never the only carrier of a meaning.
std::string paint(std::string_view text, Tone tone, bool colour);

enum class Cell : uint8_t {
  text,     // numbers, words, lists joined with ", "; null = "-"
  version,  // 3 -> v3, 0 -> -
  state,    // coloured by its first word
  seconds,  // 75 -> 1m15s
  yes_no,
  time,  // RFC 3339 UTC -> date and time to the second
  key,   // long hex, cut in table and whole in wide
};

struct Column {
  std::string_view title;
  std::string_view key;  // in the item
  Cell cell = Cell::text;
  bool wide = false;  // only with -o wide
};

/// How a list document is shown to people.
struct ListView {
  std::vector<Column> columns;
  std::string_view name;   // key that -o name prints
  std::string_view empty;  // printed to stderr for an empty list in a table
};

/// One cell, without control characters (they could drive a terminal).
std::string cell_text(const Json& value, Cell cell, bool wide);
std::string printable(std::string_view text);
Tone state_tone(std::string_view state);

/// Rows below titles, columns two spaces apart. Empty for no items.
std::string table_text(const Json& items, const ListView& view, bool wide, bool colour);
/// A list document in any format. jsonl: one item a line.
std::string list_text(const Json& document, const ListView& view, Format format, bool colour);
/// json, yaml and jsonl (one line) of a document that is no list.
std::string document_text(const Json& document, Format format);
std::string yaml_text(const Json& value);

/// "3d4h", "1m15s", "0s"; negative = "-".
std::string duration_text(int64_t seconds);
/// "4.2 MB"
std::string bytes_text(uint64_t bytes);
/// "[########......] 4/7"
std::string progress_bar(uint64_t done, uint64_t total, unsigned width);
/// "1 node", "2 nodes"
std::string count_text(uint64_t count, std::string_view noun);

}  // namespace mesh::cli
