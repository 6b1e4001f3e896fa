// token, node and operator: who may join and who may act. These act at once, without commit.
#include <fmt/format.h>
#include <sodium.h>

#include <algorithm>
#include <fstream>
#include <nlohmann/json.hpp>
#include <sstream>

#include "cli/handlers.h"
#include "cli/mutate.h"
#include "cli/newcomers.h"
#include "cli/recovery/recovery_file.h"
#include "cli/scope.h"
#include "cli/views.h"
#include "eventstore/model/crypto.h"
#include "schemas/codec.h"
#include "schemas/json.h"

namespace mesh::cli {

namespace {

constexpr int64_t kTokenDefaultS = 24 * 3600;

Result<int> change_at_once(Session& session, Command command, std::string line,
                           std::string next = {}) {
  Mutation mutation{{}, false, std::move(next)};
  mutation.changes.push_back({std::move(command), std::move(line)});
  return mutate(session, std::move(mutation));
}

Result<Target> token_target(const Session& session) {
  if (session.has("node") == session.has("site"))
    return fail(Errc::usage, "a token admits a node, or nodes of a site",
                "give one of --node and --site");
  return session.has("node") ? Target{Level::node, session.option("node")}
                             : Target{Level::site, session.option("site")};
}

Result<CreateToken> token_command(Session& session, const SignKey& key) {
  auto target = token_target(session);
  if (!target) return std::unexpected(std::move(target).error());
  CreateToken out{key, *target, 1, Timestamp(), target->level == Level::site};
  if (session.has("approve") && session.has("no-approve"))
    return fail(Errc::usage, "--approve and --no-approve contradict each other", "leave one out");
  if (session.has("approve")) out.approve = true;
  if (session.has("no-approve")) out.approve = false;
  if (session.has("uses")) {
    auto uses = parse_number("--uses", session.option("uses"));
    if (!uses) return std::unexpected(std::move(uses).error());
    out.uses = static_cast<uint32_t>(std::min<uint64_t>(*uses, UINT32_MAX));
  }
  if (session.option("expires") == "never") return out;
  auto expires_s = session.has("expires") ? parse_duration_s(session.option("expires"))
                                          : Result<int64_t>(kTokenDefaultS);
  if (!expires_s) return std::unexpected(std::move(expires_s).error());
  out.expires = Timestamp(session.environment().now().value() + *expires_s * 1'000'000);
  return out;
}

Result<Role> parse_role(const std::string& text) {
  for (const Role role : {Role::viewer, Role::operator_, Role::admin})
    if (role_name(role) == text) return role;
  return fail(Errc::usage, fmt::format("\"{}\" is not a role", text), "viewer, operator or admin");
}

std::string sites_text(const std::vector<std::string>& sites) {
  return sites.empty() ? "all sites" : fmt::format("sites {}", fmt::join(sites, ", "));
}

Result<std::string> read_text_file(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) return fail(Errc::not_found, fmt::format("cannot read {}", path));
  std::ostringstream text;
  text << file.rdbuf();
  return std::move(text).str();
}

/// Of the node that the token admits.
Result<std::optional<RecoveryChoice>> token_recovery(Session& session, const CreateToken& command) {
  if (command.target.level != Level::node && (session.has("recovery") || session.has("recovery-out")))
    return fail(Errc::usage, "a recovery secret is for one node, and this token for nodes of a site",
                "when a node has joined: meshcli node recovery NODE --recovery FILE");
  return RecoveryChoice::of(session);
}

}  // namespace

