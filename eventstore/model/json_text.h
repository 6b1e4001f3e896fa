// Writing JSON by hand: the canonical bytes of a configuration must not depend on a library's
// version.
#pragma once

#include <string>
#include <string_view>

namespace mesh {

/// `text` in double quotes, escaped as RFC 8259 demands and no further. `text` must be UTF-8.
void append_json_string(std::string& out, std::string_view text);

/// Well-formed UTF-8 (RFC 3629): no surrogates, no overlong forms, nothing past U+10FFFF.
bool is_utf8(std::string_view text);

}  // namespace mesh
