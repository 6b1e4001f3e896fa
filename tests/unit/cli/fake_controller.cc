#include "tests/unit/cli/fake_controller.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "eventstore/model/canonical.h"
#include "eventstore/model/checkpoint.h"
#include "eventstore/model/commit_reach.h"
#include "eventstore/model/compile.h"
#include "eventstore/model/crypto.h"
#include "eventstore/model/decide.h"
#include "eventstore/model/evolve.h"
#include "eventstore/model/limits.h"
#include "schemas/codec.h"
#include "schemas/config_text.h"
#include "schemas/json.h"

namespace mesh::cli::test {

namespace {

CreateLog genesis_of(const FakeController& controller) {
  CreateLog out;
  out.log_key = controller.log_secret.public_key();
  out.controller_key = controller.controller_box.public_key();
  out.recovery_key = sign_secret(9).public_key();
  out.admin = "alice";
  out.admin_sign_key = controller.admin_sign.public_key();
  out.admin_box_key = controller.admin_box.public_key();
  out.endpoints = {"tcp://192.0.2.1:7400"};
  out.enrol_endpoints = {"tcp://192.0.2.1:7401"};
  out.profile = "default";
  out.rules = kRulesNewest;
  out.loopbacknet_ipv4 = "100.64.0.0/16";
  out.loopbacknet_ipv6 = "fd00:1:2::/48";
  out.transfernet_ipv4 = "100.65.0.0/16";
  out.transfernet_ipv6 = "fe80::/64";
  out.bgp_as_base = 4200000000;
  return out;
}

SignedRequest sign(const Request& request, const SignSecret& secret) {
  SignedRequest out{encode_request(request), {}};
  out.signature = secret.sign(kRequestDomain, out.bytes);
  return out;
}

template <class T>
T must(Result<T> result) {
  if (!result) fmt::print(stderr, "fake controller: {}\n", result.error().message);
  MESH_ASSERT(result.has_value());
  return std::move(*result);
}

std::string quoted(const std::string& text) {
  std::string out;
  for (const char c : text) out += c == '\n' ? std::string("\\n") : std::string(1, c);
  return "\"" + out + "\"";
}

Body json_body(std::string json) { return QueryResult{std::move(json), false, {}}; }

}  // namespace

SignSecret sign_secret(uint8_t seed) {
  return must(SignSecret::from_seed(std::vector<uint8_t>(32, seed)));
}
BoxSecret box_secret(uint8_t seed) {
  return must(BoxSecret::from_bytes(std::vector<uint8_t>(32, seed)));
}

FakeController::FakeController()
    : log_secret(sign_secret(1)),
      admin_sign(sign_secret(2)),
      admin_box(box_secret(3)),
      controller_box(box_secret(4)) {
  const CreateLog genesis = genesis_of(*this);
  Request request;
  request.log = derive_log_id(genesis);
  request.epoch = 1;
  request.principal = Principal::controller();
  request.id.bytes.fill(1);
  request.commands = {genesis};
  request.origin = "controller";
  must(submit(sign(request, log_secret)));
  documents["level_files"] = R"({"kind":"FileList","items":[]})";
}

OperatorContext FakeController::context() const {
  const Connection connection{{"tcp://192.0.2.1:7400"},
                              controller_box.public_key(),
                              replica.state.log,
                              log_secret.public_key()};
  return OperatorContext{"admin.context", connection, "alice", sign_secret(2), box_secret(3)};
}

FileRenderer FakeController::renderer() {
  return [this](const Node&, const NodeConfig& config) -> Result<std::vector<RenderedFile>> {
    std::vector<RenderedFile> out;
    for (const ConfigFile& source : config.sources) {
      const Bytes& blob = blobs.at(source.digest);
      const size_t jinja = source.name.ends_with(".jinja") ? 6 : 0;
      out.push_back(
          {source.name.substr(0, source.name.size() - jinja), Bytes(blob.begin() + kFileSaltBytes, blob.end())});
    }
    return out;
  };
}

Status FakeController::take_attachments(const Request& request, const std::vector<Bytes>& attachments) {
  std::map<Digest, Bytes> come;
  for (const Bytes& blob : attachments) come[sha256(blob)] = blob;
  for (const Command& command : request.commands)
    if (const auto* set = std::get_if<SetAttribute>(&command); set && set->value.file()) {
      const Digest digest = set->value.file()->digest;
      if (auto found = come.extract(digest))
        blobs[digest] = std::move(found.mapped());
      else if (!blobs.contains(digest))
        return fail(Errc::not_found, fmt::format("the content of {} did not come with the request", set->name));
    }
  if (!come.empty()) return fail(Errc::usage, "a file came with the request that it does not name");
  return {};
}

Result<Reply> FakeController::submit(const SignedRequest& signed_request, bool dry_run,
                                     const std::vector<Bytes>& attachments) {
  auto request = decode_request(signed_request.bytes);
  if (!request) return std::unexpected(request.error());
  MESH_TRY(take_attachments(*request, attachments));
  auto key = signer_key(replica.state, *request);
  if (!key) return std::unexpected(key.error());
  if (!verify_signature(*key, kRequestDomain, signed_request.bytes, signed_request.signature))
    return fail(Errc::unauthenticated, "wrong signature");
  Context context{now(), {}};
  if (const auto* commit = std::get_if<Commit>(&request->commands[0])) {
    auto scope = resolve(replica.state, commit->target);
    if (!scope) return std::unexpected(scope.error());
    auto candidates = compile_candidates(replica.state, *scope, commit->with_neighbours, renderer());
    if (!candidates) return std::unexpected(candidates.error());
    context.candidates = candidates->rows;
    for (const VersionRow& row : candidates->rows) {
      const std::string text = config_text(candidates->configs.at(row.node));
      blobs[row.digest] = Bytes(text.begin(), text.end());
    }
    for (const auto& [digest, content] : candidates->contents) blobs[digest] = content;
  }
  auto events = decide(replica.state, *request, context);
  if (!events) return std::unexpected(events.error());
  Reply reply{Sequence(), context.time, *events, {}};
  if (events->empty() || dry_run) return reply;
  EntryHeader header;
  header.log = request->log;
  header.epoch = request->epoch;
  header.term = 1;
  header.sequence = reply.sequence = next(replica.state.sequence);
  header.time = context.time;
  header.principal = request->principal;
  header.entry_class = *classify(*request);
  header.rules = kRulesNewest;
  append(header, EntryBody{signed_request, *request, context, *events});
  return reply;
}

void FakeController::append(const EntryHeader& header, const EntryBody& body) {
  entries.push_back(encode_entry(header, body));
  const Entry entry = must(decode_entry(entries.back()));
  evolve(replica.state, entry.header, *entry.body);
  replica.frontier.append(entry.leaf);
  roots_[replica.frontier.size()] = replica.frontier.root();
  states_.push_back(replica.state);
}

void FakeController::given(std::vector<Command> commands) {
  given_by(Principal::human("alice"), admin_sign, std::move(commands));
}
void FakeController::given_by_controller(std::vector<Command> commands) {
  given_by(Principal::controller(), log_secret, std::move(commands));
}

void FakeController::given_by(const Principal& who, const SignSecret& secret, std::vector<Command> commands) {
  Request request;
  request.log = replica.state.log;
  request.epoch = replica.state.epoch;
  request.principal = who;
  request.id.bytes.fill(static_cast<uint8_t>(100 + entries.size()));
  request.based_on = replica.state.sequence;
  request.commands = std::move(commands);
  request.origin = "cli";
  must(submit(sign(request, secret)));
}

std::string FakeController::checkpoint(uint64_t size) const {
  const std::string origin = checkpoint_origin(replica.state.log, replica.state.epoch);
  return sign_note(checkpoint_text(Checkpoint{origin, size, roots_.at(size), {}}), origin,
                   log_secret.public_key(),
                   [&](ByteView text) { return log_secret.sign("", text); });
}

std::vector<Request> FakeController::requests() const {
  std::vector<Request> out;
  for (const Submit& submitted : heard_of<Submit>())
    out.push_back(must(decode_request(submitted.request.bytes)));
  return out;
}

namespace {

std::string reach_json(const MeshState& state, const Scope& scope, bool with_neighbours) {
  const ReachDifference found = commit_reach(state, scope, with_neighbours, 1'000);
  const auto list = [](const std::vector<LanPair>& pairs) {
    std::string out;
    for (const LanPair& pair : pairs)
      out += fmt::format(R"({}{{"from":"{}","to":"{}"}})", out.empty() ? "" : ",", to_text(pair.from),
                         to_text(pair.to));
    return out;
  };
  return fmt::format(R"({{"lost":[{}],"gained":[{}],"totals":{{"lost":{},"gained":{}}},"refused":{}}})",
                     list(found.lost), list(found.gained), found.lost_total, found.gained_total,
                     found.lost_total > 0);
}

}  // namespace

Result<Body> FakeController::answer(const Body& question) {
  heard.push_back(question);
  if (unreachable) return fail(Errc::unavailable, "the controller does not answer");
  if (before_answer) before_answer(question);
  if (const auto* query = std::get_if<Query>(&question)) return answer_query(*query);
  if (const auto* submitted = std::get_if<Submit>(&question)) {
    auto reply = submit(submitted->request, submitted->dry_run, submitted->attachments);
    if (!reply) return std::unexpected(reply.error());
    return Body(*reply);
  }
  if (const auto* fetch = std::get_if<Fetch>(&question)) return piece(*fetch);
  const auto* prepare = std::get_if<Prepare>(&question);
  if (!prepare) return fail(Errc::unsupported, "the fake does not know this message");
  auto scope = resolve(replica.state, prepare->target);
  if (!scope) return std::unexpected(scope.error());
  auto candidates = compile_candidates(replica.state, *scope, prepare->with_neighbours, renderer());
  if (!candidates) return std::unexpected(candidates.error());
  std::string nodes;
  for (const VersionRow& row : candidates->rows)
    nodes += fmt::format(
        R"({}{{"node":{},"fullname":"{}","version":{},"effect":"hot","changes":["~ something"],)"
        R"("classes":["hot"],"interrupts":[]}})",
        nodes.empty() ? "" : ",", row.node.value(), replica.state.find_node(row.node)->fullname(),
        row.version.value());
  return Body(Prepared{replica.state.sequence, version_rows_root(candidates->rows),
                       candidates->rows,
                       fmt::format(R"({{"nodes":[{}],"reachability":{},"warnings":[],"others":[]}})",
                                   nodes, reach_json(replica.state, *scope, prepare->with_neighbours))});
}

Result<Body> FakeController::answer_moment(const Query& query) const {
  const std::string text = query.arguments.at("text");
  const auto node = query.arguments.find("node");
  uint64_t at = 0;
  if (text.find_first_not_of("0123456789") == std::string::npos) {
    at = std::stoull(text);
  } else if (text[0] >= '0' && text[0] <= '9') {
    for (const EncodedEntry& entry : entries)
      at += time_text(must(decode_entry(entry)).header.time) <= text;
  } else if (text[0] == 'v' && node != query.arguments.end()) {
    auto known = resolve_node(replica.state, node->second);
    if (!known) return std::unexpected(known.error());
    const auto* record =
        (*known)->find_version(Version(static_cast<uint32_t>(std::stoul(text.substr(1)))));
    if (record) at = record->sequence.value();
  } else if (const auto tag = replica.state.tags.find(text); tag != replica.state.tags.end()) {
    at = tag->second.sequence.value();
  }
  if (at == 0 || at > entries.size())
    return fail(Errc::not_found, fmt::format("there is no instant \"{}\"", text));
  const std::string then = time_text(must(decode_entry(entries[at - 1])).header.time);
  return json_body(fmt::format(
      R"({{"kind":"Moment","sequence":{},"at":{},"time":{},"means":{}}})", entries.size(), at,
      quoted(then), quoted(replica.state.tags.contains(text) ? "tag " + text : "entry")));
}

std::string FakeController::activation_json(ActivationId id) const {
  const auto credit = [&](Sequence at) {
    const Entry entry = must(decode_entry(entries.at(at.value() - 1)));
    return fmt::format(R"({{"sequence":{},"time":{},"by":{},"message":{}}})", at.value(),
                       quoted(time_text(entry.header.time)), quoted(to_text(entry.header.principal)),
                       quoted(entry.body->request.message));
  };
  const auto pending = replica.state.pending.find(id);
  const auto closed = std::ranges::find(replica.state.closed, id, &ClosedActivation::id);
  std::string out = fmt::format(R"({{"kind":"Activation","id":{})", id.value());
  if (closed != replica.state.closed.end())
    return out + fmt::format(R"(,"state":"{}","confirm_s":60,"started":null,"ended":{},"total":2,"applied":2,)"
                             R"("failed":0,"waiting":0,"offline":0,"items":[]}})",
                             end_name(closed->how), credit(closed->sequence));
  if (pending == replica.state.pending.end())
    return out + R"(,"state":"unconfirmed","total":0,"waiting":0,"items":[]})";
  const PendingActivation& waits = pending->second;
  const auto left_s = [&](Timestamp until) { return (until.value() - now().value()) / 1'000'000; };
  std::string items;
  for (const ActivationRow& row : waits.rows)
    items += fmt::format(R"({}{{"fullname":"{}","from":{},"to":{},"state":"applied","left_s":{}}})",
                         items.empty() ? "" : ",", replica.state.find_node(row.node)->fullname(), row.from.value(),
                         row.to.value(), left_s(waits.deadline));
  return out + fmt::format(R"(,"state":"pending","confirm_s":{},"left_s":{},"confirm_left_s":{},"health":[],)"
                           R"("started":{},"total":{},"applied":{},"healthy":0,"failed":0,"waiting":0,"offline":0,)"
                           R"("items":[{}]}})",
                           waits.seconds, left_s(waits.deadline), left_s(confirm_cutoff(waits)), credit(waits.started),
                           waits.rows.size(), waits.rows.size(), items);
}

std::string FakeController::activations_json(const Query& query) const {
  if (const auto id = query.arguments.find("id"); id != query.arguments.end())
    return activation_json(ActivationId(std::stoull(id->second)));
  const MeshState& state = replica.state;
  std::string items;
  for (const auto& [id, pending] : state.pending) items += (items.empty() ? "" : ",") + activation_json(id);
  if (!state.closed.empty()) items += (items.empty() ? "" : ",") + activation_json(state.closed.back().id);
  return fmt::format(R"({{"kind":"ActivationList","sequence":{},"newest":{},"items":[{}]}})", entries.size(),
                     state.next_activation.value() - 1, items);
}

Result<Body> FakeController::answer_query(const Query& query) {
  const MeshState& state = replica.state;
  const auto hex = [](const auto& bytes) { return quoted(to_hex(bytes.view())); };
  std::string document = query.kind + (query.kind == "simulate" ? "-" + query.arguments.at("want") : "");
  if (query.arguments.contains("node") && documents.contains(document + "-node")) document += "-node";
  if (const auto canned = documents.find(document); canned != documents.end()) return json_body(canned->second);
  if (query.kind == "checkpoint")
    return json_body(fmt::format(R"({{"kind":"Checkpoint","sequence":{},"note":{}}})",
                                 entries.size(), quoted(checkpoint(entries.size()))));
  if (query.kind == "moment") return answer_moment(query);
  if (query.kind == "export") {
    const uint64_t at = query.at == Sequence() ? entries.size() : query.at.value();
    return json_body(fmt::format(R"({{"kind":"Export","sequence":{},"rules":{},"state":"{}"}})", at,
                                 state.rules, to_base64(encode_state(states_.at(at - 1), false))));
  }
  if (query.kind == "state") {
    const uint64_t at = query.at == Sequence() ? entries.size() : query.at.value();
    return json_body(fmt::format(R"({{"kind":"StateDigest","sequence":{},"digest":{},"root":{}}})",
                                 at, hex(state_digest(states_.at(at - 1))), hex(roots_.at(at))));
  }
  if (query.kind == "activation" || query.kind == "activations") return json_body(activations_json(query));
  if (query.kind == "tags") {
    std::string items;
    for (const auto& [name, tag] : state.tags)
      items += fmt::format(
          R"({}{{"name":{},"at":{},"time":{},"by":{},"sequence":{}}})", items.empty() ? "" : ",",
          quoted(name), tag.sequence.value(),
          quoted(time_text(must(decode_entry(entries[tag.sequence.value() - 1])).header.time)),
          quoted(tag.by), tag.added.value());
    return json_body(
        fmt::format(R"({{"kind":"TagList","sequence":{},"items":[{}]}})", entries.size(), items));
  }
  if (query.kind == "enrolment")
    return json_body(fmt::format(
        R"({{"kind":"Enrolment","sequence":{},"log":{},"log_key":{},"controller_key":{},)"
        R"("endpoints":{},"enrol_endpoints":{},"anchor":null}})",
        entries.size(), hex(state.log), hex(log_secret.public_key()), hex(controller_box.public_key()),
        nlohmann::json(controller_endpoints(state)).dump(),
        nlohmann::json(controller_enrol_endpoints(state)).dump()));
  if (query.kind == "entry") {
    const EncodedEntry& encoded = entries.at(std::stoull(query.arguments.at("sequence")) - 1);
    const Entry entry = must(decode_entry(encoded));
    std::string item = entry_json(entry);
    item.pop_back();
    const SignKey key = must(signer_key(replica.state, entry.body->request));
    return json_body(fmt::format(
        R"({{"kind":"Entry","sequence":{},"item":{},"header":"{}","based_on":{}}},"body":"{}",)"
        R"("signature":{{"key":{},"fingerprint":"{}","since":1,"valid":true}},"causes":[],"effects":[]}})",
        entries.size(), item, to_base64(encoded.header), entry.body->request.based_on.value(),
        to_base64(encoded.body), hex(key), fingerprint(key.view())));
  }
  if (query.kind == "log") {
    const auto number = [&](const std::string& name, uint64_t fallback) {
      const auto given_value = query.arguments.find(name);
      return given_value == query.arguments.end() ? fallback : std::stoull(given_value->second);
    };
    const bool newest = query.arguments.contains("newest");
    const uint64_t limit = number("limit", entries.size());
    uint64_t first = number("after", 0) + 1, last = entries.size();
    (newest ? last : first) = number("cursor", newest ? last : first);
    std::string items;
    for (uint64_t count = 0; first <= last && count < limit; ++count)
      items += (items.empty() ? "" : ",") +
               entry_json(must(decode_entry(entries[(newest ? last-- : first++) - 1])));
    return Body(QueryResult{fmt::format(R"({{"kind":"Log","sequence":{},"items":[{}]}})",
                                        entries.size(), items),
                            first <= last, std::to_string(newest ? last : first)});
  }
  return fail(Errc::usage, fmt::format("unknown query \"{}\"", query.kind));
}

Result<Body> FakeTransport::call(const Body& question, int) { return controller_.answer(question); }

Status FakeTransport::send(const Body& body) {
  controller_.heard.push_back(body);
  if (const auto* subscribe = std::get_if<Subscribe>(&body)) {
    sent_ = subscribe->after;
    credit_ = subscribe->credit;
    subscribed_ = true;
  }
  if (const auto* credit = std::get_if<Credit>(&body)) credit_ += credit->bytes;
  if (const auto* fetch = std::get_if<Fetch>(&body)) pieces_.push_back(controller_.piece(*fetch));
  return {};
}

Result<Body> FakeController::piece(const Fetch& fetch) const {
  const auto blob = blobs.find(fetch.digest);
  if (blob == blobs.end())
    return fail(Errc::not_found, "there is no blob " + to_hex(fetch.digest.view()));
  const Bytes& bytes = blob->second;
  const uint64_t size = std::min<uint64_t>(fetch.limit, bytes.size() - fetch.offset);
  const auto begin = bytes.begin() + static_cast<ptrdiff_t>(fetch.offset);
  return Body(BlobChunk{fetch.digest, fetch.offset, bytes.size(), Bytes(begin, begin + static_cast<ptrdiff_t>(size))});
}

Result<std::optional<Body>> FakeTransport::receive(int) {
  if (!pieces_.empty()) {
    Result<Body> next = std::move(pieces_.front());
    pieces_.pop_front();
    if (!next) return std::unexpected(next.error());
    return std::move(*next);
  }
  if (!subscribed_ || sent_.value() == controller_.entries.size()) return std::nullopt;
  // One entry a frame: the smallest there are.
  const EncodedEntry& entry = controller_.entries[sent_.value()];
  if (entry.size() > credit_) return std::nullopt;
  credit_ -= entry.size();
  sent_ = next(sent_);
  return Body(Entries{{entry}, {}});
}

}  // namespace mesh::cli::test
