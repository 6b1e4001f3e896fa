#include "cli/scope.h"

namespace mesh::cli {

Target target_of(const Session& session) {
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

}  // namespace mesh::cli
