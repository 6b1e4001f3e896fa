// Deciding about the log itself, operators, tokens and enrolment.
#include <fmt/format.h>

#include <algorithm>

#include "eventstore/model/address.h"
#include "eventstore/model/attribute_table.h"
#include "eventstore/model/crypto.h"
#include "eventstore/model/decide_internal.h"
#include "eventstore/model/limits.h"

namespace mesh::deciding {

namespace {

Status check_person_name(std::string_view name) {
  bool good = !name.empty() && name.size() <= kNameBytesMax &&
              std::all_of(name.begin(), name.end(), [](char c) {
                return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_' ||
                       c == '.' || c == '@';
              });
  if (good && name != "controller") return {};
  return fail(
      Errc::invalid,
      "an operator's name has 1 to 63 characters of a-z 0-9 - _ . @ and is not \"controller\"");
}

/// A key names one principal: nobody's live or former key is taken a second time.
Status check_fresh_keys(const MeshState& state, const SignKey& sign, const BoxKey& box,
                        NodeId except = {}) {
  if (sign.is_zero() || box.is_zero()) return fail(Errc::invalid, "a key is missing (all zero)");
  for (const auto& [name, person] : state.operators)
    if (person.sign_key == sign || person.box_key == box)
      return fail(Errc::conflict, fmt::format("a key is already that of operator {}", name),
                  "make new keys");
  for (const auto& [id, node] : state.nodes)
    if (id != except && (node->sign_key == sign || node->box_key == box))
      return fail(Errc::conflict, fmt::format("a key is already that of node {}", node->fullname()),
                  "make new keys");
  if (state.genesis.log_key == sign || state.genesis.recovery_key == sign ||
      state.genesis.controller_key == box)
    return fail(Errc::conflict, "a key is already the controller's", "make new keys");
  return {};
}

Status check_sites_exist(const MeshState& state, const std::vector<std::string>& sites) {
  if (sites.size() > kSitesMax) return fail(Errc::exhausted, "too many sites");
  for (const std::string& site : sites) MESH_TRY(resolve(state, {Level::site, site}));
  return {};
}

Status check_not_last_admin(const MeshState& state, std::string_view name) {
  for (const auto& [other, person] : state.operators)
    if (other != name && person.role == Role::admin && !person.banned && person.sites.empty())
      return {};
  return fail(Errc::invalid, fmt::format("{} is the last administrator", name),
              "add another administrator first");
}

Status check_token_open(const Token& token, Timestamp now) {
  constexpr std::string_view kStates[] = {"", "open", "used up", "revoked", "expired"};
  std::string_view state = kStates[static_cast<size_t>(token.state)];
  if (token.state == TokenState::open && token.expires != Timestamp() && now >= token.expires)
    state = "expired";
  if (state == "open") return {};
  return fail(Errc::not_permitted, fmt::format("token {} is {}", token.id.value(), state),
              "meshcli token create");
}

/// The token that a join used, after its signature was checked.
Result<const Token*> check_token(const Case& on, const SignedJoin& join,
                                 const JoinStatement& statement) {
  auto it = on.state.tokens.find(statement.token);
  if (it == on.state.tokens.end())
    return fail(Errc::not_permitted,
                fmt::format("token {} does not exist", statement.token.value()));
  MESH_TRY(check_token_open(it->second, on.context.time));
  if (!verify_signature(it->second.key, kJoinDomain, join.statement, join.token_signature))
    return fail(Errc::unauthenticated, "the join is not signed by the token");
  return &it->second;
}

Status check_join(const Case& on, const SignedJoin& join, const JoinStatement& statement) {
  if (statement.log != on.state.log)
    return fail(Errc::unauthenticated, "the join is for another log",
                "use a token of this controller");
  if (!verify_signature(statement.sign_key, kJoinDomain, join.statement, join.node_signature))
    return fail(Errc::unauthenticated, "the join is not signed by the node's own key");
  if (statement.wireguard_key.is_zero())
    return fail(Errc::invalid, "the WireGuard key is missing (all zero)");
  std::string print = fingerprint(statement.sign_key.view());
  if (std::find(on.state.rejected.begin(), on.state.rejected.end(), print) !=
      on.state.rejected.end())
    return fail(Errc::not_permitted,
                fmt::format("the node with fingerprint {} was rejected", print),
                "remove its identity, then join with new keys");
  return {};
}

bool admits(const MeshState& state, const Token& token, const Node& node) {
  for (const Node* covered : state.nodes_in(token.scope))
    if (covered == &node) return true;
  return false;
}

bool is_enrolled_as(const Node& node, const JoinStatement& statement) {
  return node.enrolment == Enrolment::enrolled && node.sign_key == statement.sign_key &&
         node.box_key == statement.box_key;
}

/// "tcp://HOST:PORT", HOST a DNS name or an address, IPv6 in brackets.
Status check_controller_endpoint(const std::string& endpoint) {
  constexpr std::string_view kScheme = "tcp://";
  const bool tcp = endpoint.starts_with(kScheme) && endpoint.size() <= kEndpointBytesMax;
  auto parsed = tcp ? parse_host_port(endpoint.substr(kScheme.size())) : Result<HostPort>(HostPort{});
  if (tcp && parsed && parsed->port && *parsed->port != 0) return {};
  return fail(Errc::invalid, fmt::format("\"{}\" is no endpoint of a controller", endpoint),
              "tcp://HOST:PORT, for example tcp://control.example.net:7400");
}

/// Events of an admission that was found right. A repeat of the same join gives none.
Events enrol(const Case& on, const Node& node, const JoinStatement& statement, const Token* token) {
  if (node.enrolment == Enrolment::enrolled)
    return fail(Errc::conflict, fmt::format("node {} is enrolled with other keys", node.fullname()),
                fmt::format("meshcli node revoke {}, then join again", node.fullname()));
  MESH_TRY(check_fresh_keys(on.state, statement.sign_key, statement.box_key, node.id));
  std::vector<Event> events;
  if (token) events.push_back(TokenUsed{token->id, node.id});
  events.push_back(NodeEnrolled{node.id, statement.sign_key, statement.box_key, statement.hostname,
                                statement.machine});
  events.push_back(KeyRegistered{node.id, 1, statement.wireguard_key});
  return events;
}

}  // namespace

void revoke_tokens_of(const MeshState& state, const Scope& scope, std::vector<Event>& out) {
  for (const auto& [id, token] : state.tokens)
    if (token.scope == scope && token.state == TokenState::open) out.push_back(TokenRevoked{id});
}

Events decide(const Case& on, const CreateLog& c) {
  if (on.state.sequence != Sequence() || on.request.commands.size() != 1)
    return fail(Errc::invalid, "a log is created by its first entry alone");
  MESH_TRY(check_person_name(c.admin));
  for (ByteView key : {c.log_key.view(), c.controller_key.view(), c.recovery_key.view(),
                       c.admin_sign_key.view(), c.admin_box_key.view()})
    if (std::all_of(key.begin(), key.end(), [](uint8_t b) { return b == 0; }))
      return fail(Errc::invalid, "a key is missing (all zero)");
  if (c.endpoints.size() > kEndpointsMax || c.enrol_endpoints.size() > kEndpointsMax)
    return fail(Errc::exhausted,
                fmt::format("a controller has at most {} endpoints", kEndpointsMax));
  if (c.rules == 0 || c.rules > kRulesNewest)
    return fail(Errc::unsupported,
                fmt::format("this program knows rules 1 to {}, not {}", kRulesNewest, c.rules));
  LogId log = derive_log_id(c);
  if (on.request.log != log)
    return fail(Errc::invalid, "the request's log id does not follow from the first command");
  return std::vector<Event>{LogCreated{log, c}};
}

Events decide(const Case& on, const CreateToken& c) {
  auto scope = resolve(on.state, c.target);
  if (!scope) return std::unexpected(scope.error());
  if (scope->level == Level::global)
    return fail(Errc::usage, "a token admits a node, or nodes of a site", "use --node or --site");
  if (c.key.is_zero()) return fail(Errc::invalid, "the token's key is missing (all zero)");
  if (c.uses < 1 || c.uses > kNodesMax)
    return fail(Errc::invalid, fmt::format("a token has 1 to {} uses", kNodesMax));
  if (scope->level == Level::node && c.uses != 1)
    return fail(Errc::invalid, "a token for one node has one use");
  if (c.expires != Timestamp() && c.expires <= on.context.time)
    return fail(Errc::invalid, "the token would be expired already");
  size_t open = 0;
  for (const auto& [id, token] : on.state.tokens) {
    if (token.key == c.key)
      return fail(Errc::conflict, "the token's key was used before", "make a new one");
    open += token.state == TokenState::open;
  }
  if (open >= kTokensMax)
    return fail(Errc::exhausted, fmt::format("{} tokens are open", open), "meshcli token revoke");
  if (scope->level == Level::node &&
      on.state.find_node(scope->node)->enrolment == Enrolment::enrolled)
    return fail(Errc::conflict, fmt::format("{} is enrolled already", to_text(on.state, *scope)),
                "meshcli node revoke first");
  return std::vector<Event>{
      TokenCreated{on.state.next_token, c.key, *scope, c.uses, c.expires, c.approve}};
}

Events decide(const Case& on, const RevokeToken& c) {
  auto it = on.state.tokens.find(c.token);
  if (it == on.state.tokens.end())
    return fail(Errc::not_found, fmt::format("token {} does not exist", c.token.value()),
                "meshcli token list");
  if (it->second.state != TokenState::open) return std::vector<Event>{};
  return std::vector<Event>{TokenRevoked{c.token}};
}

Events decide(const Case& on, const ExpireToken& c) {
  auto it = on.state.tokens.find(c.token);
  if (it == on.state.tokens.end())
    return fail(Errc::not_found, fmt::format("token {} does not exist", c.token.value()));
  const Token& token = it->second;
  if (token.state != TokenState::open) return std::vector<Event>{};
  if (token.expires == Timestamp() || on.context.time < token.expires)
    return fail(Errc::invalid, fmt::format("token {} is not expired", c.token.value()));
  return std::vector<Event>{TokenExpired{c.token}};
}

Events decide(const Case& on, const AdmitNode& c) {
  MESH_TRY(check_join(on, c.join, c.statement));
  auto node = resolve_node(on.state, c.statement.node);
  if (!node) return std::unexpected(node.error());
  if (is_enrolled_as(**node, c.statement)) return std::vector<Event>{};
  auto token = check_token(on, c.join, c.statement);
  if (!token) return std::unexpected(token.error());
  if (!admits(on.state, **token, **node))
    return fail(Errc::not_permitted,
                fmt::format("token {} admits {}, not node {}", (*token)->id.value(),
                            to_text(on.state, (*token)->scope), (*node)->fullname()));
  if ((*token)->approve)
    return fail(Errc::not_permitted,
                fmt::format("token {} needs an operator's approval", (*token)->id.value()));
  return enrol(on, **node, c.statement, *token);
}

Events decide(const Case& on, const ApproveNode& c) {
  MESH_TRY(check_join(on, c.join, c.statement));
  auto node = resolve_node(on.state, c.node);
  if (!node) return std::unexpected(node.error());
  if (is_enrolled_as(**node, c.statement)) return std::vector<Event>{};
  if (!c.statement.node.empty() && on.state.find_node(c.statement.node) != *node)
    return fail(Errc::conflict, fmt::format("the newcomer asked to be {}, not {}", c.statement.node,
                                            (*node)->fullname()));
  if (c.statement.token == TokenId()) return enrol(on, **node, c.statement, nullptr);
  auto token = check_token(on, c.join, c.statement);
  if (!token) return std::unexpected(token.error());
  if (!admits(on.state, **token, **node))
    return fail(Errc::not_permitted,
                fmt::format("token {} admits {}, not node {}", (*token)->id.value(),
                            to_text(on.state, (*token)->scope), (*node)->fullname()));
  return enrol(on, **node, c.statement, *token);
}

Events decide(const Case& on, const RejectNode& c) {
  bool shape = c.fingerprint.size() == 39 &&
               std::all_of(c.fingerprint.begin(), c.fingerprint.end(), [](char x) {
                 return x == ':' || (x >= '0' && x <= '9') || (x >= 'a' && x <= 'f');
               });
  if (!shape) return fail(Errc::invalid, "that is not a fingerprint", "meshcli node pending");
  if (std::find(on.state.rejected.begin(), on.state.rejected.end(), c.fingerprint) !=
      on.state.rejected.end())
    return std::vector<Event>{};
  return std::vector<Event>{NodeRejected{c.fingerprint}};
}

Events decide(const Case& on, const RevokeNode& c) {
  auto node = resolve_node(on.state, c.node);
  if (!node) return std::unexpected(node.error());
  if ((*node)->enrolment != Enrolment::enrolled) return std::vector<Event>{};
  return std::vector<Event>{NodeRevoked{(*node)->id}};
}

Events decide(const Case& on, const AddOperator& c) {
  MESH_TRY(check_person_name(c.name));
  if (on.state.find_operator(c.name))
    return fail(Errc::conflict,
                fmt::format("operator {} exists already, and names are not used twice", c.name));
  if (on.state.operators.size() >= kOperatorsMax)
    return fail(Errc::exhausted, fmt::format("there are at most {} operators", kOperatorsMax));
  MESH_TRY(check_sites_exist(on.state, c.sites));
  MESH_TRY(check_fresh_keys(on.state, c.sign_key, c.box_key));
  return std::vector<Event>{OperatorAdded{c.name, c.role, c.sites, c.sign_key, c.box_key}};
}

Events decide(const Case& on, const SetRole& c) {
  const Operator* person = on.state.find_operator(c.name);
  if (!person)
    return fail(Errc::not_found, fmt::format("operator \"{}\" does not exist", c.name),
                "meshcli operator list");
  MESH_TRY(check_sites_exist(on.state, c.sites));
  if (person->role == c.role && person->sites == c.sites) return std::vector<Event>{};
  if (c.role != Role::admin || !c.sites.empty()) MESH_TRY(check_not_last_admin(on.state, c.name));
  return std::vector<Event>{RoleSet{c.name, c.role, c.sites}};
}

Events decide(const Case& on, const BanOperator& c) {
  const Operator* person = on.state.find_operator(c.name);
  if (!person)
    return fail(Errc::not_found, fmt::format("operator \"{}\" does not exist", c.name),
                "meshcli operator list");
  if (person->banned) return std::vector<Event>{};
  MESH_TRY(check_not_last_admin(on.state, c.name));
  return std::vector<Event>{OperatorBanned{c.name}};
}

Events decide(const Case& on, const RaiseRules& c) {
  if (c.rules == on.state.rules) return std::vector<Event>{};
  if (c.rules < on.state.rules)
    return fail(Errc::invalid, fmt::format("rules are at {} and never go back", on.state.rules));
  if (c.rules > kRulesNewest)
    return fail(Errc::unsupported,
                fmt::format("this program knows rules up to {}, not {}", kRulesNewest, c.rules),
                "upgrade the controller first");
  return std::vector<Event>{RulesRaised{c.rules}};
}

Events decide(const Case& on, const SetEndpoints& c) {
  if (c.endpoints.empty())
    return fail(Errc::usage, "a controller has at least one endpoint", "name it as tcp://HOST:PORT");
  EndpointsSet set{c.endpoints, c.enrol_endpoints};
  if (set.enrol_endpoints.empty()) set.enrol_endpoints = controller_enrol_endpoints(on.state);
  for (const auto* list : {&set.endpoints, &set.enrol_endpoints}) {
    if (list->size() > kEndpointsMax)
      return fail(Errc::exhausted, fmt::format("a controller has at most {} endpoints", kEndpointsMax));
    for (size_t i = 0; i < list->size(); ++i) {
      const std::string& endpoint = (*list)[i];
      MESH_TRY(check_controller_endpoint(endpoint));
      if (std::find(list->begin(), list->begin() + static_cast<ptrdiff_t>(i), endpoint) !=
          list->begin() + static_cast<ptrdiff_t>(i))
        return fail(Errc::invalid, fmt::format("endpoint {} is named twice", endpoint));
    }
  }
  if (set.endpoints == controller_endpoints(on.state) &&
      set.enrol_endpoints == controller_enrol_endpoints(on.state))
    return std::vector<Event>{};
  return std::vector<Event>{std::move(set)};
}

Events decide(const Case& on, const SetRecovery& c) {
  auto node = resolve_node(on.state, c.node);
  if (!node) return std::unexpected(node.error());
  if (c.sign_key.is_zero() != c.box_key.is_zero())
    return fail(Errc::invalid, "a recovery secret has two public keys, one is missing (all zero)");
  if ((*node)->recovery_sign == c.sign_key && (*node)->recovery_box == c.box_key) return std::vector<Event>{};
  return std::vector<Event>{RecoverySet{(*node)->id, c.sign_key, c.box_key}};
}

Events decide(const Case& on, const SignAnchor& c) {
  if (c.sequence == Sequence() || c.sequence > on.state.sequence)
    return fail(Errc::invalid, fmt::format("an anchor is at an entry of the log, #1 to #{}",
                                           on.state.sequence.value()));
  if (on.state.anchor && on.state.anchor->sequence >= c.sequence)
    return fail(Errc::conflict, fmt::format("the newest anchor is at #{} already",
                                            on.state.anchor->sequence.value()));
  return std::vector<Event>{
      AnchorSigned{c.sequence, c.state_digest, c.root, to_text(on.request.principal)}};
}

}  // namespace mesh::deciding
