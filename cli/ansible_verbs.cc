// inventory, ansible, ansible_playbook: Ansible over the management network.
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <map>
#include <nlohmann/json.hpp>

#include "cli/handlers.h"
#include "cli/scope.h"

namespace mesh::cli {

namespace {

namespace fs = std::filesystem;

Result<Json> ask_inventory(Session& session) {
  auto client = session.client();
  if (!client) return std::unexpected(std::move(client).error());
  return (*client)->query("inventory");
}

/// What Ansible takes for the name of a group or a variable: everything else becomes "_".
std::string ansible_name(std::string text) {
  for (char& c : text)
    if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9'))) c = '_';
  return text;
}

/// What an attribute may say of how Ansible works on a router. All else of this kind, a connection plugin or options of
/// ssh, would run on the machine of whoever runs Ansible: whoever may set an attribute must not get there.
constexpr std::string_view kOfRouter[] = {"ansible_user", "ansible_port", "ansible_python_interpreter",
                                          "ansible_become", "ansible_become_user"};
bool may_be_variable(std::string_view name) {
  const bool ansibles = name.starts_with("ansible_") || name.starts_with("__ansible");
  return !ansibles || std::ranges::find(kOfRouter, name) != std::end(kOfRouter);
}

/// A text that Ansible would take for a template is marked as none: a template reads files and runs programs here.
Json plain_value(const Json& value) {
  if (value.is_array()) {
    Json out = Json::array();
    for (const Json& each : value) out.push_back(plain_value(each));
    return out;
  }
  if (!value.is_string()) return value;
  const auto& text = value.get_ref<const std::string&>();
  const bool template_like = text.contains("{{") || text.contains("{%") || text.contains("{#");
  return template_like ? Json{{"__ansible_unsafe", text}} : value;
}

Json variables_of(const Json& item) {
  Json out = {{"ansible_host", text_at(item, "address")},
              {"node_id", value_at(item, "id")},
              {"site", text_at(item, "site")},
              {"version_active", value_at(item, "version_active")},
              {"version_latest", value_at(item, "version_latest")}};
  // After ours, which they do not replace: an attribute `ansible_host` would lead somewhere else.
  for (const auto& [name, value] : value_at(item, "attributes").items())
    if (const std::string variable = ansible_name(name); !out.contains(variable) && may_be_variable(variable))
      out[variable] = plain_value(value);
  return out;
}

/// The groups of a node but `all`.
std::vector<std::string> groups_of(const Json& item) {
  std::vector<std::string> out{"site_" + ansible_name(text_at(item, "site"))};
  for (const Json& member : value_at(value_at(item, "attributes"), "groups"))
    out.push_back("group_" + ansible_name(member.is_string() ? member.get<std::string>() : member.dump()));
  return out;
}

/// As `ansible-inventory --list` reads it, of the enrolled nodes among `items`.
Json inventory_of(const std::vector<Json>& items) {
  Json out;
  out["_meta"]["hostvars"] = Json::object();
  out["all"] = {{"hosts", Json::array()}, {"children", Json::array()}};
  std::map<std::string, Json> groups;
  for (const Json& item : items) {
    const std::string name = text_at(item, "fullname");
    out["_meta"]["hostvars"][name] = variables_of(item);
    out["all"]["hosts"].push_back(name);
    for (const std::string& group : groups_of(item))
      groups.try_emplace(group, Json::array()).first->second.push_back(name);
  }
  for (auto& [group, hosts] : groups) {
    out["all"]["children"].push_back(group);
    out[group] = {{"hosts", std::move(hosts)}};
  }
  return out;
}

std::vector<Json> enrolled(const Json& document) {
  std::vector<Json> out;
  for (const Json& item : value_at(document, "items"))
    if (flag_at(item, "enrolled")) out.push_back(item);
  return out;
}

/// Whether there is what no node was found of: a site may have none. Errors: not_found.
Status check_named(Session& session, const Target& target) {
  if (target.level == Level::node)
    return fail(Errc::not_found, fmt::format("node \"{}\" does not exist", target.name), "meshcli list nodes");
  auto client = session.client();
  if (!client) return std::unexpected(std::move(client).error());
  auto sites = (*client)->query("sites");
  if (!sites) return std::unexpected(std::move(sites).error());
  for (const Json& site : value_at(*sites, "items"))
    if (text_at(site, "name") == target.name) return {};
  return fail(Errc::not_found, fmt::format("site \"{}\" does not exist", target.name), "meshcli list sites");
}

/// Those of the nodes that `target` means and that are enrolled; the others are named to people.
Result<std::vector<Json>> select(Session& session, const Json& document, const Target& target) {
  std::vector<Json> out;
  std::vector<std::string> left_out;
  bool known = target.level == Level::global;
  for (const Json& item : value_at(document, "items")) {
    const std::string name = text_at(item, "fullname");
    if (target.level == Level::site && text_at(item, "site") != target.name) continue;
    if (target.level == Level::node && name != target.name && value_at(item, "id").dump() != target.name) continue;
    known = true;
    if (flag_at(item, "enrolled"))
      out.push_back(item);
    else
      left_out.push_back(name);
  }
  if (!known) {
    auto named = check_named(session, target);
    if (!named) return std::unexpected(std::move(named).error());
  }
  if (!left_out.empty()) session.warn(fmt::format("not attached, left out: {}", fmt::join(left_out, ", ")));
  if (out.empty()) return fail(Errc::invalid, "no attached nodes selected", "meshcli list nodes");
  return out;
}

/// A directory of this user alone, that goes with it.
class TemporaryDirectory {
 public:
  TemporaryDirectory() {
    std::error_code ignored;
    std::string pattern = (fs::temp_directory_path(ignored) / "meshcli-ansible-XXXXXX").string();
    if (::mkdtemp(pattern.data()) != nullptr) path_ = pattern;
  }
  TemporaryDirectory(const TemporaryDirectory&) = delete;
  TemporaryDirectory& operator=(const TemporaryDirectory&) = delete;
  ~TemporaryDirectory() {
    std::error_code ignored;
    if (!path_.empty()) fs::remove_all(path_, ignored);
  }
  const fs::path& path() const { return path_; }

