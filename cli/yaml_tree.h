// A YAML or JSON document as a small tree that knows its lines. Untrusted input: no aliases, bounded
// depth and size, no exceptions.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "eventstore/model/result.h"

namespace mesh::cli {

inline constexpr size_t kDocumentBytesMax = 16 * 1024 * 1024;  // four times the largest request
inline constexpr size_t kDocumentDepthMax = 16;       // an attribute of a node stands at six
inline constexpr size_t kDocumentValuesMax = 1'000'000;  // ten for each of the commands a request holds

struct YamlMember;

struct YamlValue {
  enum class Kind : uint8_t { null, scalar, list, map } kind = Kind::null;
  std::string text;     // of a scalar
  bool quoted = false;  // a scalar that is text whatever it looks like
  int line = 0;         // from 1
  std::vector<YamlValue> items;
  std::vector<YamlMember> members;  // in order; no key twice
};
struct YamlMember {
  std::string key;
  int line = 0;
  YamlValue value;
};

/// The only document in `text`; a null value for an empty one. `name` stands before the line in
/// errors: "net.yaml:7: ...". Errors: invalid (no YAML, an anchor or alias, a tag, a key twice, a key
/// that is no plain text, a second document), exhausted (over a bound).
Result<YamlValue> parse_yaml(std::string_view name, std::string_view text);

}  // namespace mesh::cli
