// Who may do what: one table, command x kind of principal x role.
#include <fmt/format.h>

#include <algorithm>
#include <type_traits>

#include "eventstore/model/decide.h"
#include "eventstore/model/limits.h"

namespace mesh {

namespace {

/// either: operators, and the controller with evidence that decide checks.
enum class Need : uint8_t { controller, either, operate, administer };

struct Needs {
  Need operator()(const CreateLog&) const { return Need::controller; }
  Need operator()(const ExpireToken&) const { return Need::controller; }
  Need operator()(const AdmitNode&) const { return Need::controller; }
  Need operator()(const ReportOutcomes&) const { return Need::controller; }
  Need operator()(const ExpireActivation&) const { return Need::controller; }
  Need operator()(const ConfirmActivation&) const { return Need::either; }
  Need operator()(const CancelActivation&) const { return Need::either; }
  Need operator()(const SetEndpoints&) const { return Need::administer; }
  Need operator()(const SetRecovery&) const { return Need::administer; }
  Need operator()(const AddOperator&) const { return Need::administer; }
  Need operator()(const SetRole&) const { return Need::administer; }
  Need operator()(const BanOperator&) const { return Need::administer; }
  Need operator()(const RaiseRules&) const { return Need::administer; }
  Need operator()(const SignAnchor&) const { return Need::administer; }
  Need operator()(const StartEpoch&) const { return Need::administer; }
  Need operator()(const auto&) const { return Need::operate; }
};

/// The site that a command stays within; nothing when it reaches further.
struct SiteOf {
  const MeshState& state;

