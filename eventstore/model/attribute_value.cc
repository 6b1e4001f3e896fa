#include "eventstore/model/attribute_value.h"

#include <algorithm>
#include <charconv>

#include "eventstore/model/json_text.h"
#include "eventstore/model/limits.h"

namespace mesh {

namespace {

bool all_digits(std::string_view text) {
  return !text.empty() && std::ranges::all_of(text, [](char c) { return c >= '0' && c <= '9'; });
}

std::unexpected<Error> wrong(std::string_view text, std::string_view why, std::string fix = {}) {
  return fail(Errc::invalid, "value " + std::string(text) + ": " + std::string(why),
              std::move(fix));
}

void append_utf8(std::string& out, uint32_t point) {
  if (point < 0x80) {
    out += static_cast<char>(point);
  } else if (point < 0x800) {
    out += static_cast<char>(0xc0 | point >> 6);
    out += static_cast<char>(0x80 | (point & 0x3f));
  } else if (point < 0x10000) {
    out += static_cast<char>(0xe0 | point >> 12);
    out += static_cast<char>(0x80 | (point >> 6 & 0x3f));
    out += static_cast<char>(0x80 | (point & 0x3f));
  } else {
    out += static_cast<char>(0xf0 | point >> 18);
    out += static_cast<char>(0x80 | (point >> 12 & 0x3f));
    out += static_cast<char>(0x80 | (point >> 6 & 0x3f));
    out += static_cast<char>(0x80 | (point & 0x3f));
  }
}

/// Reads the items of a list, and quoted strings, from left to right.
class Reader {
 public:
  explicit Reader(std::string_view text) : text_(text) {}

  bool at_end() const { return position_ == text_.size(); }
  void skip_space() {
    while (!at_end() && std::string_view(" \t\r\n").contains(text_[position_])) ++position_;
  }
  bool take(char c) {
    if (at_end() || text_[position_] != c) return false;
    ++position_;
    return true;
  }

  /// A string in the quotes that the next character opens, with JSON's escapes.
  Result<std::string> quoted() {
    char quote = text_[position_++];
    std::string out;
    while (!at_end()) {
      char c = text_[position_++];
      if (c == quote) return out;
      if (c != '\\') {
        out += c;
      } else if (!escape(out)) {
        return wrong(text_, "unknown escape in a string");
      }
    }
    return wrong(text_, "a string is not closed");
  }

  Result<Scalar> item() {
    if (!at_end() && (text_[position_] == '"' || text_[position_] == '\'')) {
      auto text = quoted();
      if (!text) return std::unexpected(text.error());
      return Scalar(std::move(*text));
    }
    size_t begin = position_;
    while (!at_end() && !std::string_view(" \t\r\n,]").contains(text_[position_])) ++position_;
    std::string_view word = text_.substr(begin, position_ - begin);
    if (word == "true" || word == "True") return Scalar(true);
    if (word == "false" || word == "False") return Scalar(false);
    if (word.starts_with('[') || word.starts_with('{'))
      return wrong(text_, "lists hold no lists and no objects");
    int64_t number = 0;
    auto [end, error] = std::from_chars(word.data(), word.data() + word.size(), number);
    if (word.empty() || error != std::errc() || end != word.data() + word.size())
      return wrong(text_, "list item \"" + std::string(word) + "\" is no string, number or boolean",
                   "put text in quotes: [\"a\", \"b\"]");
    return Scalar(number);
  }

 private:
  bool escape(std::string& out) {
    if (at_end()) return false;
    char c = text_[position_++];
    switch (c) {
      case 'n':
        out += '\n';
        return true;
      case 't':
        out += '\t';
        return true;
      case 'r':
        out += '\r';
        return true;
      case 'b':
        out += '\b';
        return true;
      case 'f':
        out += '\f';
        return true;
      case '"':
      case '\'':
      case '\\':
      case '/':
        out += c;
        return true;
      case 'u':
        return unicode_escape(out);
      default:
        return false;
    }
  }

  bool hex4(uint32_t& out) {
    if (text_.size() - position_ < 4) return false;
    const char* begin = text_.data() + position_;
    auto [end, error] = std::from_chars(begin, begin + 4, out, 16);
    position_ += 4;
    return error == std::errc() && end == begin + 4;
  }