Result<int> token_create(Session& session) {
  auto client = session.client();
  if (!client) return std::unexpected(std::move(client).error());
  auto notes = session.notes();
  if (!notes) return std::unexpected(std::move(notes).error());
  auto text = token_text(**client);
  if (!text) return std::unexpected(std::move(text).error());
  const SignSecret secret = SignSecret::generate();
  auto command = token_command(session, secret.public_key());
  if (!command) return std::unexpected(std::move(command).error());
  auto recovery = token_recovery(session, *command);
  if (!recovery) return std::unexpected(std::move(recovery).error());
  std::vector<Command> commands{*command};
  if (*recovery) commands.push_back((*recovery)->command(command->target.name));
  auto reply = (*client)->submit(std::move(commands), *notes);
  if (!reply) {
    if (*recovery) (*recovery)->withdraw(reply.error());
    return std::unexpected(std::move(reply).error());
  }
  for (const std::string& warning : reply->warnings) session.warn(warning);
  const TokenCreated* created = created_by(*reply);
  if (!created) return fail(Errc::corrupt, "the controller answered without a token");
  const std::string admits = to_text(command->target);
  if (notes->dry_run) {
    if (session.for_people())
      session.print(fmt::format("token for {}: created  (dry run)\n", admits));
    else
      session.print_document(reply_json(*reply, true));
    return int{kSuccess};
  }
  if (*recovery) {
    MESH_TRY((*recovery)->keep(session, std::nullopt));
    session.hint(fmt::format("when it has joined: meshcli node recovery {} --recovery FILE, so that `meshcli recover` "
                             "knows its key",
                             command->target.name));
  }
  std::string token = finish_token(std::move(*text), created->token,
                                   command->target.level == Level::node ? command->target.name : std::string(), secret);
  const Json expires = created->expires == Timestamp() ? Json() : Json(time_text(created->expires));
  if (session.for_people() || session.format() == Format::name) {
    session.print(token + "\n");
    session.hint(fmt::format(
        "token {} admits {}, {}, {}; shown only now. On the router: meshnode join --token-file -",
        created->token.value(), admits, count_text(created->uses, "use"),
        expires.is_null() ? "without expiry" : "until " + cell_text(expires, Cell::time, false)));
  } else {
    session.print_document({{"kind", "Token"},
                            {"sequence", reply->sequence.value()},
                            {"token", token},
                            {"id", std::to_string(created->token.value())},
                            {"expires", expires},
                            {"scope", admits},
                            {"uses", created->uses},
                            {"approve", created->approve}});
  }
  sodium_memzero(token.data(), token.size());
  return int{kSuccess};
}

Result<int> token_revoke(Session& session) {
  auto id = parse_number("ID", session.argument("ID"));
  if (!id) return std::unexpected(std::move(id).error());
  return change_at_once(session, RevokeToken{TokenId(*id)}, fmt::format("token {}: revoked", *id));
}

Result<int> node_pending(Session& session) {
  auto client = session.client();
  if (!client) return std::unexpected(std::move(client).error());
  auto document = (*client)->query("pending");
  if (!document) return std::unexpected(std::move(document).error());
  session.print_list(*document, kPendingView);
  if (!value_at(*document, "items").empty())
    session.hint(
        "Compare the fingerprint with what the router shows, then: meshcli node approve "
        "FINGERPRINT");
  return int{kSuccess};
}

Result<int> node_approve(Session& session) {
  auto client = session.client();
  if (!client) return std::unexpected(std::move(client).error());
  auto item = find_pending(**client, session.argument("FINGERPRINT"));
  if (!item) return std::unexpected(std::move(item).error());
  auto pending = open_join(*item);
  if (!pending) return std::unexpected(std::move(pending).error());
  const std::string node = session.has("node") ? session.option("node") : pending->statement.node;
  if (node.empty())
    return fail(Errc::usage, "the newcomer did not say which node it is",
                "say it with --node NODE.SITE");
  const std::string line = fmt::format("node {}: admitted {} ({})", node,
                                       text_at(*item, "fingerprint"), pending->statement.hostname);
  return change_at_once(session,
                        ApproveNode{node, std::move(pending->join), std::move(pending->statement)},
                        line, "next: meshcli commit all, then meshcli activate all");
}

Result<int> node_reject(Session& session) {
  auto client = session.client();
  if (!client) return std::unexpected(std::move(client).error());
  auto item = find_pending(**client, session.argument("FINGERPRINT"));
  if (!item) return std::unexpected(std::move(item).error());
  const std::string whole = text_at(*item, "fingerprint");
  return change_at_once(session, RejectNode{whole}, fmt::format("newcomer {}: rejected", whole));
}

