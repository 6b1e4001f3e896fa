// The one table of known attributes. Validation, show, help, completion and documents come from it.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "eventstore/model/attribute_value.h"

namespace mesh {

/// text_list: names of groups; gates: of Activate::health; host: a DNS name or address; endpoint: HostPort or "none";
/// choice: one of its words; text: one line; node: its number or full name; ssh_keys: lines of an authorized_keys file.
enum class AttributeType : uint8_t {
  integer, text_list, gates, prefix, prefix_list, host, endpoint, choice, text, node, ssh_keys
};

/// How disruptive it is for a router when the value changes.
enum class Effect : uint8_t { none, hot, session_reset, restart };

/// One bit a level: where the attribute may be set.
enum ScopeMask : uint8_t { kAtGlobal = 1, kAtSite = 2, kAtNode = 4, kAnywhere = 7 };

struct AttributeSpec {
  std::string_view name;
  AttributeType type;
  int64_t min = 0;  // of an integer, or of the length of a prefix
  int64_t max = 0;
  std::string_view default_text;  // as typed; empty = no default
  uint8_t scopes = kAnywhere;
  Effect effect = Effect::hot;
  std::string_view doc;  // one line
  uint32_t rules = 1;    // before these it was any unknown name, with any value
  std::string_view choices = {};  // of a choice: "a|b"
};

/// Ascending by name. Defaults that a log sets for itself (loopback networks, ...) are in its genesis.
std::span<const AttributeSpec> attribute_table();
/// Also finds names with a number or a name inside ("wg_links.<peer>.wg_peer_keepalive", "service.<name>.files").
const AttributeSpec* find_attribute(std::string_view name);

/// Since rules 4 "file:NAME" holds a file: the nearer level wins by name, as with every attribute.
inline constexpr std::string_view kFilePrefix = "file:";
/// NAME, or nothing when the attribute is none of a file.
std::optional<std::string_view> file_of(std::string_view attribute);
/// [A-Za-z0-9._-], not beginning with a dot or dash, at most kFileNameBytesMax. Errors: invalid.
Status check_file_name(std::string_view name);

/// Bytes of the text of a value.
size_t attribute_bytes_max(std::string_view name, uint32_t rules);

/// A name that may be set at all: [A-Za-z0-9_-] labels joined by dots, bounded, or that of a file; secret-like names
/// (password, private_key, psk, ...) are refused. Errors: invalid.
Status check_attribute_name(std::string_view name);
/// Size and UTF-8 of any value; type, range and level for an attribute known under `rules`; other names pass.
/// Errors: invalid with the fix.
Status check_attribute(std::string_view name, const AttributeValue& value, ScopeMask level,
                       uint32_t rules = UINT32_MAX);

/// The known name nearest to `name` by edit distance, when it is near enough to be a typing mistake.
std::optional<std::string> suggest_attribute(std::string_view name);
/// Edit distance (Damerau, restricted), for every "did you mean".
size_t edit_distance(std::string_view a, std::string_view b);

}  // namespace mesh
