// The variables of templates as text: JSON for the program that renders, YAML for people.
#include <algorithm>
#include <charconv>

#include "eventstore/model/json_text.h"
#include "eventstore/model/template_variables.h"

namespace mesh {

namespace {

void append_number(std::string& out, int64_t value) {
  char buffer[24];
  out.append(buffer, std::to_chars(buffer, buffer + sizeof buffer, value).ptr);
}

void append_json(std::string& out, const TemplateTable& table);

void append_json(std::string& out, const TemplateValue& value) {
  if (const bool* flag = std::get_if<bool>(&value.data)) {
    out += *flag ? "true" : "false";
  } else if (const int64_t* number = std::get_if<int64_t>(&value.data)) {
    append_number(out, *number);
  } else if (const auto* text = std::get_if<std::string>(&value.data)) {
    append_json_string(out, *text);
  } else if (const auto* list = std::get_if<TemplateList>(&value.data)) {
    out += '[';
    for (size_t i = 0; i < list->size(); ++i) {
      if (i > 0) out += ',';
      append_json(out, (*list)[i]);
    }
    out += ']';
  } else {
    append_json(out, std::get<TemplateTable>(value.data));
  }
}

void append_json(std::string& out, const TemplateTable& table) {
  out += '{';
  for (const auto& [key, value] : table) {
    if (out.back() != '{') out += ',';
    if (const int64_t* number = std::get_if<int64_t>(&key)) {
      out += "\"#";
      append_number(out, *number);
      out += '"';
    } else {
      append_json_string(out, std::get<std::string>(key));
    }
    out += ':';
    append_json(out, value);
  }
  out += '}';
}

bool is_word_of_yaml(std::string_view text) {
  for (std::string_view word : {"true", "True", "TRUE", "false", "False", "FALSE", "yes", "Yes", "YES", "no", "No",
                                "NO", "on", "On", "ON", "off", "Off", "OFF", "null", "Null", "NULL", "~", "y", "n",
                                "Y", "N", "=", "<<"})
    if (text == word) return true;
  return false;
}

/// Whether YAML would read it as a number, a time or a date. Says yes too often rather than too seldom.
bool looks_like_number(std::string_view text) {
  if (text.find("::") != std::string_view::npos) return false;
  constexpr std::string_view kFirst = "0123456789+-.";
  if (text.empty() || kFirst.find(text.front()) == std::string_view::npos) return false;
  if (text.find_first_of("0123456789") == std::string_view::npos)
    return text.find_first_not_of(".infaINFA+-") == std::string_view::npos;
  size_t dots = 0;
  for (char c : text) dots += c == '.';
  return dots <= 1 && text.find_first_not_of("0123456789_.:+-xXoOabcdefABCDEF") == std::string_view::npos;
}

bool is_plain(std::string_view text) {
  constexpr std::string_view kInside =
      "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_./@+=:,-;()^$<> ";
  constexpr std::string_view kFirst = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_./+(^$";
  return !text.empty() && kFirst.find(text.front()) != std::string_view::npos &&
         text.find_first_not_of(kInside) == std::string_view::npos && text.back() != ' ' && text.back() != ':' &&
         text.find(": ") == std::string_view::npos && !is_word_of_yaml(text) && !looks_like_number(text);
}

void append_yaml_text(std::string& out, std::string_view text) {
  if (is_plain(text)) {
    out += text;
  } else if (text.find_first_of("\n\t\r\x7f") != std::string_view::npos ||
             std::ranges::any_of(text, [](char c) { return static_cast<unsigned char>(c) < 0x20; })) {
    append_json_string(out, text);  // YAML's double quotes read it as JSON does
  } else {
    out += '\'';
    for (char c : text) out += c == '\'' ? "''" : std::string_view(&c, 1);
    out += '\'';
  }
}

void append_yaml(std::string& out, const TemplateTable& table, size_t indent);

/// After "key:" or "-".
void append_yaml(std::string& out, const TemplateValue& value, size_t indent) {
  if (const bool* flag = std::get_if<bool>(&value.data)) {
    out += *flag ? " true\n" : " false\n";
  } else if (const int64_t* number = std::get_if<int64_t>(&value.data)) {
    out += ' ';
    append_number(out, *number);
    out += '\n';
  } else if (const auto* text = std::get_if<std::string>(&value.data)) {
    out += ' ';
    append_yaml_text(out, *text);
    out += '\n';
  } else if (const auto* list = std::get_if<TemplateList>(&value.data)) {
    out += list->empty() ? " []\n" : "\n";
    for (const TemplateValue& each : *list) {
      out.append(indent, ' ') += '-';
      append_yaml(out, each, indent + 2);
    }
  } else {
    const auto& table = std::get<TemplateTable>(value.data);
    out += table.empty() ? " {}\n" : "\n";
    append_yaml(out, table, indent + 2);
  }
}

void append_yaml(std::string& out, const TemplateTable& table, size_t indent) {
  for (const auto& [key, value] : table) {
    out.append(indent, ' ');
    if (const int64_t* number = std::get_if<int64_t>(&key))
      append_number(out, *number);
    else
      append_yaml_text(out, std::get<std::string>(key));
    out += ':';
    append_yaml(out, value, indent);
  }
}

}  // namespace

std::string variables_json(const TemplateTable& table) {
  std::string out;
  append_json(out, table);
  return out;
}

std::string variables_yaml(const TemplateTable& table) {
  std::string out;
  append_yaml(out, table, 0);
  return out;
}

}  // namespace mesh
