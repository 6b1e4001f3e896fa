// Who acts, and on what.
#pragma once

#include <compare>
#include <cstdint>
#include <string>
#include <string_view>

#include "eventstore/model/ids.h"

namespace mesh {

/// Numbers are wire values.
enum class PrincipalKind : uint8_t { controller = 1, human = 2, node = 3, token = 4, recovery = 5 };

/// Who signed. name: an operator's name; a node's or token's number in decimal; empty for the
/// others.
struct Principal {
  PrincipalKind kind{};
  std::string name;
  auto operator<=>(const Principal&) const = default;

  static Principal controller() { return {PrincipalKind::controller, {}}; }
  static Principal recovery() { return {PrincipalKind::recovery, {}}; }
  static Principal human(std::string name) { return {PrincipalKind::human, std::move(name)}; }
};

/// As people read it: "alice", "controller", "recovery key", "node 12", "token 3".
std::string to_text(const Principal& principal);

enum class Role : uint8_t { viewer = 1, operator_ = 2, admin = 3 };
std::string_view role_name(Role role);

enum class Level : uint8_t { global = 1, site = 2, node = 3 };

/// What a command names, unresolved: name is a site's name, or a node's number or full name.
struct Target {
  Level level = Level::global;
  std::string name;
  auto operator<=>(const Target&) const = default;
};

/// A resolved place in the state.
struct Scope {
  Level level = Level::global;
  std::string site;  // Level::site only
  NodeId node;       // Level::node only
  auto operator<=>(const Scope&) const = default;
};

}  // namespace mesh
