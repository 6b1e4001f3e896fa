// add, del, rename, set, discard: changes of the working state.
#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "cli/handlers.h"
#include "cli/moment.h"
#include "cli/mutate.h"
#include "cli/scope.h"
#include "eventstore/model/attribute_table.h"
#include "eventstore/model/limits.h"

namespace mesh::cli {

namespace {

constexpr std::string_view kPlanNext = "next: meshcli plan, then meshcli commit all";

Result<int> change_one(Session& session, Command command, std::string line, std::string_view next) {
  Mutation mutation{{}, true, std::string(next)};
  mutation.changes.push_back({std::move(command), std::move(line)});
  return mutate(session, std::move(mutation));
}

/// Names of the items of a list query, for a blast radius. An unreachable list says nothing.
std::vector<std::string> names_of(Session& session, const std::string& kind,
                                  const QueryArguments& arguments, std::string_view key) {
  std::vector<std::string> out;
  auto client = session.client();
  if (!client) return out;
  auto document = (*client)->query(kind, arguments);
  if (!document) return out;
  for (const Json& item : value_at(*document, "items")) out.push_back(text_at(item, key));
  return out;
}

std::string some_of(const std::vector<std::string>& names) {
  constexpr size_t kShown = 5;
  std::string out;
  for (size_t i = 0; i < names.size() && i < kShown; ++i) out += (i ? ", " : "") + names[i];
  if (names.size() > kShown) out += fmt::format(" and {} more", names.size() - kShown);
  return out;
}

/// What Towalink takes for more than text: digits and lists.
bool is_towalink_value(const std::string& text) {
  return text.find_first_not_of("0123456789") == std::string::npos || (text.starts_with('[') && text.ends_with(']'));
}

/// `empty` and JSON null remove, an object becomes one command for each leaf, all else is a value. With `towalink`
/// only digits and lists are more than text, as its templates expect.
class SetCommands {
 public:
  SetCommands(Target target, bool towalink, Mutation& out)
      : target_(std::move(target)), towalink_(towalink), out_(out) {}

  Status add(const std::string& name, const std::string& text) {
    if (text == "empty") return unset(name);
    if (towalink_ && !is_towalink_value(text)) return set(name, text);
    if (text.starts_with('{')) {
      const Json object = Json::parse(text, nullptr, false);
      if (!object.is_object())
        return fail(Errc::usage,
                    fmt::format("the value of {} begins with {{ and is no JSON object", name),
                    "quote it for the shell, as in '{\"mtu\": 1400}'; for a text, as in '\"{text\"'");
      if (object.empty()) return fail(Errc::usage, fmt::format("the object for {} is empty", name),
                                      "name an attribute in it, as in '{\"mtu\": 1400}'");
      return add_object(name, object);
    }
    auto value = parse_attribute_value(text);
    if (!value) return std::unexpected(std::move(value).error());
    return set(name, std::move(*value));
  }

 private:
  Status add_object(const std::string& prefix, const Json& object) {
    for (const auto& [key, member] : object.items()) {
      const std::string name = prefix + "." + key;
      if (member.is_object()) {
        MESH_TRY(add_object(name, member));
      } else if (member.is_null()) {
        MESH_TRY(unset(name));
      } else if (member.is_string()) {
        // A JSON string is that string, whatever its text looks like.
        MESH_TRY(set(name, member.get<std::string>()));
      } else {
        auto value = parse_attribute_value(member.dump());
        if (!value) return std::unexpected(std::move(value).error());
        MESH_TRY(set(name, std::move(*value)));
      }
    }
    return {};
  }

  Status set(const std::string& name, AttributeValue value) {
    MESH_TRY(check_attribute_name(name));
    std::string line = fmt::format("{}: {} = {}", to_text(target_), name, mesh::to_text(value));
    return push(SetAttribute{target_, name, std::move(value)}, std::move(line));
  }

  Status unset(const std::string& name) {
    return push(UnsetAttribute{target_, name},
                fmt::format("{}: {} removed", to_text(target_), name));
  }

  Status push(Command command, std::string line) {
    if (out_.changes.size() == kCommandsPerRequestMax)
      return fail(Errc::exhausted,
                  fmt::format("more than {} attributes in one request", kCommandsPerRequestMax));
    out_.changes.push_back({std::move(command), std::move(line)});
    return {};
  }

