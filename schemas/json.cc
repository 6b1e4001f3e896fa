#include "schemas/json.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <nlohmann/json.hpp>

namespace mesh {

namespace {

using Json = nlohmann::ordered_json;

std::string dumped(const Json& json) {
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

template <class Tag, size_t N>
std::string hex(const ByteArray<Tag, N>& array) {
  return to_hex(array.view());
}

Json value_json(const Scalar& scalar) {
  return std::visit([](const auto& data) { return Json(data); }, scalar);
}
Json value_json(const AttributeValue& value) {
  return std::visit(
      []<class T>(const T& data) {
        if constexpr (std::is_same_v<T, FileRef>) {
          return Json{{"sha256", hex(data.digest)}, {"bytes", data.size}};
        } else if constexpr (!std::is_same_v<T, std::vector<Scalar>>) {
          return Json(data);
        } else {
          Json list = Json::array();
          for (const Scalar& scalar : data) list.push_back(value_json(scalar));
          return list;
        }
      },
      value.data);
}

std::string place(Level level, const std::string& site, const std::string& node) {
  switch (level) {
    case Level::global: return "global";
    case Level::site: return "site " + site;
    case Level::node: return "node " + node;
  }
  return "unknown";
}
std::string place(const Target& target) { return place(target.level, target.name, target.name); }
std::string place(const Scope& scope) {
  return place(scope.level, scope.site, std::to_string(scope.node.value()));
}

/// Never = null.
Json expiry(Timestamp expires) {
  return expires == Timestamp() ? Json(nullptr) : Json(time_text(expires));
}

Json rows_json(const std::vector<VersionRow>& rows) {
  Json list = Json::array();
  for (const VersionRow& row : rows)
    list.push_back({{"node", row.node.value()}, {"version", row.version.value()}, {"digest", hex(row.digest)}});
  return list;
}

std::string_view kind_name(OutcomeKind kind) {
  switch (kind) {
    case OutcomeKind::applied: return "applied";
    case OutcomeKind::failed: return "failed";
    case OutcomeKind::reverted: return "reverted";
    case OutcomeKind::refused: return "refused";
    case OutcomeKind::healthy: return "healthy";
  }
  return "unknown";
}

Json fields(const Outcome& o) {
  return {{"node", o.node.value()},
          {"serial", o.serial},
          {"outcome", kind_name(o.kind)},
          {"activation", o.activation.value()},
          {"version", o.version.value()},
          {"message", o.message}};
}

Json fields(const JoinStatement& s) {
  return {{"log", hex(s.log)},
          {"node", s.node},
          {"token", s.token.value()},
          {"sign_key", hex(s.sign_key)},
          {"box_key", hex(s.box_key)},
          {"wireguard_key", hex(s.wireguard_key)},
          {"hostname", s.hostname},
          {"machine", s.machine}};
}

// --- commands, in the order of Command ---

Json fields(const CreateLog& c) {
  return {{"log_key", hex(c.log_key)},
          {"controller_key", hex(c.controller_key)},
          {"recovery_key", hex(c.recovery_key)},
          {"admin", c.admin},
          {"admin_sign_key", hex(c.admin_sign_key)},
          {"admin_box_key", hex(c.admin_box_key)},
          {"endpoints", c.endpoints},
          {"enrol_endpoints", c.enrol_endpoints},
          {"profile", c.profile},
          {"loopbacknet_ipv4", c.loopbacknet_ipv4},
          {"loopbacknet_ipv6", c.loopbacknet_ipv6},
          {"transfernet_ipv4", c.transfernet_ipv4},
          {"transfernet_ipv6", c.transfernet_ipv6},
          {"bgp_as_base", c.bgp_as_base},
          {"rules", c.rules}};
}
Json fields(const AddSite& c) { return {{"name", c.name}}; }
Json fields(const RemoveSite& c) { return {{"name", c.name}, {"force", c.force}}; }
Json fields(const RenameSite& c) { return {{"from", c.from}, {"to", c.to}}; }
Json fields(const AddNode& c) {
  Json out{{"fullname", c.fullname}};
  if (c.number != NodeId()) out["number"] = c.number.value();
  return out;
}
Json fields(const RemoveNode& c) { return {{"node", c.node}, {"force", c.force}}; }
Json fields(const RenameNode& c) { return {{"from", c.from}, {"to", c.to}}; }
Json fields(const SetAttribute& c) {
  return {{"target", place(c.target)}, {"name", c.name}, {"value", value_json(c.value)}};
}
Json fields(const UnsetAttribute& c) { return {{"target", place(c.target)}, {"name", c.name}}; }
Json fields(const Commit& c) {
  Json out{{"target", place(c.target)},
          {"prepared_at", c.prepared_at.value()},
          {"root", hex(c.root)},
          {"include_others", c.include_others},
          {"with_neighbours", c.with_neighbours}};
  if (c.allow_loss) out["allow_loss"] = true;
  return out;
}
Json fields(const Discard& c) { return {{"target", place(c.target)}}; }
/// What an activation that acts at once does not have is left out.
template <class Waiting>
void add_waiting(Json& out, const Waiting& w) {
  if (w.confirm_s != 0) out["confirm_s"] = w.confirm_s;
  if (!w.health.empty()) out["health"] = w.health;
  if (w.for_s != 0) out["for_s"] = w.for_s;
}
Json fields(const Activate& c) {
  Json out{{"target", place(c.target)}, {"version", c.version.value()}, {"again", c.again}};
  add_waiting(out, c);
  if (c.unconfirmed) out["unconfirmed"] = true;
  return out;
}
Json fields(const CreateToken& c) {
  return {{"key", hex(c.key)},
          {"target", place(c.target)},
          {"uses", c.uses},
          {"expires", expiry(c.expires)},
          {"approve", c.approve}};
}
Json fields(const RevokeToken& c) { return {{"token", c.token.value()}}; }
Json fields(const ExpireToken& c) { return {{"token", c.token.value()}}; }
Json fields(const AdmitNode& c) { return {{"join", fields(c.statement)}}; }
Json fields(const ApproveNode& c) { return {{"node", c.node}, {"join", fields(c.statement)}}; }
Json fields(const RejectNode& c) { return {{"fingerprint", c.fingerprint}}; }
Json fields(const RevokeNode& c) { return {{"node", c.node}}; }
Json fields(const AddOperator& c) {
  return {{"name", c.name},
          {"role", role_name(c.role)},
          {"sites", c.sites},
          {"sign_key", hex(c.sign_key)},
          {"box_key", hex(c.box_key)}};
}
Json fields(const SetRole& c) {
  return {{"name", c.name}, {"role", role_name(c.role)}, {"sites", c.sites}};
}
Json fields(const BanOperator& c) { return {{"name", c.name}}; }
Json fields(const RaiseRules& c) { return {{"rules", c.rules}}; }
Json fields(const SignAnchor& c) {
  return {{"sequence", c.sequence.value()}, {"state_digest", hex(c.state_digest)}, {"root", hex(c.root)}};
}
Json evidence_json(const std::vector<SignedOutcome>& evidence) {
  Json out = Json::array();
  for (const SignedOutcome& outcome : evidence) out.push_back(fields(outcome.outcome));
  return out;
}
Json fields(const ReportOutcomes& c) {
  return {{"outcomes", evidence_json(c.outcomes)}};
}

Json fields(const AddTag& c) { return {{"name", c.name}, {"sequence", c.sequence.value()}}; }
Json fields(const RemoveTag& c) { return {{"name", c.name}}; }
Json fields(const RestoreSite& c) { return {{"name", c.name}}; }
Json fields(const RestoreNode& c) { return {{"node", c.node.value()}, {"name", c.name}}; }
Json fields(const RollBack& c) {
  return {{"target", place(c.target)}, {"to", c.to.value()}, {"digest", hex(c.digest)}};
}
Json fields(const Undo& c) { return {{"sequence", c.sequence.value()}}; }
template <class Epoch>
Json epoch_fields(const Epoch& e) {
  return {{"epoch", e.epoch},
          {"base", e.base.value()},
          {"base_root", hex(e.base_root)},
          {"node_floor", e.node_floor.value()},
          {"version_floor", e.version_floor.value()}};
}
Json fields(const StartEpoch& c) { return epoch_fields(c); }
Json fields(const ConfirmActivation& c) {
  return {{"activation", c.activation.value()}, {"partial", c.partial}, {"evidence", evidence_json(c.evidence)}};
}
Json fields(const CancelActivation& c) {
  return {{"activation", c.activation.value()}, {"evidence", evidence_json(c.evidence)}};
}
Json fields(const ExtendActivation& c) { return {{"activation", c.activation.value()}, {"seconds", c.seconds}}; }
Json fields(const ExpireActivation& c) { return {{"activation", c.activation.value()}}; }
Json fields(const SetEndpoints& c) {
  return {{"endpoints", c.endpoints}, {"enrol_endpoints", c.enrol_endpoints}};
}

Json fields(const SetRecovery& c) {
  return {{"node", c.node}, {"sign_key", hex(c.sign_key)}, {"box_key", hex(c.box_key)}};
}

// --- events, in the order of Event ---

Json fields(const LogCreated& e) {
  Json json = {{"log", hex(e.log)}};
  json.update(fields(e.genesis));
  return json;
}
Json fields(const SiteAdded& e) { return {{"name", e.name}}; }
Json fields(const SiteRemoved& e) { return {{"name", e.name}}; }
Json fields(const SiteRestored& e) { return {{"name", e.name}}; }
Json fields(const SiteRenamed& e) { return {{"from", e.from}, {"to", e.to}}; }
Json fields(const NodeAdded& e) {
  return {{"node", e.node.value()}, {"name", e.name}, {"site", e.site}};
}
Json fields(const NodeRemoved& e) { return {{"node", e.node.value()}}; }
Json fields(const NodeRestored& e) {
  Json out{{"node", e.node.value()}};
  if (!e.site.empty()) out["site"] = e.site;
  return out;
}
Json fields(const NodeRenamed& e) {
  return {{"node", e.node.value()}, {"from", e.from}, {"to", e.to}};
}
Json fields(const AttributeSet& e) {
  return {{"scope", place(e.scope)},
          {"name", e.name},
          {"before", e.before ? value_json(*e.before) : Json(nullptr)},
          {"value", value_json(e.value)}};
}
Json fields(const AttributeUnset& e) {
  return {{"scope", place(e.scope)}, {"name", e.name}, {"before", value_json(e.before)}};
}
Json fields(const VersionsCommitted& e) {
  return {{"scope", place(e.scope)},
          {"prepared_at", e.prepared_at.value()},
          {"root", hex(e.root)},
          {"rows", rows_json(e.rows)}};
}
Json fields(const ChangesDiscarded& e) { return {{"scope", place(e.scope)}, {"changes", e.changes}}; }
Json fields(const ActivationStarted& e) {
  Json rows = Json::array();
  for (const ActivationRow& row : e.rows)
    rows.push_back({{"node", row.node.value()}, {"from", row.from.value()}, {"to", row.to.value()}});
  Json out{{"activation", e.activation.value()}, {"rows", std::move(rows)}};
  add_waiting(out, e);
  if (e.confirm_s != 0) out["deadline"] = time_text(e.deadline);
  return out;
}
Json fields(const ActivationConfirmed& e) {
  Json nodes = Json::array();
  for (NodeId node : e.nodes) nodes.push_back(node.value());
  return {{"activation", e.activation.value()}, {"nodes", std::move(nodes)}};
}
Json fields(const ActivationEnded& e) {
  return {{"activation", e.activation.value()}, {"how", end_name(e.how)}};
}
Json fields(const ActivationExtended& e) {
  return {{"activation", e.activation.value()}, {"deadline", time_text(e.deadline)}, {"seconds", e.seconds}};
}
Json fields(const EndpointsSet& e) {
  return {{"endpoints", e.endpoints}, {"enrol_endpoints", e.enrol_endpoints}};
}
Json fields(const RecoverySet& e) {
  return {{"node", e.node.value()}, {"sign_key", hex(e.sign_key)}, {"box_key", hex(e.box_key)}};
}
Json fields(const TokenCreated& e) {
  return {{"token", e.token.value()}, {"key", hex(e.key)},           {"scope", place(e.scope)},
          {"uses", e.uses},           {"expires", expiry(e.expires)}, {"approve", e.approve}};
}
Json fields(const TokenUsed& e) { return {{"token", e.token.value()}, {"node", e.node.value()}}; }
Json fields(const TokenRevoked& e) { return {{"token", e.token.value()}}; }
Json fields(const TokenExpired& e) { return {{"token", e.token.value()}}; }
Json fields(const NodeEnrolled& e) {
  return {{"node", e.node.value()},
          {"sign_key", hex(e.sign_key)},
          {"box_key", hex(e.box_key)},
          {"hostname", e.hostname},
          {"machine", e.machine}};
}
Json fields(const KeyRegistered& e) {
  return {{"node", e.node.value()}, {"generation", e.generation}, {"key", hex(e.key)}};
}
Json fields(const KeyDropped& e) { return {{"node", e.node.value()}, {"generation", e.generation}}; }
Json fields(const NodeRejected& e) { return {{"fingerprint", e.fingerprint}}; }
Json fields(const NodeRevoked& e) { return {{"node", e.node.value()}}; }
Json fields(const OperatorAdded& e) {
  return {{"name", e.name},
          {"role", role_name(e.role)},
          {"sites", e.sites},
          {"sign_key", hex(e.sign_key)},
          {"box_key", hex(e.box_key)}};
}
Json fields(const RoleSet& e) {
  return {{"name", e.name}, {"role", role_name(e.role)}, {"sites", e.sites}};
}
Json fields(const OperatorBanned& e) { return {{"name", e.name}}; }
Json fields(const RulesRaised& e) { return {{"rules", e.rules}}; }
Json fields(const AnchorSigned& e) {
  return {{"sequence", e.sequence.value()},
          {"state_digest", hex(e.state_digest)},
          {"root", hex(e.root)},
          {"by", e.by}};
}
Json fields(const OutcomeReported& e) { return fields(e.outcome); }

Json fields(const TagAdded& e) { return {{"name", e.name}, {"sequence", e.sequence.value()}}; }
Json fields(const TagRemoved& e) { return {{"name", e.name}}; }
Json fields(const RolledBack& e) {
  return {{"scope", place(e.scope)}, {"to", e.to.value()}, {"digest", hex(e.digest)}};
}
Json fields(const EntryUndone& e) { return {{"sequence", e.sequence.value()}}; }
Json fields(const EpochStarted& e) { return epoch_fields(e); }

template <class Variant>
Json typed(std::string_view type, const Variant& value) {
  Json json = {{"type", type}};
  json.update(std::visit([](const auto& alternative) { return fields(alternative); }, value));
  return json;
}

Json to_json(const Event& event) { return typed(event_name(event), event); }
Json to_json(const Command& command) { return typed(command_name(command), command); }

}  // namespace

std::string event_json(const Event& event) { return dumped(to_json(event)); }
std::string command_json(const Command& command) { return dumped(to_json(command)); }

std::string machine_json(const MachineStatus& machine) {
  return dumped({{"load", machine.load_milli / 1000.0},
                 {"processors", machine.processors},
                 {"memory_bytes", machine.memory_bytes},
                 {"memory_free_bytes", machine.memory_free_bytes},
                 {"disk_bytes", machine.disk_bytes},
                 {"disk_free_bytes", machine.disk_free_bytes},
                 {"uptime_s", machine.uptime_s},
                 {"kernel", machine.kernel},
                 {"bird", machine.bird},
                 {"wireguard", machine.wireguard}});
}

std::string entry_json(const Entry& entry) {
  const EntryHeader& header = entry.header;
  Json json = {{"sequence", header.sequence.value()},
               {"time", time_text(header.time)},
               {"principal", to_text(header.principal)}};
  const std::string_view entry_class = header.entry_class == EntryClass::intent ? "intent" : "report";
  if (!entry.body) {
    json["class"] = entry_class;
    json["body"] = nullptr;
    return dumped(json);
  }
  const Request& request = entry.body->request;
  Json commands = Json::array(), events = Json::array();
  std::string names;
  for (const Command& command : request.commands) {
    names += names.empty() ? "" : ", ";
    names += command_name(command);
    commands.push_back(to_json(command));
  }
  for (const Event& event : entry.body->events) events.push_back(to_json(event));
  json["origin"] = request.origin;
  json["message"] = request.message;
  json["reference"] = request.reference;
  json["class"] = entry_class;
  json["command"] = names;
  json["commands"] = std::move(commands);
  json["events"] = std::move(events);
  return dumped(json);
}

std::string time_text(Timestamp time) {
  using namespace std::chrono;
  // RFC 3339 has years of four digits; an attacker's time may have more.
  constexpr auto kFirst = sys_time<microseconds>(sys_days(year(0) / 1 / 1));
  constexpr auto kLast = sys_time<microseconds>(sys_days(year(10'000) / 1 / 1)) - microseconds(1);
  const auto at = std::clamp(sys_time<microseconds>(microseconds(time.value())), kFirst, kLast);
  const auto day = floor<days>(at);
  const year_month_day date(day);
  const hh_mm_ss clock(at - day);
  return fmt::format("{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:06}Z", static_cast<int>(date.year()),
                     static_cast<unsigned>(date.month()), static_cast<unsigned>(date.day()), clock.hours().count(),
                     clock.minutes().count(), clock.seconds().count(), clock.subseconds().count());
}

Result<Timestamp> parse_time_text(std::string_view text) {
  using namespace std::chrono;
  constexpr std::string_view kShape = "0000-00-00T00:00:00";
  const auto digit = [](char c) { return c >= '0' && c <= '9'; };
  bool good = text.size() > kShape.size() && text.back() == 'Z';
  for (size_t i = 0; good && i < kShape.size(); ++i)
    good = kShape[i] == '0' ? digit(text[i]) : text[i] == kShape[i];
  std::string_view fraction;
  if (good) fraction = text.substr(kShape.size(), text.size() - kShape.size() - 1);
  good = good && (fraction.empty() || (fraction.size() > 1 && fraction.front() == '.' &&
                                       std::all_of(fraction.begin() + 1, fraction.end(), digit)));
  const auto number = [&](size_t at, size_t count) {
    int value = 0;
    for (char c : text.substr(at, count)) value = value * 10 + (c - '0');
    return value;
  };
  if (good) {
    const year_month_day date(year(number(0, 4)), month(static_cast<unsigned>(number(5, 2))),
                              day(static_cast<unsigned>(number(8, 2))));
    const int hour = number(11, 2), minute = number(14, 2), second = number(17, 2);
    if (date.ok() && hour < 24 && minute < 60 && second < 60) {
      int64_t micros = 0, unit = 100'000;
      for (size_t i = 1; i < fraction.size(); ++i, unit /= 10) micros += unit * (fraction[i] - '0');
      const auto at = sys_days(date) + hours(hour) + minutes(minute) + seconds(second);
      return Timestamp(duration_cast<microseconds>(at.time_since_epoch()).count() + micros);
    }
  }
  return fail(Errc::usage, fmt::format("\"{}\" is no time", text),
              "for example 2026-01-02T03:04:05Z");
}

}  // namespace mesh