  std::optional<std::string> of_node(std::string_view reference) const {
    const Node* node = state.find_node(reference);
    if (node) return node->site;
    // An unknown node is reported by decide; its site is what its name says.
    auto dot = reference.find('.');
    return dot == std::string_view::npos ? std::nullopt
                                         : std::optional(std::string(reference.substr(dot + 1)));
  }
  std::optional<std::string> of(const Target& target) const {
    if (target.level == Level::site) return target.name;
    if (target.level == Level::node) return of_node(target.name);
    return std::nullopt;
  }
  std::optional<std::string> operator()(const RemoveSite& c) const { return c.name; }
  std::optional<std::string> operator()(const AddNode& c) const { return of_node(c.fullname); }
  std::optional<std::string> operator()(const RemoveNode& c) const { return of_node(c.node); }
  std::optional<std::string> operator()(const RenameNode& c) const { return of_node(c.from); }
  std::optional<std::string> operator()(const SetAttribute& c) const { return of(c.target); }
  std::optional<std::string> operator()(const UnsetAttribute& c) const { return of(c.target); }
  std::optional<std::string> operator()(const Commit& c) const {
    return c.with_neighbours ? std::nullopt : of(c.target);
  }
  std::optional<std::string> operator()(const Discard& c) const { return of(c.target); }
  std::optional<std::string> operator()(const Activate& c) const { return of(c.target); }
  std::optional<std::string> of_activation(ActivationId id) const {
    auto it = state.pending.find(id);
    if (it == state.pending.end()) return std::nullopt;
    std::optional<std::string> site;
    for (const ActivationRow& row : it->second.rows) {
      const Node* node = state.find_node(row.node);
      if (!node || (site && *site != node->site)) return std::nullopt;
      site = node->site;
    }
    return site;
  }
  std::optional<std::string> operator()(const ConfirmActivation& c) const { return of_activation(c.activation); }
  std::optional<std::string> operator()(const CancelActivation& c) const { return of_activation(c.activation); }
  std::optional<std::string> operator()(const ExtendActivation& c) const { return of_activation(c.activation); }
  std::optional<std::string> operator()(const CreateToken& c) const { return of(c.target); }
  std::optional<std::string> operator()(const ApproveNode& c) const { return of_node(c.node); }
  std::optional<std::string> operator()(const RevokeNode& c) const { return of_node(c.node); }
  std::optional<std::string> operator()(const RestoreNode& c) const {
    auto it = state.removed_nodes.find(c.node);
    if (it == state.removed_nodes.end()) return std::nullopt;
    const auto dot = c.name.find('.');
    const bool moves = dot != std::string::npos && c.name.substr(dot + 1) != it->second->site;
    return moves ? std::nullopt : std::optional(it->second->site);
  }
  std::optional<std::string> operator()(const RollBack& c) const { return of(c.target); }
  std::optional<std::string> operator()(const RevokeToken& c) const {
    auto it = state.tokens.find(c.token);
    if (it == state.tokens.end()) return std::nullopt;
    if (it->second.scope.level == Level::site) return it->second.scope.site;
    const Node* node = state.find_node(it->second.scope.node);
    return node ? std::optional(node->site) : std::nullopt;
  }
  std::optional<std::string> operator()(const auto&) const { return std::nullopt; }
};

/// About an activation that does not wait, or no more: decide says what became of it, and changes nothing. Rules 3
/// refused it, and so other commands of its request.
struct AboutNoneThatWaits {
  const MeshState& state;
  bool over(ActivationId id) const { return state.rules >= 4 && !state.pending.contains(id); }
  bool operator()(const ConfirmActivation& c) const { return over(c.activation); }
  bool operator()(const CancelActivation& c) const { return over(c.activation); }
  bool operator()(const ExtendActivation& c) const { return over(c.activation); }
  bool operator()(const auto&) const { return false; }
};

Status check_human(const MeshState& state, const Operator& person, const Command& command) {
  Need need = std::visit(Needs{}, command);
  auto refuse = [&](std::string why) {
    return fail(Errc::not_permitted,
                fmt::format("{} may not {}: {}", person.name, command_name(command), why),
                "ask an administrator: meshcli operator list");
  };
  if (need == Need::controller) return refuse("only the controller signs this");
  if (need == Need::administer && person.role != Role::admin)
    return refuse("it needs the role admin");
  if (person.role == Role::viewer) return refuse("the role viewer only reads");
  if (person.sites.empty() || std::visit(AboutNoneThatWaits{state}, command)) return {};
  auto site = std::visit(SiteOf{state}, command);
  if (site && std::find(person.sites.begin(), person.sites.end(), *site) != person.sites.end())
    return {};
  return refuse(site ? fmt::format("site {} is outside the operator's sites", *site)
                     : std::string("it reaches beyond the operator's sites"));
}

Status check_recovery(const Command& command) {
  const auto* add = std::get_if<AddOperator>(&command);
  if (add && add->role == Role::admin) return {};
  return fail(Errc::not_permitted, "the recovery key may only add an administrator",
              "sign with an administrator's key");
}

bool is_report(const Command& command) { return std::holds_alternative<ReportOutcomes>(command); }

}  // namespace

Status authorise(const MeshState& state, const Request& request) {
  MESH_TRY(signer_key(state, request));
  for (const Command& command : request.commands) {
    switch (request.principal.kind) {
      case PrincipalKind::controller:
        if (std::visit(Needs{}, command) > Need::either)
          return fail(Errc::not_permitted,
                      fmt::format("the controller may not sign {}", command_name(command)));
        break;
      case PrincipalKind::human:
        MESH_TRY(check_human(state, *state.find_operator(request.principal.name), command));
        break;
      case PrincipalKind::recovery:
        MESH_TRY(check_recovery(command));
        break;
      case PrincipalKind::node:
      case PrincipalKind::token:
        return fail(Errc::not_permitted,
                    to_text(request.principal) + " signs no requests of its own");
    }
  }
  return {};
}

Result<SignKey> signer_key(const MeshState& state, const Request& request) {
  const Principal& who = request.principal;
  if (state.sequence == Sequence()) {
    const auto* genesis =
        request.commands.empty() ? nullptr : std::get_if<CreateLog>(&request.commands[0]);
    if (who.kind != PrincipalKind::controller || !genesis)
      return fail(Errc::unauthenticated, "the log is empty: its first entry must create it");
    return genesis->log_key;
  }
  switch (who.kind) {
    case PrincipalKind::controller:
      return state.genesis.log_key;
    case PrincipalKind::recovery:
      return state.genesis.recovery_key;
    case PrincipalKind::human: {
      const Operator* person = state.find_operator(who.name);
      if (!person)
        return fail(Errc::unauthenticated, fmt::format("operator \"{}\" does not exist", who.name));
      if (person->banned)
        return fail(Errc::unauthenticated, fmt::format("operator {} is banned", who.name));
      return person->sign_key;
    }
    case PrincipalKind::node:
    case PrincipalKind::token:
      break;
  }
  return fail(Errc::unauthenticated, to_text(who) + " signs no requests");
}

Result<EntryClass> classify(const Request& request) {
  if (request.commands.empty()) return fail(Errc::usage, "a request needs at least one command");
  if (request.commands.size() > kCommandsPerRequestMax)
    return fail(Errc::exhausted, fmt::format("a request holds at most {} commands, this one has {}",
                                             kCommandsPerRequestMax, request.commands.size()));
  bool report = is_report(request.commands[0]);
  for (const Command& command : request.commands)
    if (is_report(command) != report)
      return fail(Errc::usage, "a request mixes reports with intent");
  return report ? EntryClass::report : EntryClass::intent;
}

}  // namespace mesh