  bool unicode_escape(std::string& out) {
    uint32_t point = 0;
    if (!hex4(point)) return false;
    if (point >= 0xd800 && point <= 0xdbff) {  // the first half of a surrogate pair
      uint32_t low = 0;
      if (!take('\\') || !take('u') || !hex4(low) || low < 0xdc00 || low > 0xdfff) return false;
      point = 0x10000 + ((point - 0xd800) << 10) + (low - 0xdc00);
    } else if (point >= 0xdc00 && point <= 0xdfff) {
      return false;
    }
    append_utf8(out, point);
    return true;
  }

  std::string_view text_;
  size_t position_ = 0;
};

Result<AttributeValue> parse_list(std::string_view text) {
  Reader reader(text);
  reader.take('[');
  std::vector<Scalar> items;
  reader.skip_space();
  bool closed = reader.take(']');
  while (!closed) {
    auto item = reader.item();
    if (!item) return std::unexpected(item.error());
    items.push_back(std::move(*item));
    reader.skip_space();
    bool comma = reader.take(',');
    reader.skip_space();
    closed = reader.take(']');  // Python allows a comma before it
    if (!comma && !closed) return wrong(text, "list items are not separated by commas");
  }
  if (!reader.at_end()) return wrong(text, "text after the list");
  return AttributeValue(std::move(items));
}

std::string scalar_text(const Scalar& scalar) {
  if (auto text = std::get_if<std::string>(&scalar)) return *text;
  if (auto number = std::get_if<int64_t>(&scalar)) return std::to_string(*number);
  return std::get<bool>(scalar) ? "true" : "false";
}

/// Whether parse_attribute_value() would read `text` as something other than this very text.
bool needs_quotes(std::string_view text) {
  return text.empty() || text == "empty" || text == "true" || text == "false" || all_digits(text) ||
         (text.front() == '[' && (text.back() == ']' || !text.contains(']'))) ||
         text.front() == '{' || text.front() == '"' || std::ranges::any_of(text, [](char c) {
           return static_cast<unsigned char>(c) < 0x20 || c == 0x7f;
         });
}

}  // namespace

std::vector<std::string> AttributeValue::strings() const {
  std::vector<std::string> out;
  if (auto items = list()) {
    for (const auto& item : *items) out.push_back(scalar_text(item));
  } else {
    std::visit(
        [&]<class T>(const T& value) {
          if constexpr (std::is_constructible_v<Scalar, const T&>) out.push_back(scalar_text(Scalar(value)));
          if constexpr (std::is_same_v<T, FileRef>) out.push_back(to_text(AttributeValue(value)));
        },
        data);
  }
  return out;
}

Result<AttributeValue> parse_attribute_value(std::string_view text) {
  if (!is_utf8(text)) return fail(Errc::invalid, "the value is not UTF-8");
  if (text == "true") return AttributeValue(true);
  if (text == "false") return AttributeValue(false);
  if (all_digits(text)) {
    int64_t number = 0;
    if (std::from_chars(text.data(), text.data() + text.size(), number).ec != std::errc())
      return wrong(text, "the number does not fit 64 bits",
                   "put it in double quotes to keep it as text");
    return AttributeValue(number);
  }
  if (text.starts_with('[')) {
    if (text.ends_with(']')) return parse_list(text);
    if (!text.contains(']')) return wrong(text, "the list is not closed");
    return AttributeValue(std::string(text));  // an endpoint: "[2001:db8::1]:51820"
  }
  if (text.starts_with('{') && text.ends_with('}'))
    return wrong(text, "objects do not exist",
                 "nest by dotted names: set ... wg_links.13.wg_peer_keepalive 20");
  if (text.size() >= 2 && text.starts_with('"') && text.ends_with('"')) {
    Reader reader(text);
    auto value = reader.quoted();
    if (!value) return std::unexpected(value.error());
    if (!reader.at_end()) return wrong(text, "text after the closing quote");
    return AttributeValue(std::move(*value));
  }
  return AttributeValue(std::string(text));
}

std::string to_text(const AttributeValue& value) {
  std::string out;
  if (auto items = value.list()) {
    out = "[";
    for (const auto& item : *items) {
      if (out.size() > 1) out += ", ";
      if (auto text = std::get_if<std::string>(&item)) {
        append_json_string(out, *text);
      } else {
        out += scalar_text(item);
      }
    }
    return out + "]";
  }
  if (auto text = value.text()) {
    if (!needs_quotes(*text)) return *text;
    append_json_string(out, *text);
    return out;
  }
  if (auto number = value.number()) return std::to_string(*number);
  if (auto file = value.file())
    return "sha256:" + to_hex(file->digest.view()) + ", " + std::to_string(file->size) + " bytes";
  return std::get<bool>(value.data) ? "true" : "false";
}

}  // namespace mesh
