// The words for commands, events, principals and roles.
#include <type_traits>

#include "eventstore/model/attribute_table.h"
#include "eventstore/model/command.h"
#include "eventstore/model/event.h"
#include "eventstore/model/principal.h"

namespace mesh {

namespace {

constexpr std::string_view kCommandNames[] = {
    "CreateLog",  "AddSite",     "RemoveSite",   "RenameSite",     "AddNode",
    "RemoveNode", "RenameNode",  "SetAttribute", "UnsetAttribute", "Commit",
    "Discard",    "Activate",    "CreateToken",  "RevokeToken",    "ExpireToken",
    "AdmitNode",  "ApproveNode", "RejectNode",   "RevokeNode",     "AddOperator",
    "SetRole",    "BanOperator", "RaiseRules",   "SignAnchor",     "ReportOutcomes",
    "AddTag",     "RemoveTag",   "RestoreSite",  "RestoreNode",    "RollBack",
    "Undo",       "StartEpoch",  "ConfirmActivation", "CancelActivation", "ExtendActivation",
    "ExpireActivation", "SetEndpoints", "SetRecovery"};
static_assert(std::size(kCommandNames) == std::variant_size_v<Command>);

constexpr std::string_view kEventNames[] = {
    "LogCreated",     "SiteAdded",         "SiteRemoved",      "SiteRestored",      "SiteRenamed",
    "NodeAdded",      "NodeRemoved",       "NodeRestored",     "NodeRenamed",       "AttributeSet",
    "AttributeUnset", "VersionsCommitted", "ChangesDiscarded", "ActivationStarted", "TokenCreated",
    "TokenUsed",      "TokenRevoked",      "TokenExpired",     "NodeEnrolled",      "KeyRegistered",
    "KeyDropped",     "NodeRejected",      "NodeRevoked",      "OperatorAdded",     "RoleSet",
    "OperatorBanned", "RulesRaised",       "AnchorSigned",     "OutcomeReported",
    "TagAdded",       "TagRemoved",        "RolledBack",       "EntryUndone",       "EpochStarted",
    "ActivationConfirmed", "ActivationEnded", "ActivationExtended", "EndpointsSet",
    "RecoverySet"};
static_assert(std::size(kEventNames) == std::variant_size_v<Event>);

}  // namespace

std::string_view command_name(const Command& command) { return kCommandNames[command.index()]; }

uint32_t rules_of(const Command& command) {
  static const size_t first_of_2 = Command(AddTag{}).index(), first_of_3 = Command(ConfirmActivation{}).index();
  if (const auto* c = std::get_if<Activate>(&command);
      c && (c->confirm_s || c->unconfirmed || !c->health.empty() || c->for_s))
    return 3;
  if (const auto* c = std::get_if<Commit>(&command); c && c->allow_loss) return 3;
  if (const auto* c = std::get_if<SetAttribute>(&command); c && c->value.file()) return 4;
  if (const auto* c = std::get_if<UnsetAttribute>(&command); c && file_of(c->name)) return 4;
  if (const auto* c = std::get_if<AddNode>(&command); c && c->number != NodeId()) return 4;
  if (std::holds_alternative<SetRecovery>(command)) return 4;
  return command.index() >= first_of_3 ? 3 : command.index() >= first_of_2 ? 2 : 1;
}

std::string_view event_name(const Event& event) { return kEventNames[event.index()]; }

std::string_view end_name(ActivationEnd how) {
  switch (how) {
    case ActivationEnd::confirmed:
      return "confirmed";
    case ActivationEnd::cancelled:
      return "cancelled";
    case ActivationEnd::expired:
      return "expired";
    case ActivationEnd::failed:
      return "failed";
  }
  return "unknown";
}

std::string to_text(const Principal& principal) {
  switch (principal.kind) {
    case PrincipalKind::controller:
      return "controller";
    case PrincipalKind::human:
      return principal.name;
    case PrincipalKind::node:
      return "node " + principal.name;
    case PrincipalKind::token:
      return "token " + principal.name;
    case PrincipalKind::recovery:
      return "recovery key";
  }
  return "unknown";
}

std::string_view role_name(Role role) {
  switch (role) {
    case Role::viewer:
      return "viewer";
    case Role::operator_:
      return "operator";
    case Role::admin:
      return "admin";
  }
  return "unknown";
}

}  // namespace mesh
