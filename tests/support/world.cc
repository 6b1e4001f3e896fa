#include "tests/support/world.h"

#include <cstdio>
#include <cstdlib>

#include "eventstore/model/compile.h"
#include "eventstore/model/crypto.h"
#include "eventstore/model/evolve.h"
#include "schemas/codec.h"

namespace mesh::test {

namespace {

Digest seed_of(std::string_view purpose, std::string_view name) {
  return Sha256().add(as_bytes(purpose)).add(as_bytes(name)).finish();
}

[[noreturn]] void stop(const Error& error) {
  std::fprintf(stderr, "the test's world refused: %s\n", error.message.c_str());
  std::abort();
}

}  // namespace

SignSecret sign_secret(std::string_view name) {
  return std::move(*SignSecret::from_seed(seed_of("test sign ", name).view()));
}
BoxSecret box_secret(std::string_view name) {
  return std::move(*BoxSecret::from_bytes(seed_of("test box ", name).view()));
}
RequestId request_id(uint64_t number) {
  RequestId id;
  for (size_t i = 0; i < 8; ++i) id.bytes[i] = static_cast<uint8_t>(number >> (8 * i));
  return id;
}

CreateLog genesis(std::string_view name, uint32_t rules) {
  CreateLog out;
  std::string text(name);
  out.log_key = sign_secret(text + " log").public_key();
  out.controller_key = box_secret(text + " controller").public_key();
  out.recovery_key = sign_secret(text + " recovery").public_key();
  out.admin = "alice";
  out.admin_sign_key = sign_secret("alice").public_key();
  out.admin_box_key = box_secret("alice").public_key();
  out.endpoints = {"tcp://192.0.2.1:7400"};
  out.enrol_endpoints = {"tcp://192.0.2.1:7401"};
  out.profile = "default";
  out.loopbacknet_ipv4 = "100.64.0.0/16";
  out.loopbacknet_ipv6 = "fd00:64::/48";
  out.transfernet_ipv4 = "100.64.0.0/16";
  out.transfernet_ipv6 = "fe80::/64";
  out.bgp_as_base = 4'200'000'000;
  out.nonce = seed_of("nonce ", name);
  out.rules = rules;
  return out;
}

World::World(std::string_view name, uint32_t rules) : name_(name) {
  CreateLog first = genesis(name, rules);
  Request create;
  create.log = derive_log_id(first);
  create.epoch = 1;
  create.principal = Principal::controller();
  create.id = request_id(0);
  create.commands = {first};
  create.origin = "controller";
  SignedRequest signed_request = sign(create);
  Context context{Timestamp(1'000'000), {}};
  auto events = decide(replica_.state, create, context);
  if (!events) stop(events.error());
  append(encode(create, signed_request, context, *events));
}

World::World(std::string_view name, Replica replica, uint64_t first_request)
    : now(replica.state.time.value() + 1'000),
      name_(name),
      replica_(std::move(replica)),
      next_request_(first_request) {}

Request World::request(const Principal& who, std::vector<Command> commands) const {
  Request out;
  out.log = state().log;
  out.epoch = state().epoch;
  out.principal = who;
  out.id = request_id(next_request_++);
  out.based_on = state().sequence;
  out.commands = std::move(commands);
  out.origin = "test";
  return out;
}

SignedRequest World::sign(const Request& request) const {
  SignedRequest out{encode_request(request), {}};
  bool human = request.principal.kind == PrincipalKind::human;
  bool recovery = request.principal.kind == PrincipalKind::recovery;
  SignSecret key = human ? sign_secret(request.principal.name)
                         : sign_secret(name_ + (recovery ? " recovery" : " log"));
  out.signature = key.sign(kRequestDomain, out.bytes);
  return out;
}

EncodedEntry World::encode(const Request& request, const SignedRequest& signed_request,
                           const Context& context, const std::vector<Event>& events) const {
  EntryHeader header;
  header.log = request.log;
  header.epoch = request.epoch;
  header.term = 1;
  header.sequence = next(state().sequence);
  header.time = context.time;
  header.principal = request.principal;
  header.entry_class = *classify(request);
  header.rules = std::max<uint32_t>(state().rules, 1);
  return encode_entry(header, {signed_request, request, context, events});
}

void World::append(const EncodedEntry& encoded) {
  auto entry = decode_entry(encoded);
  if (!entry) stop(entry.error());
  evolve(replica_.state, entry->header, *entry->body);
  replica_.frontier.append(entry->leaf);
  entries_.push_back(encoded);
}

Result<std::vector<Event>> World::submit(const Principal& who, std::vector<Command> commands,
                                         Context context) {
  Request asked = request(who, std::move(commands));
  SignedRequest signed_request = sign(asked);
  auto decoded = decode_request(signed_request.bytes);
  if (!decoded) return std::unexpected(decoded.error());
  context.time = now;
  now = Timestamp(now.value() + 1'000);
  auto events = decide(state(), *decoded, context);
  if (events && !events->empty()) append(encode(*decoded, signed_request, context, *events));
  return events;
}

std::vector<Event> World::must(std::vector<Command> commands) {
  auto events = submit(Principal::human("alice"), std::move(commands));
  if (!events) stop(events.error());
  return *events;
}

Result<std::vector<RenderedFile>> names_as_content(const Node&, const NodeConfig& config) {
  std::vector<RenderedFile> out;
  for (const auto& [name, digest, size] : config.sources) out.push_back({name, Bytes(name.begin(), name.end())});
  return out;
}

Result<std::vector<Event>> World::commit(const Principal& who, const Target& target,
                                         bool include_others, bool allow_loss) {
  auto scope = resolve(state(), target);
  if (!scope) return std::unexpected(scope.error());
  auto candidates = compile_candidates(state(), *scope, false, names_as_content);
  if (!candidates) return std::unexpected(candidates.error());
  Commit command{target, state().sequence, version_rows_root(candidates->rows), include_others,
                 false, allow_loss};
  return submit(who, {command}, Context{{}, candidates->rows});
}

void World::enrol(const std::string& fullname, const std::string& again) {
  const std::string keys = fullname + again;
  SignSecret token = sign_secret("token " + keys);
  TokenId id = state().next_token;
  must(CreateToken{token.public_key(), {Level::node, fullname}, 1, {}, false});
  SignSecret sign_key = sign_secret(keys);
  JoinStatement statement;
  statement.log = state().log;
  statement.node = fullname;
  statement.token = id;
  statement.sign_key = sign_key.public_key();
  statement.box_key = box_secret(keys).public_key();
  statement.wireguard_key = WireGuardKey{box_secret("wg " + keys).public_key().bytes};
  statement.hostname = "host";
  SignedJoin join{encode_join(statement), {}, {}};
  join.node_signature = sign_key.sign(kJoinDomain, join.statement);
  join.token_signature = token.sign(kJoinDomain, join.statement);
  auto admitted = submit(Principal::controller(), {AdmitNode{join, statement}});
  if (!admitted) stop(admitted.error());
}

}  // namespace mesh::test