  Target target_;
  bool towalink_;
  Mutation& out_;
};

void warn_unknown(Session& session, const Mutation& mutation) {
  for (const Change& change : mutation.changes) {
    const auto* set = std::get_if<SetAttribute>(&change.command);
    if (!set || find_attribute(set->name)) continue;
    const auto near = suggest_attribute(set->name);
    session.warn(fmt::format("unknown attribute {}: only templates can use it{}", set->name,
                             near ? fmt::format("; did you mean {}?", *near) : ""));
  }
}

}  // namespace

Result<int> add_site(Session& session) {
  const std::string site = session.argument("SITE");
  return change_one(session, AddSite{site}, fmt::format("site {}: added", site),
                    fmt::format("next: meshcli add node NODE.{}", site));
}

Result<int> add_node(Session& session) {
  const std::string node = session.argument("NODE");
  return change_one(session, AddNode{node}, fmt::format("node {}: added", node),
                    fmt::format("next: meshcli token create --node {}", node));
}

Result<int> delete_site(Session& session) {
  const std::string site = session.argument("SITE");
  const bool force = session.has("force");
  if (force && !session.has("dry-run")) {
    const auto nodes = names_of(session, "nodes", {{"site", site}}, "fullname");
    if (!nodes.empty())
      MESH_TRY(session.confirm({fmt::format("site {} goes with {}: {}", site,
                                            count_text(nodes.size(), "node"), some_of(nodes))},
                               site));
  }
  return change_one(session, RemoveSite{site, force}, fmt::format("site {}: removed", site),
                    kPlanNext);
}

Result<int> delete_node(Session& session) {
  const std::string node = session.argument("NODE");
  const bool force = session.has("force");
  if (force && !session.has("dry-run")) {
    const auto links = names_of(session, "links", {{"node", node}}, "a_name");
    MESH_TRY(session.confirm({fmt::format("node {} goes, and with it its keys and {}", node,
                                          count_text(links.size(), "link"))},
                             node));
  }
  return change_one(session, RemoveNode{node, force}, fmt::format("node {}: removed", node),
                    kPlanNext);
}

Result<int> add_tag(Session& session) {
  const std::string name = session.argument("NAME"), text = session.argument("INSTANT");
  Sequence at;
  if (!text.empty()) {
    auto client = session.client();
    if (!client) return std::unexpected(std::move(client).error());
    auto moment = resolve_moment(**client, text, {}, session.environment().now());
    if (!moment) return std::unexpected(std::move(moment).error());
    at = moment->at;
    session.note(to_text(*moment));
  }
  Mutation mutation;
  mutation.changes.push_back(
      {AddTag{name, at}, at == Sequence() ? fmt::format("tag {}: added", name)
                                          : fmt::format("tag {}: #{}", name, at.value())});
  return mutate(session, std::move(mutation));
}

Result<int> delete_tag(Session& session) {
  const std::string name = session.argument("NAME");
  Mutation mutation;
  mutation.changes.push_back({RemoveTag{name}, fmt::format("tag {}: removed", name)});
  return mutate(session, std::move(mutation));
}

Result<int> rename_site(Session& session) {
  const std::string from = session.argument("OLD"), to = session.argument("NEW");
  return change_one(session, RenameSite{from, to}, fmt::format("site {}: renamed to {}", from, to),
                    kPlanNext);
}

Result<int> rename_node(Session& session) {
  const std::string from = session.argument("OLD"), to = session.argument("NEW");
  return change_one(session, RenameNode{from, to}, fmt::format("node {}: renamed to {}", from, to),
                    kPlanNext);
}

Result<int> set_attribute(Session& session) {
  Mutation mutation{{}, true, std::string(kPlanNext)};
  MESH_TRY(SetCommands(target_of(session), session.environment().program == "tlm", mutation)
               .add(session.argument("ATTRIBUTE"), session.argument("VALUE")));
  warn_unknown(session, mutation);
  return mutate(session, std::move(mutation));
}

Result<int> discard(Session& session) {
  const Target target = target_of(session);
  Mutation mutation;
  mutation.changes.push_back(
      {Discard{target}, fmt::format("{}: uncommitted changes dropped", fleet_text(target))});
  return mutate(session, std::move(mutation));
}

}  // namespace mesh::cli