Result<int> node_revoke(Session& session) {
  const std::string node = session.argument("NODE");
  if (!session.has("dry-run")) {
    auto client = session.client();
    if (!client) return std::unexpected(std::move(client).error());
    auto links = (*client)->query("links", {{"node", node}});
    if (!links) return std::unexpected(std::move(links).error());
    MESH_TRY(
        session.confirm({fmt::format("node {}: all its keys become worthless at once, with {}",
                                     node, count_text(value_at(*links, "items").size(), "link"))},
                        node));
  }
  return change_at_once(session, RevokeNode{node}, fmt::format("node {}: revoked", node),
                        "it can join again with a new token");
}

Result<int> operator_keygen(Session& session) {
  const std::string name = session.argument("NAME"), out = session.option("out");
  if (out.empty())
    return fail(Errc::usage, "keygen needs --out FILE", "the keys are written there, for its owner alone");
  const SignSecret sign = SignSecret::generate();
  const BoxSecret box = BoxSecret::generate();
  const PublicKeys keys{name, sign.public_key(), box.public_key()};
  std::string draft = context_text(nullptr, name, sign, box);
  const Status written = write_secret_file(out, as_bytes(draft));
  sodium_memzero(draft.data(), draft.size());
  MESH_TRY(written);
  const std::string public_path = out + ".pub";
  std::ofstream file(public_path, std::ios::binary | std::ios::trunc);
  if (!(file << public_keys_text(keys) << std::flush))
    return fail(Errc::io, fmt::format("cannot write {}", public_path));
  const std::string print = fingerprint(keys.sign_key.view());
  if (session.format() == Format::name) {
    session.print(public_path + "\n");
  } else if (!session.for_people()) {
    session.print_document({{"kind", "OperatorKeys"},
                            {"name", name},
                            {"context", out},
                            {"public", public_path},
                            {"fingerprint", print}});
  } else {
    session.print(fmt::format("operator {}: keys in {} (secret) and {}, fingerprint {}\n", name,
                              out, public_path, print));
    session.hint(fmt::format(
        "next: give {} to an administrator, and append to {} what `meshcli controller connection`"
        " prints there",
        public_path, out));
  }
  return int{kSuccess};
}

Result<int> operator_add(Session& session) {
  const std::string name = session.argument("NAME");
  if (!session.has("key") || !session.has("role"))
    return fail(Errc::usage, "operator add needs --key FILE and --role ROLE",
                "the newcomer makes the file with `meshcli operator keygen NAME --out FILE`");
  auto text = read_text_file(session.option("key"));
  if (!text) return std::unexpected(std::move(text).error());
  auto keys = parse_public_keys(*text);
  if (!keys) return fail_in(session.option("key"), keys.error());
  if (keys->name != name)
    return fail(Errc::usage, fmt::format("the keys in {} are those of \"{}\", not of \"{}\"",
                                         session.option("key"), keys->name, name),
                fmt::format("meshcli operator add {}, or ask for the other file", keys->name));
  auto role = parse_role(session.option("role"));
  if (!role) return std::unexpected(std::move(role).error());
  const auto sites = split(session.option("sites"), ',');
  return change_at_once(
      session, AddOperator{name, *role, sites, keys->sign_key, keys->box_key},
      fmt::format("operator {}: added as {} of {}, key {}", name, role_name(*role),
                  sites_text(sites), fingerprint(keys->sign_key.view())),
      fmt::format("next: send {} what `meshcli controller connection` prints", name));
}

Result<int> operator_role(Session& session) {
  const std::string name = session.argument("NAME");
  auto role = parse_role(session.argument("ROLE"));
  if (!role) return std::unexpected(std::move(role).error());
  const auto sites = split(session.option("sites"), ',');
  return change_at_once(
      session, SetRole{name, *role, sites},
      fmt::format("operator {}: {} of {}", name, role_name(*role), sites_text(sites)));
}

Result<int> operator_ban(Session& session) {
  const std::string name = session.argument("NAME");
  if (!session.has("dry-run"))
    MESH_TRY(session.confirm(
        {fmt::format("operator {}: may do nothing any more, at once; a ban is for ever", name)},
        name));
  return change_at_once(session, BanOperator{name}, fmt::format("operator {}: banned", name));
}

}  // namespace mesh::cli