 private:
  fs::path path_;
};

/// Ansible's own form of a static inventory: JSON is YAML.
Json static_inventory(const std::vector<Json>& items) {
  Json hosts = Json::object(), children = Json::object();
  for (const Json& item : items) {
    const std::string name = text_at(item, "fullname");
    hosts[name] = variables_of(item);
    for (const std::string& group : groups_of(item)) children[group]["hosts"][name] = Json::object();
  }
  return {{"all", {{"hosts", std::move(hosts)}, {"children", std::move(children)}}}};
}

Result<int> run_ansible(Session& session, const std::string& program) {
  if (session.invocation().rest.empty())
    return fail(Errc::usage, fmt::format("{} needs arguments", program),
                fmt::format("as in: meshcli {} all {}", session.verb().verb,
                            program == "ansible" ? "all -m ping" : "play.yml"));
  auto document = ask_inventory(session);
  if (!document) return std::unexpected(std::move(document).error());
  auto nodes = select(session, *document, target_of(session));
  if (!nodes) return std::unexpected(std::move(nodes).error());
  const TemporaryDirectory directory;
  const fs::path file = directory.path() / "inventory.yml";
  if (directory.path().empty() || !(std::ofstream(file) << json_text(static_inventory(*nodes)) << "\n" << std::flush))
    return fail(Errc::io, "the inventory cannot be written to a temporary directory", "set TMPDIR to one with room");
  Environment::Program child{.words = {program, "-i", file.string()}};
  child.words.insert(child.words.end(), session.invocation().rest.begin(), session.invocation().rest.end());
  auto done = session.environment().run_program(child);
  if (!done && done.error().code == Errc::not_found)
    return fail(Errc::not_found, "ansible is not installed", "apt-get install ansible-core");
  if (!done) return std::unexpected(std::move(done).error());
  return done->status;
}

}  // namespace

Result<int> show_inventory(Session& session) {
  auto document = ask_inventory(session);
  if (!document) return std::unexpected(std::move(document).error());
  const auto nodes = enrolled(*document);
  const std::string host = session.option("host");
  if (host.empty()) {
    session.print(inventory_of(nodes).dump(2) + "\n");
    return int{kSuccess};
  }
  const auto named = std::ranges::find_if(nodes, [&](const Json& item) {
    return text_at(item, "fullname") == host || value_at(item, "id").dump() == host;
  });
  if (named == nodes.end())
    return fail(Errc::not_found, fmt::format("there is no attached node {}", host), "meshcli inventory --list");
  session.print(variables_of(*named).dump(2) + "\n");
  return int{kSuccess};
}

Result<int> run_ansible_command(Session& session) { return run_ansible(session, "ansible"); }
Result<int> run_ansible_playbook(Session& session) { return run_ansible(session, "ansible-playbook"); }

}  // namespace mesh::cli
