#include "nodes/services/allow.h"

#include <fmt/format.h>

#include <algorithm>
#include <toml++/toml.h>

namespace mesh {

namespace {

bool has(const std::vector<std::string>& list, std::string_view text) {
  return std::ranges::find(list, text) != list.end();
}

/// As TOML has it, in which \ and " are escaped.
std::string quoted(std::string_view text) {
  std::string out = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') out += '\\';
    out += c;
  }
  return out + '"';
}

std::string list_line(std::string_view name, std::vector<std::string> list, const std::vector<std::string>& more) {
  for (const auto& each : more)
    if (!has(list, each)) list.push_back(each);
  std::string out;
  for (const auto& each : list) out += (out.empty() ? "" : ", ") + quoted(each);
  return fmt::format("{} = [{}]", name, out);
}

bool lacks(const std::vector<std::string>& list, const std::vector<std::string>& wanted) {
  return std::ranges::any_of(wanted, [&](const std::string& each) { return !has(list, each); });
}

std::unexpected<Error> wrong(const toml::node& node, std::string_view what) {
  return fail(Errc::invalid, fmt::format("line {}: {}", node.source().begin.line, what));
}

Status read_list(const toml::node& node, std::string_view name, std::vector<std::string>& out) {
  const auto* list = node.as_array();
  if (list == nullptr) return wrong(node, fmt::format("{} is a list of texts", name));
  for (const auto& each : *list) {
    const auto* text = each.as_string();
    if (text == nullptr) return wrong(each, fmt::format("{} is a list of texts", name));
    out.push_back(text->get());
  }
  return {};
}

Status read_flag(const toml::node& node, std::string_view name, bool& out) {
  const auto* flag = node.as_boolean();
  if (flag == nullptr) return wrong(node, fmt::format("{} is true or false", name));
  out = flag->get();
  return {};
}

}  // namespace

bool Allow::destination(std::string_view path) const {
  return std::ranges::any_of(destinations, [&](std::string_view each) {
    while (each.size() > 1 && each.ends_with('/')) each.remove_suffix(1);
    return each == path;
  });
}

bool Allow::command(std::string_view text) const { return has(commands, text); }

Result<Allow> parse_allow(std::string_view text) {
  toml::table table;
  try {
    table = toml::parse(text);
  } catch (const toml::parse_error& error) {
    return fail(Errc::invalid, fmt::format("line {}: {}", error.source().begin.line, error.description()));
  }
  Allow out;
  for (const auto& [key, node] : table) {
    const auto name = key.str();
    if (name == "destinations") {
      MESH_TRY(read_list(node, name, out.destinations));
    } else if (name == "commands") {
      MESH_TRY(read_list(node, name, out.commands));
    } else if (name == "startup_scripts") {
      MESH_TRY(read_flag(node, name, out.startup_scripts));
    } else if (name == "ssh_keys") {
      MESH_TRY(read_flag(node, name, out.ssh_keys));
    } else {
      return wrong(node, fmt::format("\"{}\" is not known: destinations, commands, startup_scripts, ssh_keys", name));
    }
  }
  return out;
}

std::vector<std::string> lines_to_add(const Allow& allow, const Allow& wanted) {
  std::vector<std::string> out;
  const auto destination = [&](const std::string& each) { return allow.destination(each); };
  if (!std::ranges::all_of(wanted.destinations, destination))
    out.push_back(list_line("destinations", allow.destinations, wanted.destinations));
  if (lacks(allow.commands, wanted.commands)) out.push_back(list_line("commands", allow.commands, wanted.commands));
  if (wanted.startup_scripts && !allow.startup_scripts) out.emplace_back("startup_scripts = true");
  if (wanted.ssh_keys && !allow.ssh_keys) out.emplace_back("ssh_keys = true");
  return out;
}

}  // namespace mesh
