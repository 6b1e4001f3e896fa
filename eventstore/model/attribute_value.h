// Values of attributes, and Towalink's rules for reading them from text.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "eventstore/model/ids.h"
#include "eventstore/model/result.h"

namespace mesh {

using Scalar = std::variant<bool, int64_t, std::string>;

/// The content of a file, which is a blob beside the log: kFileSaltBytes random bytes, so that nobody guesses what a
/// digest stands for, then the content.
struct FileRef {
  Digest digest;      // SHA-256 of the blob
  uint64_t size = 0;  // of the content, without the salt
  bool operator==(const FileRef&) const = default;
};

/// A scalar, a list of scalars, or what a file holds (attributes "file:...", since rules 4). Objects do not exist:
/// dotted names nest.
struct AttributeValue {
  std::variant<bool, int64_t, std::string, std::vector<Scalar>, FileRef> data;

  AttributeValue() : data(std::string()) {}
  AttributeValue(bool value) : data(value) {}
  AttributeValue(int64_t value) : data(value) {}
  AttributeValue(std::string value) : data(std::move(value)) {}
  AttributeValue(const char* value) : data(std::string(value)) {}
  AttributeValue(std::vector<Scalar> value) : data(std::move(value)) {}
  AttributeValue(FileRef value) : data(value) {}

  bool operator==(const AttributeValue&) const = default;
  const std::string* text() const { return std::get_if<std::string>(&data); }
  const int64_t* number() const { return std::get_if<int64_t>(&data); }
  const std::vector<Scalar>* list() const { return std::get_if<std::vector<Scalar>>(&data); }
  const FileRef* file() const { return std::get_if<FileRef>(&data); }
  /// A list's strings, or one string as a list of one; other members as text.
  std::vector<std::string> strings() const;
};

/// Reads `text` as a person types it: all digits = integer, `true`/`false`, `[ ... ]` = list in Python or
/// JSON notation, a JSON string in double quotes = that string, everything else = the text itself.
/// Errors: invalid (an unclosed list, a nested list, an object).
Result<AttributeValue> parse_attribute_value(std::string_view text);

/// The inverse, as `show` prints it: lists as ["a", 1]. A file as "sha256:HEX, N bytes" reads back as text.
std::string to_text(const AttributeValue& value);

/// Ordered by name; names are dotted ("wg_links.13.wg_peer_keepalive").
struct Attribute {
  AttributeValue value;
  Sequence sequence;  // the entry that set it
  bool operator==(const Attribute&) const = default;
};
using Attributes = std::map<std::string, Attribute, std::less<>>;

}  // namespace mesh
