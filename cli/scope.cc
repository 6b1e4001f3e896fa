#include "cli/scope.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

namespace mesh::cli {

Target target_named(const std::string& scope) {
  if (scope.starts_with("site ")) return {Level::site, scope.substr(5)};
  if (scope.starts_with("node ")) return {Level::node, scope.substr(5)};
  return {Level::global, {}};
}

Target target_of(const Session& session) {
  if (const std::string scope = session.argument("SCOPE"); !scope.empty()) return target_named(scope);
  const std::string_view noun = session.verb().noun;
  if (noun == "site") return {Level::site, session.argument("SITE")};
  if (noun == "node") return {Level::node, session.argument("NODE")};
  return {Level::global, {}};
}

std::string to_text(const Target& target) {
  switch (target.level) {
    case Level::site:
      return "site " + target.name;
    case Level::node:
      return "node " + target.name;
    case Level::global:
      break;
  }
  return "global";
}

std::string fleet_text(const Target& target) {
  return target.level == Level::global ? "all" : to_text(target);
}

Result<Json> node_status(Client& client, const std::string& node) {
  auto document = client.query("status", {{"node", node}});
  if (!document) return document;
  const Json& items = value_at(*document, "items");
  if (!items.is_array() || items.empty())
    return fail(Errc::not_found, fmt::format("node \"{}\" does not exist", node));
  return Json(items[0]);
}

}  // namespace mesh::cli
